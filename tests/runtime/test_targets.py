from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import outputs
from runtime.errors import NotDeployedError, RefusedError, SpecError, StoreError, TargetError
from runtime.events import Event
from runtime.jobfile import open_job
from runtime.submit import choose, submit
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.job import CommandJob
from specs.targets import LocalTarget, VirtualMachineTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site
    from runtime.wire import Json


def chosen(tmp_path: Path, compute: str | None, asked: str | None = None) -> tuple[str, list[Event]]:
    said: list[Event] = []
    source = open_job(kit.a_job(tmp_path / "digits", compute=compute), "job.yml")
    return choose(source, asked, kit.some_outputs(), "local", said.append).name, said


@pytest.mark.parametrize(
    ("compute", "asked", "expected"),
    [
        ("azureml:cpu-cluster", None, "cpu-cluster"),
        ("cpu-cluster", None, "cpu-cluster"),
        (kit.CPU, None, "cpu-cluster"),
        ("local", None, "local"),
        ("azureml:local", None, "local"),
        ("azureml:cpu-cluster", "local", "local"),
        ("local", "azureml:cpu-cluster", "cpu-cluster"),
    ],
)
def test_a_target_is_found_by_name(tmp_path: Path, compute: str, asked: str | None, expected: str) -> None:
    assert chosen(tmp_path, compute, asked) == (expected, [])


@pytest.mark.parametrize(
    ("compute", "why"), [(None, "names no compute"), ("azureml:serverless", "asks for serverless compute")]
)
def test_the_stacks_default_is_taken_and_said(tmp_path: Path, compute: str | None, why: str) -> None:
    text = f"cpu-cluster, the default of stack local: the job {why}"
    assert chosen(tmp_path, compute) == ("cpu-cluster", [Event("target", text)])


def test_an_unknown_target_is_placed_in_the_job_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        chosen(tmp_path, "azureml:gpu-cluster")
    assert str(error.value).splitlines() == [
        f'job.yml:1:{_column(tmp_path, "azureml:gpu-cluster")}: compute = "azureml:gpu-cluster"',
        "  no such target in stack local. Allowed: cpu-cluster, local.   [rule unknown-target]",
    ]


def _column(tmp_path: Path, value: str) -> int:
    return (tmp_path / "digits" / "job.yml").read_text().index(f'"{value}"') + 1


def test_an_unknown_target_of_the_option_is_placed_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        chosen(tmp_path, "local", "gpu-cluster")
    assert str(error.value) == (
        '--target: target = "gpu-cluster"\n'
        "  no such target in stack local. Allowed: cpu-cluster, local.   [rule unknown-target]"
    )


def test_a_stack_that_was_never_brought_up_is_named_with_the_command(tmp_path: Path, project: Project) -> None:
    job = kit.a_job(tmp_path / "digits", compute="azureml:cpu-cluster")
    with pytest.raises(NotDeployedError) as error:
        submit(job, stack="dev", project=project)
    assert str(error.value) == (
        "stack dev was never brought up here, so its targets are not known. First: invoke up --stack dev"
    )
    assert not (project.root / ".trainyard").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code": "nowhere"}, "no such file or folder."),
        ({"inputs": {"x": {"path": "nowhere.csv", "type": "uri_file"}}}, "no such file or folder."),
        ({"inputs": {"x": {"type": "uri_file"}}}, "has neither path nor value. Give one."),
    ],
)
def test_what_is_wrong_in_the_files_leaves_no_trace(
    tmp_path: Path, site: Site, changes: dict[str, Json], expected: str
) -> None:
    with pytest.raises(SpecError) as error:
        submit(kit.a_job(tmp_path / "digits", **changes), "local", stack=None, project=site.project, site=site)
    assert [problem.message for problem in error.value.problems] == [expected]
    assert site.store.all() == []


def test_a_job_made_in_python_begins_at_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_job(CommandJob.model_validate({"command": "true", "environment": {"image": "python:3.11"}}))
    assert (source.base, source.document.file) == (tmp_path, "the job")


def test_outputs_are_kept_privately_and_come_back(project: Project) -> None:
    outputs.save(project, kit.some_outputs())
    assert outputs.load(project, "local") == kit.some_outputs()
    assert oct(project.outputs_file("local").stat().st_mode & 0o777) == "0o600"
    assert outputs.stacks(project) == ["local"]
    outputs.forget(project, "local")
    with pytest.raises(NotDeployedError):
        outputs.load(project, "local")


