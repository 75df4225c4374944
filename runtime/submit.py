"""Submit a job: from a file to a run that goes on without us.

Everything that can be wrong in the files is found first, and leaves no trace. Then the intent is committed, then side
effects follow, each idempotent, so that a process killed anywhere leaves a run that the next command can judge.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from runtime import crash, events, names, outputs, snapshot, submitters
from runtime.clock import stamp
from runtime.control_plane import ControlPlane
from runtime.errors import (
    ConnectionLostError,
    NotDeployedError,
    Problem,
    SpecError,
    SubmissionError,
    SubmissionUnknownError,
    TargetError,
    TrainyardError,
)
from runtime.events import Event
from runtime.jobfile import open_job
from runtime.records import Record
from runtime.runs import Run, cancel
from runtime.site import Site, Submission, open_site
from specs.compute import AmlComputeTarget, ComputeInstanceTarget, LocalTarget, VirtualMachineTarget
from specs.outputs import StackOutputs
from specs.stack import LOCAL

if TYPE_CHECKING:
    from runtime.access import Access
    from runtime.events import OnEvent
    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Kind
    from specs.compute import Target
    from specs.job import CommandJob

SERVERLESS = "serverless"
OPTION = "--target"
TRIES = 8


def submit(  # noqa: PLR0913 - the public face: two nouns, and keywords that all have a default but two
    job: Path | CommandJob,
    target: str | None = None,
    *,
    stack: str | StackOutputs | None,
    project: Project,
    access: Access | None = None,
    on_event: OnEvent = events.silent,
    site: Site | None = None,
) -> Run:
    """Submit a job to a target of a stack, or to `local`, and return its run without waiting for it.

    Raises: `SpecError` and `NotDeployedError` (nothing was done), `SubmissionError`, `RefusedError` and
    `ConnectionLostError` (it certainly did not start), `SubmissionUnknownError` (look for it by its id).
    """
    source = open_job(job)
    known, stack_name = _outputs(project, stack)
    where = choose(source, target, known, stack_name, on_event)
    here = site or open_site(project)
    if access is not None:
        here.planes[access.cloud] = ControlPlane(access, clock=here.clock)
    plan = _plan(source, project)
    submitters.of(_kind(where)).check(source, where, project)
    record = _intent(here, source, where, known, plan)
    say = _one_at_a_time(on_event)
    for warning in plan.warnings if plan else ():
        say(Event("note", warning))
    return _launch(here, Submission(record, source, where, plan, say))


def _one_at_a_time(on_event: OnEvent) -> OnEvent:
    """Let the threads of a submission speak one after the other."""
    lock = threading.Lock()

    def say(event: Event) -> None:
        with lock:
            on_event(event)

    return say


def _outputs(project: Project, stack: str | StackOutputs | None) -> tuple[StackOutputs | None, str | None]:
    if stack is None or isinstance(stack, StackOutputs):
        return stack, stack.stack if stack else None
    try:
        return outputs.load(project, stack), stack
    except NotDeployedError:
        return None, stack


def choose(
    source: JobFile, asked: str | None, known: StackOutputs | None, stack: str | None, on_event: OnEvent = events.silent
) -> Target:
    """Decide where a job runs: the option, else the job's compute, else the stack's default, which is then said.

    Raises `SpecError` naming the targets that there are, `NotDeployedError` for a stack that was never brought up.
    """
    given = asked or source.job.compute
    name = (given or SERVERLESS).removeprefix("azureml:")
    if name == LOCAL:
        return known.local if known else LocalTarget(name=LOCAL)
    if known is None:
        if stack is None:
            message = f"no stack is chosen, so there is only {LOCAL}. Allowed: {LOCAL}."
            raise _unknown(source, asked, message)
        raise NotDeployedError(stack, "was never brought up here, so its targets are not known")
    if name == SERVERLESS:
        name = known.default_target
        why = "asks for serverless compute" if given else "names no compute"
        on_event(Event("target", f"{name}, the default of stack {known.stack}: the job {why}"))
    by_id = {target.id.lower(): target for target in known.targets.values()}
    found = by_id.get(name.lower()) or known.target(name)
    if found is None:
        raise _unknown(source, asked, f"no such target in stack {known.stack}. Allowed: {', '.join(known.names())}.")
    return found


def _kind(target: Target) -> Kind:
    """Return the kind of a target that runs jobs. Raises `TargetError` for one that doesn't yet."""
    match target:
        case AmlComputeTarget() | ComputeInstanceTarget() | LocalTarget():
            return target.kind
        case VirtualMachineTarget():
            message = f"{target.name} is a VirtualMachine, and jobs can't be sent to one yet. Nothing was sent."
            raise TargetError(f"{message}\n  To log in to it: invoke ssh {target.name}")
        case _:
            assert_never(target)


