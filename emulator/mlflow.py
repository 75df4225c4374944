"""The MLflow tracking REST API (2.0 paths) of a workspace, under `/mlflow/v1.0{workspace}` and `/mlflow/v2.0…`.

Any MLflow client with a plain `https://` tracking URI and a bearer token can use it; so does azureml-mlflow. What is
not here (model registry, traces, logged models) is a 501 by name.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, cast
from uuid import uuid4

from emulator import blobstore, live, ml, runstore, uris
from emulator.routing import Answer, Refusal, Route
from emulator.runstore import Metric, RunView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.ml import Workspace
    from emulator.routing import Call, Json

Operation: TypeAlias = "Callable[[Call, Workspace, dict[str, Json]], dict[str, Json]]"
MOST_METRICS = 1000
"""Of one log-batch, as MLflow's own server has it."""


def routes() -> list[Route]:
    """Return the rows of the table: the same operations under both versions."""
    rows: list[Route] = []
    for version in ("v1.0", "v2.0"):
        root = f"/mlflow/{version}{ml.WORKSPACE}/api/2.0/mlflow"
        rows += [
            Route(method, f"{root}/{path}", partial(_play, operation), api_version=False)
            for (method, path), operation in OPERATIONS.items()
        ]
    return rows


def _play(operation: Operation, call: Call) -> Answer:
    """Run one operation; errors are MLflow's `{error_code, message}`."""
    try:
        workspace = ml.workspace(call)
        given: dict[str, Json] = dict(call.query) if call.method == "GET" else call.json()
        return Answer(200, operation(call, workspace, given))
    except Refusal as refusal:
        return Answer(refusal.status, {"error_code": refusal.code, "message": refusal.message}, refusal.headers)


def _need(given: Mapping[str, Json], *names: str) -> str:
    for name in names:
        if value := given.get(name):
            return str(value)
    raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Missing value for required parameter '{names[0]}'.")


def _experiment(document: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "experiment_id": document["id"],
        "name": document["name"],
        "artifact_location": "",
        "lifecycle_stage": "active",
        "creation_time": document["created"],
        "last_update_time": document["created"],
        "tags": _pairs(ml.texts(document["tags"])),
    }


