"""What follows a preemption: the same job again under the next attempt's name, with its outputs brought back first.

An attempt is an intent in the store, then one PUT by name, then an answer; each step may be repeated by whoever finds
it unfinished. The job is made from the first one's document in the workspace, so no local file is needed, and any
machine can do it. Only a preemption is repeated, never a failure of the job itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import blobs, crash, job_body, wire
from runtime import history as histories
from runtime.clock import seconds_between, stamp
from runtime.control_plane import path
from runtime.errors import RefusedError
from runtime.job_body import TOKEN
from runtime.records import Attempt, attempt_name

if TYPE_CHECKING:
    from runtime.records import Record
    from runtime.site import Look, Site
    from runtime.wire import Object

RUN, ATTEMPT, RETRY, RESTORED = "trainyard.run", "trainyard.attempt", "trainyard.retry", "trainyard.restored"
"""Properties of a job: whose attempt it is, which one, what is repeated, whose outputs it begins with."""
CANCELED = "trainyard.canceled"
"""Tag of a first job whose run was canceled between two attempts: no machine makes another one."""
MOST = 100
"""Attempts of one run."""
PAUSE_FROM, PAUSE_MOST_S = 4, 300.0
"""The first attempts follow at once; from this one on, a pause that doubles: a cluster that takes every node back."""
INPUT = "trainyard_restore"
MARKER = "logs/trainyard-restored.txt"
"""Left by an attempt that has all of what it began with."""
NOT_THE_JOB = frozenset({401, 403, 409, 429})
"""Refusals that are about us or about now: asked again later."""
KEPT = (
    "jobType", "command", "codeId", "environmentId", "computeId", "experimentName", "displayName", "description",
    "tags", "environmentVariables", "inputs", "resources", "distribution", "limits", "identity", "queueSettings",
    "parentJobName",
)  # fmt: skip
"""What a job's document says of the job itself (CommandJob, api-version 2025-01-01-preview)."""
OWN_SERVICES = frozenset({"Tracking", "Studio"})
SERVICE_PREFIXES = ("_azureml.", "azureml.", "trainyard.")
SERVICE_PROPERTIES = frozenset({"ContentSnapshotId", "ProcessInfoFile", "ProcessStatusFile"})
CLIENT_PREFIX = "azureml.git."


def between(record: Record) -> bool:
    """Tell whether the run waits for the job of its next attempt."""
    return record.attempt > 1 and record.phase != "acknowledged" and not record.terminal


def repeats(record: Record, found: Look) -> bool:
    """Tell whether what was found is a preemption that is to be followed by something."""
    return found.preempted and record.retry == "preemption"


def after(record: Record, found: Look) -> dict[str, object]:
    """Return what a preemption makes of the record: the next attempt's intent, or the end. Pure.

    A wish to cancel stays one: `close` acts on it.
    """
    number = record.attempt
    why = f"attempt {number} was preempted" + (f": {found.reason}" if found.reason else "")
    if number >= MOST:
        times: dict[str, object] = {"started": found.started, "ended": found.ended, "duration_s": found.duration_s}
        advice = f"that many are the most. To go on from its outputs: invoke runs.retry {record.id} --restore"
        return {"state": "Failed", "reason": f"{why}; {advice}", **times}
    ended = Attempt(
        number=number,
        job=record.job_name,
        reason=found.reason or "preempted",
        started=found.started,
        ended=found.ended,
    )
    return {
        "attempt": number + 1,
        "attempts": (*record.attempts, ended),
        "phase": "intent",
        "state": "Queued",
        "reason": f"attempt {number} was preempted",
        "sent": None,
        "started": None,
        "ended": None,
        "duration_s": None,
        "cancel_sent": False,
    }


def due_s(record: Record, now: str) -> float:
    """Return how long the next attempt has still to wait. Bounded, whatever the machine's clock does. Pure."""
    number = record.attempt
    if number < PAUSE_FROM:
        return 0.0
    pause = min(PAUSE_MOST_S, 2.0 ** min(number - PAUSE_FROM, 20))
    since = seconds_between(record.attempts[-1].ended, now) if record.attempts else None
    return max(0.0, pause - (since or 0.0))


