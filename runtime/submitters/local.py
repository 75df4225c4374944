"""Runs on this machine: a folder under the run store, filled by the node supervisor, which outlives us.

The store and that folder are the record. The supervisor's lock is the run's life; what is left of a dead one is settled
here, by whichever command looks first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from node import control, layout, processes, reading
from node import launch as node_launch
from node import status as statuses
from runtime import clock as clocks
from runtime import crash, environments, paths, snapshot
from runtime.clock import stamp
from runtime.errors import NotFoundError, SubmissionError, TargetError
from runtime.events import Event
from runtime.project import cache_folder
from runtime.site import Look, Point, RunFile
from specs.compute import LocalTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Record, State
    from runtime.site import Metrics, Site, Submission
    from runtime.wire import Object
    from specs.compute import Target

LOGS = (layout.BUILD_LOG, layout.USER_LOG)
NAMED, NAMED_OUTPUTS = "named", "named-outputs"
"""Where named outputs are, and what Azure lists them as."""
CHUNK = 1 << 20
GIB = 1 << 30


def check(source: JobFile, target: Target, project: Project) -> None:
    """Find what this machine can't do for a job. Raises `SpecError`, `TargetError`."""
    if isinstance(source.code, str):
        message = "is code that a workspace keeps, and this machine runs local folders only. Give a local folder."
        raise source.wrong(("code",), message, given=source.job.code, rule="code")
    _place(project, source, target)
    _data(source)


@dataclass(frozen=True, slots=True)
class _Place:
    """How this machine runs a job: its environment and its limits."""

    environment: Object
    limits: Object
    words: str
    """What the environment is, and how true to the job file."""
    notes: tuple[str, ...]


def _place(project: Project, source: JobFile, target: Target) -> _Place:
    """Decide the environment: the user's own interpreter as it is, or one that is built and kept.

    Raises: `SpecError`; `TargetError` where there is no such interpreter.
    """
    local = target if isinstance(target, LocalTarget) else LocalTarget(name=target.name)
    memory = local.memory_gib
    limits: Object = {"cpus": local.cpus, "memory_bytes": int(memory * GIB) if memory else None}
    if local.interpreter:
        interpreter = str(_from(project, local.interpreter))
        if not os.access(interpreter, os.X_OK):
            raise TargetError(
                f"local.interpreter of the stack is {interpreter}, which is missing or not executable here. "
                "Change it in the stack's file, then: invoke up"
            )
        note = f"the job's environment is not built: it runs with {interpreter} as it is (local.interpreter)"
        return _Place({"interpreter": interpreter}, limits, f"user-managed: {interpreter}", (note,))
    found = environments.resolve(source.job.environment, source.base, source.document)
    own = local.environments_folder
    kept = _from(project, own) if own else cache_folder() / "environments"
    built: Object = {"python": found.python, "pip": list(found.pip), "interpreter": None, "cache": str(kept)}
    return _Place(built, limits, f"{found.fidelity}: {', '.join(found.pip) or 'no packages'}", found.notes)


def _from(project: Project, path: str) -> Path:
    """Read a path of a stack's file: `~` is the home, a relative one begins at the project."""
    return project.root / Path(path).expanduser()


def ignored(source: JobFile) -> list[str]:
    """Name what the job asks for and this machine has no use for. Pure."""
    job = source.job
    fields = {
        "resources.instance_type": job.resources.instance_type,
        "resources.shm_size": job.resources.shm_size,
        "resources.docker_args": job.resources.docker_args,
        "identity": job.identity,
        **{f"inputs.{name}.mode": given.mode for name, given in source.data.items() if given.mode != "ro_mount"},
        **{f"outputs.{name}.path": given.path for name, given in job.outputs.items() if given},
    }
    return [f"{name} has no meaning on this machine and is ignored" for name, value in fields.items() if value]


