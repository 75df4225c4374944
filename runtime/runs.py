"""Runs as their owner sees them: look, wait, stream, cancel, download, compare, also from another clone.

The record in the store is intent and cache; the truth is asked of whoever runs the job, by `runtime.submitters`.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runtime import adopting, attempts, crash, outputs, submitters
from runtime import history as histories
from runtime.errors import ConnectionLostError, NotFoundError, RefusedError, TargetError, TrainyardError
from runtime.loglines import ALL
from runtime.records import TERMINAL, Record
from runtime.retry import Policy
from runtime.site import Look, Site, open_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime.control_plane import ControlPlane
    from runtime.downloads import Downloaded
    from runtime.events import OnEvent
    from runtime.loglines import Wanted
    from runtime.project import Project
    from runtime.records import State
    from runtime.site import Metrics, Point
    from runtime.wire import Object

PARALLEL = 8
QUICK = Policy(total_s=10.0, connect_s=1.0)
"""A list of runs doesn't wait long for a service that is away."""
WAIT_FIRST_S, WAIT_MORE, WAIT_MOST_S = 0.1, 1.5, 2.0
WAIT_LOCAL_S, WAIT_MORE_LOCAL = 0.005, 1.2
"""A look at a run of this machine reads two files; a service is asked more gently."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job, as last seen. Operations return a newer one; this one never changes."""

    record: Record
    site: Site
    stale: str | None = None
    """Why the truth could not be asked; None when it was."""

    def __repr__(self) -> str:
        return f"<Run {self.id} on {self.target}: {self.state}>"

    @property
    def id(self) -> str:
        """Its name; in a workspace the job's."""
        return self.record.id

    @property
    def state(self) -> State:
        """One of Azure's job states."""
        return self.record.state

    @property
    def target(self) -> str:
        """Where it runs."""
        return self.record.target

    @property
    def experiment(self) -> str:
        """What it is compared under."""
        return self.record.experiment

    @property
    def created(self) -> str:
        """When it was submitted, ISO 8601 UTC."""
        return self.record.created

    @property
    def duration_s(self) -> float | None:
        """How long it has run, or ran; None before its start."""
        return self.record.duration_s

    @property
    def metrics(self) -> Metrics:
        """Last value by name, as last seen."""
        return self.record.metrics

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self.record.terminal

    def document(self) -> Object:
        """Return it for `--json`: `id state target experiment created duration_s metrics` and what else is known."""
        shown = self.record.model_dump(
            mode="json", exclude={"token", "metrics_final", "cancel_sent", "phase", "nodes_before", "lost"}
        )
        return {**shown, "stale": self.stale}

    def refresh(self) -> Run:
        """Ask the truth and keep what it says. Raises `ConnectionLostError`, `RefusedError`."""
        return refresh(self)

    def wait(self, timeout_s: float | None = None) -> Run:
        """Block until the end. Raises `TargetError` when that takes longer than asked for."""
        return wait(self, timeout_s)

    def stream(
        self,
        write: Callable[[bytes], object],
        *,
        on_event: OnEvent | None = None,
        terminal: bool = False,
        wanted: Wanted = ALL,
    ) -> Run:
        """Write the logs as they are written, to the end of the run. See `runtime.stream.stream`."""
        from runtime.stream import stream

        return stream(self, write, on_event=on_event, terminal=terminal, wanted=wanted)

    def cancel(self) -> Run:
        """Ask for its end; never lost, safe to repeat."""
        return cancel(self)

    def download(self, destination: Path, *, follow: bool = False, on_event: OnEvent | None = None) -> Downloaded:
        """Fetch its outputs and logs: what is new or changed since the last time. See `runtime.downloads.download`."""
        from runtime.downloads import download

        return download(self, destination, follow=follow, on_event=on_event)

    def history(self, key: str) -> list[Point]:
        """Return every value of one metric, in the order of logging."""
        return submitters.of(self.record.kind).history(self.site, self.record, key)


