"""Runs on a cluster or an instance: the same REST calls as azure-ai-ml's, and the workspace's job as the truth.

The run's id is the job's name. Everything before the PUT of the job is found again by content when it is repeated; the
PUT itself goes out once, and what became of an unanswered one is asked by name.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from runtime import assets, attempts, clock, crash, distribution, inputs, job_body, placing, wire
from runtime import history as histories
from runtime.clock import stamp
from runtime.control_plane import path
from runtime.errors import ConnectionLostError, RefusedError, SubmissionError, SubmissionUnknownError
from runtime.events import Event, size
from runtime.events import files as count_files
from runtime.job_body import TOKEN
from runtime.site import Look
from specs.outputs import SERVERLESS
from specs.targets import AmlComputeTarget, ComputeInstanceTarget

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.control_plane import ControlPlane
    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Record
    from runtime.site import Options, Site, Submission
    from runtime.wire import Object
    from specs.targets import Target

CANCEL = "2023-04-01-preview"
"""Jobs_Cancel."""
COMPUTES = "2023-08-01-preview"
SETTLE_S = 10.0
"""How long an unanswered PUT is asked after."""
LATE_S = 60.0
"""A job that isn't there so long after an unanswered PUT was never accepted."""
metrics, params, history, files = histories.metrics, histories.params, histories.series, histories.files


def check(source: JobFile, target: Target, _project: Project, options: Options) -> None:
    """Find what the workspace would refuse, as far as the files tell. Raises `SpecError`, `TargetError`."""
    placing.exact_elsewhere(target, exact=options.exact)
    assets.check_environment(source)
    if isinstance(source.code, str):
        assets.code_id("", source.code, source)
    for name, given in source.data.items():
        source.local(name, given)
    inputs.check(source, "ComputeInstance" if isinstance(target, ComputeInstanceTarget) else "AmlCompute")
    if (fault := distribution.fault(source.job)) is not None:
        raise source.wrong(("distribution",), fault, rule="distribution")
    wanted = source.job.resources.instance_count
    most = target.max_node_count if isinstance(target, AmlComputeTarget) else wanted
    if wanted > most:
        message = f"{target.name} has at most {most} nodes. Lower it, or raise max_node_count in the stack's file."
        raise source.wrong(("resources", "instance_count"), message, given=str(wanted), rule="node-count")


def launch(site: Site, submission: Submission) -> None:
    """Send what the workspace lacks, all at once, then the job."""
    record, plane = submission.record, site.plane(submission.record)
    crash.point("snapshot")
    with ThreadPoolExecutor(1, thread_name_prefix="nodes") as pool:
        before = pool.submit(nodes, site, record)
        ids, words = _prepare(plane, submission)
    store = site.store
    current = store.get(record.id)
    if current is not None and current.cancel_requested:
        store.update(record.id, state="Canceled", reason="canceled before it was sent")
        return
    body = job_body.body(submission.source, ids, _laid_out(submission))
    named = ids.environment.partition("/environments/")[2] or ids.environment
    store.update(
        record.id,
        phase="sending",
        sent=stamp(site.clock.now()),
        environment=words if named.startswith(assets.ANONYMOUS) else named,
        nodes_before=before.result(),
        git=submission.git(),
    )
    send(site, record, body)


def send(site: Site, record: Record, body: Object) -> None:
    """PUT the job, once. Raises `SubmissionError`, `SubmissionUnknownError`, `RefusedError`."""
    address, plane = f"{record.workspace_id}{path('jobs', record.id)}", site.plane(record)
    try:
        document = plane.put_once(address, body, job_body.API, lambda: crash.point("put-sent"))
    except ConnectionLostError as lost:
        if not lost.unknown:
            raise SubmissionError(f"{lost}. The run was not started") from None
        document = _settle(site, record, str(lost))
    if _token(document) != record.token:
        raise SubmissionError(
            f"the workspace already has a job named {record.id}. Submit again, or choose another name"
        )
    state = histories.to_state(wire.at(document, "properties", "status"))
    site.store.update(record.id, phase="acknowledged", state=state)


def _prepare(plane: ControlPlane, submission: Submission) -> tuple[job_body.Ids, str]:
    """Bring code, environment and data there, several at a time; return their ids, and what the environment is.

    Raises the first failure.
    """
    source, record = submission.source, submission.record
    workspace = record.workspace_id or ""
    with ThreadPoolExecutor(4, thread_name_prefix="prepare") as pool:
        code = pool.submit(_code, plane, submission)
        environment = pool.submit(assets.environment, plane, workspace, source)
        data = {name: pool.submit(_data, plane, submission, name) for name in source.data}
        environment_id, words = environment.result()
        submission.on_event(Event("environment", words))
        crash.point("environment")
        code_id = code.result()
        uris = {name: future.result() for name, future in data.items()}
    crash.point("uploaded")
    target = "" if submission.target.kind == "Local" else submission.target.id
    compute = "" if target == workspace else target  # serverless compute has no id of its own
    known = {**submission.git(), attempts.RETRY: record.retry}
    ids = job_body.Ids(compute, environment_id, code_id, uris, record.token, record.experiment, known)
    return ids, words


def _laid_out(submission: Submission) -> distribution.Layout:
    """Return how the job's processes are laid out; say it where one machine stands for several nodes."""
    most = 1 if isinstance(submission.target, ComputeInstanceTarget) else None
    found = distribution.layout(submission.source.job, most)
    if said := distribution.note(found, submission.target.name):
        submission.on_event(Event("note", said))
    return found


