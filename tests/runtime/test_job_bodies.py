"""What of a job goes over the wire beyond its data, and what is refused before anything does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runtime import assets, distribution, job_body
from runtime.errors import SpecError
from runtime.jobfile import open_job
from runtime.site import Options
from runtime.submitters import aml_compute
from specs.targets import ComputeInstanceTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.wire import Json, Object

IDS = job_body.Ids("compute", "environment", "code", {}, "token", "digits")


def properties(folder: Path, most_nodes: int | None = None, **changes: Json) -> Object:
    source = open_job(kit.a_job(folder / "digits", **changes))
    found = job_body.body(source, IDS, distribution.layout(source.job, most_nodes))["properties"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"type": "mpi", "process_count_per_instance": 2},
            {"distributionType": "Mpi", "processCountPerInstance": 2},
        ),
        ({"type": "PyTorch"}, {"distributionType": "PyTorch", "processCountPerInstance": 1}),
        (
            {"type": "tensorflow", "parameter_server_count": 1},
            {"distributionType": "TensorFlow", "parameterServerCount": 1, "workerCount": 2},
        ),
        (
            {"type": "tensorflow", "worker_count": 3},
            {"distributionType": "TensorFlow", "parameterServerCount": 0, "workerCount": 3},
        ),
    ],
)
def test_a_distribution_is_written_as_azure_takes_it(tmp_path: Path, given: Json, expected: Json) -> None:
    found = properties(tmp_path, distribution=given, resources={"instance_count": 2})
    assert (found["distribution"], found["resources"]) == (expected, {"instanceCount": 2, "properties": {}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"type": "mpi", "process_count_per_instance": 2},
            {"distributionType": "Mpi", "processCountPerInstance": 6},
        ),
        ({"type": "pytorch"}, {"distributionType": "PyTorch", "processCountPerInstance": 3}),
        (None, {"distributionType": "PyTorch", "processCountPerInstance": 3}),
        (
            {"type": "tensorflow"},
            {"distributionType": "TensorFlow", "parameterServerCount": 0, "workerCount": 3},
        ),
    ],
)
def test_one_machine_gets_the_processes_of_all_nodes(tmp_path: Path, given: Json, expected: Json) -> None:
    found = properties(tmp_path, 1, distribution=given, resources={"instance_count": 3})
    assert (found["distribution"], found["resources"]) == (expected, {"instanceCount": 1, "properties": {}})


def test_a_plain_job_has_no_word_of_what_it_does_not_ask_for(tmp_path: Path) -> None:
    assert sorted(properties(tmp_path)) == [
        *("codeId", "command", "computeId", "environmentId", "environmentVariables", "experimentName", "inputs"),
        *("isArchived", "jobType", "outputs", "properties", "resources", "tags"),
    ]


def test_serverless_compute_is_no_compute_on_the_wire(tmp_path: Path) -> None:
    source = open_job(kit.a_job(tmp_path / "digits", resources={"instance_type": "Standard_D2_v2"}))
    body = job_body.body(source, job_body.Ids("", "environment", "code", {}, "token", "digits"))["properties"]
    assert isinstance(body, dict)
    assert "computeId" not in body
    assert body["resources"] == {"instanceCount": 1, "properties": {}, "instanceType": "Standard_D2_v2"}


def test_services_queue_identity_and_resources_are_written_as_azure_takes_them(tmp_path: Path) -> None:
    found = properties(
        tmp_path,
        services={
            "shell": {"type": "ssh", "ssh_public_keys": "ssh-ed25519 A", "nodes": "all", "port": 2222},
            "board": {"type": "tensor_board", "log_dir": "outputs/tb", "properties": {"a": 1}},
            "lab": {"type": "jupyter_lab"},
            "code": {"type": "vs_code"},
        },
        queue_settings={"job_tier": "spot", "priority": "high"},
        identity={"type": "managed", "client_id": "c", "object_id": "o", "msi_resource_id": "/subscriptions/i"},
        resources={
            "instance_type": ["Standard_D2_v2", "Standard_D4_v2"],
            "docker_args": ["--ipc", "host"],
            "locations": ["westeurope"],
            "max_instance_count": 4,
            "properties": {"AISuperComputer": {"a": 1}},
        },
        parent_job_name="above",
    )
    assert {name: found[name] for name in ("services", "queueSettings", "identity", "resources", "parentJobName")} == {
        "services": {
            "shell": {
                "jobServiceType": "SSH",
                "properties": {"sshPublicKeys": "ssh-ed25519 A"},
                "nodes": {"nodesValueType": "All"},
                "port": 2222,
            },
            "board": {"jobServiceType": "TensorBoard", "properties": {"a": "1", "logDir": "outputs/tb"}},
            "lab": {"jobServiceType": "JupyterLab"},
            "code": {"jobServiceType": "VSCode"},
        },
        "queueSettings": {"jobTier": "Spot", "priority": 3},
        "identity": {
            "identityType": "Managed",
            "clientId": "c",
            "objectId": "o",
            "resourceId": "/subscriptions/i",
        },
        "resources": {
            "instanceCount": 1,
            "instanceType": ["Standard_D2_v2", "Standard_D4_v2"],
            "dockerArgsList": ["--ipc", "host"],
            "locations": ["westeurope"],
            "maxInstanceCount": 4,
            "properties": {"AISuperComputer": {"a": 1}},
        },
        "parentJobName": "above",
    }


def test_the_jobs_own_properties_win_over_what_we_know_of_it(tmp_path: Path) -> None:
    source = open_job(kit.a_job(tmp_path / "digits", properties={"azureml.git.dirty": "mine", "a": "b"}))
    known = {"azureml.git.dirty": "True", "mlflow.source.git.branch": "main"}
    ids = job_body.Ids("compute", "environment", "code", {}, "token", "digits", known)
    found = job_body.body(source, ids)["properties"]
    assert isinstance(found, dict)
    assert found["properties"] == {
        "azureml.git.dirty": "mine",
        "mlflow.source.git.branch": "main",
        "a": "b",
        "trainyard.token": "token",
    }


FULL: Object = {
    "command": "python t.py {inputs.rate} ${{inputs.flag}}",
    "code": None,
    "environment": "azureml:base:1",
    "compute": "azureml:cpu-cluster",
    "inputs": {"rate": 0.5, "flag": True, "long": {"value": 7}},
    "outputs": {"o": {"type": "mlflow_model", "mode": "mount", "path": "azureml://datastores/d/paths/x"}},
    "resources": {
        "instance_count": 2,
        "shm_size": "2g",
        "docker_args": "--ipc host",
        "locations": ["westeurope"],
        "max_instance_count": 3,
        "instance_type": "Standard_D2_v2",
        "properties": {"a": {"b": 1}},
    },
    "limits": {"timeout": 5400},
    "services": {
        "shell": {"type": "SSH", "ssh_public_keys": "ssh-ed25519 A", "nodes": "all", "port": 2222},
        "board": {"type": "tensor_board", "log_dir": "outputs/tb"},
        "lab": {"type": "jupyter_lab"},
        "code": {"type": "vs_code"},
    },
    "queue_settings": {"job_tier": "Spot", "priority": "High"},
    "identity": {"type": "UserIdentity"},
    "tags": {"a": "b"},
    "properties": {"c": "d"},
    "environment_variables": {"A": "b"},
    "parent_job_name": "above",
    "display_name": "d",
    "description": "text",
}
"""Everything that needs no workspace to resolve."""


@pytest.mark.clients
@pytest.mark.parametrize(
    "given",
    [
        {"type": "PyTorch", "process_count_per_instance": 2},
        {"type": "mpi", "process_count_per_instance": 4},
        {"type": "tensorflow", "worker_count": 2, "parameter_server_count": 1},
    ],
)
def test_the_body_is_azure_ai_mls_own(tmp_path: Path, given: Json) -> None:
    changes = FULL | {"distribution": given}
    path = kit.a_job(tmp_path / "digits", **changes)
    theirs = _azures(path)
    ours = properties(tmp_path, **changes)
    resolved = {"codeId", "computeId", "environmentId", "experimentName"}
    assert {name: value for name, value in ours.items() if name not in resolved | {"properties"}} == {
        name: value for name, value in theirs.items() if name not in resolved | {"properties"}
    }
    assert ours["properties"] == {**FULL["properties"], "trainyard.token": "token"}  # type: ignore[dict-item]


def _azures(path: Path) -> Object:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, about their own dependencies and experimental classes
        from azure.ai.ml import load_job
        from azure.ai.ml._restclient.arm_ml_service._utils.model_base import SdkJSONEncoder
        from azure.ai.ml.entities._job.to_rest_functions import to_rest_job_object

        made = to_rest_job_object(load_job(path))
        found = json.loads(json.dumps(made, cls=SdkJSONEncoder))["properties"]
    assert isinstance(found, dict)
    return found


CODE = f"{kit.WORKSPACE}/codes/mine/versions/3"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("azureml:mine:3", CODE),
        (CODE, CODE),
        (f"azureml:{CODE}", CODE),
        ("azureml://registries/r/codes/mine/versions/3", "azureml://registries/r/codes/mine/versions/3"),
    ],
)
def test_code_that_is_an_asset_is_referred_to_by_its_id(tmp_path: Path, code: str, expected: str) -> None:
    source = open_job(kit.a_job(tmp_path / "digits", code=code))
    assert isinstance(source.code, str)
    assert assets.code_id(kit.WORKSPACE, source.code, source) == expected


def checked(folder: Path, **changes: Json) -> list[tuple[str, str, str | None]]:
    source = open_job(kit.a_job(folder / "digits", **changes))
    with pytest.raises(SpecError) as error:
        aml_compute.check(source, kit.some_outputs().targets["cpu-cluster"], kit.a_project(folder), Options())
    return [(item.field, item.message, item.given) for item in error.value.problems]


def test_more_nodes_than_the_cluster_can_have_are_refused(tmp_path: Path) -> None:
    message = "cpu-cluster has at most 2 nodes. Lower it, or raise max_node_count in the stack's file."
    assert checked(tmp_path, resources={"instance_count": 3}) == [("resources.instance_count", message, "3")]


def test_code_that_names_nothing_is_refused(tmp_path: Path) -> None:
    message = "is no code. Allowed: a local folder, azureml:NAME:VERSION, an ARM id of a code version."
    assert checked(tmp_path, code="azureml:mine") == [("code", message, "azureml:mine")]


def test_processes_that_leave_a_node_without_one_are_refused(tmp_path: Path) -> None:
    ((field, message, _),) = checked(
        tmp_path, resources={"instance_count": 2}, distribution={"type": "tensorflow", "worker_count": 1}
    )
    assert (field, message) == (
        "distribution",
        "1 workers and 0 parameter servers leave some of 2 nodes without a process. "
        "Lower resources.instance_count to 1.",
    )


def test_an_instance_takes_a_job_for_several_nodes(tmp_path: Path) -> None:
    source = open_job(kit.a_job(tmp_path / "digits", resources={"instance_count": 3}))
    box = ComputeInstanceTarget(name="box", id=f"{kit.WORKSPACE}/computes/box", workspace="research", vm_size="x")
    aml_compute.check(source, box, kit.a_project(tmp_path), Options())
