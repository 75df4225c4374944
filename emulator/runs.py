"""One run on its node, seen from the cluster: launched, observed, collected, ended.

Every step can be repeated after a crash: files are uploaded before the status becomes terminal, and only then does the
cluster remove the run's folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import collect, jobrecords, materialise, ml, runstore
from emulator.routing import Refusal
from node import control, layout, processes, reading
from node import launch as supervisor
from node import status as statuses

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from node.status import Status

LOG = logging.getLogger(__name__)
USER_ERROR, SYSTEM_ERROR = "UserError", "ServiceError"
NOTICE_S = 1.0
FIDELITY, NOTES = "trainyard.environment", "trainyard.environment.notes"


def launch(cloud: Cloud, record: Record, run_dir: Path, node_ids: list[str]) -> None:
    """Put the run on its node and start its supervisor; a job that can't be had ends Failed with the reason."""
    now = ml.stamp(cloud.now())
    jobrecords.update(cloud, record.job_id, status="Preparing", run_dir=str(run_dir), node_ids=node_ids, started=now)
    try:
        plan = materialise.build(cloud, record, run_dir)
        supervisor.start(run_dir)
    except Refusal as refusal:
        end_now(cloud, record, "Failed", refusal.message, refusal.code)
        return
    except (OSError, supervisor.LaunchError) as error:
        end_now(cloud, record, "Failed", f"the run could not be started on its node: {error}", SYSTEM_ERROR)
        return
    properties = {FIDELITY: plan.fidelity, NOTES: "; ".join(plan.notes)}
    after = jobrecords.update(cloud, record.job_id, properties)
    if after is not None and after.cancel_requested:
        control.cancel(run_dir, "canceled by the user")


def observe(cloud: Cloud, record: Record) -> None:
    """Bring the record up to what the node says; a run that ended is collected and gets its terminal status."""
    run_dir = Path(record.run_dir or "")
    if not run_dir.is_dir():
        end_now(cloud, record, "Failed", "the run's folder on its node is gone", SYSTEM_ERROR)
        return
    now = reading.status(run_dir)
    if now.terminal:
        _finish(cloud, record, run_dir, control.settle(run_dir))
    elif now.state == statuses.NOT_STARTED and not processes.is_locked(run_dir / layout.LOCK):
        end_now(cloud, record, "Failed", "the run's supervisor died before it began", SYSTEM_ERROR)
    else:
        shown = "Preparing" if now.state == statuses.NOT_STARTED else now.state
        status = "CancelRequested" if record.cancel_requested else shown
        if status != record.status:
            began = _stamp(now.times.get("running"), record.started)
            jobrecords.update(cloud, record.job_id, status=status, started=began)


def relaunch(cloud: Cloud, record: Record) -> bool:
    """Start again what a killed emulator was about to start: nothing of the run was executed. True when it did."""
    run_dir = Path(record.run_dir or "")
    if record.run_dir is None or statuses.read(run_dir) is not None or processes.is_locked(run_dir / layout.LOCK):
        return False
    launch(cloud, record, run_dir, record.node_ids)
    return True


def finished(record: Record) -> bool:
    """Tell whether the node wrote the run's end itself."""
    if record.run_dir is None:
        return False
    written = statuses.read(Path(record.run_dir)) if Path(record.run_dir).is_dir() else None
    return written is not None and written.terminal


def _finish(cloud: Cloud, record: Record, run_dir: Path, final: Status) -> None:
    jobrecords.update(cloud, record.job_id, status="Finalizing")
    _collect(cloud, record, run_dir)
    properties = {"trainyard.exit_code": str(final.exit_code)} if final.exit_code is not None else {}
    if final.environment is not None:
        properties["trainyard.environment.id"] = final.environment.id
        properties["trainyard.environment.cached"] = str(final.environment.cached).lower()
    times = final.times
    jobrecords.update(
        cloud,
        record.job_id,
        properties,
        status=final.state,
        started=_stamp(times.get("running") or times.get("preparing"), record.started),
        ended=_stamp(times.get("ended"), ml.stamp(cloud.now())),
        exit_code=final.exit_code,
        reason=_reason(final),
        error_code=USER_ERROR if final.state == statuses.FAILED else None,
    )


def _reason(final: Status) -> str | None:
    if final.state != statuses.FAILED:
        return final.reason
    if final.reason:
        return final.reason
    return f"Execution failed. User process exited with status code {final.exit_code}. See user_logs/std_log.txt."


def _collect(cloud: Cloud, record: Record, run_dir: Path) -> None:
    try:
        collect.collect(cloud, record, run_dir)
    except (Refusal, OSError):
        LOG.exception("the files of %s could not be stored", record.name)
    with contextlib.suppress(Refusal):
        runstore.collected(cloud, record, run_dir)


def end_now(cloud: Cloud, record: Record, status: str, reason: str, code: str | None = None) -> None:
    """Give a job its terminal status from the cluster's side; what is on its node so far is kept and shown."""
    run_dir = Path(record.run_dir) if record.run_dir else None
    if run_dir is not None and run_dir.is_dir():
        kill(run_dir)
        _collect(cloud, record, run_dir)
    jobrecords.update(
        cloud,
        record.job_id,
        status=status,
        ended=ml.stamp(cloud.now()),
        reason=reason,
        error_code=code or (SYSTEM_ERROR if status == "Failed" else None),
    )


def notice(record: Record) -> None:
    """Send a run's processes the notice of an eviction (SIGTERM) and wait a moment, where Azure waits half a minute."""
    status = _status(Path(record.run_dir)) if record.run_dir else None
    if status is None or status.job is None or not _lives(status):
        return
    processes.send(processes.members(status.job.pgid), signal.SIGTERM)
    deadline = time.monotonic() + NOTICE_S
    while _lives(status) and time.monotonic() < deadline:
        time.sleep(0.02)


def kill(run_dir: Path) -> None:
    """End a run's supervisor and all its processes at once, and settle what is written."""
    status = _status(run_dir)
    if status is None or status.terminal or status.supervisor is None:
        return
    who = processes.Identity(status.supervisor.pid, status.supervisor.start_time, status.supervisor.boot_id)
    if processes.is_alive(who):
        with contextlib.suppress(ProcessLookupError):
            os.kill(who.pid, signal.SIGKILL)
        _gone(run_dir)
    if status.job is not None and _lives(status):
        processes.send(processes.members(status.job.pgid), signal.SIGKILL)
    control.settle(run_dir)


def _gone(run_dir: Path) -> None:
    """Wait until the kernel has let go of the killed supervisor's lock, which takes a moment."""
    deadline = time.monotonic() + 5
    while processes.is_locked(run_dir / layout.LOCK) and time.monotonic() < deadline:
        time.sleep(0.01)


def _lives(status: Status) -> bool:
    if status.job is None or status.supervisor is None:
        return False
    who = processes.Identity(status.job.pid, status.job.start_time, status.supervisor.boot_id)
    return processes.is_alive(who)


def _status(run_dir: Path) -> Status | None:
    try:
        return statuses.read(run_dir)
    except (OSError, ValueError):
        return None


def _stamp(written: str | None, otherwise: str | None) -> str | None:
    return ml.stamp(ml.moment(written)) if written else otherwise
