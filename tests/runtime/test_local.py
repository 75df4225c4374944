from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from node import processes, reading
from runtime import runs
from runtime.errors import SpecError, TargetError
from runtime.events import Event
from runtime.runs import find_run, list_runs
from runtime.submit import submit
from specs.compute import LocalTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.runs import Run
    from runtime.wire import Json

SLEEPER = "echo started; trap 'echo ended; exit 3' TERM; while :; do sleep 0.05; done"


def run_here(project: Project, tmp_path: Path, **changes: Json) -> Run:
    return submit(kit.a_job(tmp_path / "digits", **changes), "local", stack=None, project=project)


def until(run: Run, state: str) -> Run:
    deadline = time.monotonic() + 30
    while run.state != state:
        assert time.monotonic() < deadline, run.record
        time.sleep(0.02)
        run = run.refresh()
    return run


def test_a_job_runs_on_this_machine_without_any_stack(project: Project, tmp_path: Path) -> None:
    run = run_here(project, tmp_path)
    written: list[bytes] = []
    said: list[Event] = []
    ended = run.stream(written.append, on_event=said.append)
    assert ended.state == "Completed"
    assert b"".join(written).splitlines()[-1] == b"hello one two"
    assert said[-1] == Event("state", "Completed")
    fetched = ended.download(tmp_path / "got").written
    assert sorted(str(path.relative_to(tmp_path / "got")) for path in fetched) == [
        "azureml-logs/20_image_build_log.txt",
        "outputs/model.txt",
        "user_logs/std_log.txt",
    ]
    assert (tmp_path / "got/outputs/model.txt").read_text() == "weights"
    assert ended.download(tmp_path / "got") == ([], fetched)
    (tmp_path / "got/outputs/model.txt").write_text("mine")
    with pytest.raises(SpecError, match="was not overwritten"):
        ended.download(tmp_path / "got")
    assert (tmp_path / "got/outputs/model.txt").read_text() == "mine"


def test_a_run_says_what_scripts_need(project: Project, tmp_path: Path) -> None:
    run_here(project, tmp_path).wait(30)
    (listed,) = list_runs(project)
    document = listed.document()
    assert {key: document[key] for key in ("id", "state", "target", "experiment", "created", "metrics", "stale")} == {
        "id": listed.id,
        "state": "Completed",
        "target": "local",
        "experiment": "digits",
        "created": listed.created,
        "metrics": {},
        "stale": None,
    }
    assert isinstance(document["duration_s"], float)
    assert "token" not in document


def test_a_failed_command_is_a_failed_run_with_its_exit_code(project: Project, tmp_path: Path) -> None:
    ended = run_here(project, tmp_path, command="exit 7", inputs=None).wait(30)
    assert (ended.state, ended.record.exit_code) == ("Failed", 7)


def test_a_cancel_ends_the_run_and_is_kept(project: Project, tmp_path: Path) -> None:
    run = until(run_here(project, tmp_path, command=SLEEPER, inputs=None), "Running")
    with pytest.raises(TargetError, match=r"is still Running after 0\.05 s"):
        run.wait(0.05)
    canceled = run.cancel()
    assert canceled.record.cancel_requested
    ended = canceled.wait(30)
    assert ended.state == "Canceled"
    assert ended.cancel().record == ended.record


def test_a_run_whose_supervisor_was_killed_is_settled_by_the_next_look(project: Project, tmp_path: Path) -> None:
    run = until(run_here(project, tmp_path, command=SLEEPER, inputs=None), "Running")
    status = reading.status(run.site.store.attempt_folder(run.record))
    assert status.supervisor is not None
    os.kill(status.supervisor.pid, signal.SIGKILL)
    ended = until(find_run(project, run.id), "Failed")
    assert ended.record.reason == "the supervisor died while the run was Running (it was killed)"
    assert status.job is not None
    assert processes.members(status.job.pgid) == []


def test_an_input_in_the_cloud_is_refused_here(project: Project, tmp_path: Path) -> None:
    given: Json = {"x": {"type": "uri_file", "path": "azureml://datastores/a/paths/b"}}
    with pytest.raises(SpecError, match="this machine reads local inputs only"):
        run_here(project, tmp_path, inputs=given)
    assert list_runs(project) == []


def test_a_name_can_be_used_once(project: Project, tmp_path: Path) -> None:
    assert run_here(project, tmp_path, name="mine").id == "mine"
    with pytest.raises(SpecError, match="already has a run of that name"):
        run_here(project, tmp_path, name="mine")
    runs.find_run(project, "mine").wait(30)


def test_values_of_environment_variables_are_nowhere_but_in_the_runs_own_private_folder(
    project: Project, tmp_path: Path
) -> None:
    said: list[Event] = []
    job = kit.a_job(tmp_path / "digits", environment_variables={"API_KEY": "canary-5913"})
    run = submit(job, "local", stack=None, project=project, on_event=said.append)
    ended = run.stream(lambda _: None, on_event=said.append)
    assert "canary" not in repr(said) + repr(ended)
    holders = [path.name for path in project.data.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert holders == ["job.json"]


def run_with(project: Project, tmp_path: Path, command: str, **settings: float | str) -> tuple[Run, bytes, list[Event]]:
    local = LocalTarget.model_validate({"name": "local", **settings})
    stack = kit.some_outputs().model_copy(update={"local": local})
    said: list[Event] = []
    written: list[bytes] = []
    job = kit.a_job(tmp_path / "digits", command=command, inputs=None)
    run = submit(job, "local", stack=stack, project=project, on_event=said.append)
    ended = run.stream(written.append, on_event=said.append)
    return ended, b"".join(written), said


def test_an_interpreter_of_ones_own_runs_the_job_as_it_is(project: Project, tmp_path: Path) -> None:
    ask = 'python -c "import sys; print(sys.executable)"'
    ended, log, said = run_with(project, tmp_path, ask, interpreter=sys.executable)
    assert (ended.state, log.decode().strip()) == ("Completed", sys.executable)
    assert ended.record.environment == f"user-managed: {sys.executable}"
    note = f"the job's environment is not built: it runs with {sys.executable} as it is (local.interpreter)"
    assert Event("note", note) in said


def test_an_interpreter_that_is_not_there_is_refused_before_anything_is_written(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(TargetError) as error:
        run_with(project, tmp_path, "true", interpreter="nowhere/python")
    assert str(error.value) == (
        f"local.interpreter of the stack is {project.root}/nowhere/python, which is missing or not executable here. "
        "Change it in the stack's file, then: invoke up"
    )
    assert list_runs(project) == []


def test_environments_are_kept_where_the_stack_says(project: Project, tmp_path: Path) -> None:
    ended, _, _ = run_with(project, tmp_path, "true", environments_folder=str(tmp_path / "kept"))
    assert ended.state == "Completed"
    built = reading.status(ended.site.store.attempt_folder(ended.record)).environment
    assert built is not None
    assert built.interpreter == str(tmp_path / "kept" / built.id / "bin" / "python")


def test_a_run_keeps_to_the_limits_of_the_stacks_local(project: Project, tmp_path: Path) -> None:
    ask = "import os, resource; print(len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_AS)[0])"
    ended, log, _ = run_with(
        project, tmp_path, f'python -c "{ask}"', interpreter=sys.executable, cpus=1, memory_gib=0.5
    )
    assert (ended.state, log) == ("Completed", f"1 {1 << 29}\n".encode())
