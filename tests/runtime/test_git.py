"""What is kept of a code folder's repository: address, branch, commit, whether and by how much the files differ."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime import git

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here"),
]
NOBODY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
DATES = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}


@pytest.fixture
def quiet(tmp_path: Path) -> dict[str, str]:
    """Make an environment in which git knows of no user's or machine's settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "GIT_CONFIG_NOSYSTEM": "1"}


def run(folder: Path, environ: dict[str, str], *words: str) -> str:
    command = ["git", *words]
    return subprocess.run(
        command, cwd=folder, env=environ | NOBODY | DATES, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path, quiet: dict[str, str]) -> Path:
    """Make a repository with one commit, whose code is in a folder of it."""
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    run(root, quiet, "init", "-q", "-b", "main")
    (root / "src/train.py").write_text("print(1)\n")
    (root / "README").write_text("first\n")
    run(root, quiet, "add", ".")
    run(root, quiet, "commit", "-q", "-m", "first")
    return root


def test_a_clean_folder_is_described(repository: Path, quiet: dict[str, str]) -> None:
    run(repository, quiet, "remote", "add", "origin", "https://github.com/team/project.git")
    assert git.describe(repository / "src", quiet) == {
        "mlflow.source.git.repoURL": "https://github.com/team/project.git",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.commit": run(repository, quiet, "rev-parse", "HEAD").strip(),
        "azureml.git.dirty": "False",
        "trainyard.git.diff_bytes": "0",
    }


def test_the_names_and_values_are_azure_ai_mls_own(
    repository: Path, quiet: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pytest.importorskip("azure.ai.ml.operations._job_ops_helper", reason="azure-ai-ml is not installed here")
    run(repository, quiet, "remote", "add", "origin", "git@github.com:team/project.git")
    (repository / "src/new.py").write_text("")
    for name in (*git.VARIABLES, "GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in quiet.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(repository / "src")
    theirs, ours = source.get_git_properties(), git.describe(repository / "src")
    assert {name: value for name, value in ours.items() if name != git.DIFF_BYTES} == theirs


def test_a_change_within_the_folder_makes_it_dirty_and_is_measured(repository: Path, quiet: dict[str, str]) -> None:
    (repository / "src/train.py").write_text("print(2)\n")
    (repository / "README").write_text("second\n")
    found = git.describe(repository / "src", quiet)
    size = len(run(repository, quiet, "diff", "HEAD", "--", "src").encode())
    assert (found["azureml.git.dirty"], found["trainyard.git.diff_bytes"]) == ("True", str(size))


def test_a_change_elsewhere_does_not(repository: Path, quiet: dict[str, str]) -> None:
    (repository / "README").write_text("second\n")
    found = git.describe(repository / "src", quiet)
    assert (found["azureml.git.dirty"], found["trainyard.git.diff_bytes"]) == ("False", "0")


def test_without_branch_remote_or_commit_these_are_left_out(tmp_path: Path, quiet: dict[str, str]) -> None:
    (tmp_path / "new").mkdir()
    run(tmp_path / "new", quiet, "init", "-q", "-b", "main")
    assert git.describe(tmp_path / "new", quiet) == {"azureml.git.dirty": "False", "mlflow.source.git.branch": "main"}


def test_a_detached_head_has_no_branch(repository: Path, quiet: dict[str, str]) -> None:
    run(repository, quiet, "checkout", "-q", "--detach")
    assert sorted(git.describe(repository, quiet)) == [
        "azureml.git.dirty",
        "mlflow.source.git.commit",
        "trainyard.git.diff_bytes",
    ]


def test_nothing_is_known_without_a_repository_or_without_git(tmp_path: Path, quiet: dict[str, str]) -> None:
    assert git.describe(tmp_path, quiet | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}) == {}
    assert git.describe(tmp_path, {"PATH": str(tmp_path)}) == {}
    assert git.describe(tmp_path / "nowhere/at/all", quiet) == {}


def test_a_repository_that_does_not_answer_in_time_is_left_out(
    repository: Path, quiet: dict[str, str], tmp_path: Path
) -> None:
    slow = tmp_path / "slow" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    assert git.describe(repository, {**quiet, "PATH": f"{slow.parent}:{quiet['PATH']}"}, timeout_s=0.1) == {}


def test_a_repositorys_own_programs_are_not_started(repository: Path, quiet: dict[str, str], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    script = tmp_path / "spy"
    script.write_text(f"#!/bin/sh\ntouch {canary}\n")
    script.chmod(0o755)
    hook = repository / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(script, hook)
    for name in ("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"):
        run(repository, quiet, "config", name, str(script))
    (repository / "src/train.py").write_text("print(2)\n")
    canary.unlink(missing_ok=True)
    assert git.describe(repository, quiet)["azureml.git.dirty"] == "True"
    assert not canary.exists()


def test_the_index_is_not_written(repository: Path, quiet: dict[str, str]) -> None:
    index = repository / ".git/index"
    os.utime(repository / "src/train.py", ns=(1, 1))
    before = index.read_bytes()
    git.describe(repository, quiet)
    assert index.read_bytes() == before


def test_variables_of_a_build_machine_win(repository: Path, quiet: dict[str, str]) -> None:
    given = {
        "AZUREML_GIT_REPOSITORY_URI": "https://user:canary@dev.azure.com/team/_git/project",
        "AZUREML_GIT_BRANCH": "release",
        "AZUREML_GIT_DIRTY": "1",
        "AZUREML_GIT_BUILD_ID": "7",
    }
    found = git.describe(repository, quiet | given)
    assert (found[git.REPOSITORY], found[git.BRANCH], found[git.DIRTY], found[git.BUILD_ID]) == (
        "https://dev.azure.com/team/_git/project",
        "release",
        "True",
        "7",
    )


def test_another_repositorys_variables_are_left_out(repository: Path, quiet: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    run(tmp_path / "other", quiet, "init", "-q", "-b", "other")
    inside_a_hook = quiet | {"GIT_DIR": str(tmp_path / "other/.git"), "GIT_INDEX_FILE": str(tmp_path / "index")}
    assert git.describe(repository, inside_a_hook)[git.BRANCH] == "main"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://github.com/team/project.git", "https://github.com/team/project.git"),
        ("https://token@github.com/team/project", "https://github.com/team/project"),
        ("https://user:canary@github.com/team/project", "https://github.com/team/project"),
        ("https://dev.azure.com/canary@team/project", "https://dev.azure.com/team/project"),
        ("https://host/project?token=canary#x", "https://host/project"),
        ("ssh://user:canary@host:22/project", "ssh://host:22/project"),
        ("git@github.com:team/project.git", "git@github.com:team/project.git"),
        ("https://user:p@ss@host/project", "https://host/project"),
        ("https://user:p/a@ss@host/project", "https://host/project"),
        ("https://host:8443/canary@team/project", "https://host:8443/team/project"),
        ("https://user:ca?nary@host/project", "https://host/project"),
        ("/srv/git/project", "/srv/git/project"),
    ],
)
def test_an_address_is_kept_without_its_secrets(address: str, expected: str) -> None:
    assert git.stripped(address) == expected


def test_the_answer_is_waited_for_only_when_it_is_asked(repository: Path) -> None:
    assert git.in_background(None)() == {}
    assert git.in_background(repository)()[git.BRANCH] == "main"
