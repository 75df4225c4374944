"""`runs.retry`: a new run from the job of another one, whatever became of that.

What a workspace ran is made again from the workspace's own document, code and environment: no local file is needed.
What this machine ran comes from its job file while that is unchanged, else from the run's own folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from node import launch, layout
from runtime import attempts, driver, job_secrets, machines, names, outputs, snapshot, wire
from runtime import history as histories
from runtime.clock import stamp
from runtime.errors import (
    ConnectionLostError,
    NotFoundError,
    SpecError,
    SubmissionError,
    SubmissionUnknownError,
    TargetError,
    TrainyardError,
)
from runtime.events import Event, silent
from runtime.job_body import TOKEN
from runtime.jobfile import open_job
from runtime.runs import Run
from runtime.site import Options
from runtime.submit import TRIES, submit
from runtime.submitters import aml_compute
from specs.targets import AmlComputeTarget, ComputeInstanceTarget

if TYPE_CHECKING:
    from runtime.events import OnEvent
    from runtime.records import Record
    from runtime.site import Site
    from runtime.wire import Object

LOCAL = "local"


def retry(run: Run, target: str | None = None, *, restore: bool = False, on_event: OnEvent = silent) -> Run:
    """Submit the job of a run again, to the same target or another; `restore`: with its outputs brought back first.

    The values of its secrets were kept nowhere, so they are taken from this shell again.
    Raises as `runtime.submit.submit`; `TargetError` where the job can't be had, or can't run there.
    """
    if run.record.kind in {"AmlCompute", "ComputeInstance"}:
        return _in_workspace(run, target, on_event, restore=restore)
    again = Options(
        secrets=job_secrets.from_shell(run.record.secrets, os.environ), allow_secrets=run.record.allow_secrets
    )
    if run.record.kind == "Local" and target in {None, LOCAL}:
        return _here(run, on_event, again, restore=restore)
    if restore:
        message = "left its outputs on its machine, and a run elsewhere can't begin with them. Leave --restore out"
        raise TargetError(f"{run.id} {message}")
    return _from_file(run, target or run.target, on_event, again)


def _in_workspace(run: Run, target: str | None, say: OnEvent, *, restore: bool) -> Run:
    """Repeat a workspace's job by its own document."""
    site, record = run.site, run.record
    document = histories.job_named(site, record, record.id)
    if document is None:
        raise NotFoundError(f"the workspace no longer has the job {record.id}, so there is nothing to repeat")
    made = record if target is None else _moved(site, record, target)
    restored = None
    if restore:
        restored = attempts.source(site, record.model_copy(update={"attempt": record.attempt + 1}))
        words = f"begins with the outputs of {restored}" if restored else f"{run.id} left no outputs to begin with"
        say(Event("note", words))
    made = _intent(site, record, made)
    say(Event("run", f"{made.id} → {made.target}: the job of {record.id}, as its workspace keeps it"))
    ours = {TOKEN: made.token, attempts.RETRY: made.retry}
    properties = wire.obj(attempts.again(document, record.id, ours, restored, anew=True)["properties"])
    if target is not None:
        properties["computeId"] = f"{made.workspace_id}/computes/{made.target}"
    _send(site, made, {"properties": properties})
    now = site.store.get(made.id) or made
    if trouble := driver.ensure(site, now):
        say(Event("note", trouble))
    say(Event("sent", now.state))
    return Run(now, site)


def _moved(site: Site, record: Record, target: str) -> Record:
    """Return the record with another target of the same workspace. Raises `TargetError`, `SpecError`."""
    if record.stack is None:
        raise TargetError(f"{record.id} was found in its workspace: no stack here says what {target} is. Leave it out")
    known = outputs.load(site.project, record.stack)
    found = machines.find(known, target)
    there = known.workspaces[found.workspace].id if isinstance(found, AmlComputeTarget | ComputeInstanceTarget) else ""
    if not there or there.lower() != (record.workspace_id or "").lower():
        raise TargetError(
            f"{target} is outside the workspace that keeps the job of {record.id} and its code. To run it there, "
            f"submit the job's file: invoke submit {record.job or 'FILE'} --target {target}"
        )
    spot = isinstance(found, AmlComputeTarget) and found.vm_priority == "LowPriority"
    changes = {"target": found.name, "kind": found.kind, "retry": "preemption" if spot else "none"}
    return record.model_copy(update=changes)


def _intent(site: Site, record: Record, like: Record) -> Record:
    """Commit the intent of a run that repeats another, under a name that is free."""
    kept = {"kind", "target", "experiment", "stack", "cloud", "workspace_id", "job", "display_name", "snapshot"}
    kept |= {"environment", "git", "parameters", "retry", "fidelity", "secrets", "allow_secrets"}
    values = {name: getattr(like, name) for name in kept}
    for attempt in range(TRIES):
        fresh = {
            "id": names.propose(record.experiment, attempt, shared=record.kind != "Local"),
            "token": secrets.token_hex(16),
            "created": stamp(site.clock.now()),
            "retried_from": record.id,
        }
        made = type(record).model_validate({**values, **fresh})
        if site.store.insert(made, mark=True):
            return made
    raise SubmissionError("no free name for the run was found. Repeat the command")


