"""Many processes that submit at the same moment to one store: how long each commit takes, and what came of the runs.

`python -m tests.jobs.many 200 [RUN]` prints it; RUN of them (absent: all) really run on this machine, the rest go to a
workspace that refuses them. Each is a process of its own, held at a barrier until all are there.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runtime import turns
from runtime.errors import RefusedError
from runtime.project import Project
from runtime.runs import list_runs
from runtime.site import open_site
from runtime.store import DATABASE, Store
from runtime.submit import submit
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

    from runtime.wire import Json

P, R = ParamSpec("P"), TypeVar("R")
PLAIN: Json = {"image": "python:3.11-slim", "conda_file": {"dependencies": ["python=3.11"]}}
WITNESS = 'printf "%s\\n" "$AZUREML_RUN_ID" >> "{folder}/$AZUREML_RUN_ID"'
"""One line a run, in one write, to a file outside of it."""
WITHIN_S = 240.0
PRELOADED = ["tests.runtime.kit", "runtime.submit", "runtime.submitters.local", "runtime.submitters.aml_compute"]
TURN = turns.turn
FIGURES = {
    "commits": "the commit itself",
    "intents": "an intent, with its turn waited for and its file",
    "changes": "a later change, likewise",
}


@dataclass(frozen=True)
class Told:
    """What one process says at its end."""

    refused: bool
    trouble: str
    intents: tuple[float, ...]
    """Seconds from asking the store for the commit of an intent until it was durable, the wait for others included."""
    changes: tuple[float, ...]
    """The same of every later change."""
    commits: tuple[float, ...]
    """Seconds of the commits themselves, intents and changes: from having the turn until it is given on."""


@dataclass(frozen=True)
class Outcome:
    """What all of them led to."""

    told: tuple[Told, ...]
    states: dict[str, int]
    records: int
    described: int
    """Runs that their own files tell."""
    integrity: str
    executed: Counter[str]
    """Lines of the witness by run."""
    completed: frozenset[str]
    seconds: float

    def p99(self, kind: str) -> float:
        """Return the 99th percentile (nearest rank) of the commits of a kind."""
        took = sorted(value for told in self.told for value in getattr(told, kind))
        return float(took[math.ceil(0.99 * len(took)) - 1])


def _timed(call: Callable[P, R], took: list[float]) -> Callable[P, R]:
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        began = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            took.append(time.monotonic() - began)

    return timed


@contextmanager
def _held(path: Path, patience_s: float, took: list[float]) -> Iterator[None]:
    """Take the turn as ever, and note how long it was held."""
    with TURN(path, patience_s):
        began = time.monotonic()
        try:
            yield
        finally:
            took.append(time.monotonic() - began)


def _one(root: Path, target: str, environ: dict[str, str], barrier: Barrier, told: SimpleQueue[Told]) -> None:
    """Submit once; the whole life of one process."""
    os.environ.clear()
    os.environ.update(environ)
    intents, changes, commits = list[float](), list[float](), list[float]()
    turns.turn = partial(_held, took=commits)
    Store.insert = _timed(Store.insert, intents)  # type: ignore[method-assign]
    Store.update = _timed(Store.update, changes)  # type: ignore[method-assign]
    project = Project(root)
    site = open_site(project)
    refusal = (403, {"error": {"code": "AuthorizationFailed", "message": "no"}})
    site.planes["emulator"] = kit.fake_plane(kit.FakeTransport(on=lambda _request: refusal), kit.HeldClock())
    barrier.wait(WITHIN_S)
    refused, trouble = False, ""
    try:
        submit(root / "job.yml", target, stack=kit.some_outputs(), project=project, site=site)
    except RefusedError:
        refused = True
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be seen
        trouble = f"{type(error).__name__}: {error}"
    told.put(Told(refused, trouble, tuple(intents), tuple(changes), tuple(commits)))


def submitted(base: Path, count: int, running: int) -> Outcome:
    """Submit so many at once, wait for the end of those that run, and look at everything."""
    project = kit.a_project(base / "project")
    witness = base / "witness"
    witness.mkdir()
    kit.a_job(project.root, command=WITNESS.format(folder=witness), inputs=None, environment=PLAIN)
    submit(project.root / "job.yml", "local", stack=None, project=project).wait(WITHIN_S)  # builds the environment
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    barrier, told = context.Barrier(count), context.SimpleQueue()
    environ = dict(os.environ)
    # Those that run are spread among the others.
    targets = ["local" if number * running // count < (number + 1) * running // count else "cpu-cluster"
               for number in range(count)]  # fmt: skip
    workers = [context.Process(target=_one, args=(project.root, name, environ, barrier, told)) for name in targets]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    heard = tuple(told.get() for _ in workers)
    for worker in workers:
        worker.join(WITHIN_S)
    ended = [run.wait(WITHIN_S) for run in list_runs(project)]
    took = time.monotonic() - began
    with closing(sqlite3.connect(project.runs / DATABASE)) as database:
        integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
    return Outcome(
        told=heard,
        states=dict(Counter(run.state for run in ended)),
        records=len({run.id for run in ended}),
        described=len(Store(project).described()),
        integrity=integrity,
        executed=Counter({path.name: path.read_text().count(f"{path.name}\n") for path in witness.iterdir()}),
        completed=frozenset(run.id for run in ended if run.state == "Completed"),
        seconds=took,
    )


def faults(outcome: Outcome, count: int, running: int) -> list[str]:
    """Name what is not as it has to be; the time is for whoever asks."""
    found = [told.trouble for told in outcome.told if told.trouble]
    wanted = {"Completed": running + 1, "Failed": count - running}  # and the one that built the environment
    if outcome.states != {state: number for state, number in wanted.items() if number}:
        found.append(f"states {outcome.states}, not {wanted}")
    if (outcome.records, outcome.described) != (count + 1, count + 1):
        found.append(f"{outcome.records} runs in the store and {outcome.described} in their own files, not {count + 1}")
    if outcome.integrity != "ok":
        found.append(f"integrity_check: {outcome.integrity}")
    if outcome.executed != Counter(outcome.completed):
        found.append(f"executed {outcome.executed}, completed {sorted(outcome.completed)}")
    return found


def main(count: int, running: int) -> int:
    """Print the figures; 1 when something is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = submitted(Path(folder), count, running)
    wrong = faults(outcome, count, running)
    for kind, words in FIGURES.items():
        took = sorted(value for told in outcome.told for value in getattr(told, kind))
        figures = f"median {took[len(took) // 2]:.3f} s, p99 {outcome.p99(kind):.3f} s, most {took[-1]:.3f} s"
        print(f"{words}: {len(took)}, {figures}")  # noqa: T201 - a command of its own
    print(f"{count} submissions at once, {running} of which ran: {outcome.seconds:.1f} s; {len(wrong)} faults")  # noqa: T201
    for line in wrong:
        print(f"  {line}")  # noqa: T201
    return 1 if wrong or outcome.p99("commits") > 1.0 else 0


if __name__ == "__main__":
    asked = int(sys.argv[1])
    sys.exit(main(asked, int(sys.argv[2]) if len(sys.argv) > 2 else asked))
