"""Jobs of a workspace: accepted here, run by `clusters`.

A job is its document, exactly as GET answers it, and the emulator's own record (`jobrecords`). Both are on disk before
the PUT is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator import collect, distributions, jobrecords, jobspec, live, ml, runstore, serverless, uris
from emulator.jobrecords import Record
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.ml import Workspace
    from emulator.routing import Call, Json

SAME_NAME = (
    "A job with this name already exists. If you are trying to create a new job, use a different name. If you are "
    "trying to update an existing job, the existing job's {changed} cannot be changed. Only description, displayName, "
    "tags, and isArchived can be updated."
)


def routes() -> list[Route]:
    """Return the rows of the table."""
    root = f"{ml.WORKSPACE}/jobs"
    return [
        Route("GET", root, _list),
        Route("GET", f"{root}/{{name}}", _get),
        Route("PUT", f"{root}/{{name}}", _put),
        Route("DELETE", f"{root}/{{name}}", _delete),
        Route("POST", f"{root}/{{name}}/cancel", _cancel),
        Route("GET", f"{root}/{{name}}/cancelResults", _cancel_result),
    ]


def _put(call: Call) -> Answer:
    """Play Jobs_CreateOrUpdate, api-version 2025-01-01-preview: 201, or 200 for a job that is there."""
    workspace = ml.workspace(call)
    name = call.args["name"]
    id_ = f"{workspace.id}/jobs/{name}"
    given = ml.obj(call.json().get("properties"))
    with call.cloud.state.transaction():
        record = jobrecords.get(call.cloud, id_)
        if record is not None:
            return _again(call, record, given)
        properties = jobspec.check(call.cloud, workspace, name, given)
        properties, compute = _compute(call, workspace, name, properties)
        document = ml.entity(call.cloud, id_, "jobs", _filled(call, workspace, id_, properties, given))
        record = _record(call, workspace, id_, compute, properties)
        jobrecords.create(call.cloud, record, document)
        _run(call, workspace, name, properties)
    if call.cloud.clusters is not None:
        call.cloud.clusters.submit(id_)
    return Answer(201, document)


def _compute(call: Call, workspace: Workspace, name: str, properties: dict[str, Json]) -> tuple[dict[str, Json], str]:
    """Return the id of what the job runs on, made here for a serverless job; its size is among the properties then."""
    if not serverless.wanted(ml.text(properties.get("computeId"))):
        return properties, ml.text(properties["computeId"])
    pool = serverless.pool(call.cloud, workspace, name, properties)
    call.cloud.state.put(ml.text(pool["id"]), pool, serverless.KIND)
    known = {**ml.obj(properties.get("properties")), serverless.SIZE: serverless.size_of(pool)}
    return {**properties, "properties": known}, ml.text(pool["id"])


def _record(call: Call, workspace: Workspace, id_: str, compute: str, properties: dict[str, Json]) -> Record:
    return Record(
        job_id=id_,
        compute_id=compute,
        distribution=distributions.kind(ml.obj(properties.get("distribution"))),
        storage_id=uris.datastore(call.cloud, workspace, uris.ARTIFACTS).account.id,
        nodes_wanted=cast("int", ml.obj(properties.get("resources")).get("instanceCount") or 1),
        fingerprint=jobspec.fingerprint(properties),
        created=ml.stamp(call.cloud.now()),
    )


def _run(call: Call, workspace: Workspace, name: str, properties: dict[str, Json]) -> None:
    """Make the MLflow run that every job is."""
    experiment = runstore.experiment(call.cloud, workspace, ml.text(properties["experimentName"]))
    tags: dict[str, Json] = dict(ml.texts(properties.get("tags")))
    tags |= {"mlflow.runName": ml.text(properties["displayName"]), "mlflow.user": "Trainyard"}
    values: dict[str, Json] = {"name": properties["displayName"], "tags": tags}
    runstore.create(call.cloud, workspace, name, ml.text(experiment["id"]), values)


def _filled(
    call: Call, workspace: Workspace, id_: str, properties: dict[str, Json], given: dict[str, Json]
) -> dict[str, Json]:
    """Add what the service adds: status, the default output, the services beside those that were `given`."""
    name = id_.rpartition("/")[2]
    outputs = {
        key: {**ml.obj(value), "uri": ml.text(ml.obj(value).get("uri")) or collect.output_uri(name, key)}
        for key, value in ml.obj(properties.get("outputs")).items()
        if key != "default"
    }
    default: Json = {
        "description": None,
        "jobOutputType": "uri_folder",
        "mode": "ReadWriteMount",
        "uri": f"azureml://datastores/{uris.ARTIFACTS}/{live.prefix(name).rstrip('/')}",
    }
    host = call.cloud.origin.removeprefix("https://")
    services: dict[str, Json] = {
        "Tracking": _service("Tracking", f"azureml://{host}/mlflow/v1.0{workspace.id}?"),
        "Studio": _service("Studio", f"{call.cloud.origin}{id_}?api-version=2025-12-01"),
    }
    asked = {name: _interactive(ml.obj(service)) for name, service in ml.obj(given.get("services")).items()}
    return {
        **properties,
        "status": "NotStarted",
        "outputs": {**cast("dict[str, Json]", outputs), "default": default},
        "services": {**asked, **services},
    }


def _service(sort: str, endpoint: str) -> Json:
    return {
        "jobServiceType": sort,
        "endpoint": endpoint,
        "port": None,
        "status": None,
        "errorMessage": None,
        "properties": None,
        "nodes": None,
    }


def _interactive(service: dict[str, Json]) -> Json:
    """Return an interactive endpoint (Jupyter, SSH, TensorBoard …) as it was asked for, and that it is not there."""
    text = "Interactive endpoints of jobs are not played by this emulator."
    return {**service, "endpoint": None, "status": "NotPlayed", "errorMessage": text}


def _again(call: Call, record: Record, given: dict[str, Json]) -> Answer:
    """Answer the same job again; change what may change; refuse what would make it another job."""
    document = cast("dict[str, Json]", call.cloud.state.get(record.job_id))
    known = ml.obj(document["properties"])
    changed = [name for name in jobspec.FIXED if name in given and _part(given, name) != _part(known, name)]
    if changed:
        raise jobspec.refuse(SAME_NAME.format(changed=", ".join(changed)))
    mutable = {name: given[name] for name in jobspec.MUTABLE if given.get(name) is not None}
    document = ml.entity(call.cloud, record.job_id, "jobs", known | mutable)
    call.cloud.state.put(record.job_id, document, "job")
    return Answer(200, document)


def _part(properties: dict[str, Json], name: str) -> str:
    part = properties.get(name)
    if name == "outputs":
        outputs = {key: ml.obj(value) for key, value in ml.obj(part).items() if key != "default"}
        part = {key: [value.get("jobOutputType"), value.get("mode")] for key, value in outputs.items()}
    elif name.endswith("Id"):
        part = ml.text(part).lower()
    return jobspec.fingerprint({name: part, "outputs": part if name == "outputs" else {}})


def _find(call: Call) -> dict[str, Json]:
    id_ = f"{ml.workspace(call).id}/jobs/{call.args['name']}"
    document = call.cloud.state.get(id_)
    if document is None:
        raise ml.missing("Job", id_)
    return document


def _get(call: Call) -> Answer:
    """Play Jobs_Get."""
    return Answer(200, _find(call))


def _list(call: Call) -> Answer:
    """Play Jobs_List: `listViewType`, the newest first; one page."""
    workspace = ml.workspace(call)
    view = call.query.get("listViewType", "ActiveOnly")
    archived = {"ActiveOnly": {False}, "ArchivedOnly": {True}}.get(view, {True, False})
    found = call.cloud.state.children(f"{workspace.id}/jobs")
    values: list[Json] = [
        document for document in reversed(found) if bool(ml.obj(document["properties"]).get("isArchived")) in archived
    ]
    return Answer(200, {"value": values, "nextLink": None})


def _delete(call: Call) -> Answer:
    """Play Jobs_Delete: a job that has not ended is refused; its stored files stay."""
    id_ = f"{ml.workspace(call).id}/jobs/{call.args['name']}"
    record = jobrecords.get(call.cloud, id_)
    if record is None:
        return Answer(204)
    if not record.terminal:
        raise Refusal(409, "Conflict", f"The job '{record.name}' is {record.status}: cancel it first.")
    with call.cloud.state.transaction():
        call.cloud.state.delete_tree(id_)
        runstore.delete(call.cloud, ml.workspace(call), record.name)
    return Answer(200)


def _cancel(call: Call) -> Answer:
    """Play Jobs_Cancel: 202 with Location while there is something to cancel, else 200."""
    document = _find(call)
    record = jobrecords.get(call.cloud, ml.text(document["id"]))
    if record is None or record.terminal:
        return Answer(200)
    if call.cloud.clusters is not None:
        call.cloud.clusters.cancel(record.job_id)
    else:
        jobrecords.update(call.cloud, record.job_id, cancel_requested=True, status="CancelRequested")
    version = call.query.get("api-version", "2025-12-01")
    url = f"{call.origin}{record.job_id}/cancelResults?api-version={version}"
    return Answer(202, None, {"Location": url, "Retry-After": "1"})


def _cancel_result(call: Call) -> Answer:
    """Play the Location of a cancel: 202 until the job has ended."""
    document = _find(call)
    record = jobrecords.get(call.cloud, ml.text(document["id"]))
    if record is None or record.terminal:
        return Answer(200)
    url = f"{call.origin}{call.path}?api-version={call.query.get('api-version', '2025-12-01')}"
    return Answer(202, None, {"Location": url, "Retry-After": "1"})
