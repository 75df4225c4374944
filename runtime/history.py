"""What a workspace tells about its jobs: state, times, logs, metrics, files. The truth about whatever it runs.

Run history v1.0 (`details`), MLflow's REST API 2.0 and the artifact store, as azure-ai-ml 1.35.2 and azureml-mlflow use
them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from runtime import blobs, clock, wire
from runtime.clock import seconds_between, stamp
from runtime.control_plane import path, refusal
from runtime.errors import RefusedError
from runtime.records import STATES
from runtime.site import Look, Point, RunFile
from runtime.transport import Request

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.records import Record, State
    from runtime.site import Metrics, Site
    from runtime.wire import Json, Object

JOBS = "2024-01-01-preview"
"""Jobs_Get, as azure-ai-ml polls."""
WORKSPACES = "2024-10-01-preview"
ARTIFACTS = "workspaceartifactstore"
SHOWN = ("azureml-logs/", "user_logs/")
"""Logs that are streamed: the environment's build, then the command's (azure-ai-ml shows std_log*.txt)."""
NOT_FOUND, ERROR = 404, 400
PREEMPTED = frozenset({"NodePreempted", "PreemptionError"})
PREEMPTION = "azuremlcompute job failed. preemptionerror:"
GONE = frozenset({"ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound"})


def base(site: Site, record: Record) -> str:
    """Return the address of the workspace's services (`https://region.api.azureml.ms/`), asked once."""
    workspace = record.workspace_id or ""
    if workspace not in site.bases:
        plane = site.plane(record)
        url = wire.text(wire.at(plane.get(workspace, WORKSPACES), "properties", "discoveryUrl"))
        if not url:
            raise RefusedError(f"the workspace {workspace} has no discoveryUrl")
        answer = plane.exchange(Request("GET", url), scope=None)
        found = wire.text(_answer(answer.status, answer.body).get("api")) if answer.status < ERROR else ""
        if not found.startswith("https://"):
            raise RefusedError(f"{url} did not tell where the workspace's services are", status=answer.status)
        site.bases[workspace] = found.rstrip("/") + "/"
    return site.bases[workspace]


def job(site: Site, record: Record) -> Object | None:
    """GET the job of the current attempt; None when the workspace has none of that name."""
    return job_named(site, record, record.job_name)


def job_named(site: Site, record: Record, name: str) -> Object | None:
    """GET a job of the run's workspace."""
    return site.plane(record).find(f"{record.workspace_id}{path('jobs', name)}", JOBS)


def is_gone(refused: RefusedError) -> bool:
    """Tell whether ARM said that the workspace, or its resource group, does not exist. A 404 alone says less."""
    return refused.status == NOT_FOUND and refused.code in GONE


def details(site: Site, record: Record) -> Look | None:
    """Ask for state, times and logs in one call; None when there is no such run (yet)."""
    url = (
        f"{base(site, record)}history/v1.0{record.workspace_id}{path('runs', record.job_name)}/details?api-version=v1.0"
    )
    answer = site.plane(record).exchange(Request("GET", url))
    if answer.status == NOT_FOUND:
        return None
    found = _answer(answer.status, answer.body) if answer.status < ERROR else None
    if found is None:
        raise refusal(answer)
    return to_look(found, stamp(site.clock.now()))


def to_look(found: Object, now: str) -> Look:
    """Read a run's details. Pure."""
    started, ended = wire.text(found.get("startTimeUtc")) or None, wire.text(found.get("endTimeUtc")) or None
    error = wire.obj(wire.at(found, "error", "error"))
    logs = {name: wire.text(url) for name, url in wire.obj(found.get("logFiles")).items()}
    shown = sorted(
        (name for name in logs if name.startswith(SHOWN)), key=lambda name: (SHOWN.index(_folder(name)), name)
    )
    state = to_state(found.get("status"))
    return Look(
        state=state,
        reason=wire.text(error.get("message")) or None,
        started=iso(started),
        ended=iso(ended),
        duration_s=seconds_between(started, ended or now),
        logs={name: logs[name] for name in shown},
        notes=tuple(wire.text(wire.obj(item).get("message")) for item in wire.items(found.get("warnings"))),
        preempted=state == "Failed" and is_preemption(error),
    )


def is_preemption(error: Object) -> bool:
    """Tell whether a run failed because its low-priority node was taken away.

    Azure has no documented code for it. It was reported as code UserError, with the words "AzureMLCompute job failed.
    PreemptionError: Nodes of this job got pre-empted. … Reason: Received pre-emption warning signal"
    (MachineLearningNotebooks#1242, MLOpsPython#346; not tried against Azure). A code of its own is the emulator's. What
    says neither is a failure, as it is never repeated unasked.
    """
    words = wire.text(error.get("message")).lower()
    return error.get("code") in PREEMPTED or words.startswith(PREEMPTION)


def to_state(given: Json) -> State:
    """Return a state of ours; one that is not known is Unknown."""
    text = wire.text(given)
    return cast("State", text) if text in STATES else "Unknown"


