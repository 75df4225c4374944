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

from runtime import crash, events, git, job_secrets, names, outputs, snapshot, submitters
from runtime.clock import stamp
from runtime.control_plane import ControlPlane
from runtime.errors import (
    ConnectionLostError,
    NotDeployedError,
    Problem,
    SpecError,
    SubmissionError,
    SubmissionUnknownError,
    TrainyardError,
)
from runtime.events import Event
from runtime.jobfile import open_job
from runtime.records import Record
from runtime.runs import Run, cancel
from runtime.site import Options, Site, Submission, open_site
from specs import job_support
from specs.outputs import SERVERLESS, StackOutputs
from specs.targets import LOCAL, AmlComputeTarget, ComputeInstanceTarget, LocalTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.access import Access
    from runtime.events import OnEvent
    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Kind, Retry
    from specs.job import CommandJob
    from specs.targets import Target

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
    options: Options = Options(),  # noqa: B008 - frozen
    overrides: Sequence[str] = (),
) -> Run:
    """Submit a job to a target of a stack, or to `local`, and return its run without waiting for it.

    `overrides`: `PATH=VALUE` each, on top of the job, as `az ml job create --set` has them.
    Raises: `SpecError` and `NotDeployedError` (nothing was done), `SubmissionError`, `RefusedError` and
    `ConnectionLostError` (it certainly did not start), `SubmissionUnknownError` (look for it by its id).
    """
    source = open_job(job, overrides=overrides)
    code = source.code
    asked = git.in_background(code if isinstance(code, Path) else source.base if code is None else None)
    known, stack_name = _outputs(project, stack)
    where = choose(source, target, known, stack_name, on_event)
    here = site or open_site(project)
    if access is not None:
        here.planes[access.cloud] = ControlPlane(access, clock=here.clock)
    job_secrets.check(source, where.name, kind_of(where), options.secrets)
    allowed = job_secrets.in_file(source, options.allow_secrets)
    plan = _plan(source, project, options)
    submitters.of(kind_of(where)).check(source, where, project, options)
    record = _intent(here, source, _draft(source, where, known, plan), options)
    say = _one_at_a_time(on_event)
    for text in (*(plan.warnings if plan else ()), *allowed, *_notes(source, record.kind)):
        say(Event("note", text))
    return _launch(here, Submission(record, source, where, plan, say, options, asked))


def _notes(source: JobFile, kind: Kind) -> Iterator[str]:
    """Say what of the job has no effect."""
    for name in source.job.absent():
        yield f"the job gives no input {name}: the optional argument of the command that names it is left out"
    for name, value in source.literals.items():
        if value.startswith("azureml:"):
            yield f"inputs.{name} is text to the command, as in az ml. For the data itself: {name}: {{path: {value}}}"
    yield from job_support.notes(source.job, kind)


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
        why = "asks for serverless compute" if given else "names no compute"
        if workspace := known.serverless():
            on_event(Event("target", f"{SERVERLESS}, the compute of workspace {workspace} itself: the job {why}"))
            return _serverless(source, workspace, known.workspaces[workspace].id)
        name = known.default_target
        on_event(Event("target", f"{name}, the default of stack {known.stack}: the job {why}"))
    by_id = {target.id.lower(): target for target in known.targets.values()}
    found = by_id.get(name.lower()) or known.target(name)
    if found is None:
        raise _unknown(source, asked, f"no such target in stack {known.stack}. Allowed: {', '.join(known.names())}.")
    return found


def _serverless(source: JobFile, workspace: str, id_: str) -> AmlComputeTarget:
    """Return a workspace's own compute as a target: nodes of the size that the job asks for, as many as it asks for.

    It has no ARM id of its own: its id is the workspace's.
    """
    job = source.job
    size = job.resources.instance_type
    spot = job.queue_settings is not None and job.queue_settings.job_tier == "spot"
    return AmlComputeTarget(
        name=SERVERLESS,
        id=id_,
        workspace=workspace,
        vm_size=size if isinstance(size, str) else "",
        vm_priority="LowPriority" if spot else "Dedicated",
        min_node_count=0,
        max_node_count=job.resources.instance_count,
    )


