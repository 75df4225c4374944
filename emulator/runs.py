"""One run on its nodes, seen from the cluster: launched, observed, ended.

A run has a folder on each of its nodes and, but for mpi, a supervisor in each. It is Completed when all are; the first
that fails ends the others, and its reason is the run's. Every step can be repeated after a crash: files are stored
before the status becomes terminal, and only then does the cluster remove the run's folders.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from typing import TYPE_CHECKING

from emulator import collect, endings, jobrecords, materialise, ml, runstore
from emulator.routing import Refusal
from node import control, layout, processes, reading
from node import launch as supervisor
from node import status as statuses

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from node.status import Status

LOG = logging.getLogger(__name__)
USER_ERROR, SYSTEM_ERROR = "UserError", "ServiceError"
FIDELITY, NOTES = "trainyard.environment", "trainyard.environment.notes"
CANCELED = "canceled by the user"
PROGRESS = (statuses.NOT_STARTED, statuses.PREPARING, statuses.RUNNING, statuses.FINALIZING)
"""A run is where the last of its nodes is."""


def place(cloud: Cloud, record: Record, dirs: list[str], node_ids: list[str]) -> Record:
    """Give the run its nodes; durable before anything is written there."""
    placed = jobrecords.update(
        cloud,
        record.job_id,
        status="Preparing",
        run_dir=dirs[0],
        more_dirs=dirs[1:],
        node_ids=node_ids,
        started=ml.stamp(cloud.now()),
    )
    return placed or record


def launch(cloud: Cloud, record: Record, lock: AbstractContextManager[object]) -> None:
    """Fill the run's folders, then start its supervisors under the lock; what can't be had ends it, with the reason.

    Filling may take long and holds no lock: a run that was ended meanwhile leaves nothing behind.
    """
    try:
        plan = materialise.build(cloud, record)
        with lock:
            if _wanted(cloud, record):
                jobrecords.update(cloud, record.job_id, {FIDELITY: plan.fidelity, NOTES: "; ".join(plan.notes)})
                _start(cloud, record, record.led)
    except Refusal as refusal:
        end_now(cloud, record, "Failed", refusal.message, refusal.code)
    except (OSError, supervisor.LaunchError) as error:
        end_now(cloud, record, "Failed", f"the run could not be started on its node: {error}", SYSTEM_ERROR)
    finally:
        if not _wanted(cloud, record):
            discard(record)


def _wanted(cloud: Cloud, record: Record) -> bool:
    known = jobrecords.get(cloud, record.job_id)
    return known is not None and not known.terminal


def _start(cloud: Cloud, record: Record, dirs: list[Path]) -> None:
    """Start supervisors, in the order of the nodes; one that runs or has ended is left alone."""
    known = jobrecords.get(cloud, record.job_id) or record
    for run_dir in dirs:
        if known.cancel_requested:
            control.cancel(run_dir, CANCELED)
        supervisor.start(run_dir)
    known = jobrecords.get(cloud, record.job_id) or record
    if known.cancel_requested:  # meanwhile: whoever canceled may have come before the folders
        cancel(record)


def cancel(record: Record) -> None:
    """Ask the run to end, on all of its nodes."""
    for run_dir in record.led:
        if run_dir.is_dir():
            control.cancel(run_dir, CANCELED)


def discard(record: Record) -> None:
    """Remove the folders of a run that ended while they were being filled, on machines that may be gone as well."""
    for run_dir in record.dirs:
        shutil.rmtree(run_dir, ignore_errors=True)
        machine = run_dir.parent.parent
        if not (machine / "node.json").exists():
            shutil.rmtree(machine, ignore_errors=True)


def waiting(record: Record) -> list[Path]:
    """Return the folders whose supervisor was never started: nothing was executed there."""
    return [
        run_dir
        for run_dir in record.led
        if not processes.is_locked(run_dir / layout.LOCK) and statuses.read(run_dir) is None
    ]


def requeue(cloud: Cloud, record: Record) -> None:
    """Take the nodes of a run back, of which nothing was executed yet."""
    jobrecords.update(cloud, record.job_id, status="Queued", run_dir=None, more_dirs=[], node_ids=[], started=None)


def resume(cloud: Cloud, record: Record, dirs: list[Path]) -> None:
    """Start what a killed emulator had not yet started of a run; all folders were filled before the first start."""
    try:
        _start(cloud, record, dirs)
    except (OSError, supervisor.LaunchError) as error:
        end_now(cloud, record, "Failed", f"the run could not be started on its node: {error}", SYSTEM_ERROR)


def observe(cloud: Cloud, record: Record) -> None:
    """Bring the record up to what the nodes say; a run that ended is collected and gets its terminal status."""
    if not all(run_dir.is_dir() for run_dir in record.dirs):
        end_now(cloud, record, "Failed", "the run's folder on its node is gone", SYSTEM_ERROR)
        return
    seen = [reading.status(run_dir) for run_dir in record.led]
    if all(status.terminal for status in seen):
        _finish(cloud, record, [control.settle(run_dir) for run_dir in record.led])
    elif waiting(record):
        end_now(cloud, record, "Failed", "the run's supervisor died before it began", SYSTEM_ERROR)
    else:
        _end_others(record, seen)
        _look(cloud, record, seen)
        _show(cloud, record, seen)


def _end_others(record: Record, seen: list[Status]) -> None:
    """End the run on all nodes where it failed on one."""
    failed = [rank for rank, status in enumerate(seen) if status.terminal and status.state != statuses.COMPLETED]
    for run_dir, status in zip(record.led, seen, strict=True):
        if not failed:
            return
        if status.terminal:
            control.settle(run_dir)
        else:
            control.cancel(run_dir, f"the run ended on node {failed[0]}")


def _look(cloud: Cloud, record: Record, seen: list[Status]) -> None:
    """Store what the run has written so far. One that can't be stored must not stop the others."""
    if not any(status.state in {statuses.RUNNING, statuses.FINALIZING} for status in seen):
        return
    try:
        collect.look(cloud, record)
    except (Refusal, OSError) as error:
        LOG.warning("the files of %s could not be stored yet: %s", record.name, error)


