"""What a cache of environments holds, and that nothing in use is ever removed from it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from node import environments, layout, processes, prune

if TYPE_CHECKING:
    from pathlib import Path

    from tests.node.conftest import Runs

VERSION = ".".join(map(str, sys.version_info[:3]))


def an_environment(cache: Path, key: str = "0" * 20, **marker: layout.Json) -> Path:
    """Write down an environment as if it had been built."""
    folder = layout.private_dir(cache / key)
    layout.write_json(folder / environments.READY, {"kind": "venv", "python": "3.11.2", "pip": ["six"], **marker})
    return folder


def test_a_cache_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert prune.listing(tmp_path / "nowhere") == []


@pytest.mark.processes
def test_an_environment_is_listed_with_what_is_known_of_it(runs: Runs, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        status = runs.end(runs.start("true", environment={"cache": str(cache)}))
    assert status.environment is not None
    runs.until(lambda: None if prune.listing(cache)[0].live else True)
    (kept,) = prune.listing(cache)
    assert (kept.id, kept.kind, kept.python, kept.packages) == (status.environment.id, "venv", VERSION, ())
    assert (kept.runs, kept.live, kept.built_s) == (2, False, status.environment.built_s)
    assert kept.used == (cache / kept.id / environments.READY).stat().st_mtime


def test_the_last_used_comes_first_and_other_files_are_no_environments(tmp_path: Path) -> None:
    for key, moment in (("a" * 20, 10), ("b" * 20, 30), ("c" * 20, 20)):
        os.utime(an_environment(tmp_path, key) / environments.READY, (moment, moment))
    layout.private_dir(tmp_path / "credentials")
    (tmp_path / f"{'d' * 20}.lock").touch()
    assert [kept.id[0] for kept in prune.listing(tmp_path)] == ["b", "c", "a"]


def test_what_an_interrupted_build_left_is_listed_as_unfinished(tmp_path: Path) -> None:
    layout.private_dir(tmp_path / ("a" * 20))
    (kept,) = prune.listing(tmp_path)
    assert (kept.kind, kept.built, kept.runs) == ("unfinished", None, 0)


def test_bytes_that_another_folder_shares_are_not_freed(tmp_path: Path) -> None:
    folder = an_environment(tmp_path)
    (folder / "own").write_bytes(b"x" * 8192)
    os.link(folder / "own", folder / "own again")
    (tmp_path / "shared").write_bytes(b"y" * 4096)
    os.link(tmp_path / "shared", folder / "shared")
    marker = (folder / environments.READY).stat().st_blocks * 512
    assert prune.disk(folder) == prune.Disk(8192 + 4096 + marker, 8192 + marker)
    (kept,) = prune.listing(tmp_path)
    assert prune.remove(kept) == 8192 + marker
    assert (folder.exists(), (tmp_path / "shared").exists(), prune.listing(tmp_path)) == (False, True, [])


@pytest.mark.processes
def test_an_environment_of_a_run_that_goes_on_stays(runs: Runs, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run_dir = runs.start("echo started; sleep 60", environment={"cache": str(cache)})
    runs.line(run_dir, b"started")
    (kept,) = prune.listing(cache)
    assert (kept.live, prune.remove(kept), kept.folder.is_dir()) == (True, None, True)


def test_an_environment_that_is_being_built_stays(tmp_path: Path) -> None:
    folder = layout.private_dir(tmp_path / ("a" * 20))
    lock = processes.acquire(tmp_path / f"{folder.name}.lock")
    assert lock is not None
    (kept,) = prune.listing(tmp_path)
    assert (kept.live, prune.remove(kept), folder.is_dir()) == (True, None, True)
    os.close(lock)


@pytest.mark.processes
def test_an_environment_that_was_removed_is_built_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with (tmp_path / "log").open("ab") as log:
        built = environments.ensure(None, [], cache, log)
        (kept,) = prune.listing(cache)
        assert kept.live, "this process has it"
        os.close(environments._in_use.pop())
        assert prune.remove(kept) is not None
        assert environments.ensure(None, [], cache, log).cached is False
    assert built.id == kept.id