def step(site: Site, record: Record) -> None:
    """Bring the job of the current attempt to the workspace. Idempotent: by name, and by the run's token.

    Raises `ConnectionLostError` (repeat), `RefusedError` about signing in; any other refusal ends the run.
    """
    try:
        first = _first(site, record)
        if _is_canceled(first):
            site.store.update(record.id, cancel_requested=True)
            return
        document = histories.job(site, record) or _put(site, record, first)
    except RefusedError as refused:
        if refused.status in NOT_THE_JOB:
            raise
        words = str(refused).splitlines()[0]
        _end(site, record, f"attempt {record.attempt - 1} was preempted, and the next one was refused: {words}")
        return
    if document is None:
        return
    if wire.at(document, "properties", "properties", TOKEN) != record.token:
        _end(site, record, f"the next attempt could not be made: the workspace has another job named {record.job_name}")
        return
    heard(site, record)
    state = histories.to_state(wire.at(document, "properties", "status"))
    state = "Queued" if state in {"Failed", "Canceled", "Completed"} else state  # the next look says why
    site.store.update(record.id, {"attempt": record.attempt}, phase="acknowledged", state=state)
    crash.point("attempt-acknowledged")


def _first(site: Site, record: Record) -> Object:
    found = histories.job_named(site, record, record.id)
    if found is None:
        raise RefusedError("the workspace no longer has the first attempt's job", status=histories.NOT_FOUND)
    return found


def close(site: Site, record: Record) -> bool:
    """End a run between two attempts, for every machine that drives it; False: the next one is there after all.

    The mark on the first job comes first, then the question. Idempotent. Raises `ConnectionLostError`, `RefusedError`.
    """
    first = histories.job_named(site, record, record.id)
    if first is not None and not _is_canceled(first):
        given = {
            key: value for key, value in wire.obj(first["properties"]).items() if key not in {"status", "services"}
        }
        given["tags"] = {**wire.obj(given.get("tags")), CANCELED: f"before attempt {record.attempt}"}
        # A job's tags may change (Jobs_CreateOrUpdate, as azure-ai-ml updates them); nothing else here does.
        site.plane(record).put(f"{record.workspace_id}{path('jobs', record.id)}", {"properties": given}, job_body.API)
    return histories.job(site, record) is None


def heard(site: Site, record: Record) -> None:
    """Take over a wish to cancel that another machine left; to be called when the attempt's job is there.

    Who canceled left the mark before it looked for this job: one of the two is seen by the other.
    """
    first = histories.job_named(site, record, record.id)
    if first is not None and _is_canceled(first):
        site.store.update(record.id, cancel_requested=True)


def _is_canceled(first: Object) -> bool:
    return CANCELED in wire.obj(wire.at(first, "properties", "tags"))


def _put(site: Site, record: Record, first: Object) -> Object | None:
    """PUT the job; None when the run was canceled, or moved on, before it was sent. Raises as `step`."""
    body = job_of(first, record, source(site, record))
    sent = (record.attempt, "sending")
    expected = {"attempt": record.attempt, "phase": record.phase, "cancel_requested": False}
    kept = site.store.update(record.id, expected, phase="sending", sent=stamp(site.clock.now()))
    if kept is None or kept.cancel_requested or (kept.attempt, kept.phase, kept.terminal) != (*sent, False):
        return None
    crash.point("attempt-sending")
    plane, address = site.plane(record), f"{record.workspace_id}{path('jobs', record.job_name)}"
    try:
        return plane.put_once(address, body, job_body.API, lambda: crash.point("attempt-put-sent"))
    except RefusedError:
        # Another machine's driver may have been first, and jobs can't be changed.
        document = histories.job(site, record)
        if document is None:
            raise
        return document


def _end(site: Site, record: Record, reason: str) -> None:
    site.store.update(record.id, {"attempt": record.attempt}, state="Failed", reason=reason)


def source(site: Site, record: Record) -> str | None:
    """Return the job whose outputs the current attempt begins with: the last that had all of its own; None for none.

    One that was preempted while it brought outputs back has a part of them only: then its own source is the source.
    """
    name: str | None = attempt_name(record.id, record.attempt - 1)
    while name:
        document = histories.job_named(site, record, name)
        restored = wire.text(wire.at(document, "properties", "properties", RESTORED))
        left = left_by(site, record, name)
        if not restored or MARKER in left:
            return name if any(file.startswith("outputs/") for file in left) else None
        name = restored
    return None


