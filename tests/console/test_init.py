from __future__ import annotations

import io
from datetime import date
from typing import TYPE_CHECKING

import pytest
import yaml

import tasks
import trainyard
from console import init
from console.program import Renamed, program
from runtime.errors import NotFoundError, StoreError
from runtime.project import Project
from specs.checks import load_stack
from specs.job import CommandJob
from specs.loader import read, validate
from specs.problems import SpecError

if TYPE_CHECKING:
    from pathlib import Path

FILES = (
    "Pulumi.yaml", "stacks/__main__.py", "stacks/local.yaml", "stacks/stack.schema.json",
    "examples/hello/job.yml", "examples/hello/conda.yml", "examples/hello/src/hello.py",
)  # fmt: skip


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_empty_folder_gets_a_project_a_stack_and_a_job(tmp_path: Path) -> None:
    done = init.init(tmp_path, "emulator", "local")
    assert done.files == (*FILES, ".gitignore")
    assert files(tmp_path) == sorted(done.files)
    assert (done.kept, done.note) == ((), "")


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    init.init(tmp_path, "emulator", "local")
    done = init.init(tmp_path, "emulator", "local")
    assert (done.files, done.kept, done.note) == ((), FILES, "")


def test_a_second_stack_comes_beside_the_first(tmp_path: Path) -> None:
    init.init(tmp_path, "emulator", "local")
    assert init.init(tmp_path, "azure", "prod").files == ("stacks/prod.yaml",)


@pytest.mark.parametrize(("cloud", "stack"), [("emulator", "local"), ("azure", "dev")])
def test_what_is_written_is_good(tmp_path: Path, cloud: str, stack: str) -> None:
    folder = tmp_path / "Vision Team"
    folder.mkdir()
    init.init(folder, "azure" if cloud == "azure" else "emulator", stack)
    spec = load_stack(folder / f"stacks/{stack}.yaml", today=date(2026, 1, 1))
    assert (spec.cloud, spec.resource_group) == (cloud, f"Vision-Team-{stack}")
    job = folder / "examples/hello/job.yml"
    assert validate(read(job, "job.yml"), CommandJob).display_name == "hello"
    assert yaml.safe_load((folder / "Pulumi.yaml").read_text()) == {
        "name": "Vision-Team",
        "description": "Azure Machine Learning compute targets as code",
        "runtime": "python",
        "main": "stacks/",
        "stackConfigDir": "stacks",
    }


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: other\nruntime: go\n")
    (tmp_path / "stacks").write_text("a file")
    with pytest.raises(StoreError) as refused:
        init.init(tmp_path, "emulator", "local")
    assert str(refused.value) == (
        "Pulumi.yaml, stacks/__main__.py, stacks/local.yaml, stacks/stack.schema.json are here already, with other "
        "content. Nothing was written. Move away what is in the way, or start in an empty folder"
    )
    assert files(tmp_path) == ["Pulumi.yaml", "stacks"]


def test_the_users_own_gitignore_stays_and_the_lines_it_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("downloads/\n.venv/\n")
    done = init.init(tmp_path, "emulator", "local")
    assert done.note == "add to .gitignore: .trainyard/ stacks/Pulumi.*.yaml*"
    assert (tmp_path / ".gitignore").read_text() == "downloads/\n.venv/\n"


def test_a_stack_that_can_have_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused:
        init.init(tmp_path, "emulator", "../prod")
    assert str(refused.value) == (
        'the command: --stack = "../prod"\n  a stack\'s name has letters, digits, _ . and -.   [rule stack-name]'
    )
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "Pulumi.yaml"))

    monkeypatch.setattr("pathlib.Path.open", full)
    with pytest.raises(StoreError) as refused:
        init.init(tmp_path, "emulator", "local")
    assert str(refused.value) == f"{tmp_path}/Pulumi.yaml can't be written: Permission denied"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("ml", "ml"), ("my team's work", "my-team-s-work"), ("...", "trainyard"), ("x" * 120, "x" * 100)],
)
def test_a_project_is_named_as_its_folder(folder: str, name: str) -> None:
    assert init.project_name(folder) == name


def test_what_messages_tell_to_type_works_in_an_own_repository() -> None:
    out = io.StringIO()
    stream = Renamed(out, ["up", "runs", "runs.show", "setup"])
    print("next: invoke up --stack local · invoke runs.show x · invoke -l · to invoke a thing", file=stream)  # type: ignore[call-overload]
    print("make setup; invoke submit examples/digits/job.yml", file=stream)  # type: ignore[call-overload]
    assert out.getvalue() == (
        "next: trainyard up --stack local · trainyard runs.show x · trainyard -l · to invoke a thing\n"
        "pip install --upgrade trainyard; invoke submit examples/hello/job.yml\n"
    )


def test_the_command_has_the_tasks_but_what_needs_this_repository() -> None:
    own = set(program(tasks.namespace, "1").namespace.task_names)
    assert set(tasks.namespace.task_names) - own == {"demo"}
    assert own - set(tasks.namespace.task_names) == set()


def test_outside_a_project_one_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as refused:
        Project.find(tmp_path)
    assert str(refused.value) == (
        f"no Pulumi.yaml in {tmp_path} or above: this is not a Trainyard project. "
        "Change into one, or make one in an empty folder: trainyard init"
    )


def test_the_public_face_has_what_it_names() -> None:
    assert [name for name in sorted(trainyard.EXPORTS) if getattr(trainyard, name).__name__ != name] == []
