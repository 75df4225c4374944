"""Where a job goes that names no compute, and what is kept of it before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.errors import ConnectionLostError, SubmissionError
from runtime.events import Event
from runtime.jobfile import open_job
from runtime.submit import choose, submit
from specs.job import CommandJob
from specs.outputs import StackOutputs, WorkspaceOutput
from specs.targets import AmlComputeTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.records import Record
    from runtime.site import Site
    from runtime.wire import Json


def stack(*, serverless: bool = True, default: str = "cpu-cluster", priority: str = "Dedicated") -> StackOutputs:
    known = kit.some_outputs()
    cluster = known.targets["cpu-cluster"].model_copy(update={"vm_priority": priority})
    research = known.workspaces["research"].model_copy(update={"serverless": serverless})
    return known.model_copy(
        update={"workspaces": {"research": research}, "targets": {"cpu-cluster": cluster}, "default_target": default}
    )


@pytest.mark.parametrize(
    ("compute", "why"), [(None, "names no compute"), ("azureml:serverless", "asks for serverless compute")]
)
def test_a_job_without_compute_goes_to_the_workspaces_own_and_it_is_said(
    tmp_path: Path, compute: str | None, why: str
) -> None:
    said: list[Event] = []
    job = kit.a_job(
        tmp_path / "digits", compute=compute, resources={"instance_type": "Standard_D4_v2", "instance_count": 3}
    )
    found = choose(open_job(job), None, stack(), "local", said.append)
    assert found == AmlComputeTarget(
        name="serverless",
        id=kit.WORKSPACE,
        workspace="research",
        vm_size="Standard_D4_v2",
        vm_priority="Dedicated",
        min_node_count=0,
        max_node_count=3,
    )
    assert said == [Event("target", f"serverless, the compute of workspace research itself: the job {why}")]


def test_the_option_asks_for_it_too(tmp_path: Path) -> None:
    job = open_job(kit.a_job(tmp_path / "digits", compute="azureml:cpu-cluster"))
    assert choose(job, "serverless", stack(), "local").name == "serverless"


def test_spot_nodes_of_serverless_compute_can_be_taken_away(tmp_path: Path) -> None:
    job = open_job(kit.a_job(tmp_path / "digits", queue_settings={"job_tier": "Spot"}))
    found = choose(job, None, stack(), "local")
    assert isinstance(found, AmlComputeTarget)
    assert found.vm_priority == "LowPriority"


def _two(default: str) -> StackOutputs:
    known = stack(default=default)
    second = WorkspaceOutput(id="/w2", name="second", location="x", storage_account="", serverless=True)
    return known.model_copy(update={"workspaces": {**known.workspaces, "second": second}})


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (stack(), "research"),
        (stack(serverless=False), None),
        (stack(default="local"), "research"),
        (_two("cpu-cluster"), "research"),
        (_two("local"), None),
        (stack().model_copy(update={"workspaces": {}, "targets": {}, "default_target": "local"}), None),
    ],
)
def test_the_workspace_is_the_default_targets_or_the_only_one(known: StackOutputs, expected: str | None) -> None:
    assert known.serverless() == expected


def intent(site: Site, transport: kit.FakeTransport, job: Path | CommandJob, known: StackOutputs) -> Record:
    """Submit to a cluster that can't be reached; return what is kept of it."""
    transport.on = lambda _request: ConnectionLostError("no answer")
    with pytest.raises(SubmissionError):
        submit(job, "cpu-cluster", stack=known, project=site.project, site=site, overrides=["tags.a=b"])
    (record,) = site.store.all()
    return record


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("Dedicated", None), "none"),
        (("LowPriority", None), "preemption"),
        (("LowPriority", "none"), "none"),
        (("Dedicated", "preemption"), "preemption"),
    ],
)
def test_what_is_done_again_is_decided_by_the_job_else_by_the_cluster(
    tmp_path: Path, site: Site, transport: kit.FakeTransport, asked: tuple[str, str | None], expected: str
) -> None:
    priority, retry = asked
    job = kit.a_job(tmp_path / "digits", retry=retry)
    assert intent(site, transport, job, stack(priority=priority)).retry == expected


def test_values_of_inputs_are_kept_as_parameters(tmp_path: Path, site: Site, transport: kit.FakeTransport) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/data.csv").write_text("")
    inputs: Json = {"x": 0.5, "flag": True, "long": {"value": 7}, "data": {"type": "uri_file", "path": "data.csv"}}
    record = intent(site, transport, kit.a_job(tmp_path / "digits", inputs=inputs), stack())
    assert record.parameters == {"x": "0.5", "flag": "True", "long": "7"}


def test_a_job_made_in_python_is_submitted_as_one_of_a_file(
    tmp_path: Path, site: Site, transport: kit.FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = CommandJob.model_validate({"command": "run ${{inputs.x}}", "environment": "azureml:b:1", "inputs": {"x": 1}})
    record = intent(site, transport, job, stack())
    assert (record.parameters, record.job, record.retry) == ({"x": "1"}, "the job", "none")


def test_what_has_no_effect_on_the_target_is_said(tmp_path: Path, site: Site, transport: kit.FakeTransport) -> None:
    said: list[Event] = []
    job = kit.a_job(
        tmp_path / "digits",
        command="run $[[--y ${{inputs.y}}]]",
        inputs={"x": {"path": "azureml:a:1", "path_on_compute": "file:/x"}, "z": "azureml:cifar:1"},
    )
    transport.on = lambda _request: ConnectionLostError("no answer")
    with pytest.raises(SubmissionError):
        submit(job, "cpu-cluster", stack=stack(), project=site.project, site=site, on_event=said.append)
    assert [event.text for event in said if event.topic == "note"] == [
        "the job gives no input y: the optional argument of the command that names it is left out",
        "inputs.z is text to the command, as in az ml. For the data itself: z: {path: azureml:cifar:1}",
        "inputs.x.path_on_compute is ignored on this target: azure-ai-ml 1.35.2 reads it and does not send it either",
    ]
