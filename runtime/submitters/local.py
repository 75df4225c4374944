"""Runs on this machine: a folder under the run store, filled by the node supervisor, which outlives us.

The store and that folder are the record. The supervisor's lock is the run's life; what is left of a dead one is settled
here, by whichever command looks first.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, cast

from node import control, layout, processes, reading
from node import launch as node_launch
from node import status as statuses
from runtime import clock as clocks
from runtime import crash, distribution, local_data, paths, placing, snapshot
from runtime.clock import stamp
from runtime.errors import NotFoundError, SubmissionError
from runtime.events import Event
from runtime.site import Look, Point, RunFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.jobfile import JobFile
    from runtime.local_data import Gathered
    from runtime.placing import Place
    from runtime.project import Project
    from runtime.records import Record, State
    from runtime.site import Metrics, Options, Site, Submission
    from runtime.wire import Object
    from specs.targets import Target

NAMED_OUTPUTS = "named-outputs"
"""What Azure lists named outputs as."""
CHUNK = 1 << 20


def check(source: JobFile, target: Target, project: Project, options: Options) -> None:
    """Find what this machine can't do for a job. Raises `SpecError`, `TargetError`."""
    if isinstance(source.code, str):
        message = "is code that a workspace keeps, and this machine runs local folders only. Give a local folder."
        raise source.wrong(("code",), message, given=source.job.code, rule="code")
    fault = distribution.fault(source.job)
    if fault is not None:
        raise source.wrong(("distribution",), fault, rule="distribution")
    able = placing.probe_here(source, fresh=options.exact)
    placing.place(project, source, target, able, exact=options.exact)
    local_data.check(source)


def ignored(source: JobFile, environment: Object) -> list[str]:
    """Name what the job asks of a container, where it runs in none. Other fields: `specs.job_support`. Pure."""
    if environment.get("image"):
        return []
    asked = source.job.resources
    fields = {"resources.shm_size": asked.shm_size, "resources.docker_args": asked.docker_args}
    return [f"{name} is ignored: the job runs in no container here" for name, value in fields.items() if value]


def launch(site: Site, submission: Submission) -> None:
    """Copy the snapshot, write the job, start the supervisor; returns when that one holds its lock."""
    run_dir = site.store.attempt_folder(submission.record)
    try:
        layout.private_dir(run_dir)
        with node_launch.stand_by(run_dir, secrets=submission.options.secrets) as standby:
            how = _prepare(site, submission, run_dir)
            site.store.update(
                submission.record.id,
                phase="sending",
                sent=stamp(site.clock.now()),
                environment=how.words,
                fidelity=how.fidelity,
            )
            standby.begin()
    except node_launch.LaunchError as error:
        raise SubmissionError(str(error)) from None
    except OSError as error:
        raise SubmissionError(f"{run_dir} can't be written: {error.strerror}. The run was not started") from None
    crash.point("put-sent")
    site.store.update(submission.record.id, phase="acknowledged")


def _prepare(site: Site, submission: Submission, run_dir: Path) -> Place:
    """Fill the run's folder, and say what is different from Azure."""
    record, source, say = submission.record, submission.source, submission.on_event
    able, exact = placing.probe_here(source), submission.options.exact
    how = placing.place(site.project, source, submission.target, able, exact=exact)
    gathered = local_data.gather(site, submission)
    _write(run_dir, submission, gathered, describe(record, source, how, gathered.values))
    say(Event("environment", how.words))
    folded = distribution.note(distribution.layout(source.job, 1), "this machine")
    for note in (
        *how.notes,
        *ignored(source, how.environment),
        *local_data.notes(source),
        *([folded] if folded else []),
    ):
        say(Event("note", note))
    crash.point("environment")
    crash.point("uploaded")
    return how


def _write(run_dir: Path, submission: Submission, gathered: Gathered, document: Object) -> None:
    """Fill the run's folder. Raises: OSError."""
    if submission.snapshot is not None:
        snapshot.copy(submission.snapshot, layout.workdir(run_dir))
    else:
        layout.private_dir(layout.workdir(run_dir))
    local_data.copy_inputs(gathered, run_dir)
    restored = submission.options.restore
    if restored is not None:
        local_data.restore(restored, layout.outputs_dir(run_dir))
    crash.point("snapshot")
    layout.create(run_dir, document)


def describe(record: Record, source: JobFile, how: Place, inputs: Object) -> Object:
    """Build the supervisor's `job.json`."""
    limit = source.job.limits.timeout
    return {
        "run_id": record.id,
        "attempt": record.attempt,
        "experiment": record.experiment,
        "command": source.job.command,
        "code": layout.CODE,
        "inputs": inputs,
        "outputs": local_data.outputs_of(source),
        "environment_variables": dict(source.job.environment_variables),
        "environment": how.environment,
        "limits": how.limits,
        "distribution": distribution.describe(distribution.layout(source.job, 1)),
        "timeout_s": limit.total_seconds() if limit else None,
        "tags": dict(source.job.tags),
        "created": record.created,
        **named_secrets(record),
    }


