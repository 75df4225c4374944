"""What a download leaves alone, what it replaces, and that it fetches nothing twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from runtime import submitters
from runtime.downloads import AWAY_S
from runtime.errors import ConnectionLostError, HeldBackError, NotFoundError, RefusedError, SpecError
from runtime.manifest import Manifest
from runtime.records import Record
from runtime.runs import Run
from runtime.site import Look, RunFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.events import Event
    from runtime.site import Site

MANIFEST = ".r.trainyard"


@dataclass
class Script:
    """A submitter whose run has these files, by the moment from which they are so."""

    site: Site
    files_at: list[tuple[float, dict[str, bytes]]]
    end: float = 0.0
    away: tuple[float, float] = (-1.0, -1.0)
    versions: bool = True
    read: list[str] = field(default_factory=list)
    """Names of what was fetched, sorted within one moment."""

    def _now(self) -> float:
        now = self.site.clock.monotonic()
        if self.away[0] <= now < self.away[1]:
            raise ConnectionLostError("no answer: cut")
        return now

    def look(self, _site: Site, _record: Record) -> Look:
        return Look("Completed" if self._now() >= self.end else "Running")

    def files(self, _site: Site, _record: Record) -> list[RunFile]:
        now = self._now()
        there: dict[str, bytes] = {}
        for at, changed in self.files_at:
            there |= changed if at <= now else {}
        return [
            RunFile(name, len(content), lambda name=name, content=content: self.content(name, content), version)
            for name, content in there.items()
            for version in [f"v{content!r}" if self.versions else ""]
        ]

    def content(self, name: str, content: bytes) -> Iterator[bytes]:
        self.read.append(name)
        yield from (content[at : at + 3] for at in range(0, len(content), 3))


def a_run(site: Site, script: Script, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(submitters, "of", lambda _kind: script)
    values = {"id": "r", "kind": "Local", "target": "local", "experiment": "e", "token": "t", "created": "c"}
    record = Record.model_validate({**values, "phase": "acknowledged"})
    site.store.insert(record)
    return Run(record, site)


def there(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


FIRST = {"outputs/model.bin": b"weights 1", "user_logs/std_log.txt": b"one\n"}
SECOND = {"user_logs/std_log.txt": b"one\ntwo\n", "outputs/new.txt": b"new"}


@pytest.mark.parametrize("versions", [True, False])
def test_what_grew_is_replaced_and_what_is_new_is_added(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, versions: bool
) -> None:
    script = Script(site, [(0.0, FIRST), (1.0, SECOND)], versions=versions)
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    assert run.download(to) == ([to / name for name in FIRST], [])
    script.read.clear()
    site.clock.sleep(1.0)
    assert run.download(to) == ([to / "user_logs/std_log.txt", to / "outputs/new.txt"], [to / "outputs/model.bin"])
    assert there(to) == {**FIRST, **SECOND}
    assert sorted(script.read) == sorted(SECOND if versions else {**FIRST, **SECOND})


def test_nothing_is_fetched_twice(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = Script(site, [(0.0, FIRST)])
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    run.download(to)
    script.read.clear()
    assert run.download(to) == ([], [to / name for name in FIRST])
    assert script.read == []


def test_a_file_that_was_deleted_here_is_fetched_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = Script(site, [(0.0, FIRST)])
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    run.download(to)
    script.read.clear()
    (to / "outputs/model.bin").unlink()
    assert run.download(to).written == [to / "outputs/model.bin"]
    assert (script.read, there(to)) == (["outputs/model.bin"], FIRST)


@pytest.mark.parametrize("grown", [True, False])
def test_a_file_that_the_user_changed_stays_and_is_named_and_the_rest_is_fetched(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, grown: bool
) -> None:
    script = Script(site, [(0.0, FIRST), (1.0, SECOND if grown else {})])
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    run.download(to)
    log = to / "user_logs/std_log.txt"
    log.write_bytes(b"mine")
    script.read.clear()
    site.clock.sleep(1.0)
    with pytest.raises(SpecError) as error:
        run.download(to)
    assert str(error.value) == (
        f"{log}: the file\n  was changed here since it was downloaded and was not overwritten. "
        "Move it away and repeat, or choose another folder with --to.   [rule no-overwrite]"
    )
    expected = {**FIRST, **(SECOND if grown else {}), "user_logs/std_log.txt": b"mine"}
    assert there(to) == expected
    log.unlink()
    run.download(to)
    assert there(to) == {**FIRST, **(SECOND if grown else {})}


def test_the_file_of_somebody_else_is_never_replaced_nor_that_of_another_run(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    (to / "outputs").mkdir(parents=True)
    (to / "outputs/model.bin").write_bytes(b"of somebody else")
    (to / "user_logs").mkdir()
    (to / "user_logs/std_log.txt").symlink_to(to / "outputs/model.bin")
    run = a_run(site, Script(site, [(0.0, FIRST)]), monkeypatch)
    with pytest.raises(SpecError) as error:
        run.download(to)
    assert [problem.file for problem in error.value.problems] == [str(to / name) for name in FIRST]
    assert (to / "outputs/model.bin").read_bytes() == b"of somebody else"
    assert (to / "user_logs/std_log.txt").is_symlink()
    assert not list(to.rglob("*.part"))


def test_a_file_with_the_runs_content_is_taken_over_as_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    (to / "user_logs").mkdir(parents=True)
    (to / "user_logs/std_log.txt").write_bytes(b"one\n")
    run = a_run(site, Script(site, [(0.0, FIRST), (1.0, SECOND)]), monkeypatch)
    assert run.download(to) == ([to / "outputs/model.bin"], [to / "user_logs/std_log.txt"])
    site.clock.sleep(1.0)
    run.download(to)
    assert there(to) == {**FIRST, **SECOND}


def test_a_transfer_that_breaks_off_leaves_no_half_file_and_goes_on_where_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = Script(site, [(0.0, FIRST)])
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    whole = script.content

    def cut(name: str, content: bytes) -> Iterator[bytes]:
        yield from whole(name, content[:3] if name.startswith("user_logs") else content)
        if name.startswith("user_logs"):
            raise ConnectionLostError("no answer: cut")

    monkeypatch.setattr(script, "content", cut)
    with pytest.raises(ConnectionLostError):
        run.download(to)
    assert there(to) == {"outputs/model.bin": b"weights 1"}
    monkeypatch.setattr(script, "content", whole)
    script.read.clear()
    run.download(to)
    assert (script.read, there(to)) == (["user_logs/std_log.txt"], FIRST)


def test_a_download_that_was_killed_knows_its_own_files(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = Script(site, [(0.0, FIRST), (1.0, SECOND)])
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    run.download(to)
    # Killed after the line was written and before the file got its name, and amid the next line.
    lines = (to / MANIFEST).read_bytes()
    grown = {"name": "user_logs/std_log.txt", "sha256": "0" * 64, "size": 3, "mtime_ns": 1, "version": "x"}
    (to / MANIFEST).write_bytes(lines + json.dumps(grown).encode() + b'\n{"name": "outp')
    site.clock.sleep(1.0)
    run.download(to)
    assert there(to) == {**FIRST, **SECOND}


def test_nothing_is_written_outside_the_folder_or_over_our_own_list(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("../escape", "/etc/escape", "a/../../escape", MANIFEST):
        with pytest.raises(RefusedError):
            a_run(site, Script(site, [(0.0, {name: b"x"})]), monkeypatch).download(tmp_path / "to")
    assert there(tmp_path / "to") == {}
    assert not (tmp_path / "escape").exists()


def test_a_run_that_left_nothing_says_so_and_makes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = a_run(site, Script(site, []), monkeypatch)
    with pytest.raises(NotFoundError, match=r"^r has left no files yet\. See: invoke runs\.show r$"):
        run.download(tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_following_ends_with_all_that_the_run_left(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = [(float(at), {"user_logs/std_log.txt": b"line\n" * at, f"outputs/{at}": b"x"}) for at in range(1, 30, 7)]
    script = Script(site, steps, end=29.5, away=(9.0, 14.0))
    said: list[Event] = []
    run, to = a_run(site, script, monkeypatch), tmp_path / "to"
    done = run.download(to, follow=True, on_event=said.append)
    assert there(to) == {**{f"outputs/{at}": b"x" for at in range(1, 30, 7)}, "user_logs/std_log.txt": b"line\n" * 29}
    assert sorted(done.written) == sorted(to / name for name in there(to))
    assert len(script.read) == len(set(script.read)) + script.read.count("user_logs/std_log.txt") - 1
    assert [event.text for event in said if event.topic == "note"] == [
        "connection lost, waiting for it (no answer: cut). The run goes on"
    ]
    assert len((to / MANIFEST).read_text().splitlines()) <= 2 * 6


def test_following_a_service_that_stays_away_is_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = a_run(site, Script(site, [], end=9999.0, away=(1.0, 9999.0)), monkeypatch)
    with pytest.raises(ConnectionLostError):
        run.download(tmp_path / "to", follow=True)
    assert AWAY_S < site.clock.monotonic() < AWAY_S + 15


def test_two_downloads_of_a_run_into_one_folder_do_not_mix(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = a_run(site, Script(site, [(0.0, FIRST)]), monkeypatch)
    with Manifest(tmp_path / MANIFEST, "r"), pytest.raises(HeldBackError, match="another download of r writes"):
        run.download(tmp_path)
    assert run.download(tmp_path).already == []


def test_a_name_that_is_listed_twice_is_written_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = Script(site, [(0.0, FIRST)])
    run = a_run(site, script, monkeypatch)
    listed = script.files(site, run.record)
    monkeypatch.setattr(script, "files", lambda *_: [*listed * 20])
    assert run.download(tmp_path / "to").written == [tmp_path / "to" / name for name in FIRST]
    assert there(tmp_path / "to") == FIRST