def launch(site: Site, submission: Submission) -> None:
    """Copy the snapshot, write the job, start the supervisor; returns when that one holds its lock."""
    record, source, say = submission.record, submission.source, submission.on_event
    run_dir = site.store.attempt_folder(record)
    how = _place(site.project, source, submission.target)
    document = describe(record, source, how.environment, how.limits)
    try:
        layout.private_dir(run_dir)
        if submission.snapshot is not None:
            snapshot.copy(submission.snapshot, layout.workdir(run_dir))
        else:
            layout.private_dir(layout.workdir(run_dir))
        crash.point("snapshot")
        layout.create(run_dir, document)
    except OSError as error:
        raise SubmissionError(f"{run_dir} can't be written: {error.strerror}. The run was not started") from None
    for note in (*how.notes, *ignored(source)):
        say(Event("note", note))
    crash.point("environment")
    crash.point("uploaded")
    site.store.update(record.id, phase="sending", sent=stamp(site.clock.now()), environment=how.words)
    try:
        node_launch.start(run_dir)
    except node_launch.LaunchError as error:
        raise SubmissionError(str(error)) from None
    crash.point("put-sent")
    site.store.update(record.id, phase="acknowledged")


def describe(record: Record, source: JobFile, environment: Object, limits: Object) -> Object:
    """Build the supervisor's `job.json`. Raises `SpecError` for an input that only a workspace can reach."""
    inputs: Object = {name: {"value": value} for name, value in source.literals.items()}
    inputs |= {name: {"path": str(path.absolute())} for name, path in _data(source).items()}
    limit = source.job.limits.timeout
    return {
        "run_id": record.id,
        "attempt": record.attempt,
        "experiment": record.experiment,
        "command": source.job.command,
        "code": layout.CODE,
        "inputs": inputs,
        "outputs": {name: {"path": f"{NAMED}/{name}"} for name in source.job.outputs},
        "environment_variables": dict(source.job.environment_variables),
        "environment": environment,
        "limits": limits,
        "timeout_s": limit.total_seconds() if limit else None,
        "tags": dict(source.job.tags),
        "created": record.created,
    }


def _data(source: JobFile) -> dict[str, Path]:
    found = dict[str, "Path"]()
    for name, given in source.data.items():
        path = source.local(name, given)
        if path is None:
            message = "is in the cloud, and this machine reads local inputs only. Give a local path, or another target."
            raise source.wrong(("inputs", name, "path"), message, given=given.path, rule="input-local")
        found[name] = path
    return found


def look(site: Site, record: Record) -> Look:
    """Read the run's folder; settle a run whose supervisor, or whose submission, died."""
    run_dir = site.store.attempt_folder(record)
    submitting = site.store.is_submitting(record.id)
    try:
        status = reading.status(run_dir)
        if status.terminal:
            status = control.settle(run_dir)
        elif status.state == statuses.NOT_STARTED and not submitting:
            return _never_started(record, run_dir)
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
        logs={name: name for name in LOGS if (run_dir / name).is_file()},
    )


def _never_started(record: Record, run_dir: Path) -> Look:
    """Judge a run without a status and without a submitter."""
    if processes.is_locked(run_dir / layout.LOCK):
        return Look("NotStarted", phase=record.phase)
    if run_dir.is_dir():
        # A supervisor that is only now starting ends at once when it finds this.
        control.cancel(run_dir, "the submission was interrupted")
    if record.cancel_requested:
        return Look("Canceled", reason="canceled before it started")
    return Look("Failed", reason="the submission was interrupted before the run started; nothing ran. Submit it again")


def metrics(site: Site, record: Record) -> Metrics:
    """Return the last value of each metric."""
    return reading.last_metrics(site.store.attempt_folder(record))


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
    """List outputs, named outputs and logs."""
    run_dir = site.store.attempt_folder(record)
    if not run_dir.is_dir():
        raise NotFoundError(f"{record.id} left no files: it never started")
    found = list[RunFile]()
    for name in layout.COLLECTED:
        found += _below(layout.workdir(run_dir) / name, name)
    found += _below(run_dir / NAMED, NAMED_OUTPUTS)
    for log in LOGS:
        path = run_dir / log
        if path.is_file():
            found.append(_file(log, path))
    return found


def place(site: Site, record: Record, name: str) -> Path:
    """Return where what `files` lists under this name, or below it, is on this machine."""
    run_dir = site.store.attempt_folder(record)
    first, _, rest = name.partition("/")
    if first in layout.COLLECTED:
        return layout.workdir(run_dir) / name
    return run_dir / NAMED / rest if first == NAMED_OUTPUTS else run_dir / name


def _below(folder: Path, prefix: str) -> Iterator[RunFile]:
    for name, path in paths.files_below(folder):
        yield _file(f"{prefix}/{name}", path)


def _file(name: str, path: Path) -> RunFile:
    return RunFile(name, path.stat().st_size, partial(paths.chunks, path))