def _unknown(source: JobFile, asked: str | None, message: str) -> SpecError:
    if asked is not None:
        return SpecError([Problem(OPTION, 0, 0, "target", message, given=f'"{asked}"', rule="unknown-target")])
    given = f'"{source.job.compute}"' if source.job.compute else None
    return source.wrong(("compute",), message, given=given, rule="unknown-target")


def _plan(source: JobFile, project: Project) -> snapshot.Snapshot | None:
    folder = source.code
    if not isinstance(folder, Path):
        return None
    return snapshot.plan(folder, cache=project.data / "snapshots", shown=os.path.relpath(folder))


def _intent(
    site: Site, source: JobFile, target: Target, known: StackOutputs | None, plan: snapshot.Snapshot | None
) -> Record:
    """Commit the intent under an id that no other run of this store has."""
    job, file = source.job, source.document.file
    folder = source.base.name
    experiment = job.experiment_name or folder or "Default"
    deployed = None if isinstance(target, LocalTarget) else target
    record = Record(
        id="x",
        kind=_kind(target),
        target=target.name,
        experiment=experiment,
        token=secrets.token_hex(16),
        created=stamp(site.clock.now()),
        stack=known.stack if known else None,
        cloud=known.cloud if known and deployed else None,
        workspace_id=known.workspaces[deployed.workspace].id if known and deployed else None,
        job=file,
        display_name=job.display_name,
        snapshot=plan.id if plan else None,
    )
    for attempt in range(TRIES):
        named = record.model_copy(update={"id": job.name or names.propose(job.experiment_name or folder, attempt)})
        if site.store.insert(named):
            crash.point("intent")
            return named
        if job.name:
            message = "this project already has a run of that name. Choose another, or leave the field out."
            raise source.wrong(("name",), message, given=f'"{job.name}"', rule="run-name")
    raise SubmissionError("no free name for the run was found. Submit again")


def _launch(site: Site, submission: Submission) -> Run:
    record, driver = submission.record, submitters.of(submission.record.kind)
    submission.on_event(Event("run", f"{record.id} → {record.target}"))
    try:
        with site.store.submitting(record.id):
            driver.launch(site, submission)
            crash.point("acknowledged")
    except SubmissionUnknownError:
        raise
    except ConnectionLostError as lost:
        site.store.update(record.id, state="Failed", reason=f"not submitted: {lost}")
        raise SubmissionError(f"{lost}. The run was not started; submit it again") from None
    except TrainyardError as error:
        site.store.update(record.id, state="Failed", reason=f"not submitted: {str(error).splitlines()[0]}")
        raise
    except KeyboardInterrupt:
        _interrupted(site, record)
        raise
    run = Run(site.store.get(record.id) or record, site)
    submission.on_event(Event("sent", run.state))
    return cancel(run) if run.record.cancel_requested else run


def _interrupted(site: Site, record: Record) -> None:
    """Note a Ctrl-C: before the job was sent nothing runs; afterwards the truth is asked by the next command."""
    current = site.store.get(record.id)
    if current is not None and current.phase == "intent":
        site.store.update(record.id, state="Failed", reason="not submitted: interrupted from the keyboard")
