"""A new run from the job of another: in its workspace, and on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import driver, history, outputs, wire
from runtime.errors import NotFoundError, TargetError
from runtime.events import Event
from runtime.retrying import retry
from runtime.runs import Run, find_run
from runtime.site import open_site
from runtime.submit import submit
from tests.runtime import evictions, kit
from tests.runtime.test_attempts import Workspace, a_record

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site
    from runtime.wire import Object

COMMAND = "python train.py ${{inputs.x}} && cp outputs/model.txt outputs/again-$(ls outputs | wc -l).txt"


@pytest.fixture
def workspace(transport: kit.FakeTransport, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(driver, "ensure", lambda _site, _record: None)
    found = Workspace(transport)
    default: Object = {"jobOutputType": "uri_folder", "uri": "azureml://datastores/a/paths/digits-quiet-heron/x"}
    found.job(
        "digits-quiet-heron", "Failed", computeId=kit.CPU, jobType="Command", outputs={"default": {}, "model": default}
    )
    return found


def test_a_workspaces_job_is_repeated_under_a_new_name_and_token(site: Site, workspace: Workspace) -> None:
    site.store.insert(a_record(state="Failed"))
    said: list[Event] = []
    made = retry(Run(a_record(state="Failed"), site), on_event=said.append)
    assert made.id != "digits-quiet-heron"
    assert (made.state, made.record.retried_from, made.record.retry) == ("Queued", "digits-quiet-heron", "preemption")
    assert said[0] == Event(
        "run", f"{made.id} → spot-cluster: the job of digits-quiet-heron, as its workspace keeps it"
    )
    properties = wire.obj(workspace.jobs[made.id]["properties"])
    assert properties == {
        "jobType": "Command",
        "command": "python train.py",
        "computeId": kit.CPU,
        "inputs": {},
        "outputs": {"model": {"jobOutputType": "uri_folder"}},
        "properties": {"trainyard.token": made.record.token, "trainyard.retry": "preemption"},
        "isArchived": False,
        "status": "Queued",
    }


def test_another_target_must_be_in_the_same_workspace(site: Site, workspace: Workspace) -> None:
    outputs.save(site.project, kit.some_outputs())
    record = a_record(state="Failed", stack="local", job="job.yml")
    site.store.insert(record)
    made = retry(Run(record, site), "cpu-cluster")
    assert (made.target, made.record.retry) == ("cpu-cluster", "none")
    assert wire.at(workspace.jobs[made.id], "properties", "computeId") == kit.CPU
    with pytest.raises(TargetError) as error:
        retry(Run(record, site), "local")
    assert str(error.value) == (
        "local is outside the workspace that keeps the job of digits-quiet-heron and its code. To run it there, submit "
        "the job's file: invoke submit job.yml --target local"
    )


def test_a_job_that_is_gone_has_nothing_to_repeat(site: Site, workspace: Workspace) -> None:
    workspace.jobs.clear()
    with pytest.raises(NotFoundError, match="the workspace no longer has the job digits-quiet-heron"):
        retry(Run(a_record(state="Failed"), site))


@pytest.mark.processes
def test_a_run_of_this_machine_is_repeated_from_its_unchanged_file(project: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits", command=COMMAND)
    first = submit(job, "local", stack=None, project=project).wait(60)
    assert first.state == "Completed", first.record
    said: list[Event] = []
    again = retry(first, on_event=said.append).wait(60)
    assert (again.state, again.record.retried_from) == ("Completed", first.id)
    assert said[0] == Event("note", f"from {first.record.job}")
    assert left(again) == {"model.txt", "again-1.txt"}
    restored = retry(first, restore=True).wait(60)
    assert left(restored) == {"model.txt", "again-1.txt", "again-2.txt"}


@pytest.mark.processes
def test_a_run_of_this_machine_is_repeated_from_its_folder_when_the_file_changed(
    project: Project, tmp_path: Path
) -> None:
    job = kit.a_job(tmp_path / "digits", command=COMMAND)
    first = submit(job, "local", stack=None, project=project).wait(60)
    kit.a_job(tmp_path / "digits", command="false")
    said: list[Event] = []
    again = retry(first, on_event=said.append).wait(60)
    assert again.state == "Completed", again.record
    assert said == [
        Event("run", f"{again.id} → local: from the folder of {first.id}, with its code as that run left it")
    ]
    assert left(again) == {"model.txt", "again-1.txt"}
    assert left(retry(first, restore=True).wait(60)) == {"model.txt", "again-1.txt", "again-2.txt"}


def left(run: Run) -> set[str]:
    folder = run.site.store.attempt_folder(run.record) / "code" / "outputs"
    return {path.name for path in folder.iterdir()}


@pytest.mark.processes
def test_a_canceled_run_goes_on_elsewhere_from_its_outputs(line: Project, tmp_path: Path) -> None:
    site = open_site(line)
    evictions.make_spot(site)
    outputs.save(line, evictions.spot_outputs())
    job = evictions.a_checkpointing_job(tmp_path / "job")
    run = submit(job, "spot-cluster", stack=evictions.spot_outputs(), project=line, site=site)
    run = evictions.until_running(run, 1)
    site.clock.sleep(0.5)
    canceled = run.cancel().wait(60)
    assert canceled.state == "Canceled"
    made = retry(find_run(line, run.id, site=site), "cpu-cluster", restore=True).wait(60)
    assert made.state == "Completed", made.record
    outcome = evictions.judged(made, ())
    assert (outcome.attempts, outcome.result) == (1, evictions.RESULT)
    log = b"".join(next(file for file in history.files(site, made.record) if file.name.startswith("user_logs/")).read())
    assert not log.startswith(b"begins after step 0\n")