def _code(plane: ControlPlane, submission: Submission) -> str | None:
    plan, given = submission.snapshot, submission.source.code
    if plan is None:
        workspace = submission.record.workspace_id or ""
        return assets.code_id(workspace, given, submission.source) if isinstance(given, str) else None
    progress = _Progress(submission, "snapshot", plan.size)
    found, sent = assets.code(plane, submission.record.workspace_id or "", plan, progress)
    words = f"{size(sent)} sent" if sent else "already there, nothing sent"
    submission.on_event(Event("snapshot", f"{count_files(len(plan.files))}, {words}"))
    return found


def _data(plane: ControlPlane, submission: Submission, name: str) -> str:
    source, workspace = submission.source, submission.record.workspace_id or ""
    given = source.data[name]
    local: Path | None = source.local(name, given)
    if local is None:
        return assets.resolve_data(plane, workspace, name, given.path or "", source)
    uri, sent = assets.data(plane, workspace, local, given.datastore)
    submission.on_event(Event("data", f"{name}: {f'{size(sent)} sent' if sent else 'already there, nothing sent'}"))
    return uri


class _Progress:
    """Adds up what the threads have sent."""

    def __init__(self, submission: Submission, topic: str, total: int) -> None:
        self.submission, self.topic, self.total, self.done = submission, topic, total, 0
        self.lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self.lock:
            self.done += count
            self.submission.on_event(Event("upload", self.topic, self.done, self.total))


def _settle(site: Site, record: Record, why: str) -> Object:
    """Find out what became of a PUT without an answer. Raises `SubmissionUnknownError` when it can't be known yet."""
    deadline = site.clock.monotonic() + SETTLE_S
    while site.clock.monotonic() < deadline:
        try:
            document = histories.job(site, record)
        except (ConnectionLostError, RefusedError):
            document = None
        if document is not None:
            return document
        site.clock.sleep(0.5)
    raise SubmissionUnknownError(record.id, why)


def _token(document: Object) -> str:
    return wire.text(wire.at(document, "properties", "properties", TOKEN))


def look(site: Site, record: Record) -> Look:
    """Ask the workspace. A job that was never acknowledged is found by name and token, never sent again."""
    return _acknowledged(site, record) if record.phase == "acknowledged" else _unacknowledged(site, record)


def _acknowledged(site: Site, record: Record) -> Look:
    try:
        found = histories.details(site, record)
    except RefusedError as refused:
        if not histories.is_gone(refused):
            raise
        return Look("Unknown", reason="its workspace is gone (destroyed?)", lost=True)
    if found is None:
        document = histories.job(site, record)
        if document is None:
            return Look("Unknown", reason="its workspace no longer knows it (destroyed?)", lost=True)
        return Look(histories.to_state(wire.at(document, "properties", "status")))
    if found.logs or found.state in {"NotStarted", "Queued"}:
        return found
    try:
        return replace(found, logs=histories.logs_in_store(site, record))
    except RefusedError:
        return found


def _unacknowledged(site: Site, record: Record) -> Look:
    submitting = site.store.is_submitting(record.id)
    asked = record.phase == "sending" or record.attempt > 1
    document = histories.job(site, record) if asked else None
    if document is not None and _token(document) == record.token:
        if record.attempt > 1:
            attempts.heard(site, record)
        return _acknowledged(site, record)
    if submitting:
        return Look(record.state, phase=record.phase)
    waited = clock.seconds_between(record.sent, stamp(site.clock.now())) or 0.0
    late = record.phase == "intent" or waited >= LATE_S
    if record.attempt > 1:
        return _between(site, record, late=late)
    if document is None and not late:
        reason = f"sent {waited:.0f} s ago without an answer; the workspace doesn't have it yet"
        return Look(record.state, reason=reason, phase=record.phase)
    if record.cancel_requested:
        return Look("Canceled", reason="canceled before the workspace accepted it")
    return Look(
        "Failed",
        reason="the submission was interrupted before the workspace accepted the job; nothing ran. Submit it again",
    )


def _between(site: Site, record: Record, *, late: bool) -> Look:
    """Judge a run whose next attempt the workspace does not have: its driver makes it, unless the user canceled."""
    if record.cancel_requested and late and attempts.close(site, record):
        reason = f"canceled after attempt {record.attempt - 1} was preempted"
        return Look("Canceled", reason=reason, phase=record.phase)
    return Look("Queued", reason=record.reason, phase=record.phase)


def read_log(site: Site, record: Record, address: str, offset: int) -> bytes:
    """Return what a log holds from an offset on."""
    return histories.read_log(site.plane(record), address, offset)


def nodes(site: Site, record: Record) -> int | None:
    """Return how many nodes the cluster has right now (Compute_Get); None for an instance, or when we may not know."""
    if record.target == SERVERLESS:
        return None
    try:
        found = site.plane(record).find(f"{record.workspace_id}{path('computes', record.target)}", COMPUTES)
    except RefusedError:
        return None
    count = wire.at(found, "properties", "properties", "currentNodeCount")
    return count if isinstance(count, int) else None


def cancel(site: Site, record: Record) -> None:
    """Ask the workspace to cancel the job; harmless when it has ended or was never accepted."""
    if record.phase == "intent":
        return
    try:
        site.plane(record).post(f"{record.workspace_id}{path('jobs', record.job_name, 'cancel')}", {}, CANCEL)
    except RefusedError as refused:
        if refused.status != histories.NOT_FOUND:
            raise