def left_by(site: Site, record: Record, name: str) -> set[str]:
    """List the files of a job in the artifact store. Blobs are whole: one that is there is complete."""
    plane, root = site.plane(record), histories.folder_of(name)
    place = blobs.datastore(plane, record.workspace_id or "", histories.ARTIFACTS)
    return {blob.name.removeprefix(root) for blob in blobs.listing(plane, place, root)}


def job_of(first: Object, record: Record, restored: str | None) -> Object:
    """Make the body of an attempt's job from the first one's document. Pure."""
    ours = {TOKEN: record.token, RUN: record.id, ATTEMPT: str(record.attempt), RETRY: record.retry}
    return again(first, record.id, ours, restored)


def again(document: Object, name: str, ours: dict[str, str], restored: str | None, *, anew: bool = False) -> Object:
    """Make the body of a job that repeats the one of this document and name. Pure.

    The user's command stays as it is, word for word; what brings outputs back goes in front of it. `anew`: named
    outputs get an address of their own; else they go on where the first job wrote them.
    """
    given = wire.obj(document.get("properties"))
    made: Object = {key: given[key] for key in KEPT if given.get(key) is not None}
    if "tags" in made:
        made["tags"] = {key: value for key, value in wire.obj(made["tags"]).items() if key != CANCELED}
    outputs = {key: wire.obj(value) for key, value in wire.obj(given.get("outputs")).items() if key != "default"}
    # A job that was itself repeated brings nothing of its own: `restored` says whose outputs come first.
    made["command"] = wire.text(given.get("command")).removeprefix(PREFIX)
    made["inputs"] = {key: value for key, value in wire.obj(given.get("inputs")).items() if key != INPUT}
    made["outputs"] = {key: _output(name, key, value, anew=anew) for key, value in outputs.items()}
    services = {key: value for key, value in wire.obj(given.get("services")).items() if key not in OWN_SERVICES}
    if services:
        made["services"] = services
    properties: Object = {**_users(wire.obj(given.get("properties"))), **ours}
    if restored:
        properties[RESTORED] = restored
        uri = f"azureml://datastores/{histories.ARTIFACTS}/paths/{histories.folder_of(restored)}outputs"
        entry: Object = {"jobInputType": "uri_folder", "uri": uri, "mode": "Download"}
        made["inputs"] = {**wire.obj(made["inputs"]), INPUT: entry}
        made["command"] = PREFIX + wire.text(made["command"])
    return {"properties": {**made, "properties": properties, "isArchived": False}}


def _output(name: str, key: str, given: Object, *, anew: bool) -> Object:
    uri = wire.text(given.get("uri"))
    if anew and (not uri or name in uri):
        return {field: value for field, value in given.items() if field != "uri"}
    # The service's own address of an output without one (Azure ML documentation, "Output path"); the emulator tells it.
    default = f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/{key}/"
    return {**given, "uri": uri or default}


def _users(properties: Object) -> Object:
    """Return what of a job's properties is not the service's own or an attempt's."""
    return {
        key: value
        for key, value in properties.items()
        if key.startswith(CLIENT_PREFIX) or not (key.startswith(SERVICE_PREFIXES) or key in SERVICE_PROPERTIES)
    }


_FOLDER = ".trainyard-restore"
PREFIX = (
    # The first of this machine's processes copies, and the others wait for it: mkdir is who is first.
    f"if mkdir {_FOLDER} 2>/dev/null; then "
    f'if mkdir -p outputs logs && cp -R "${{{{inputs.{INPUT}}}}}"/. outputs/ && chmod -R u+w outputs '
    f"&& echo restored > {MARKER}; then touch {_FOLDER}/done; else touch {_FOLDER}/failed; fi; fi; "
    f"while [ ! -e {_FOLDER}/done ]; do if [ -e {_FOLDER}/failed ]; then "
    "echo 'The outputs of the attempt before could not be restored.' >&2; exit 1; fi; sleep 0.1; done; "
)
"""Shell text without a word of the user's: brings `outputs/` back before the user's own command begins."""
