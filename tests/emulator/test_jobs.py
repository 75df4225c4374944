"""What is accepted as a job, and what of it can change. No cluster runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import jobrecords, jobspec, materialise, runs
from emulator.ml import items, obj
from node.environments import EnvironmentRefused
from tests.emulator.dataplane_kit import (
    CPU,
    ENVIRONMENT,
    ORIGIN,
    WS,
    Caller,
    Clock,
    cloud,
    command_job,
    compute,
    with_environment,
)

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Answer, Json

JOB = f"{WS}/jobs/one"
CURATED = f"{WS}/environments/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(cloud(tmp_path, Clock()))
    with_environment(made)
    return made


def error(answer: Answer) -> tuple[int, str, str]:
    assert isinstance(answer.body, dict)
    inner = answer.body["error"]
    assert isinstance(inner, dict)
    return answer.status, str(inner["code"]), str(inner["message"])


def test_a_job_is_accepted_with_what_the_service_adds(call: Caller) -> None:
    document = call.ok("PUT", JOB, command_job(), 201)
    properties = document["properties"]
    assert isinstance(properties, dict)
    assert {name: properties[name] for name in ("status", "displayName", "experimentName", "outputs")} == {
        "status": "NotStarted",
        "displayName": "one",
        "experimentName": "exp",
        "outputs": {
            "default": {
                "description": None,
                "jobOutputType": "uri_folder",
                "mode": "ReadWriteMount",
                "uri": "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.one",
            }
        },
    }
    services = properties["services"]
    assert isinstance(services, dict)
    assert sorted(services) == ["Studio", "Tracking"]
    assert call.ok("GET", JOB) == document
    assert call.ok("GET", f"{WS}/jobs")["value"] == [document]


def test_the_same_job_again_is_the_same_job(call: Caller) -> None:
    first = call.ok("PUT", JOB, command_job(), 201)
    again = call.ok("PUT", JOB, command_job())
    echoed = call.ok("PUT", JOB, first)
    assert again["properties"] == first["properties"] == echoed["properties"]
    assert len(jobrecords.active(call.cloud)) == 1


def test_the_same_name_with_another_command_is_refused(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(), 201)
    status, code, message = error(call("PUT", JOB, command_job("echo other")))
    assert (status, code) == (400, "UserError")
    assert "the existing job's command cannot be changed" in message


def test_tags_name_and_archive_of_a_job_can_change(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(), 201)
    changed = call.ok("PUT", JOB, command_job(tags={"a": "b"}, displayName="new", isArchived=True))["properties"]
    assert isinstance(changed, dict)
    assert (changed["tags"], changed["displayName"]) == ({"a": "b"}, "new")
    assert call.ok("GET", f"{WS}/jobs?listViewType=ActiveOnly")["value"] == []


@pytest.mark.parametrize(
    ("more", "status", "code", "message"),
    [
        ({"jobType": "Sweep"}, 501, "NotImplemented", "jobType 'Sweep' is not played by this emulator: only Command."),
        ({"jobType": "command"}, 400, "UserError", f"jobType 'command' is not one of {', '.join(jobspec.KINDS)}."),
        ({"command": " "}, 400, "UserError", "The property 'command' is required."),
        ({"computeId": f"{WS}/computes/none"}, 400, "ComputeNotFound",
         "Compute with name none not found in workspace ws."),
        ({"computeId": "", "resources": {"properties": {"IsLocal": {"IsLocal": True}}}}, 501, "NotImplemented",
         "Jobs with `compute: local` are not played by this emulator."),
        ({"queueSettings": {"jobTier": "spot"}}, 400, "UserError",
         "queueSettings.jobTier 'spot' is not one of Null, Spot, Basic, Standard, Premium."),
        ({"environmentId": f"{WS}/environments/bare/versions/9"}, 400, "EnvironmentNotFound",
         f"The environment '{WS}/environments/bare/versions/9' was not found."),
        ({"codeId": f"{WS}/codes/c/versions/1"}, 400, "CodeNotFound",
         f"The code version '{WS}/codes/c/versions/1' was not found."),
        ({"resources": {"instanceCount": 3}}, 400, "NodeCountExceeded",
         "The job asks for 3 nodes, more than the maximum of 2 of the compute 'cpu'."),
        ({"resources": {"instanceCount": 0.5}}, 400, "UserError",
         "resources.instanceCount '0.5' must be a whole number from 1."),
        ({"limits": {"jobLimitsType": "Command", "timeout": "10 minutes"}}, 400, "UserError",
         "limits.timeout '10 minutes' is not an ISO 8601 duration above zero, such as PT10M."),
        ({"distribution": {"distributionType": "Ray"}}, 501, "NotImplemented",
         "A distribution of type 'Ray' is not played by this emulator."),
        ({"distribution": {"distributionType": "mpi"}}, 400, "UserError",
         "distribution.distributionType 'mpi' is not one of Mpi, PyTorch, TensorFlow, Ray."),
        ({"distribution": {"distributionType": "PyTorch", "processCountPerInstance": 0}}, 400, "UserError",
         "distribution.processCountPerInstance '0' must be a whole number from 1."),
        ({"distribution": {"distributionType": "TensorFlow", "parameterServerCount": -1}}, 400, "UserError",
         "distribution.parameterServerCount '-1' must be a whole number from 0."),
        ({"resources": {"instanceCount": 2}, "distribution": {"distributionType": "TensorFlow", "workerCount": 1}},
         400, "UserError",
         "distribution: 1 workers and 0 parameter servers leave some of 2 nodes idle. "
         "Lower resources.instanceCount or raise distribution.workerCount."),
        ({"resources": {"instanceCount": 101}, "distribution": {"distributionType": "Mpi"}}, 400, "NodeCountExceeded",
         "An MPI job has at most 100 nodes; it asks for 101."),
        ({"outputs": {"o": {"jobOutputType": "uri_folder", "mode": "ReadOnlyMount"}}}, 400, "UserError",
         "outputs.o: mode 'ReadOnlyMount' is not one of ReadWriteMount, Upload, Direct."),
        ({"outputs": {"o": {"jobOutputType": "uri_folder", "mode": "Direct"}}}, 400, "UserError",
         "outputs.o: mode Direct needs the property 'uri'."),
        ({"environmentVariables": {"A-B": "1"}}, 400, "UserError",
         "environmentVariables: 'A-B' must be a variable's name with a text."),
        ({"inputs": {"x": {"jobInputType": "uri_file"}}}, 400, "UserError",
         "inputs.x: the property 'uri' is required."),
    ],
)  # fmt: skip
def test_a_bad_job_is_refused_and_leaves_nothing(
    call: Caller, more: dict[str, Json], status: int, code: str, message: str
) -> None:
    assert error(call("PUT", JOB, command_job("echo hello", **more))) == (status, code, message)
    assert call("GET", JOB).status == 404
    assert jobrecords.active(call.cloud) == []


def test_an_unknown_placeholder_is_refused_before_anything_runs(call: Caller) -> None:
    status, code, message = error(call("PUT", JOB, command_job("echo ${{inputs.y}}")))
    assert (status, code) == (400, "UserError")
    assert "inputs.y" in message


@pytest.mark.parametrize("name", ["-a", "a b", "a.b", "x" * 256])
def test_a_bad_name_is_refused(call: Caller, name: str) -> None:
    assert call("PUT", f"{WS}/jobs/{name.replace(' ', '%20')}", command_job()).status == 400


def test_a_compute_that_is_not_ready_is_refused(call: Caller) -> None:
    document = compute(CPU, most=1)
    properties = document["properties"]
    assert isinstance(properties, dict)
    properties["provisioningState"] = "Creating"
    call.cloud.state.put(CPU, document)
    assert error(call("PUT", JOB, command_job()))[:2] == (400, "ComputeNotReady")


def test_the_label_latest_is_resolved_when_the_job_is_accepted(call: Caller) -> None:
    call.ok("PUT", f"{WS}/environments/bare/versions/2", {"properties": {"image": "other"}}, 201)
    label = ENVIRONMENT.replace("/versions/1", "/labels/latest")
    properties = call.ok("PUT", JOB, command_job(environmentId=label), 201)["properties"]
    assert isinstance(properties, dict)
    assert properties["environmentId"] == ENVIRONMENT.replace("/versions/1", "/versions/2")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", "1"),
        ("azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "1"),
        ("azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:12", "12"),
        (f"{WS}/environments/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/labels/latest", "1"),
        (f"{WS}/environments/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/versions/12", "12"),
    ],
)
def test_a_curated_environment_is_in_every_workspace(call: Caller, given: str, version: str) -> None:
    properties = call.ok("PUT", JOB, command_job(environmentId=given), 201)["properties"]
    assert isinstance(properties, dict)
    assert properties["environmentId"] == f"{CURATED}/versions/{version}"
    plan = materialise.environment(call.cloud, f"{CURATED}/versions/{version}")
    assert (plan.fidelity, plan.pip[0].partition("=")[0]) == ("substituted", "scikit-learn")


def test_a_curated_environment_is_found_by_its_name(call: Caller) -> None:
    container = call.ok("GET", CURATED)["properties"]
    assert isinstance(container, dict)
    assert container["latestVersion"] == "1"
    found = call.ok("GET", f"{CURATED}/versions/12")["properties"]
    assert isinstance(found, dict)
    assert (found["environmentType"], found["image"]) == (
        "Curated",
        "mcr.microsoft.com/azureml/curated/azureml-sklearn-1.0-ubuntu20.04-py38-cpu:12",
    )
    [newest, oldest] = items(call.ok("GET", f"{CURATED}/versions")["value"])
    assert [obj(newest)["name"], obj(oldest)["name"]] == ["12", "1"]


def test_a_curated_environment_without_a_stand_in_is_not_there(call: Caller) -> None:
    given = "azureml:AzureML-nobody-knows-this@latest"
    assert error(call("PUT", JOB, command_job(environmentId=given)))[:2] == (400, "EnvironmentNotFound")
    assert call("GET", f"{WS}/environments/AzureML-nobody-knows-this").status == 404


def test_todays_versions_stand_in_where_the_images_python_is_missing(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_mine(wanted: str | None) -> tuple[str, str]:
        if wanted:
            raise EnvironmentRefused(f"no Python {wanted}")
        return "python", "3.11.7"

    registry = "azureml://registries/azureml/environments/AzureML-sklearn-1.0/labels/latest"
    monkeypatch.setattr(materialise, "find_python", lambda wanted: (wanted, f"{wanted}.1"))
    exact = materialise.environment(call.cloud, registry)
    assert (exact.python, exact.pip[0], len(exact.notes)) == ("3.8", "scikit-learn==1.0.*", 1)
    monkeypatch.setattr(materialise, "find_python", only_mine)
    plan = materialise.environment(call.cloud, registry)
    assert (plan.fidelity, plan.python, plan.pip[0]) == ("substituted", None, "scikit-learn")
    assert plan.notes[1:] == ["newest versions, by this machine's Python: it has no Python 3.8 for the image's own"]


def test_a_terminal_status_is_written_once(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(), 201)
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    runs.end_now(call.cloud, record, "Canceled", "because")
    jobrecords.update(call.cloud, JOB, status="Completed")
    after = jobrecords.get(call.cloud, JOB)
    assert after is not None
    assert (after.status, after.reason) == ("Canceled", "because")
    assert jobrecords.active(call.cloud) == []


def test_accepted_jobs_survive_a_new_process(call: Caller, tmp_path: Path) -> None:
    document = call.ok("PUT", JOB, command_job(), 201)
    call.cloud.state.close()
    again = Caller(cloud(tmp_path, Clock()))
    assert again.ok("GET", JOB) == document
    assert [record.job_id for record in jobrecords.active(again.cloud)] == [JOB]


def test_a_job_that_has_not_ended_is_not_deleted(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(), 201)
    assert error(call("DELETE", JOB))[:2] == (409, "Conflict")
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    runs.end_now(call.cloud, record, "Failed", "x")
    assert [call("DELETE", JOB).status, call("DELETE", JOB).status] == [200, 204]


def test_a_private_workspace_refuses_a_job_from_here(call: Caller) -> None:
    document = call.cloud.state.get(WS)
    assert document is not None
    properties = document["properties"]
    assert isinstance(properties, dict)
    properties["publicNetworkAccess"] = "Disabled"
    call.cloud.state.put(WS, document)
    assert error(call("PUT", JOB, command_job()))[:2] == (403, "PublicNetworkAccessDisabled")


CODE = f"{WS}/codes/c0de/versions/1"


def test_code_is_found_again_by_its_hash_and_never_changes(call: Caller) -> None:
    tagged: Json = {"hash_sha256": "abc", "hash_version": "202208"}
    body: Json = {"properties": {"codeUri": "https://x/y", "isAnonymous": True, "properties": tagged}}
    document = call.ok("PUT", CODE, body, 201)
    assert call.ok("PUT", CODE, body)["properties"] == document["properties"]
    versions = f"{WS}/codes/c0de/versions?hash={{}}&hashVersion=202208"
    assert call.ok("GET", versions.format("abc"))["value"] == [call.ok("GET", CODE)]
    assert call.ok("GET", versions.format("other"))["value"] == []
    assert error(call("PUT", CODE, {"properties": {"codeUri": "https://x/z"}}))[:2] == (409, "Conflict")


def test_an_upload_gets_its_own_container_and_a_signature_for_it(call: Caller) -> None:
    body: Json = {"pendingUploadType": "TemporaryBlobReference"}
    references = [
        call.ok("POST", f"{WS}/codes/c0de/versions/{version}/startPendingUpload", body)["blobReferenceForConsumption"]
        for version in ("1", "2")
    ]
    uris = []
    for reference in references:
        assert isinstance(reference, dict)
        credential = reference["credential"]
        assert isinstance(credential, dict)
        uri = str(credential["sasUri"]).removeprefix(ORIGIN).replace("?", "/src/train.py?")
        assert call("PUT", uri, b"print()", {"x-ms-blob-type": "BlockBlob"}).status == 201
        uris.append(reference["blobUri"])
    assert len(set(uris)) == 2


def test_models_are_listed_newest_first_with_the_members_that_the_sdk_needs(call: Caller) -> None:
    for version in ("1", "2"):
        call.ok(
            "PUT", f"{WS}/models/digits/versions/{version}", {"properties": {"modelUri": f"azureml://{version}"}}, 201
        )
    answer = call.ok("GET", f"{WS}/models/digits/versions?$orderBy=createdtime%20desc&$top=1")["value"]
    assert isinstance(answer, list)
    (newest,) = answer
    assert isinstance(newest, dict)
    properties = newest["properties"]
    assert isinstance(properties, dict)
    assert {name: properties[name] for name in ("tags", "properties", "flavors", "modelUri")} == {
        "tags": {},
        "properties": {},
        "flavors": {},
        "modelUri": "azureml://2",
    }
    container = call.ok("GET", f"{WS}/models/digits")["properties"]
    assert isinstance(container, dict)
    assert (container["latestVersion"], container["nextVersion"]) == ("2", "3")


def test_the_default_datastores_are_there_and_give_the_accounts_key(call: Caller) -> None:
    listed = call.ok("GET", f"{WS}/datastores?isDefault=true&count=30")["value"]
    assert isinstance(listed, list)
    assert [store["name"] for store in listed if isinstance(store, dict)] == ["workspaceblobstore"]
    store = call.ok("GET", f"{WS}/datastores/workspaceartifactstore")["properties"]
    assert isinstance(store, dict)
    assert (store["containerName"], store["endpoint"], store["credentials"]) == (
        "azureml",
        "core.localhost:4430",
        {"credentialsType": "AccountKey"},
    )
    secrets = call.ok("POST", f"{WS}/datastores/workspaceblobstore/listSecrets", {"expirableSecret": True})
    assert secrets["secretsType"] == "AccountKey"
    assert call("GET", f"{WS}/datastores/none").status == 404


def test_a_datastores_secret_is_not_in_its_answer(call: Caller) -> None:
    secret: Json = {"secretsType": "Sas", "sasToken": "sv=canary"}
    properties: Json = {
        "datastoreType": "AzureBlob",
        "accountName": "acct",
        "containerName": "mine",
        "credentials": {"credentialsType": "Sas", "secrets": secret},
    }
    answer = call.ok("PUT", f"{WS}/datastores/mine", {"properties": properties}, 201)
    assert "canary" not in str(answer)
    assert "canary" not in str(call.ok("GET", f"{WS}/datastores"))
    assert call.ok("POST", f"{WS}/datastores/mine/listSecrets", {})["sasToken"] == "sv=canary"