def named_secrets(record: Record) -> Object:
    """Return what `job.json` says of secrets: their names, so that no supervisor runs the job without them. Pure."""
    return {"secrets": [*record.secrets]} if record.secrets else {}


def look(site: Site, record: Record) -> Look:
    """Read the run's folder; settle a run whose supervisor, or whose submission, died."""
    run_dir = site.store.attempt_folder(record)
    submitting = site.store.is_submitting(record.id)
    try:
        status = reading.status(run_dir)
        if status.terminal:
            status = control.settle(run_dir)
        elif status.state == statuses.NOT_STARTED and not submitting:
            return _never_started(site, record, run_dir)
    except ValueError as error:
        return Look("Unknown", reason=f"the run's folder is damaged: {error}", lost=True)
    started = status.times.get("running") or status.times.get("preparing")
    duration = status.duration_s
    if duration is None and not status.terminal:
        duration = clocks.seconds_between(status.times.get("running"), stamp(site.clock.now()))
    return Look(
        state=cast("State", status.state),
        reason=status.reason,
        started=started,
        ended=status.times.get("ended"),
        duration_s=duration,
        exit_code=status.exit_code,
        phase=record.phase if status.state == statuses.NOT_STARTED else "acknowledged",
        logs={name: name for name in layout.logs(run_dir)},
    )


def _never_started(site: Site, record: Record, run_dir: Path) -> Look:
    """Judge a run without a status and without a submitter."""
    if processes.is_locked(run_dir / layout.LOCK):
        return Look("NotStarted", phase=record.phase)
    if statuses.read(run_dir) is not None:
        return look(site, record)  # it began, and even ended, between two looks
    if run_dir.is_dir():
        # A supervisor that is only now starting ends at once when it finds this.
        control.cancel(run_dir, "the submission was interrupted")
    if record.cancel_requested:
        return Look("Canceled", reason="canceled before it started")
    who = "supervisor died" if record.phase == "acknowledged" else "submission was interrupted"
    return Look("Failed", reason=f"the {who} before the run started; nothing ran. Submit it again")


def metrics(site: Site, record: Record) -> Metrics:
    """Return the last value of each metric."""
    return reading.last_metrics(site.store.attempt_folder(record))


def params(site: Site, record: Record) -> dict[str, str]:
    """Return the parameters that the job logged."""
    return reading.params(site.store.attempt_folder(record))


def history(site: Site, record: Record, key: str) -> list[Point]:
    """Return every value of one metric."""
    found = reading.metrics(site.store.attempt_folder(record))
    return [Point(metric.value, metric.step, metric.timestamp) for metric in found if metric.key == key]


def read_log(site: Site, record: Record, address: str, offset: int) -> bytes:
    """Return what a log holds from an offset on."""
    try:
        with (site.store.attempt_folder(record) / address).open("rb") as log:
            log.seek(offset)
            return log.read(CHUNK)
    except FileNotFoundError:
        return b""


def nodes(_site: Site, _record: Record) -> int | None:
    """Return None: this machine has no nodes that come and go."""
    return None


def cancel(site: Site, record: Record) -> None:
    """Ask the supervisor to end the run; a run that never started is settled by the next look."""
    run_dir = site.store.attempt_folder(record)
    if run_dir.is_dir():
        control.cancel(run_dir, "canceled by the user")


def files(site: Site, record: Record) -> list[RunFile]:
    """List outputs, named outputs and logs, also those that a run is still writing."""
    run_dir = site.store.attempt_folder(record)
    if not run_dir.is_dir():
        raise NotFoundError(f"{record.id} left no files: it never started")
    found = list[RunFile]()
    for name in layout.COLLECTED:
        found += _below(layout.workdir(run_dir) / name, name)
    found += _below(run_dir / local_data.NAMED, NAMED_OUTPUTS)
    for log in layout.logs(run_dir):
        found += _file(log, run_dir / log)
    return found


def place(site: Site, record: Record, name: str) -> Path:
    """Return where what `files` lists under this name, or below it, is on this machine."""
    run_dir = site.store.attempt_folder(record)
    first, _, rest = name.partition("/")
    if first in layout.COLLECTED:
        return layout.workdir(run_dir) / name
    return run_dir / local_data.NAMED / rest if first == NAMED_OUTPUTS else run_dir / name


def _below(folder: Path, prefix: str) -> Iterator[RunFile]:
    for name, path in paths.files_below(folder):
        yield from _file(f"{prefix}/{name}", path)


def _file(name: str, path: Path) -> Iterator[RunFile]:
    """Yield a file, unless a run that goes on has just taken it away."""
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        yield RunFile(name, found.st_size, partial(paths.chunks, path), f"{found.st_mtime_ns}-{found.st_size}")
