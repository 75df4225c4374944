"""A team's own repository, with the installed wheel, the real engine and nothing of this tree: one story."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from emulator import launch
from engine import obtain
from tests.wheel_kit import build, environment, install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Repository:
    """The team's folder, and where the installed command is."""

    root: Path
    scripts: Path

    def run(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Type a command there."""
        return subprocess.run(
            words,
            cwd=self.root,
            env={**environment(self.scripts), **extra},
            text=True,
            capture_output=True,
            check=False,
        )

    def trainyard(self, *words: str) -> str:
        """Run a command that must end well, and return what it prints."""
        done = self.run("trainyard", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    assert obtain.find() is not None, "no Pulumi engine: invoke setup"
    wheel = build(tmp_path_factory.mktemp("wheel"))
    root = tmp_path_factory.mktemp("team") / "vision"
    root.mkdir()
    # Names of ours that a team may well use itself; they must not be taken for ours.
    for name in ("specs.py", "tasks.py", "runtime.py", "node/__init__.py", "emulator/__init__.py", "stacks.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("raise RuntimeError('the team\\'s own')\n")
    yield Repository(root, install(wheel, tmp_path_factory.mktemp("venv") / "environment"))
    launch.stop(root / ".trainyard/emulator")


def test_1_init_says_what_it_wrote_and_what_to_type(repository: Repository) -> None:
    assert repository.trainyard("init") == (
        "  wrote  Pulumi.yaml\n"
        "  wrote  stacks/__main__.py\n"
        "  wrote  stacks/local.yaml\n"
        "  wrote  stacks/stack.schema.json\n"
        "  wrote  examples/hello/job.yml\n"
        "  wrote  examples/hello/conda.yml\n"
        "  wrote  examples/hello/src/hello.py\n"
        "  wrote  .gitignore\n"
        "  next: trainyard setup · trainyard preview --stack local · trainyard up --stack local\n"
    )


def test_2_before_up_messages_name_the_command_that_there_is(repository: Repository) -> None:
    done = repository.run("trainyard", "submit", "examples/hello/job.yml", "--target", "cpu-cluster")
    assert done.returncode == 3
    assert done.stderr.endswith("First: trainyard up --stack local\n")
    assert repository.trainyard().startswith("Azure Machine Learning compute targets as code.\n\n  trainyard init ")
    assert "Usage: trainyard [--core-opts] up " in repository.trainyard("up", "--help")


def test_3_up_makes_the_stack_and_a_second_one_nothing(repository: Repository) -> None:
    first = json.loads(repository.trainyard("up", "--stack", "local", "--json"))
    assert sorted(item["name"] for item in first["changes"] if item["type"].startswith("azure-native:")) == [
        "cpu-cluster", "research", "research-insights", "research-logs", "research-storage", "research-vault",
        "vision-local",
    ]  # fmt: skip
    assert json.loads(repository.trainyard("up", "--json"))["changes"] == []
    names = [row["name"] for row in json.loads(repository.trainyard("targets", "--json"))]
    assert names == ["cpu-cluster", "local"]


def test_4_plain_pulumi_works_there_too(repository: Repository) -> None:
    shown = repository.trainyard("env", "local").splitlines()
    lines = [*shown, "pulumi preview -s local --expect-no-changes --non-interactive --color=never"]
    done = repository.run("sh", "-c", "\n".join(lines))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.partition("Resources:\n")[2].split("\n")[0].strip().endswith(" unchanged")


@pytest.mark.parametrize("target", ["cpu-cluster", "local"])
def test_5_a_job_runs_on_the_cluster_and_on_this_machine(repository: Repository, target: str) -> None:
    done = repository.run("trainyard", "submit", "examples/hello/job.yml", "--target", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(", from")[0] for line in done.stdout.splitlines() if "hello" in line] == ["hello, world"]


def test_6_runs_are_listed_and_the_public_face_is_importable(repository: Repository) -> None:
    runs = json.loads(repository.trainyard("runs", "--json"))
    assert sorted((run["target"], run["state"]) for run in runs) == [
        ("cpu-cluster", "Completed"),
        ("local", "Completed"),
    ]
    program = "import sys; sys.path.pop(0); import trainyard; print(trainyard.AmlCompute.__name__, trainyard.__file__)"
    answer = repository.run("python", "-c", program).stdout.split()
    assert answer == ["AmlCompute", str(next(repository.scripts.parent.glob("lib/*/site-packages")) / "trainyard.py")]


def test_7_destroy_leaves_nothing(repository: Repository) -> None:
    repository.trainyard("destroy", "--stack", "local", "--yes")
    assert repository.trainyard("emulator.stop") == "  stopped\n"