def observe(run: Run, *, drive: bool = True) -> tuple[Run, Look]:
    """Ask the truth once; keep it, and act on a wish to cancel that has not been acted on.

    A preemption becomes the next attempt's intent, or the run's end. `drive`: see that somebody makes that attempt.
    """
    record, site = run.record, run.site
    submitter = submitters.of(record.kind)
    found = submitter.look(site, record)
    if record.cancel_requested and not record.cancel_sent and found.state not in TERMINAL:
        submitter.cancel(site, record.model_copy(update={"phase": found.phase}))
        if found.phase == "acknowledged":
            site.store.update(record.id, {"attempt": record.attempt}, cancel_sent=True)
    kept = _keep(site, record, found)
    seen = kept or record
    if seen.cancel_requested and seen.attempt > record.attempt and attempts.between(seen):
        return observe(replace(run, record=seen), drive=drive)  # the wish is acted on now, not by the next command
    if (seen.attempt, seen.state) != (record.attempt, found.state):
        # The attempt is over, or what was asked about is: the logs at hand are no longer the run's.
        found = Look(seen.state, reason=seen.reason, phase=seen.phase, lost=found.lost, notes=found.notes)
    if not seen.terminal:
        seen = seen.model_copy(update={"duration_s": found.duration_s})
    if seen.terminal and seen.kind == "AmlCompute":
        from runtime import temporary

        temporary.release(site, seen)
    if drive and seen.retry == "preemption":
        from runtime import driver

        trouble = driver.ensure(site, seen)
        found = replace(found, notes=(*found.notes, trouble)) if trouble else found
    return replace(run, record=seen, stale=None), found


def _keep(site: Site, record: Record, found: Look) -> Record | None:
    """Write down what was found, unless the run has moved on since it was asked about; return it as it is now."""
    expected: dict[str, object] = {"attempt": record.attempt, "phase": record.phase}
    if attempts.repeats(record, found):
        expected["cancel_requested"] = record.cancel_requested
        kept = site.store.update(record.id, expected, **attempts.after(record, found))
        crash.point("attempt-intent")
        return kept
    return site.store.update(
        record.id,
        expected,
        state=found.state,
        reason=found.reason,
        started=found.started,
        ended=found.ended,
        # That of a running run changes with every look; it is shown, not kept.
        duration_s=found.duration_s if found.state in TERMINAL else None,
        exit_code=found.exit_code,
        phase=found.phase,
        lost=found.lost,
    )


def refresh(run: Run) -> Run:
    """Ask the truth and keep what it says; an ended run with its metrics is not asked again."""
    if run.terminal and run.record.metrics_final:
        return run
    seen = run
    if not run.terminal:
        seen, _ = observe(run)
    return with_metrics(seen)


def with_metrics(run: Run) -> Run:
    """Read the metrics and keep them, for good once the run has ended."""
    record = run.record
    if (record.phase != "acknowledged" and not record.attempts) or record.lost:
        return run
    try:
        driver = submitters.of(record.kind)
        found, logged = driver.metrics(run.site, record) or record.metrics, record.params
        if record.terminal:
            logged = driver.params(run.site, record)
        if record.attempt > 1:  # an attempt that goes on logs only what is new
            found = {**record.metrics, **found}
    except RefusedError as refused:
        if not (record.terminal and histories.is_gone(refused)):
            raise
        found, logged = record.metrics, record.params  # nobody can tell more than what was last seen
    kept = run.site.store.update(record.id, metrics=found, params=logged, metrics_final=record.terminal) or record
    return replace(run, record=kept.model_copy(update={"duration_s": kept.duration_s or record.duration_s}))


def wait(run: Run, timeout_s: float | None = None) -> Run:
    """Block until the end, asking less and less often, every two seconds at last."""
    clock, local = run.site.clock, run.record.kind == "Local"
    pause, more = (WAIT_LOCAL_S, WAIT_MORE_LOCAL) if local else (WAIT_FIRST_S, WAIT_MORE)
    deadline = None if timeout_s is None else clock.monotonic() + timeout_s
    while not run.terminal:
        run, found = observe(run)
        if found.lost:
            raise NotFoundError(f"{run.id}: {found.reason}")
        if run.terminal:
            break
        if deadline is not None and clock.monotonic() + pause > deadline:
            raise TargetError(f"{run.id} is still {run.state} after {timeout_s:g} s. It goes on: invoke logs {run.id}")
        clock.sleep(pause)
        pause = min(WAIT_MOST_S, pause * more)
    return refresh(run)