def _retry(source: JobFile, target: Target) -> Retry:
    """Return what is done again: where nodes can be taken away, by default what a preemption ended."""
    if not isinstance(target, AmlComputeTarget):
        return "none"
    return source.job.retry or ("preemption" if target.vm_priority == "LowPriority" else "none")


def kind_of(target: Target) -> Kind:
    """Return the kind of a target, all of which run jobs."""
    match target:
        case AmlComputeTarget() | ComputeInstanceTarget() | VirtualMachineTarget() | LocalTarget():
            return target.kind
        case _:
            assert_never(target)


def _unknown(source: JobFile, asked: str | None, message: str) -> SpecError:
    if asked is not None:
        return SpecError([Problem(OPTION, 0, 0, "target", message, given=f'"{asked}"', rule="unknown-target")])
    given = f'"{source.job.compute}"' if source.job.compute else None
    return source.wrong(("compute",), message, given=given, rule="unknown-target")


def _plan(source: JobFile, project: Project, options: Options) -> snapshot.Snapshot | None:
    folder = source.code
    if not isinstance(folder, Path):
        return None
    return snapshot.plan(
        folder, cache=project.data / "snapshots", allow_secrets=options.allow_secrets, shown=os.path.relpath(folder)
    )


def _draft(source: JobFile, target: Target, known: StackOutputs | None, plan: snapshot.Snapshot | None) -> Record:
    """Return the record of a run that has no id, token or moment yet."""
    job, file = source.job, source.document.file
    experiment = job.experiment_name or source.base.name or "Default"
    deployed = None if isinstance(target, LocalTarget) else target
    return Record(
        id="x",
        kind=kind_of(target),
        target=target.name,
        experiment=experiment,
        token="",
        created="",
        stack=known.stack if known else None,
        cloud=known.cloud if known and deployed else None,
        workspace_id=known.workspaces[deployed.workspace].id if known and deployed else None,
        job=file,
        display_name=job.display_name,
        snapshot=plan.id if plan else None,
        parameters=source.literals,
        retry=_retry(source, target),
    )


def _intent(site: Site, source: JobFile, draft: Record, options: Options) -> Record:
    """Commit the intent under an id that no other run of this store has."""
    job, folder = source.job, source.base.name
    own: dict[str, object] = {
        "token": secrets.token_hex(16),
        "created": stamp(site.clock.now()),
        "secrets": tuple(sorted(options.secrets)),
        "allow_secrets": options.allow_secrets,
    }
    record = draft.model_copy(update=own)
    for attempt in range(TRIES):
        proposed = names.propose(job.experiment_name or folder, attempt, shared=record.kind != "Local")
        named = record.model_copy(update={"id": job.name or proposed})
        if site.store.insert(named, mark=True):
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
        site.store.update(record.id, state="Failed", reason=f"not submitted: {error.gist}")
        raise
    except KeyboardInterrupt:
        _interrupted(site, record)
        raise
    current = site.store.get(record.id) or record
    found = submission.git()
    if found and not current.git:
        current = site.store.update(record.id, git=found) or current
    run = Run(current, site)
    if current.retry == "preemption":
        from runtime import driver as drivers

        if trouble := drivers.ensure(site, current):
            submission.on_event(Event("note", trouble))
    submission.on_event(Event("sent", run.state))
    return cancel(run) if run.record.cancel_requested else run


def _interrupted(site: Site, record: Record) -> None:
    """Note a Ctrl-C: before the job was sent nothing runs; afterwards the truth is asked by the next command."""
    current = site.store.get(record.id)
    if current is not None and current.phase == "intent":
        site.store.update(record.id, state="Failed", reason="not submitted: interrupted from the keyboard")
