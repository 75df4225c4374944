from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import names, paths
from runtime.errors import RefusedError, SpecError
from specs.job import CommandJob

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "..", "a\\..\\x", "a\nb", "a/\x1b[2J"])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="does not stay inside the folder"):
        paths.confine(tmp_path, name)


@given(st.text(max_size=30))
def test_whatever_the_name_it_stays_beneath(name: str) -> None:
    folder = Path("/nowhere/at/all")
    try:
        found = paths.confine(folder, name)
    except RefusedError:
        return
    assert found.is_relative_to(folder)
    assert ".." not in found.parts
    assert found != folder


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError, match="nothing is written through it"):
        paths.store(tmp_path / "in", "link/file", [b"x"])
    (tmp_path / "in" / "file").symlink_to(tmp_path / "outside" / "file")
    with pytest.raises(SpecError, match="was not overwritten"):
        paths.store(tmp_path / "in", "file", [b"x"])
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def broken() -> list[bytes]:
        raise RefusedError("cut")

    def content() -> Iterator[bytes]:
        yield b"half"
        broken()

    with pytest.raises(RefusedError):
        paths.store(tmp_path, "file", content())
    assert list(tmp_path.iterdir()) == []
    assert paths.store(tmp_path, "file", [b"who", b"le"])
    assert not paths.store(tmp_path, "file", [b"whole"])
    assert (tmp_path / "file").read_bytes() == b"whole"


@given(st.text(max_size=100))
def test_every_proposed_id_is_a_jobs_name(text: str) -> None:
    for attempt, shared in ((0, False), (5, False), (0, True), (5, True)):
        proposed = names.propose(text, attempt, shared=shared)
        job = {"name": proposed, "command": "true", "environment": "azureml:a:1"}
        assert CommandJob.model_validate(job).name == proposed
        assert proposed.replace("-", "").isalnum()
        assert len(proposed) <= 80


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("/dev/null", "it is not a folder"),
        ("/dev/null/x", "Not a directory"),
        ("/proc/x", "No such file or directory"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_destination_that_can_be_no_folder_is_named(tmp_path: Path, given: str, why: str) -> None:
    with pytest.raises(SpecError) as raised:
        paths.destination(tmp_path / given)
    (problem,) = raised.value.problems
    assert (problem.file, problem.given, problem.rule) == ("--to", f'"{tmp_path / given}"', "destination")
    assert problem.message == f"can't be written to: {why}. Give a folder of yours; one that is missing is made."


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("mine")
    with pytest.raises(SpecError, match="can't be written: File exists") as raised:
        paths.store(tmp_path, "outputs/model", [b"x"])
    assert str(tmp_path / "outputs" / "model") in str(raised.value)
    assert (tmp_path / "outputs").read_text() == "mine"


def test_a_path_is_named_without_dots_and_links_keep_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real.csv").write_text("1")
    (tmp_path / "alias.csv").symlink_to("real.csv")
    monkeypatch.chdir(tmp_path)
    assert paths.named(Path()) == tmp_path
    assert list(paths.files_below(paths.named(Path("x/../alias.csv")))) == [("alias.csv", tmp_path / "real.csv")]