def cancel(run: Run) -> Run:
    """Write the wish down, then act on it; when the service can't be reached, the next command acts."""
    if run.terminal:
        return run
    kept = run.site.store.update(run.id, cancel_requested=True)
    wished = replace(run, record=kept or run.record)
    try:
        seen, found = observe(wished)
    except ConnectionLostError as lost:
        return replace(wished, stale=str(lost))
    if found.lost:
        raise NotFoundError(f"{run.id}: {found.reason}, so there is nothing to cancel")
    return seen


def list_runs(project: Project, *, site: Site | None = None, refreshed: bool = True) -> list[Run]:
    """List every run, the newest first. Those that have not ended are asked about, several at a time.

    A service that can't be asked makes its runs `stale`, which says why; it never fails the list. A run that its
    workspace no longer knows is not asked about again, but by whoever names it (`as_known`, `Run.refresh`).
    """
    here = site or open_site(project)
    runs = [Run(record, here) for record in reversed(here.store.all())]
    return asked(here, runs) if refreshed else runs


def asked(site: Site, runs: list[Run]) -> list[Run]:
    """Ask about each of these that has not ended, as `list_runs` does."""
    with _hurried(site, runs), ThreadPoolExecutor(PARALLEL, thread_name_prefix="refresh") as pool:
        listed = list(pool.map(_unless_lost, runs))
        _sweep(site)
    return listed


def _sweep(site: Site) -> None:
    """Have clusters deleted that were made for runs which are over, where there may be any."""
    if (site.project.data / "temporary").is_dir():
        from runtime import temporary

        temporary.sweep(site)  # what could not be done is tried again, and said by the next submission


def _unless_lost(run: Run) -> Run:
    return run if run.record.lost and run.record.kind != "Local" else _refreshed(run)


def as_known(run: Run) -> Run:
    """Refresh a run without ever failing: one that can't be asked about is returned as last seen, `stale` says why."""
    with _hurried(run.site, [run]):
        return _refreshed(run)


@contextlib.contextmanager
def _hurried(site: Site, runs: list[Run]) -> Iterator[None]:
    """Be less patient for a moment with the services that are about to be asked."""
    planes: list[ControlPlane] = []
    for cloud in {run.record.cloud for run in runs if not run.record.metrics_final and run.record.cloud}:
        with contextlib.suppress(TrainyardError):  # each of its runs says so itself
            planes.append(site.cloud(cloud))
    patience = [plane.policy for plane in planes]
    for plane in planes:
        plane.policy = QUICK
    try:
        yield
    finally:
        for plane, policy in zip(planes, patience, strict=True):
            plane.policy = policy


def _refreshed(run: Run) -> Run:
    try:
        return refresh(run)
    except TrainyardError as error:
        return replace(run, stale=str(error).splitlines()[0])


def find_run(project: Project, run_id: str, workspace: str | None = None, *, site: Site | None = None) -> Run:
    """Find a run in the store, else as a job of the given workspace, else of the workspaces of this project's stacks.

    Raises `NotFoundError`. Nothing is asked when the store has it.
    """
    here = site or open_site(project)
    known = here.store.get(run_id)
    if known is not None:
        return Run(known, here)
    asked = (
        [workspace]
        if workspace
        else [item.id for stack in outputs.stacks(project) for item in outputs.load(project, stack).workspaces.values()]
    )
    asked = list(dict.fromkeys(asked))
    for workspace_id in asked:
        record = _in_workspace(here, workspace_id, run_id)
        if record is not None:
            return Run(record, here)
    where = " or ".join(dict.fromkeys(item.rpartition("/")[2] for item in asked))
    hint = f"nor in the workspace {where}" if where else "and no workspace is known here: name one with --workspace ID"
    near = ", ".join(record.id for record in reversed(here.store.all()[-3:]))
    raise NotFoundError(f"no run {run_id} in this project, {hint}.{f' Last runs: {near}' if near else ''}")


def _in_workspace(site: Site, workspace_id: str, run_id: str) -> Record | None:
    """Ask a workspace for its job of that name, then for what machines reached by SSH told it; None for neither."""
    from runtime import mirror

    try:
        return adopting.adopt(site, workspace_id, run_id) or mirror.find(site, workspace_id, run_id)
    except RefusedError as refused:
        if refused.status != histories.NOT_FOUND:
            raise
        return None
