"""What has to be true of a run after a crash, seen by another process, and from an empty home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node import layout, processes
from runtime import hosts, submitters
from runtime.errors import NotFoundError, TrainyardError
from runtime.runs import Run, as_known, find_run
from runtime.site import open_site
from runtime.store import DATABASE, Store
from tests.jobs.stage import SAID, WITHIN_S, until
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.records import Record
    from runtime.site import Site
    from tests.jobs.stage import Stage, Task

NOTHING_RAN = ("nothing ran", "not submitted", "before it started", "before it was sent", "before it began",
               "could not be started")  # fmt: skip
"""Words of a reason that promise that the job was not executed."""
DIED = "supervisor"
"""Word of a reason that tells of a killed supervisor."""
REAPED_S = 8.0


@dataclass(frozen=True)
class Expected:
    """How a run may end."""

    canceled: str = ""
    """`here` or `elsewhere`, when it is canceled while it goes on for a minute."""
    elsewhere: bool = False
    """It is looked at from an empty home as well."""
    supervised: bool = True
    """Nobody killed its supervisor, so what was executed is Completed, or Canceled."""
    stored: bool = True
    """Its intent was committed for certain."""
    sent: bool | None = None
    """Whether it came to its target; None where that depends on the moment."""


@dataclass
class Verdict:
    """What was seen."""

    record: Record | None = None
    faults: list[str] = field(default_factory=list)
    hit: bool = True
    """Whether the kill came while the run was there."""

    @property
    def state(self) -> str:
        return self.record.state if self.record else "none"


def judge(stage: Stage, site: Site, task: Task, expected: Expected) -> Verdict:
    """Do what a user does after a crash: look, read the logs, cancel; then hold what came of it against the rules."""
    found = stage.found(site, task)
    if not found:
        return Verdict(None, ["the run is not in the store"] if expected.stored else [])
    if len(found) > 1:
        return Verdict(found[0], [f"{len(found)} runs of one submission: {[record.id for record in found]}"])
    verdict = Verdict(found[0])
    try:
        run = as_known(Run(found[0], site))
        if expected.canceled == "elsewhere":
            _cancel_elsewhere(stage, run)
        elif expected.canceled:
            run = run.cancel()
        ended = run.wait(WITHIN_S)
        verdict.record = ended.record
        verdict.faults += _wrong(stage, ended, expected)
        if expected.elsewhere and not expected.canceled:
            verdict.faults += _elsewhere(stage, ended)
    except TrainyardError as error:
        verdict.record = site.store.get(found[0].id)
        verdict.faults.append(f"{type(error).__name__}: {error}")
    return verdict


def _wrong(stage: Stage, ended: Run, expected: Expected) -> Iterator[str]:
    record, lines = ended.record, executed(stage, ended.id)
    reason = record.reason or ""
    if lines not in (0, 1):
        yield f"executed {lines} times"
    if not record.terminal:
        yield f"it is {record.state} at its end"
    if record.state == "Completed" and (lines != 1 or record.exit_code not in (0, None)):
        yield f"Completed with exit code {record.exit_code}, executed {lines} times"
    if lines and any(words in reason for words in NOTHING_RAN):
        yield f"executed, and said not to be: {reason}"
    if lines and expected.sent is False:
        yield "executed, though it was never sent"
    if not lines and expected.sent and not expected.canceled and not (DIED in reason and not expected.supervised):
        yield f"sent, and not executed: {record.state}: {reason}"
    wanted = {"Completed", "Canceled"} if expected.canceled else {"Completed"}
    if lines and expected.supervised and record.state not in wanted:
        yield f"executed, and {record.state}: {reason}"
    if not lines and record.state == "Failed" and not any(words in reason for words in (*NOTHING_RAN, DIED)):
        yield f"Failed without being executed: {reason}"
    if expected.canceled and record.state == "Completed":
        yield "Completed although it was canceled a minute before its end"
    if record.state == "Canceled" and not expected.canceled:
        yield f"Canceled by nobody: {reason}"
    if record.state == "Completed" and (log := _log(ended)) != SAID:
        yield f"its log is {log!r}"
    yield from _left(stage, ended)


def _left(stage: Stage, ended: Run) -> Iterator[str]:
    """Name what goes on, or is locked, after the end."""
    if not until(lambda: not stage.left(ended.id), REAPED_S):
        yield f"processes are left: {stage.left(ended.id)}"
    store = ended.site.store
    if store.is_submitting(ended.id):
        yield "it is still being submitted"
    lock = store.attempt_folder(ended.record) / layout.LOCK
    if not until(lambda: not processes.is_locked(lock), REAPED_S):  # who looks at it holds it for a moment
        yield "its lock is held"
    if store.lease(ended.id) is not None:
        yield "its lease is held"


def executed(stage: Stage, name: str) -> float:
    """Return how often a run wrote its line; a torn line is half of one."""
    path = stage.witness / name
    text = path.read_text() if path.exists() else ""
    whole = text.count(f"{name}\n")
    return whole if len(text) == whole * (len(name) + 1) else whole + 0.5


def _log(run: Run) -> bytes:
    submitter, name = submitters.of(run.record.kind), layout.USER_LOG
    address = submitter.look(run.site, run.record).logs[name]
    return submitter.read_log(run.site, run.record, address, 0)


def _cancel_elsewhere(stage: Stage, run: Run) -> None:
    """Cancel from an empty home where the workspace knows the run; else from here."""
    site = open_site(kit.a_project(stage.base / "homes" / run.id))
    try:
        find_run(site.project, run.id, kit.WORKSPACE, site=site).cancel()
    except NotFoundError:
        run.cancel()
    finally:
        hosts.close(site)


def _elsewhere(stage: Stage, ended: Run) -> Iterator[str]:
    """Look at a run from an empty home, which knows nothing but the workspace."""
    site = open_site(kit.a_project(stage.base / "homes" / ended.id))
    try:
        found = find_run(site.project, ended.id, kit.WORKSPACE, site=site)
        written = list[bytes]()
        seen = found.stream(written.append)
    except NotFoundError as error:
        if executed(stage, ended.id) and ended.record.phase == "acknowledged":
            yield f"not found from an empty home: {error}"
        return
    finally:
        hosts.close(site)
    if seen.state != ended.state:
        yield f"from an empty home it is {seen.state} ({seen.record.reason}), not {ended.state}"
    if seen.state == "Completed" and not b"".join(written).endswith(SAID):
        yield f"from an empty home its log is {b''.join(written)!r}"


def changed(stage: Stage, verdicts: list[Verdict]) -> list[str]:
    """Look once more at everything, when all is over: nothing has changed since it ended, nothing is left."""
    store = Store(stage.project)
    found = []
    for before in (verdict.record for verdict in verdicts if verdict.record is not None):
        after = store.get(before.id)
        if after is None:
            found.append(f"{before.id} is gone")
        elif (after.state, after.reason, after.ended) != (before.state, before.reason, before.ended):
            found.append(f"{before.id} was {before.state} ({before.reason}), is {after.state} ({after.reason})")
        if executed(stage, before.id) > 1:
            found.append(f"{before.id} was executed again")
    known = {record.id for record in store.all()}
    found += [f"{path.name} was executed, and is in no store" for path in stage.witness.iterdir()
              if path.name not in known]  # fmt: skip
    if (described := {record.id for record in store.described()}) != known:
        found.append(f"their own files tell of other runs: {sorted(described ^ known)}")
    with closing(sqlite3.connect(stage.project.runs / DATABASE)) as database:
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    if whole != "ok":
        found.append(f"integrity_check: {whole}")
    folders = [*stage.home.glob("nodes/*/*/runs/*"), *stage.home.glob("instances/*/.azureml/runs/*")]
    if folders and not until(lambda: not any(folder.exists() for folder in folders), REAPED_S):
        found.append(f"left on nodes: {[folder.name for folder in folders if folder.exists()]}")
    return found
