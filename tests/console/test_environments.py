"""The commands about environments: what they list, what they remove and never remove, what they build."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from invoke import Context
from invoke.exceptions import Exit

from console import environments
from console.commands.environments import environments_build, environments_list, environments_prune
from node import environments as built
from node import layout, processes
from runtime import outputs
from runtime.errors import SpecError, TargetError
from specs.targets import LocalTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project

DAY_S = 86_400
KEYS = ("a" * 20, "b" * 20, "c" * 20)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Stand in a project, with a cache of its own."""
    made = kit.a_project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "environments"


def an_environment(cache: Path, key: str, *, days: float = 0, runs: int = 0, **marker: layout.Json) -> Path:
    folder = layout.private_dir(cache / key)
    described: dict[str, layout.Json] = {
        "kind": "venv",
        "python": "3.11.2",
        "pip": ["numpy==2.0", "six", "--extra-index-url https://me:se-cret@example.org/simple"],
        "built_s": 11.8,
        "at": "2026-11-20T10:00:00.000Z",
    }
    layout.write_json(folder / built.READY, {**described, **marker})
    (folder / "code").write_bytes(b"x" * 100_000)
    (folder / built.USES).write_bytes(b"." * runs)
    moment = time.time() - days * DAY_S
    os.utime(folder / built.READY, (moment, moment))
    return folder


