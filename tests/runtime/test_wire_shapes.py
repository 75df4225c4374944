"""Pure translations: a job to ARM's body and to the supervisor's, a run's details to what we show; who signs in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runtime import history, job_body
from runtime.access import Access
from runtime.errors import ConnectionLostError, RefusedError, SpecError
from runtime.jobfile import open_job
from runtime.site import Look, Options
from runtime.submitters import aml_compute
from specs.base import EMULATOR_SUBSCRIPTION_ID
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.wire import Json

IDS = job_body.Ids("compute", "environment", "code", {"data": "azureml://d"}, "token", "digits")


def test_inputs_outputs_limits_and_identity_are_written_as_azure_takes_them(tmp_path: Path) -> None:
    inputs: Json = {
        "data": {"type": "uri_file", "path": "azureml:digits:1", "mode": "download"},
        "rate": 0.1,
        "flag": True,
        "long": {"type": "integer", "value": 7},
    }
    outputs: Json = {
        "plain": None,
        "kept": {"type": "mlflow_model", "mode": "upload", "path": "azureml://x", "name": "m"},
    }
    job = kit.a_job(
        tmp_path / "digits",
        inputs=inputs,
        outputs=outputs,
        command="true",
        limits={"timeout": 600},
        identity={"type": "user_identity"},
        resources={"shm_size": "2g"},
        display_name="d",
        tags={"a": 1},
    )
    properties = job_body.body(open_job(job), IDS)["properties"]
    assert isinstance(properties, dict)
    assert properties["inputs"] == {
        "rate": {"jobInputType": "literal", "value": "0.1"},
        "flag": {"jobInputType": "literal", "value": "True"},
        "long": {"jobInputType": "literal", "value": "7"},
        "data": {"jobInputType": "uri_file", "uri": "azureml://d", "mode": "Download"},
    }
    assert properties["outputs"] == {
        "plain": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount"},
        "kept": {"jobOutputType": "mlflow_model", "mode": "Upload", "uri": "azureml://x", "assetName": "m"},
    }
    assert (properties["limits"], properties["identity"], properties["resources"], properties["tags"]) == (
        {"jobLimitsType": "Command", "timeout": "PT10M"},
        {"identityType": "UserIdentity"},
        {"instanceCount": 1, "properties": {}, "shmSize": "2g"},
        {"a": "1"},
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"conda_file": {"dependencies": []}}, "needs an image: the workspace installs the conda_file into one."),
        ({"image": "i", "conda_file": "nowhere.yml"}, "no such file."),
        ({"build": {"path": "nowhere"}}, "no such folder."),
        ({"build": {"path": "src"}}, "no such file in src."),
        (
            {"build": {"path": "src"}, "image": "i"},
            "stands beside build, which makes the image. Delete one of the two.",
        ),
    ],
)
def test_an_environment_that_a_cluster_can_not_take_is_refused_before_anything_is_sent(
    tmp_path: Path, environment: Json, message: str
) -> None:
    source = open_job(kit.a_job(tmp_path / "digits", environment=environment))
    cluster, project = kit.some_outputs().targets["cpu-cluster"], kit.a_project(tmp_path)
    with pytest.raises(SpecError) as error:
        aml_compute.check(source, cluster, project, Options())
    assert [problem.message for problem in error.value.problems] == [message]


def test_details_of_a_run_are_read() -> None:
    found: dict[str, Json] = {
        "status": "Failed",
        "startTimeUtc": "2026-11-21T10:00:00.1234567Z",
        "endTimeUtc": "2026-11-21T10:00:02.5000000+00:00",
        "error": {"error": {"code": "UserError", "message": "the node was taken away"}},
        "warnings": [{"message": "careful"}],
        "logFiles": {"user_logs/std_log.txt": "u", "system_logs/x": "s", "azureml-logs/20_image_build_log.txt": "b"},
    }
    look = history.to_look(found, "2026-11-21T11:00:00Z")
    assert look == Look(
        state="Failed",
        reason="the node was taken away",
        started="2026-11-21T10:00:00.123Z",
        ended="2026-11-21T10:00:02.500Z",
        duration_s=2.377,
        logs={"azureml-logs/20_image_build_log.txt": "b", "user_logs/std_log.txt": "u"},
        notes=("careful",),
    )
    assert list(look.logs) == ["azureml-logs/20_image_build_log.txt", "user_logs/std_log.txt"]


@pytest.mark.parametrize(("given", "expected"), [("Running", "Running"), ("Preempted", "Unknown"), (None, "Unknown")])
def test_a_state_that_is_not_azures_is_unknown(given: Json, expected: str) -> None:
    assert history.to_state(given) == expected


def endpoint(project: Project, **changes: str | None) -> None:
    values = {
        "resource_manager": "https://localhost:7/",
        "subscription_id": EMULATOR_SUBSCRIPTION_ID,
        "ca_file": "/ca.pem",
        "tenant_id": "t",
        "client_id": "c",
        "client_secret": "canary",
    }
    kept = {name: value for name, value in {**values, **changes}.items() if value is not None}
    project.emulator_home.mkdir(parents=True, exist_ok=True)
    (project.emulator_home / "endpoint.json").write_text(json.dumps(kept))


def test_the_emulator_is_found_by_the_projects_own_file(project: Project) -> None:
    endpoint(project)
    found = Access.discover("emulator", project, {})
    assert (found.resource_manager, found.ca_file, found.arm_scope) == (
        "https://localhost:7/",
        "/ca.pem",
        "https://localhost:7/.default",
    )
    assert found.secret is not None
    assert found.secret.authority == "https://localhost:7"
    assert "canary" not in repr(found)


def test_an_emulator_that_was_never_started_or_left_half_a_file_is_said(project: Project) -> None:
    with pytest.raises(ConnectionLostError, match=r"never started here\. Start it: invoke emulator"):
        Access.discover("emulator", project, {})
    endpoint(project, client_secret=None)
    with pytest.raises(RefusedError, match=r"endpoint\.json can't be read") as error:
        Access.discover("emulator", project, {})
    assert "canary" not in str(error.value)


def test_a_shell_with_the_emulators_variables_needs_all_of_them(project: Project) -> None:
    environ = {"ARM_SUBSCRIPTION_ID": EMULATOR_SUBSCRIPTION_ID, "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
    with pytest.raises(
        RefusedError, match="but lacks AZURE_CLIENT_SECRET, AZURE_AUTHORITY_HOST, ARM_CLOUD_METADATA_URL"
    ):
        Access.discover("emulator", project, environ)
    urls = {
        "AZURE_AUTHORITY_HOST": "https://localhost:9",
        "ARM_CLOUD_METADATA_URL": "https://localhost:9/metadata/x?y=z",
    }
    found = Access.discover("emulator", project, {**environ, **urls, "AZURE_CLIENT_SECRET": "s"})
    assert found.resource_manager == "https://localhost:9/"