def _pairs(values: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _by_name(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play experiments/get-by-name."""
    name = _need(given, "experiment_name")
    for document in runstore.experiments(call.cloud, workspace):
        if document["name"] == name:
            return {"experiment": _experiment(document)}
    raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")


def _get_experiment(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play experiments/get."""
    id_ = _need(given, "experiment_id")
    for document in runstore.experiments(call.cloud, workspace):
        if document["id"] == id_:
            return {"experiment": _experiment(document)}
    raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with ID {id_}")


def _create_experiment(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play experiments/create."""
    name = _need(given, "name")
    if any(document["name"] == name for document in runstore.experiments(call.cloud, workspace)):
        raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Experiment '{name}' already exists.")
    return {"experiment_id": runstore.experiment(call.cloud, workspace, name)["id"]}


def _search_experiments(call: Call, workspace: Workspace, _given: dict[str, Json]) -> dict[str, Json]:
    """Play experiments/search; filters are not."""
    if _given.get("filter"):
        raise Refusal(501, "NOT_IMPLEMENTED", "A filter of experiments/search is not played by this emulator.")
    return {"experiments": [_experiment(document) for document in runstore.experiments(call.cloud, workspace)]}


def _create_run(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/create."""
    id_ = _need(given, "experiment_id")
    if all(document["id"] != id_ for document in runstore.experiments(call.cloud, workspace)):
        raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with ID {id_}")
    tags = _unpaired(given.get("tags"))
    run_id = str(uuid4())
    name = ml.text(given.get("run_name")) or ml.text(tags.get("mlflow.runName")) or run_id
    values: dict[str, Json] = {"name": name, "tags": {**tags, "mlflow.runName": name}}
    if given.get("start_time"):
        values["start_ms"] = int(str(given["start_time"]))
    runstore.create(call.cloud, workspace, run_id, id_, values)
    return {"run": _run(runstore.get(call.cloud, workspace, run_id))}


def _unpaired(value: Json) -> dict[str, Json]:
    return {ml.text(ml.obj(pair).get("key")): ml.obj(pair).get("value") for pair in ml.items(value)}


def _get_run(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/get."""
    return {"run": _run(runstore.get(call.cloud, workspace, _need(given, "run_id", "run_uuid")))}


def _update_run(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/update. A job's status is the cluster's, whatever a client says."""
    run_id = _need(given, "run_id", "run_uuid")
    values: dict[str, Json] = {}
    if status := ml.text(given.get("status")):
        values["status"] = status
    if given.get("end_time"):
        values["end_ms"] = int(str(given["end_time"]))
    if name := ml.text(given.get("run_name")):
        values |= {"name": name, "tags": {"mlflow.runName": name}}
    runstore.change(call.cloud, workspace, run_id, values)
    return {"run_info": _info(runstore.get(call.cloud, workspace, run_id))}


def _search_runs(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/search: `max_results`, `order_by`, filters that join `=` and `!=` on tags, params, attributes."""
    wanted = frozenset(ml.text(id_) for id_ in ml.items(given.get("experiment_ids")))
    found = runstore.search(call.cloud, workspace, wanted)
    view = ml.text(given.get("run_view_type")) or "ACTIVE_ONLY"
    stages = {"ACTIVE_ONLY": {"active"}, "DELETED_ONLY": {"deleted"}}.get(view, {"active", "deleted"})
    conditions = _conditions(ml.text(given.get("filter")))
    kept = [run for run in found if run.lifecycle in stages and all(fits(run) for fits in conditions)]
    clauses = [ml.text(clause) for clause in ml.items(given.get("order_by"))] or ["start_time DESC"]
    for clause in reversed(clauses):
        kept = _ordered(kept, clause)
    most = int(str(given.get("max_results") or 1000))
    after = ml.text(given.get("page_token"))
    start = next((at + 1 for at, run in enumerate(kept) if run.run_id == after), 0)
    page = kept[start : start + most]
    answer: dict[str, Json] = {"runs": [_run(run) for run in page]}
    return answer | ({"next_page_token": page[-1].run_id} if page and start + most < len(kept) else {})


def _ordered(runs: list[RunView], clause: str) -> list[RunView]:
    """Sort by one clause, stable; runs without a value come last, as in MLflow."""
    found = re.fullmatch(r"(?:(\w+)\.)?[`\"]?([\w.\- /]+?)[`\"]?(?:\s+(asc|desc))?", clause.strip(), re.IGNORECASE)
    if found is None:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Invalid order_by clause '{clause}'.")
    group, name, down = (found[1] or "attribute")[:3], found[2], (found[3] or "asc").lower() == "desc"
    values = {run.run_id: _value(run, group, name) for run in runs}
    known = [run for run in runs if values[run.run_id] is not None]
    known.sort(key=lambda run: values[run.run_id] or 0, reverse=down)
    return known + [run for run in runs if values[run.run_id] is None]


def _value(run: RunView, group: str, name: str) -> float | str | None:
    match group:
        case "met":
            last = _last(run).get(name)
            return last.value if last else None
        case "par":
            return run.params.get(name)
        case "tag":
            return run.tags.get(name)
        case _:
            shown = {"start_time": run.start_ms, "end_time": run.end_ms, "status": run.status, "run_name": run.name}
            if name not in shown:
                raise Refusal(400, "INVALID_PARAMETER_VALUE", f"order_by knows no attribute '{name}' here.")
            return shown[name]


_CONDITION = re.compile(
    r"""\s*(?:(tags?|params?|attributes?|run)\.)?(?:"([^"]+)"|`([^`]+)`|([\w.\-]+))\s*(!?=)\s*"""
    r"""(?:'([^']*)'|"([^"]*)")\s*(?:and\s+|\Z)""",
    re.IGNORECASE,
)
"""One comparison of a filter, such as `tags."trainyard.run" = 'x'`, up to the next."""


def _conditions(text: str) -> list[Callable[[RunView], bool]]:
    conditions: list[Callable[[RunView], bool]] = []
    at = 0
    while text[at:].strip():
        found = _CONDITION.match(text, at)
        if found is None:
            part = text[at:].strip()
            raise Refusal(501, "NOT_IMPLEMENTED", f"The filter '{part}' of runs/search is not played by this emulator.")
        group, name, value = (
            (found[1] or "attribute")[:3].lower(),
            found[2] or found[3] or found[4],
            found[6] or found[7],
        )
        conditions.append(partial(_fits, group, name, value or "", found[5] == "="))
        at = found.end()
    return conditions


def _fits(group: str, name: str, value: str, equal: bool, run: RunView) -> bool:  # noqa: FBT001 - of a partial
    """Compare as MLflow does: a run without the name fits neither `=` nor `!=`."""
    attributes = {"status": run.status, "run_id": run.run_id, "run_name": run.name, "Name": run.name}
    known = {"tag": run.tags, "par": run.params}.get(group, attributes).get(name)
    return known is not None and (known == value) == equal


def _log_metric(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/log-metric."""
    run_id = _known(call, workspace, given)
    runstore.log(call.cloud, workspace, run_id, [_metric(given)])
    return {}


def _known(call: Call, workspace: Workspace, given: dict[str, Json]) -> str:
    return runstore.get(call.cloud, workspace, _need(given, "run_id", "run_uuid")).run_id


def _metric(given: Mapping[str, Json]) -> Metric:
    try:
        value, stamp, step = (float(str(given.get(name) or 0)) for name in ("value", "timestamp", "step"))
        return Metric(_need(given, "key"), value, int(stamp), int(step))
    except ValueError as error:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Got an invalid metric: {error}") from error


def _log_param(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/log-parameter."""
    _params(call, workspace, _known(call, workspace, given), {_need(given, "key"): given.get("value")})
    return {}


def _params(call: Call, workspace: Workspace, run_id: str, params: dict[str, Json]) -> None:
    known = runstore.get(call.cloud, workspace, run_id).params
    for name, value in params.items():
        if name in known and known[name] != str(value):
            text = f"Changing param values is not allowed. Param '{name}' was already logged with '{known[name]}'."
            raise Refusal(400, "INVALID_PARAMETER_VALUE", text)
    runstore.change(call.cloud, workspace, run_id, {"params": params})


def _set_tag(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/set-tag."""
    tags: dict[str, Json] = {_need(given, "key"): given.get("value")}
    runstore.change(call.cloud, workspace, _known(call, workspace, given), {"tags": tags})
    return {}


def _delete_tag(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/delete-tag."""
    runstore.drop_tag(call.cloud, workspace, _known(call, workspace, given), _need(given, "key"))
    return {}


def _log_batch(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/log-batch."""
    run_id = _known(call, workspace, given)
    metrics = [_metric(ml.obj(metric)) for metric in ml.items(given.get("metrics"))]
    if len(metrics) > MOST_METRICS:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"A batch can contain at most {MOST_METRICS} metrics.")
    if params := _unpaired(given.get("params")):
        _params(call, workspace, run_id, params)
    runstore.change(call.cloud, workspace, run_id, {"tags": _unpaired(given.get("tags"))})
    runstore.log(call.cloud, workspace, run_id, metrics)
    return {}


def _history(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play metrics/get-history."""
    run = runstore.get(call.cloud, workspace, _need(given, "run_id", "run_uuid"))
    key = _need(given, "metric_key")
    return {"metrics": [_metric_json(metric) for metric in run.metrics if metric.key == key]}


def _artifacts(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play artifacts/list: the files of a run that was collected, one folder deep."""
    run = runstore.get(call.cloud, workspace, _need(given, "run_id", "run_uuid"))
    where = uris.datastore(call.cloud, workspace, uris.ARTIFACTS)
    folder = ml.text(given.get("path")).strip("/")
    prefix = live.prefix(run.run_id) + (f"{folder}/" if folder else "")
    files: dict[str, Json] = {}
    for blob in blobstore.listing(call.cloud, where, prefix):
        first, deeper, _ = blob.name[len(prefix) :].partition("/")
        path = str(PurePosixPath(folder, first))
        files[path] = (
            {"path": path, "is_dir": True} if deeper else {"path": path, "is_dir": False, "file_size": blob.size}
        )
    return {"root_uri": run.artifact_uri, "files": list(files.values())}


def _info(run: RunView) -> dict[str, Json]:
    info: dict[str, Json] = {
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "user_id": run.tags.get("mlflow.user", ""),
        "status": run.status,
        "start_time": run.start_ms,
        "artifact_uri": run.artifact_uri,
        "lifecycle_stage": run.lifecycle,
    }
    return info | ({"end_time": run.end_ms} if run.end_ms else {})


def _last(run: RunView) -> dict[str, Metric]:
    last: dict[str, Metric] = {}
    for metric in run.metrics:
        held = last.get(metric.key)
        if held is None or (metric.step, metric.timestamp) >= (held.step, held.timestamp):
            last[metric.key] = metric
    return last


def _run(run: RunView) -> dict[str, Json]:
    data: dict[str, Json] = {
        "metrics": [_metric_json(metric) for metric in _last(run).values()],
        "params": _pairs(run.params),
        "tags": _pairs(run.tags),
    }
    return {"info": _info(run), "data": data, "inputs": {}}


def _metric_json(metric: Metric) -> Json:
    value: Json = metric.value
    if not math.isfinite(metric.value):
        # Protobuf's JSON mapping of a double, which MLflow clients parse.
        value = "NaN" if math.isnan(metric.value) else "Infinity" if metric.value > 0 else "-Infinity"
    return {"key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step}


def _delete_run(call: Call, workspace: Workspace, given: dict[str, Json], stage: str = "deleted") -> dict[str, Json]:
    """Play runs/delete and runs/restore: a mark, as in MLflow."""
    runstore.change(call.cloud, workspace, _known(call, workspace, given), {"lifecycle": stage})
    return {}


def _log_inputs(call: Call, workspace: Workspace, given: dict[str, Json]) -> dict[str, Json]:
    """Play runs/log-inputs (datasets of autologging): kept as a tag, for there is no other reader."""
    text = json.dumps(given.get("datasets") or [])[:4000]
    tags = cast("dict[str, Json]", {"trainyard.datasets": text})
    runstore.change(call.cloud, workspace, _known(call, workspace, given), {"tags": tags})
    return {}


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "experiments/get-by-name"): _by_name,
    ("GET", "experiments/get"): _get_experiment,
    ("POST", "experiments/create"): _create_experiment,
    ("POST", "experiments/search"): _search_experiments,
    ("GET", "experiments/search"): _search_experiments,
    ("POST", "runs/create"): _create_run,
    ("GET", "runs/get"): _get_run,
    ("POST", "runs/update"): _update_run,
    ("POST", "runs/search"): _search_runs,
    ("POST", "runs/delete"): _delete_run,
    ("POST", "runs/restore"): partial(_delete_run, stage="active"),
    ("POST", "runs/log-metric"): _log_metric,
    ("POST", "runs/log-parameter"): _log_param,
    ("POST", "runs/log-batch"): _log_batch,
    ("POST", "runs/log-inputs"): _log_inputs,
    ("POST", "runs/set-tag"): _set_tag,
    ("POST", "runs/delete-tag"): _delete_tag,
    ("GET", "metrics/get-history"): _history,
    ("GET", "artifacts/list"): _artifacts,
}