def test_damaged_outputs_are_said(project: Project) -> None:
    outputs.save(project, kit.some_outputs())
    project.outputs_file("local").write_text("{}")
    with pytest.raises(StoreError, match="To write it anew: invoke up --stack local"):
        outputs.load(project, "local")


def test_outputs_can_be_read_from_a_workspace(site: Site, transport: kit.FakeTransport) -> None:
    scale: Json = {"minNodeCount": 0, "maxNodeCount": 2}
    inner: Json = {"vmSize": "Standard_D2_v2", "vmPriority": "Dedicated", "scaleSettings": scale}
    cluster: Json = {
        "id": kit.CPU,
        "name": "cpu-cluster",
        "properties": {"computeType": "AmlCompute", "properties": inner},
    }
    instance: Json = {
        "id": f"{kit.WORKSPACE}/computes/ada-box",
        "name": "ada-box",
        "properties": {"computeType": "ComputeInstance", "properties": {"vmSize": "Standard_DS3_v2"}},
    }
    login: Json = {"address": "10.0.2.4", "sshPort": 2222, "administratorAccount": {"username": "ada"}}
    machine: Json = {
        "id": f"{kit.WORKSPACE}/computes/gpu-box",
        "name": "gpu-box",
        "properties": {"computeType": "VirtualMachine", "resourceId": "/vm", "properties": login},
    }
    other: Json = {"id": "x", "name": "k8s", "properties": {"computeType": "AKS"}}
    properties: Json = {"tenantId": "t", "storageAccount": kit.STORAGE}
    transport.replies["GET", kit.WORKSPACE] = [
        (200, {"id": kit.WORKSPACE, "name": "research", "location": "westeurope", "properties": properties})
    ]
    transport.replies["GET", f"{kit.WORKSPACE}/computes"] = [(200, {"value": [cluster, instance, machine, other]})]
    plane = site.cloud("emulator")
    found = outputs.of_workspace(kit.WORKSPACE, plane)
    expected = kit.some_outputs().model_copy(update={"stack": "research", "default_target": "local"})
    assert found.model_copy(update={"targets": {"cpu-cluster": found.targets["cpu-cluster"]}}) == expected
    assert [found.targets["ada-box"].model_dump(), found.targets["gpu-box"].model_dump()] == [
        {
            "kind": "ComputeInstance",
            "name": "ada-box",
            "id": f"{kit.WORKSPACE}/computes/ada-box",
            "workspace": "research",
            "fixed": {},
            "vm_size": "Standard_DS3_v2",
        },
        {
            "kind": "VirtualMachine",
            "name": "gpu-box",
            "id": f"{kit.WORKSPACE}/computes/gpu-box",
            "workspace": "research",
            "fixed": {},
            "address": "10.0.2.4",
            "ssh_port": 2222,
            "username": "ada",
            "host_key": None,
            "resource_id": "/vm",
            "made_here": False,
        },
    ]


def test_a_job_for_a_machine_whose_key_is_not_pinned_is_refused_and_leaves_no_trace(tmp_path: Path, site: Site) -> None:
    machine = VirtualMachineTarget(
        name="gpu-box",
        id=f"{kit.WORKSPACE}/computes/gpu-box",
        workspace="research",
        address="10.0.2.4",
        ssh_port=22,
        username="ada",
        host_key=None,
        resource_id=None,
        made_here=False,
    )
    stack = kit.some_outputs().model_copy(update={"targets": {"gpu-box": machine}})
    with pytest.raises(TargetError) as error:
        submit(kit.a_job(tmp_path / "digits"), "gpu-box", stack=stack, project=site.project, site=site)
    assert str(error.value) == (
        "the host key of gpu-box is not pinned, so nobody could tell whether it is that machine. "
        "First: invoke host-key gpu-box"
    )
    assert site.store.all() == []


def test_local_is_the_stacks_own_local(tmp_path: Path) -> None:
    local = LocalTarget(name="local", cpus=1)
    stack = kit.some_outputs().model_copy(update={"local": local})
    assert choose(open_job(kit.a_job(tmp_path / "digits")), "local", stack, "local") == local


def test_an_emulators_shell_does_not_reach_azure(project: Project) -> None:
    from runtime.access import Access

    environ = {"ARM_SUBSCRIPTION_ID": EMULATOR_SUBSCRIPTION_ID, "ARM_METADATA_HOSTNAME": "localhost:1"}
    with pytest.raises(RefusedError, match="this shell points at the emulator"):
        Access.discover("azure", project, environ)


def test_secrets_are_not_shown(project: Project) -> None:
    from runtime.access import Access

    environ = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "canary"}
    assert "canary" not in repr(Access.discover("azure", project, environ))
