"""Bad input at the command line: one message with its place, an exit code, no traceback, nothing made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STACK = """\
cloud: emulator
location: westeurope
resource_group: rg
workspaces:
  research:
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2
"""
JOB = "command: python train.py\nenvironment: azureml:nowhere\n"
HERE = "workspaces.research.computes.cpu-cluster"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/dev.yaml").write_text(STACK)
    for name in ("Pulumi.yaml", "tasks.py"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def invoke(project: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *arguments], cwd=project, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def nothing_made(project: Path) -> bool:
    data = project / ".trainyard"
    return not (data / "emulator").exists() and not list((data / "runs").glob("*/run.json"))


@pytest.mark.parametrize("verb", ["check", "preview", "up"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "max_node_count: 2", "max_node_count: 2\n        min_nodes: 1",
            f"error: stacks/dev.yaml:11:9: {HERE}.min_nodes\n"
            "  no such field. Here it is called min_node_count (the v1 SDK says min_nodes).   [rule unknown-field]\n"
            "1 error, nothing was sent.\n",
        ),
        (
            "max_node_count: 2", "max_node_count: 2\n        min_node_count: 5",
            f"error: stacks/dev.yaml:11:25: {HERE}.min_node_count = 5\n"
            "  must not be above max_node_count (2). Allowed: 0 to 2.   [rule node-range]\n"
            "1 error, nothing was sent.\n",
        ),
        (
            "      cpu-cluster:", "      cpu-cluster-1:",
            'error: stacks/dev.yaml:7:7: workspaces.research.computes.cpu-cluster-1 = "cpu-cluster-1"\n'
            "  a compute's name has 2 to 32 letters, digits and dashes, starts with a letter, and a letter still "
            "follows every dash: cpu-cluster, cpu1, not cpu-1.   [rule compute-name]\n"
            "1 error, nothing was sent.\n",
        ),
    ],
    ids=["a v1 word", "min above max", "a bad name"],
)  # fmt: skip
def test_a_bad_stack_file_is_one_message(project: Path, verb: str, old: str, new: str, message: str) -> None:
    (project / "stacks/dev.yaml").write_text(STACK.replace(old, new))
    code, out, told = invoke(project, verb, "--stack", "dev")
    assert (code, out, told) == (2, "", message)
    assert nothing_made(project)


def test_an_alias_bomb_is_one_message(project: Path) -> None:
    (project / "stacks/dev.yaml").write_text(BOMB)
    code, out, told = invoke(project, "up", "--stack", "dev")
    assert (code, out) == (2, "")
    assert re.fullmatch(
        r"error: stacks/dev\.yaml:\d+:\d+: the file\n"
        r"  aliases expand to more than 200,000 values or 64 levels\. Write the values out\.   \[rule yaml-alias\]\n"
        r"1 error, nothing was sent\.\n",
        told,
    )
    assert nothing_made(project)


def test_a_stack_that_is_not_there_lists_those_that_are(project: Path) -> None:
    code, _, told = invoke(project, "up", "--stack", "def")
    assert code == 2
    assert told == (
        'error: stacks/def.yaml: --stack = "def"\n'
        "  no such stack. Did you mean dev? Allowed: dev.   [rule stack]\n1 error, nothing was sent.\n"
    )


def test_a_stack_name_that_the_engine_refuses_is_refused_first(project: Path) -> None:
    (project / "stacks/my dév.yaml").write_text(STACK)
    code, out, told = invoke(project, "check", "--stack", "my dév")
    assert (code, out) == (2, "")
    assert told == (
        'error: the command: --stack = "my dév"\n'
        "  a stack's name has letters, digits, _ . and -; rename the file.   [rule stack-name]\n"
        "1 error, nothing was sent.\n"
    )


def test_a_stack_that_was_never_brought_up_says_what_to_type(project: Path) -> None:
    (project / "job.yml").write_text(JOB + "compute: azureml:cpu-cluster\n")
    code, out, told = invoke(project, "submit", "job.yml", "--stack", "dev")
    assert (code, out) == (3, "")
    assert told.startswith("error: stack dev was never brought up here")
    assert told.endswith("First: invoke up --stack dev\n")
    assert nothing_made(project)


def test_a_file_that_is_no_job_says_so(project: Path) -> None:
    (project / "job.yml").write_text("name: x\nimage: y\n")
    code, out, told = invoke(project, "submit", "job.yml", "--target", "local", "--stack", "dev")
    assert (code, out) == (2, "")
    assert told == (
        "error: job.yml:1:1: the file\n"
        "  not a job file: it has neither command nor environment (it has: name, image).   [rule not-a-job]\n"
        "1 error, nothing was sent.\n"
    )
    assert nothing_made(project)


def test_an_unknown_run_says_so(project: Path) -> None:
    code, out, told = invoke(project, "logs", "nobody-knows-it")
    assert (code, out) == (9, "")
    assert told.startswith("error: no run nobody-knows-it in this project")


def test_a_folder_that_is_no_project_says_so(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tasks.py", tmp_path)
    code, out, told = invoke(tmp_path, "runs")
    assert (code, out) == (9, "")
    assert told.startswith("error: no Pulumi.yaml in ")


@pytest.mark.parametrize("words", ["secret --help", "score --help", "submit -h", "runs.show --help", "env --help"])
def test_help_after_a_command_is_help_and_does_nothing(project: Path, words: str) -> None:
    code, out, told = invoke(project, *words.split())
    assert (code, told) == (0, "")
    assert f"Usage: inv[oke] [--core-opts] {words.partition(' ')[0]} " in out
    assert nothing_made(project)


def test_an_empty_secret_is_not_kept(project: Path) -> None:
    code, out, told = invoke(project, "secret", "cluster-password", "--stack", "dev")
    assert (code, out) == (2, "")
    assert told == (
        "error: standard input: cluster-password\n"
        "  is empty. Type it, or: invoke secret cluster-password < FILE   [rule secret]\n1 error, nothing was sent.\n"
    )


def test_score_without_a_file_says_which_option_is_missing(project: Path) -> None:
    code, out, told = invoke(project, "score", "digits")
    assert (code, out) == (2, "")
    assert told.startswith("error: invoke score: --data\n  no file is named.")


def test_two_computes_that_differ_in_case_only_are_one_too_many(project: Path) -> None:
    (project / "stacks/dev.yaml").write_text(
        STACK + "      CPU-Cluster: {kind: AmlCompute, vm_size: Standard_D2_v2, max_node_count: 2}\n"
    )
    code, _, told = invoke(project, "check", "--stack", "dev")
    assert code == 2
    assert told == (
        'error: stacks/dev.yaml:11:7: workspaces.research.computes.CPU-Cluster = "CPU-Cluster"\n'
        "  workspace research has a compute of this name too (case does not count). Rename one."
        "   [rule duplicate-target]\n1 error, nothing was sent.\n"
    )


def test_nothing_is_purged_unasked(project: Path) -> None:
    assert invoke(project, "purge", "--stack", "dev") == (
        1,
        "",
        "  Delete for good what is left of research, with its runs and models? Nobody to ask here: add --yes.\n"
        "  nothing was deleted\n",
    )
    assert nothing_made(project)


def test_what_is_wrong_is_json_too_where_json_was_asked_for(project: Path) -> None:
    path = project / "stacks/dev.yaml"
    path.write_text(path.read_text().replace("max_node_count: 2", "max_node_count: 0"))
    code, out, _ = invoke(project, "check", "--stack", "dev", "--json")
    (found,) = json.loads(out)["errors"]
    assert (code, found["line"], found["field"], found["rule"]) == (2, 10, f"{HERE}.max_node_count", "range")