def _show(cloud: Cloud, record: Record, seen: list[Status]) -> None:
    least = min(PROGRESS.index(status.state) if status.state in PROGRESS else len(PROGRESS) - 1 for status in seen)
    shown = "Preparing" if PROGRESS[least] == statuses.NOT_STARTED else PROGRESS[least]
    status = "CancelRequested" if record.cancel_requested else shown
    if status != record.status:
        began = _stamp(_first(seen, "running"), record.started)
        jobrecords.update(cloud, record.job_id, status=status, started=began)


def _first(seen: list[Status], name: str) -> str | None:
    return min((status.times[name] for status in seen if name in status.times), default=None)


def finished(record: Record) -> bool:
    """Tell whether all nodes wrote the run's end themselves."""
    written = [statuses.read(run_dir) if run_dir.is_dir() else None for run_dir in record.led]
    return bool(written) and all(status is not None and status.terminal for status in written)


def began(record: Record) -> bool:
    """Tell whether a supervisor began somewhere: before, folders may be half full, and hold nothing of the run's."""
    return any(run_dir.is_dir() and statuses.read(run_dir) is not None for run_dir in record.led)


def _finish(cloud: Cloud, record: Record, finals: list[Status]) -> None:
    jobrecords.update(cloud, record.job_id, status="Finalizing")
    _collect(cloud, record)
    rank, final = endings.decisive(finals)
    properties = {"trainyard.exit_code": str(final.exit_code)} if final.exit_code is not None else {}
    if final.environment is not None:
        properties["trainyard.environment.id"] = final.environment.id
        properties["trainyard.environment.cached"] = str(final.environment.cached).lower()
    ended = max((status.times["ended"] for status in finals if "ended" in status.times), default=None)
    jobrecords.update(
        cloud,
        record.job_id,
        properties,
        status=final.state,
        started=_stamp(_first(finals, "running") or _first(finals, "preparing"), record.started),
        ended=_stamp(ended, ml.stamp(cloud.now())),
        exit_code=final.exit_code,
        reason=endings.reason(final, rank if len(finals) > 1 else None),
        error_code=USER_ERROR if final.state == statuses.FAILED else None,
    )


def _collect(cloud: Cloud, record: Record, *, lost: bool = False) -> None:
    """Store the run's files; of one whose node is lost only the logs, which Azure had as they were written."""
    try:
        if lost or not began(record):
            collect.logs(cloud, record)
        else:
            collect.collect(cloud, record)
    except (Refusal, OSError):
        LOG.exception("the files of %s could not be stored", record.name)
    with contextlib.suppress(Refusal):
        runstore.collected(cloud, record)


def end_now(cloud: Cloud, record: Record, status: str, reason: str, code: str | None = None) -> None:
    """Give a job its terminal status from the cluster's side; what is on its nodes so far is kept and shown."""
    _end(cloud, record, (status, reason, code), lost=False)


def lose(cloud: Cloud, record: Record, status: str, reason: str, code: str | None = None) -> None:
    """End a job whose machine is taken away: of its outputs, what was stored before is all there is."""
    _end(cloud, record, (status, reason, code), lost=True)


def _end(cloud: Cloud, record: Record, how: tuple[str, str, str | None], *, lost: bool) -> None:
    status, reason, code = how
    if any(run_dir.is_dir() for run_dir in record.dirs):
        for run_dir in record.led:
            endings.kill(run_dir)
        _collect(cloud, record, lost=lost)
    cloud.uploaded.pop(record.job_id, None)
    jobrecords.update(
        cloud,
        record.job_id,
        status=status,
        ended=ml.stamp(cloud.now()),
        reason=reason,
        error_code=code or (SYSTEM_ERROR if status == "Failed" else None),
    )


def _stamp(written: str | None, otherwise: str | None) -> str | None:
    return ml.stamp(ml.moment(written)) if written else otherwise
