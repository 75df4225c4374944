from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import gobuild, obtain, vendor
from engine.cache import cache_root, locked
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable


def put_engine(folder: Path, version: str = obtain.VERSION, *, host: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ["pulumi", *([obtain.LANGUAGE_HOST, f"{obtain.LANGUAGE_HOST}-exec"] if host else [])]
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho v{version}\n", "ascii")
        (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take away what is on PATH, in the cache and on the network."""
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vendor, "install", refusing("no network"))
    monkeypatch.setattr(gobuild, "build", refusing("no `go` on PATH"))
    return tmp_path


def refusing(why: str) -> Callable[[str, Path, Path, Callable[[str], None]], None]:
    def get(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
        raise EngineError(why)

    return get


def making(version: str = obtain.VERSION) -> Callable[[str, Path, Path, Callable[[str], None]], None]:
    def get(wanted: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
        put_engine(staging / "bin", version)

    return get


def silent(message: str) -> None:
    del message


def test_an_engine_on_path_is_taken_as_it_is(machine: Path) -> None:
    put_engine(machine / "path", "3.260.1")
    assert obtain.find_or_get(silent) == obtain.Engine(machine / "path", "3.260.1", "on PATH", 0.0, cached=True)


@pytest.mark.parametrize(
    ("version", "host"), [("3.199.9", True), ("4.0.0", True), ("3.255.0", False), ("nonsense", True)]
)
def test_an_engine_on_path_that_cannot_run_our_programs_is_passed_over(
    machine: Path, version: str, *, host: bool
) -> None:
    put_engine(machine / "path", version, host=host)
    assert obtain.on_path() is None


def test_the_vendors_installer_comes_before_a_build(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "install", making())
    monkeypatch.setattr(gobuild, "build", making())
    assert obtain.find_or_get(silent).origin == "vendor's installer"


def test_what_was_got_is_cached_for_the_next_time(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "build", making())
    first = obtain.find_or_get(silent)
    monkeypatch.setattr(gobuild, "build", refusing("built twice"))
    second = obtain.find_or_get(silent)
    assert (first.origin, first.cached, second.cached) == ("built from module proxy", False, True)
    assert (second.bin, second.version, second.origin) == (first.bin, first.version, first.origin)
    assert sorted(path.name for path in (machine / "cache" / "engine").iterdir()) == ["3.255.0", "3.255.0.lock"]


def test_an_engine_of_another_version_is_not_kept(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "build", making("3.100.0"))
    with pytest.raises(EngineError, match=r"answers to `pulumi version` with 3\.100\.0, not 3\.255\.0"):
        obtain.find_or_get(silent)
    assert obtain.find() is None


def test_a_damaged_cache_is_made_anew(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "build", making())
    kept = obtain.find_or_get(silent).bin
    (kept / obtain.LANGUAGE_HOST).unlink()
    assert obtain.find_or_get(silent).cached is False


def test_what_a_killed_setup_left_is_swept(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_engine(machine / "cache" / "engine" / ".3.255.0.123" / "bin")
    monkeypatch.setattr(gobuild, "build", making())
    obtain.find_or_get(silent)
    assert sorted(path.name for path in (machine / "cache" / "engine").iterdir()) == ["3.255.0", "3.255.0.lock"]


def test_a_machine_with_nothing_is_told_the_three_ways(machine: Path) -> None:
    with pytest.raises(EngineError) as caught:
        obtain.find_or_get(silent)
    assert str(caught.value) == (
        "no Pulumi engine, and no way to get one worked:\n"
        "    on PATH: no pulumi there\n"
        "    vendor's installer: no network\n"
        "    built from module proxy: no `go` on PATH\n"
        "  One of these is enough, then `invoke setup` again: put Pulumi 3.200.0 or newer on PATH; "
        "or open the network to get.pulumi.com; or install Go 1.25 or newer where a Go module proxy is reachable "
        "(`go env GOPROXY` names it)."
    )


def test_an_old_engine_on_path_is_named_when_nothing_worked(machine: Path) -> None:
    put_engine(machine / "path", "3.100.0")
    with pytest.raises(EngineError, match=r"on PATH: \S+/path/pulumi is version 3\.100\.0, too old\n"):
        obtain.find_or_get(silent)


def test_an_installer_that_hangs_is_stopped_in_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'], check=True)"
    assert vendor.limited([sys.executable, "-c", code], 0.2, log) is False
    assert log.read_text("utf-8") == "stopped after 0.2 s\n"


def test_go_keeps_its_sources_and_counters_in_our_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "go_answer", lambda *_: [str(tmp_path / "none"), "proxy,direct"])
    found = gobuild.go_environment({"XDG_CONFIG_HOME": "/settings", "GOFLAGS": "-mod=vendor"}, tmp_path / "sources")
    assert found == {
        "GOENV": "/settings/go/env",
        "XDG_CONFIG_HOME": str(tmp_path / "sources" / "config"),
        "GOMODCACHE": str(tmp_path / "sources"),
        "GOPROXY": "proxy,direct",
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOWORK": "off",
        "GOOS": "",
        "GOARCH": "",
        "GIT_TERMINAL_PROMPT": "0",
    }


def test_modules_that_the_user_already_has_are_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mod" / "cache" / "download").mkdir(parents=True)
    monkeypatch.setattr(gobuild, "go_answer", lambda *_: [str(tmp_path / "mod"), "proxy"])
    found = gobuild.go_environment({}, tmp_path / "sources")
    assert found["GOPROXY"] == f"file://{tmp_path}/mod/cache/download,proxy"


def test_a_failed_build_says_what_failed_and_where_the_words_are(tmp_path: Path) -> None:
    heard: list[str] = []
    with (tmp_path / "log").open("w", encoding="utf-8") as words:
        step = gobuild.Step("building it", heard.append, words)
        with pytest.raises(EngineError) as caught:
            step.run(
                ["sh", "-c", "echo go: downloading a v1; echo example.org/a; echo a.go:1: bad; exit 1"], tmp_path, {}
            )
    assert str(caught.value) == (
        f"building it failed: a.go:1: bad\n  Go's words are in {tmp_path}/log; `go version` must be 1.25 or newer"
    )
    assert (step.downloaded, step.compiled) == (1, 1)
    assert step.stage(75) == "building it: 1 packages compiled, 1:15"


def test_the_modules_are_pinned_and_name_no_proxy() -> None:
    for name in ("pulumi", "language-python"):
        text = (gobuild.MODULES / name / "go.mod").read_text("ascii")
        assert text.count("\ntool github.com/pulumi/pulumi/") == 1
        assert "://" not in text + (gobuild.MODULES / name / "go.sum").read_text("ascii")
    assert f"{gobuild.SDK} v{obtain.VERSION} " in (gobuild.MODULES / "pulumi" / "go.mod").read_text("ascii")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TRAINYARD_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/trainyard"),
        ({}, "~/.cache/trainyard"),
    ],
)
def test_the_cache_is_where_the_user_says(environment: dict[str, str], expected: str) -> None:
    assert cache_root(environment) == Path(expected).expanduser()


def test_a_second_holder_of_the_lock_is_told_to_wait(tmp_path: Path) -> None:
    told, got = threading.Event(), threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock", told.set):
            got.set()

    with locked(tmp_path / "lock", lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        assert not got.is_set()
    thread.join(10)
    assert got.is_set()


def test_the_record_in_the_cache_is_plain_json(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "build", making())
    folder = obtain.find_or_get(silent).bin.parent
    assert json.loads((folder / "origin.json").read_text("utf-8"))["origin"] == "built from module proxy"
