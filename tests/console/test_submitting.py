"""`submit` on the command line: the job's file, and settings after `--set` as `az ml job create` takes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.commands.runs import settings
from specs.problems import SpecError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "given", "expected"),
    [
        (["job.yml"], [], []),
        (["job.yml"], ["a=1"], ["a=1"]),
        (["job.yml", "b=2"], ["a=1"], ["a=1", "b=2"]),
        (["b=2", "job.yml"], ["a=1"], ["a=1", "b=2"]),
        (["job.yml", "b=2"], ["a=1", "b=3"], ["a=1", "b=2", "b=3"]),
    ],
)
def test_settings_follow_the_option_in_any_number(words: list[str], given: list[str], expected: list[str]) -> None:
    argv = ["invoke", "submit", "job.yml", "--set", "a=1", "b=2", "--set=b=3"]
    assert settings(words, given, argv) == ("job.yml", expected)


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=0.1.yml").touch()
    assert settings(["lr=0.1.yml", "b=2"], ["a=1"], []) == ("lr=0.1.yml", ["a=1", "b=2"])
    assert settings(["other=1.yml"], [], []) == ("other=1.yml", [])


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (["b=2"], ["a=1"], "no job file is given. Name one."),
        (["job.yml", "foo"], ["a=1"], "is one too many: a run has one job file, and a setting is PATH=VALUE."),
        (["job.yml", "b=2"], [], "is one too many: a run has one job file, and a setting is PATH=VALUE."),
    ],
)
def test_there_is_one_file(words: list[str], given: list[str], message: str) -> None:
    with pytest.raises(SpecError) as error:
        settings(words, given, [])
    assert [problem.message for problem in error.value.problems] == [message]


@pytest.mark.processes
def test_what_is_wrong_with_settings_is_said_all_at_once_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: trainyard\n")
    (tmp_path / "tasks.py").write_text((ROOT / "tasks.py").read_text())
    (tmp_path / "job.yml").write_text("command: run\nenvironment: azureml:base:1\ninputs: {C: 1}\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "invoke", "submit", "job.yml", "--target", "local"),
            *("--set", "resources.instance_count=0", "limit.timeout=1", "--set=tags.a=b"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: --set: limit",
        "  no such field. Did you mean limits?   [rule unknown-field]",
        'error: --set: resources.instance_count = "0"',
        "  must be a whole number, 1 or more.   [rule range]",
        "2 errors, nothing was sent.",
    ]


def told(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Submit a job here, as a user does."""
    (folder / "Pulumi.yaml").write_text("name: trainyard\n")
    (folder / "tasks.py").write_text((ROOT / "tasks.py").read_text())
    return subprocess.run(
        [sys.executable, "-m", "invoke", "submit", "job.yml", "--target", "local", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRAINYARD_CACHE": str(folder / "cache"), **variables},
    )


@pytest.mark.processes
def test_a_secret_is_named_and_its_value_is_neither_taken_from_the_command_line_nor_shown(tmp_path: Path) -> None:
    job = (
        'command: echo "<$HF_TOKEN> ${#HF_TOKEN}"\nenvironment: {image: python, conda_file: {dependencies: [python]}}\n'
    )
    (tmp_path / "job.yml").write_text(job)
    done = told(tmp_path, "--secret", "HF_TOKEN", "--secret", "OTHER", HF_TOKEN="correct-horse", OTHER="battery-staple")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["<***> 13"]), done.stderr
    refused = told(tmp_path, "--secret", "HF_TOKEN=correct-horse", "--secret", "UNSET_VARIABLE")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        "error: --secret: HF_TOKEN",
        "  takes the name of a variable, never its value: a command line can be read by every user of this machine, "
        "and the shell keeps it. Make a new secret in place of that one, then set the variable without showing it: "
        "read -rs HF_TOKEN; export HF_TOKEN   [rule job-secret]",
        "error: --secret: UNSET_VARIABLE",
        "  is not set in this shell. Set it without showing it: read -rs UNSET_VARIABLE; export UNSET_VARIABLE   "
        "[rule job-secret]",
        "2 errors, nothing was sent.",
    ]
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "job.yml"]
    assert not [
        path for path in kept if b"correct-horse" in path.read_bytes() or b"battery-staple" in path.read_bytes()
    ]
