"""The run history service: discovery, a run's details with the addresses of its logs, run data.

Under `/history/v1.0{workspace}`, api-version v1.0. The addresses of logs are signed and work while the run runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from emulator import accounts, blob, blobstore, jobrecords, live, ml, shared_access
from emulator.blobstore import Where
from emulator.routing import Answer, Refusal, Route
from emulator.shared_access import Target

if TYPE_CHECKING:
    from emulator.ml import Workspace
    from emulator.routing import Call, Json

LOG_LIFETIME = timedelta(hours=1)
DATA = ("uri_file", "uri_folder", "mltable")
LOG_FOLDERS = ("user_logs/", "azureml-logs/", "logs/", "system_logs/")


def routes() -> list[Route]:
    """Return the rows of the table."""
    runs = f"/history/v1.0{ml.WORKSPACE}/runs/{{name}}"
    return [
        Route("GET", "/discovery", _discovery, auth=False, api_version=False),
        Route("GET", "/discovery/{rest*}", _discovery, auth=False, api_version=False),
        Route("GET", f"{runs}/details", _details, api_version=False),
        Route("GET", runs, _run, api_version=False),
        Route("POST", f"/history/v1.0{ml.WORKSPACE}/rundata", _run_data, api_version=False),
        Route("POST", f"/data/v1.0{ml.WORKSPACE}/dataversion/batchGetResolvedUris", _resolved, api_version=False),
    ]


def _discovery(call: Call) -> Answer:
    """Play the workspace's discovery document: the bases of its services, all this one host."""
    base = f"{call.cloud.origin}/"
    names = (
        "api",
        "catalog",
        "experimentation",
        "history",
        "mlflow",
        "hyperdrive",
        "labeling",
        "notebooks",
        "pipelines",
    )
    return Answer(200, dict.fromkeys(names, base))


def _job(call: Call, workspace: Workspace, name: str) -> tuple[jobrecords.Record, dict[str, Json]]:
    id_ = f"{workspace.id}/jobs/{name}"
    record, document = jobrecords.get(call.cloud, id_), call.cloud.state.get(id_)
    if record is None or document is None:
        raise Refusal(404, "UserError", f"Run with id {name} was not found.")
    return record, ml.obj(document["properties"])


def _details(call: Call) -> Answer:
    """Play Run_GetDetails: status, times, error, and `logFiles` with signed addresses."""
    workspace = ml.workspace(call)
    record, job = _job(call, workspace, call.args["name"])
    answer: dict[str, Json] = {
        "runId": record.name,
        "target": record.target,
        "status": record.status,
        "startTimeUtc": record.started,
        "endTimeUtc": record.ended,
        "services": {},
        "warnings": _warnings(job),
        "error": _error(record),
        "properties": dict(ml.texts(job.get("properties"))),
        "inputDatasets": [],
        "outputDatasets": [],
        "runDefinition": _definition(record, job),
        "logFiles": dict(_logs(call, record)),
        "revision": None,
        "submittedBy": "Trainyard",
    }
    return Answer(200, answer)


def _warnings(job: dict[str, Json]) -> list[Json]:
    """Say in the run's own warnings that no image was pulled: clients print them."""
    properties = ml.texts(job.get("properties"))
    if "trainyard.environment" not in properties:
        return []
    text = f"environment {properties['trainyard.environment']}: {properties['trainyard.environment.notes']}"
    return [{"source": "TrainyardEmulator", "message": text}]


def _error(record: jobrecords.Record) -> Json:
    if record.status != "Failed":
        return None
    error: dict[str, Json] = {
        "code": record.error_code,
        "message": record.reason or "The run failed.",
        "messageFormat": None,
        "details": [],
        "innerError": None,
    }
    return {"error": error, "time": record.ended, "componentName": "TrainyardEmulator"}


def _definition(record: jobrecords.Record, job: dict[str, Json]) -> dict[str, Json]:
    return {
        "command": job.get("command"),
        "target": record.target,
        "nodeCount": record.nodes_wanted,
    }


def _logs(call: Call, record: jobrecords.Record) -> dict[str, str]:
    account = accounts.by_id(call.cloud, record.storage_id)
    if account is None or not account.shared_key:
        return {}
    where, root = Where(account, live.CONTAINER), live.prefix(record.name)
    found = {entry.name for folder in LOG_FOLDERS for entry in blobstore.listing(call.cloud, where, root + folder)}
    found |= {entry.name for entry in live.listing(call.cloud, where, root)}
    logs: dict[str, str] = {}
    for name in sorted(found):
        token = shared_access.sign(call.cloud, Target(account, where.container, name), "r", LOG_LIFETIME)
        logs[name.removeprefix(root)] = f"{blob.url(call.cloud, where, name)}?{token}"
    return logs


def _run(call: Call) -> Answer:
    """Play Runs_Get."""
    record, job = _job(call, ml.workspace(call), call.args["name"])
    return Answer(200, _metadata(record, job))


def _metadata(record: jobrecords.Record, job: dict[str, Json]) -> dict[str, Json]:
    return {
        "runId": record.name,
        "runType": "azureml.commandjob",
        "status": record.status,
        "displayName": job.get("displayName"),
        "description": job.get("description"),
        "createdUtc": record.created,
        "startTimeUtc": record.started,
        "endTimeUtc": record.ended,
        "target": record.target,
        "tags": dict(ml.texts(job.get("tags"))),
        "properties": dict(ml.texts(job.get("properties"))),
        "inputs": {},
        "outputs": {
            name: {"assetId": f"{record.job_id}/outputs/{name}", "type": ml.obj(output).get("jobOutputType")}
            for name, output in ml.obj(job.get("outputs")).items()
            if name != "default" and record.terminal and ml.obj(output).get("jobOutputType") in DATA
        },
        "error": _error(record),
    }


def _resolved(call: Call) -> Answer:
    """Play DataVersion_BatchGetResolvedUris: where the named outputs of a run are (azure-ai-ml's download asks)."""
    workspace = ml.workspace(call)
    found: dict[str, Json] = {}
    for asset in (ml.text(value) for value in ml.items(call.json().get("values"))):
        job, _, name = asset.partition("/outputs/")
        document = call.cloud.state.get(job) if job.lower().startswith(f"{workspace.id.lower()}/jobs/") else None
        output = ml.obj(ml.obj(ml.obj((document or {}).get("properties")).get("outputs")).get(name))
        if not output:
            raise Refusal(404, "UserError", f"The asset '{asset}' was not found.")
        found[asset] = {"uri": output["uri"], "type": output["jobOutputType"]}
    return Answer(200, {"values": found})


def _run_data(call: Call) -> Answer:
    """Play RunHistory `POST rundata` (GetRunData): what azure-ai-ml asks before it downloads."""
    workspace = ml.workspace(call)
    name = ml.text(call.json().get("runId"))
    record, job = _job(call, workspace, name)
    answer: dict[str, Json] = {
        "runMetadata": _metadata(record, job),
        "runDefinition": _definition(record, job),
        "jobSpecification": cast("dict[str, Json]", {"job": job}),
        "systemSettings": None,
    }
    return Answer(200, answer)