def _send(site: Site, made: Record, body: Object) -> None:
    """PUT the job, as a submission does."""
    with site.store.submitting(made.id):
        site.store.update(made.id, phase="sending", sent=stamp(site.clock.now()))
        try:
            aml_compute.send(site, made, body)
        except ConnectionLostError as lost:
            site.store.update(made.id, state="Failed", reason=f"not submitted: {lost}")
            raise SubmissionError(f"{lost}. The run was not started; repeat the command") from None
        except SubmissionUnknownError:
            raise
        except TrainyardError as error:
            site.store.update(made.id, state="Failed", reason=f"not submitted: {error.gist}")
            raise


def _here(run: Run, say: OnEvent, again: Options, *, restore: bool) -> Run:
    """Repeat a run of this machine."""
    folder = run.site.store.attempt_folder(run.record)
    left = layout.outputs_dir(folder)
    options = replace(again, restore=str(left) if restore and left.is_dir() else None)
    if _unchanged(run, folder):
        return _from_file(run, LOCAL, say, options)
    try:
        kept = layout.read_json(folder / layout.JOB)
    except ValueError:
        kept = None
    if kept is None:
        message = "its job file has changed or is gone, and its folder holds no job: there is nothing to repeat"
        raise NotFoundError(
            f"{run.id}: {message}. Submit the file as it is now: invoke submit {run.record.job or 'FILE'}"
        )
    made = _intent(run.site, run.record, run.record)
    say(Event("run", f"{made.id} → {LOCAL}: from the folder of {run.id}, with its code as that run left it"))
    _begin(run, made, kept, options)
    return Run(run.site.store.get(made.id) or made, run.site)


def _begin(run: Run, made: Record, kept: Object, options: Options) -> None:
    """Copy what the run had into a folder of its own, and start it."""
    store, old = run.site.store, run.site.store.attempt_folder(run.record)
    new = store.attempt_folder(made)
    left_out = () if options.restore else layout.COLLECTED
    top = str(layout.workdir(old))
    with store.submitting(made.id):
        try:
            layout.private_dir(new)
            shutil.copytree(
                top,
                layout.workdir(new),
                symlinks=True,
                ignore=lambda folder, found: set(left_out) & set(found) if folder == top else set(),
                dirs_exist_ok=True,
            )
            layout.create(new, {**kept, "run_id": made.id, "attempt": 1, "created": made.created})
            store.update(made.id, phase="sending", sent=stamp(run.site.clock.now()))
            launch.start(new, secrets=options.secrets)
        except (OSError, launch.LaunchError) as error:
            store.update(made.id, state="Failed", reason=f"not submitted: {error}")
            raise SubmissionError(f"{made.id} was not started: {error}") from None
        store.update(made.id, phase="acknowledged")


def _file(run: Run) -> Path | None:
    """Return the run's job file, which was named from where the command ran, most often the project's folder."""
    given = run.record.job
    found = [path for path in (Path(given), run.site.project.root / given) if path.is_file()] if given else []
    return found[0] if found else None


def _unchanged(run: Run, folder: Path) -> bool:
    """Tell whether the job file still makes the job that ran: the same command, values, variables and code."""
    record, file = run.record, _file(run)
    try:
        kept = layout.read_json(folder / layout.JOB)
        if kept is None or file is None:
            return False
        source = open_job(file)
        code = source.code
        shown = os.path.relpath(code) if isinstance(code, Path) else ""
        plan = snapshot.plan(code, allow_secrets=record.allow_secrets, shown=shown) if isinstance(code, Path) else None
    except (SpecError, OSError, ValueError):
        return False
    same_code = (plan.id if plan else None) == record.snapshot
    variables = dict(source.job.environment_variables)
    told = (source.job.command, variables, dict(source.literals))
    return same_code and told == (kept.get("command"), kept.get("environment_variables"), record.parameters)


def _from_file(run: Run, target: str, say: OnEvent, options: Options) -> Run:
    """Submit the job file again."""
    record, file = run.record, _file(run)
    if file is None:
        lacking = f"{record.job} is not there" if record.job else "it had none"
        raise NotFoundError(f"{run.id} can be repeated on {target} from its job file only, and {lacking}")
    say(Event("note", f"from {file}"))
    made = submit(
        file,
        target,
        stack=record.stack,
        project=run.site.project,
        site=run.site,
        options=options,
        on_event=say,
    )
    kept = run.site.store.update(made.id, retried_from=run.id)
    return Run(kept or made.record, run.site)