def _folder(name: str) -> str:
    return name.partition("/")[0] + "/"


def iso(text: str | None) -> str | None:
    """Write a moment of the service's as ours; None for none, and what can't be read as it is."""
    try:
        return stamp(clock.parse(text)) if text else None
    except ValueError:
        return text


def _answer(status: int, body: bytes) -> Object:
    try:
        return wire.obj(wire.parse(body))
    except ValueError:
        raise RefusedError("the run history did not answer in JSON", status=status) from None


def metrics(site: Site, record: Record) -> Metrics:
    """Return the last value of each metric of the current attempt (MLflow runs/get)."""
    found = _mlflow(site, record, "runs/get", {"run_id": latest(record)})
    listed = wire.items(wire.at(found, "run", "data", "metrics"))
    return {wire.text(wire.obj(item).get("key")): number(wire.obj(item).get("value")) for item in listed}


def params(site: Site, record: Record) -> dict[str, str]:
    """Return the parameters that the current attempt logged (MLflow runs/get)."""
    found = _mlflow(site, record, "runs/get", {"run_id": latest(record)})
    listed = map(wire.obj, wire.items(wire.at(found, "run", "data", "params")))
    return {wire.text(item.get("key")): wire.text(item.get("value")) for item in listed}


def series(site: Site, record: Record, key: str) -> list[Point]:
    """Return every value of one metric, of every attempt in order (MLflow metrics/get-history)."""
    jobs = [*(attempt.job for attempt in record.attempts), record.job_name]
    return [point for name in jobs for point in _series(site, record, name, key)]


def _series(site: Site, record: Record, name: str, key: str) -> list[Point]:
    points, token = list[Point](), ""
    while True:
        query = {"run_id": name, "metric_key": key, **({"page_token": token} if token else {})}
        found = _mlflow(site, record, "metrics/get-history", query)
        for item in map(wire.obj, wire.items(found.get("metrics"))):
            step, moment = number(item.get("step")), number(item.get("timestamp"))
            points.append(Point(number(item.get("value")), int(step), int(moment)))
        token = wire.text(found.get("next_page_token"))
        if not token:
            return points


def number(value: Json) -> float:
    """Read a number of MLflow's, which writes some as text."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        return 0.0


def _mlflow(site: Site, record: Record, call: str, query: dict[str, str]) -> Object:
    url = f"{base(site, record)}mlflow/v2.0{record.workspace_id}/api/2.0/mlflow/{call}?{urlencode(query)}"
    answer = site.plane(record).exchange(Request("GET", url))
    if answer.status == NOT_FOUND:
        return {}
    if answer.status >= ERROR:
        raise refusal(answer)
    return _answer(answer.status, answer.body)


def logs_in_store(site: Site, record: Record) -> dict[str, str]:
    """List the logs in the artifact store itself, where the history signs no addresses (identity-based storage)."""
    place = blobs.datastore(site.plane(record), record.workspace_id or "", ARTIFACTS)
    root = folder(record)
    found = blobs.listing(site.plane(record), place, root)
    names = [blob.name.removeprefix(root) for blob in found if blob.name.removeprefix(root).startswith(SHOWN)]
    return {
        name: place.blob(root + name) for name in sorted(names, key=lambda name: (SHOWN.index(_folder(name)), name))
    }


def latest(record: Record) -> str:
    """Return the job of the last attempt that the workspace has."""
    waits = record.attempts and record.phase != "acknowledged"
    return record.attempts[-1].job if waits else record.job_name


def folder(record: Record) -> str:
    """Return where the files of the current attempt's job are in the artifact store."""
    return folder_of(record.job_name)


def folder_of(job_name: str) -> str:
    """Return where a job's files are in the artifact store."""
    return f"ExperimentRun/dcid.{job_name}/"


def files(site: Site, record: Record) -> list[RunFile]:
    """List what the run left in the artifact store: the last attempt's files, and the logs of those before.

    An attempt begins with the outputs of the one before, so its own are all of them.
    """
    plane = site.plane(record)
    place = blobs.datastore(plane, record.workspace_id or "", ARTIFACTS)
    found = list[RunFile]()
    before = {attempt.job: f"attempt-{attempt.number}/" for attempt in record.attempts if attempt.job != latest(record)}
    for job_name, prefix in {**before, latest(record): ""}.items():
        root = folder_of(job_name)
        for blob in blobs.listing(plane, place, root):
            name = blob.name.removeprefix(root)
            if not prefix or name.startswith(SHOWN):
                read = partial(blobs.content, plane, place, blob.name)
                found.append(RunFile(prefix + name, blob.size, read, blob.etag))
    return found


def read_log(plane: ControlPlane, address: str, offset: int) -> bytes:
    """Read a log from an offset on. A signature that expired reads as nothing new: the next look brings a fresh one."""
    try:
        signed = "sig=" in address
        return blobs.read(plane, address, offset, length=1 << 20, signed=signed) or b""
    except RefusedError as refused:
        if refused.status == blobs.FORBIDDEN and refused.code == "AuthenticationFailed":
            return b""
        raise