@pytest.mark.usefixtures("project")
def test_environments_are_listed_with_content_age_and_size(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    an_environment(cache, KEYS[0], days=3, runs=2)
    an_environment(cache, KEYS[1], days=40, kind="conda", conda="x", python=None)
    environments_list(Context())
    assert capsys.readouterr().out.splitlines() == [
        "  ENVIRONMENT           PYTHON  PACKAGES                    BUILT       IN    SIZE      LAST USED  RUNS",
        f"  {KEYS[0]}  3.11.2  numpy==2.0, six and 1 more  2026-11-20  12 s  {size(cache, 0)}  3 days     2",
        f"  {KEYS[1]}  -       a conda file                2026-11-20  12 s  {size(cache, 1)}  40 days    0",
        f"  2 environments, {size(cache, 0, 1)}, in {cache}",
    ]


def size(cache: Path, *places: int) -> str:
    found = [path for place in places for path in (cache / KEYS[place]).iterdir()]
    return f"{sum(path.stat().st_blocks for path in found) * 512 / 1000:.1f} kB"


@pytest.mark.usefixtures("project")
def test_json_has_everything_but_credentials(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = an_environment(cache, KEYS[0], runs=2)
    os.utime(folder / built.READY, (0, 0))
    environments_list(Context(), json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "id": KEYS[0],
        "kind": "venv",
        "python": "3.11.2",
        "packages": ["numpy==2.0", "six", "--extra-index-url https://***@example.org/simple"],
        "image": None,
        "built": "2026-11-20T10:00:00.000Z",
        "built_s": 11.8,
        "size": sum(path.stat().st_blocks for path in folder.iterdir()) * 512,
        "last_used": "1970-01-01T00:00:00+00:00",
        "runs": 2,
        "in_use": False,
        "folder": str(folder),
    }


@pytest.mark.usefixtures("project")
def test_no_environments_say_where_they_come_from(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environments_list(Context())
    assert capsys.readouterr().out == (
        f"  no environments in {cache}; a run on this machine builds its own, or: invoke environments.build\n"
    )


def test_the_stacks_own_folder_is_listed_too(project: Project, cache: Path) -> None:
    local = LocalTarget(name="local", environments_folder="kept")
    outputs.save(project, kit.some_outputs().model_copy(update={"local": local}))
    assert environments.caches(project, "local") == [cache, project.root / "kept"]


def left(cache: Path) -> list[str]:
    return [key[0] for key in KEYS if (cache / key).exists()]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ({"older_than": "30"}, ["a", "c"]),
        ({"unused": True}, ["a", "b"]),
        ({"older_than": "30", "unused": True}, ["a"]),
        ({"all": True}, []),
        ({"older_than": "0"}, []),
        ({"older_than": "400"}, ["a", "b", "c"]),
    ],
)
def test_prune_removes_what_the_options_name(
    cache: Path, options: dict[str, str | bool], stays: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    an_environment(cache, KEYS[0], days=3, runs=2)
    an_environment(cache, KEYS[1], days=40, runs=1)
    an_environment(cache, KEYS[2], days=1)
    environments_prune(Context(), yes=True, **options)
    assert left(cache) == stays
    gone = [key for key in (KEYS[2], KEYS[0], KEYS[1]) if key[0] not in stays]
    assert capsys.readouterr().out.splitlines() == ([f"  {key} removed" for key in gone] or ["  nothing to remove"])


@pytest.mark.usefixtures("project")
def test_prune_says_the_bytes_that_it_freed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = an_environment(cache, KEYS[0])
    taken = sum(path.stat().st_blocks for path in folder.iterdir()) * 512
    environments_prune(Context(), all=True, yes=True, json=True)
    told = capsys.readouterr()
    assert json.loads(told.out) == {"removed": [KEYS[0]], "freed": taken, "in_use": []}
    assert f"1 environment removed, {taken / 1000:.1f} kB freed" in told.err


@pytest.mark.usefixtures("project")
def test_prune_without_an_answer_removes_nothing(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    an_environment(cache, KEYS[0])
    with pytest.raises(SystemExit) as caught:
        environments_prune(Context(), all=True)
    assert (caught.value.code, left(cache)) == (1, ["a"])
    assert "will be removed. Nobody to ask here: add --yes." in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_prune_never_removes_what_a_run_uses(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    an_environment(cache, KEYS[0])
    an_environment(cache, KEYS[1])
    lock = processes.acquire(built.use_lock(cache, KEYS[1]))
    assert lock is not None
    environments_prune(Context(), all=True, yes=True)
    os.close(lock)
    assert left(cache) == ["b"]
    assert capsys.readouterr().out == f"  {KEYS[0]} removed\n  {KEYS[1]} stays: a run uses it\n"


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "the command: environments.prune\n  say what to remove: --older-than DAYS, --unused or --all."),
        ({"older_than": "soon"}, 'the command: --older-than = "soon"\n  must be a number of days, 0 or more.'),
        ({"older_than": "-1"}, 'the command: --older-than = "-1"\n  must be a number of days, 0 or more.'),
        ({"older_than": "nan"}, 'the command: --older-than = "nan"\n  must be a number of days, 0 or more.'),
    ],
)
def test_prune_wants_to_be_told_what(options: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((Exit, SystemExit)) as caught:
        environments_prune(Context(), yes=True, **options)
    assert caught.value.code == SpecError.exit_code
    assert says in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.usefixtures("project")
def test_an_environment_is_built_ahead_and_found_by_the_next(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = kit.a_job(tmp_path / "digits", environment={"conda_file": {"dependencies": ["python"]}})
    environments_build(Context(), str(job), json=True)
    first = capsys.readouterr()
    environments_build(Context(), str(job), json=True)
    second = json.loads(capsys.readouterr().out)
    told = json.loads(first.out)
    assert {key: told[key] for key in ("fidelity", "environment", "cached")} == {
        "fidelity": "translated",
        "environment": "translated: no packages",
        "cached": False,
    }
    assert second == {**told, "cached": True}
    assert f"translated, built, {told['id']}" in first.err
    (row,) = environments.rows([cache])
    assert (row.kept.id, row.kept.runs) == (told["id"], 0)


@pytest.mark.processes
@pytest.mark.usefixtures("project")
def test_a_build_that_fails_gives_the_gist_and_keeps_the_whole_log(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = {"dependencies": [{"pip": ["--no-index", "no-such-package-at-all"]}]}
    job = kit.a_job(tmp_path / "digits", environment={"conda_file": pip})
    with pytest.raises((Exit, SystemExit)) as caught:
        environments_build(Context(), str(job))
    assert caught.value.code == TargetError.exit_code
    said = capsys.readouterr().err
    assert "error: the environment could not be built (uv failed): " in said
    assert f"All that the installer said: {cache / 'build.log'}" in said
    assert "no-such-package-at-all" in (cache / "build.log").read_text()


@pytest.mark.usefixtures("project")
def test_exact_builds_nothing_else(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    job = kit.a_job(tmp_path / "digits")
    with pytest.raises((Exit, SystemExit)) as caught:
        environments_build(Context(), str(job), exact=True)
    assert (caught.value.code, cache.exists()) == (TargetError.exit_code, False)
