"""Kills submitters, supervisors, the emulator and sshd, and looks what became of the runs.

`python -m tests.jobs.crashes FOLDER POINTS SEED` tries so many points, prints a table of them by victim, step and
target, and ends with 1 when a run was lost, executed twice or wrongly ended. A point is one run that a kill could hit:
an emulator or an sshd that is killed hits all runs that are in flight.
"""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import hosts
from runtime.clock import SYSTEM, stamp
from tests.jobs.judge import Expected, Verdict, changed, judge
from tests.jobs.line import TARGETS
from tests.jobs.stage import WITHOUT_END, staged, state_of, until, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.jobs.stage import Stage, Submitter, Task

STEPS = ("intent", "snapshot", "environment", "uploaded", "put-sent", "acknowledged", "any")
"""`any`: at a moment that the dice choose."""
PHASES = ("prepare", "run", "finalize")
MOMENTS = {"sshd": ("upload", "launch", "run", "any"), "emulator": ("send", "queue", "run", "any")}
"""What one of several runs has come to when these are killed."""
SHARES = {"submitter": 0.42, "supervisor": 0.26, "emulator": 0.16}
"""Of the points; the rest is sshd's."""
LANES = 4
"""Points at a time whose kill hits nobody else."""
BATCHES = {"emulator": ("cpu-cluster", "notebook", "cpu-cluster", "gpu-box", "cpu-cluster", "notebook"),
           "sshd": ("gpu-box",) * 5}  # fmt: skip
"""Runs in flight when these are killed."""
UPLOAD = 3_000_000
SPREAD_S, AIMED_S = 2.0, 0.15
"""How long after the first submission, or after the moment that is waited for, the kill comes at the latest."""
RUN_S, LINGER_S = 0.5, 0.5
"""How long a job runs, or ends, at least, where a kill is to hit it there."""
KILLED = -9


@dataclass(frozen=True)
class Point:
    """One run, and who is killed at which of its steps."""

    number: int
    victim: str
    step: str
    target: str
    seed: int
    canceled: str = ""
    elsewhere: bool = False

    @property
    def name(self) -> str:
        return f"p{self.number}-{self.victim}-{self.step}"

    def __str__(self) -> str:
        return f"{self.number:4} {self.victim:10} {self.step:12} {self.target:11}"


@dataclass
class Tally:
    """What was seen so far."""

    wanted: int
    verdicts: list[tuple[Point, Verdict]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = field(default_factory=time.monotonic)

    def add(self, point: Point, verdict: Verdict) -> None:
        with self.lock:
            self.verdicts.append((point, verdict))
            done = len(self.verdicts)
            if verdict.faults:
                record = verdict.record
                say(f"BAD {point} {verdict.state} {record.id if record else ''}: {record.reason if record else ''}")
                for fault in verdict.faults:
                    say(f"      {fault}")
            if done % 20 == 0 or done == self.wanted:
                say(f"{done:4} of {self.wanted}, {time.monotonic() - self.began:.0f} s, {self.bad()} with trouble")

    def bad(self) -> int:
        return sum(bool(verdict.faults) for _, verdict in self.verdicts)

    def table(self) -> list[str]:
        """Count by victim, step and target."""
        rows: dict[tuple[str, str, str], Counter[str]] = {}
        for point, verdict in self.verdicts:
            row = rows.setdefault((point.victim, point.step, point.target), Counter())
            row.update(["points", verdict.state])
            row.update({"hit": verdict.hit, "faults": bool(verdict.faults)})
        names = ("points", "hit", "Completed", "Failed", "Canceled", "none", "faults")
        lines = [f"{'victim':10} {'step':12} {'target':11}" + "".join(f"{name:>10}" for name in names)]
        for (victim, step, target), row in sorted(rows.items()):
            lines.append(f"{victim:10} {step:12} {target:11}" + "".join(f"{row[name]:>10}" for name in names))
        total = Counter[str]()
        for row in rows.values():
            total.update(row)
        return [*lines, f"{'all':35}" + "".join(f"{total[name]:>10}" for name in names)]


def planned(count: int, seed: int, targets: tuple[str, ...]) -> list[Point]:
    """Spread the points over every victim, step and target; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - moments, no secrets
    shares = {victim: round(count * share) for victim, share in SHARES.items()}
    if "gpu-box" in targets:
        shares["sshd"] = count - sum(shares.values())
    batches = {victim: [target for target in batch if target in targets] for victim, batch in BATCHES.items()}
    combinations = {
        "submitter": list(product(STEPS, targets)),
        "supervisor": list(product(PHASES, targets)),
        **{victim: list(product(MOMENTS[victim], batch)) for victim, batch in batches.items()},
    }
    points = list[Point]()
    for victim, share in shares.items():
        for step, target in islice(cycle(combinations[victim]), share):
            far = target != "local"
            canceled = dice.choice(["here", "elsewhere"] if far else ["here"]) if dice.random() < 0.2 else ""
            canceled = "" if step == "finalize" else canceled  # it ends by itself, and soon
            elsewhere = far and dice.random() < 0.4
            points.append(Point(len(points), victim, step, target, dice.getrandbits(32), canceled, elsewhere))
    return points


def sweep(stage: Stage, points: list[Point]) -> Tally:
    """Try them all: those whose kill hits one run side by side, the others one batch after the other."""
    tally = Tally(len(points))
    warm(stage, {point.target for point in points})
    single = {"submitter": _submitter, "supervisor": _supervisor}
    with ThreadPoolExecutor(LANES) as pool:
        tried = [pool.submit(_tried, stage, point, single[point.victim], tally)
                 for point in _mixed(points) if point.victim in single]  # fmt: skip
        for future in tried:
            future.result()
    for victim, batch in BATCHES.items():
        mine = [point for point in points if point.victim == victim]
        for start in range(0, len(mine), len(batch)):
            _outage(stage, mine[start : start + len(batch)], tally)
    return tally


def _mixed(points: Iterable[Point]) -> list[Point]:
    """Order them so that neighbours differ; the same for the same points."""
    return sorted(points, key=lambda point: point.seed)


def warm(stage: Stage, targets: Iterable[str]) -> None:
    """Have every target build the environment, which is not what is tried here."""
    tasks = [stage.task(f"warm-{target}", target, 0.0) for target in targets]
    for submitter in [stage.submitting(task) for task in tasks]:
        assert submitter.ended() == 0, submitter.words
    for task in tasks:
        verdict = judge(stage, stage.line.site, task, Expected())
        assert (verdict.state, verdict.faults) == ("Completed", []), verdict


def _tried(stage: Stage, point: Point, kill: Callable[[Stage, Point], Verdict], tally: Tally) -> None:
    tally.add(point, kill(stage, point))


def _task(stage: Stage, point: Point, dice: random.Random, size: int = 20_000) -> Task:
    seconds = WITHOUT_END if point.canceled else dice.uniform(0.0, 0.4) + (RUN_S if point.step == "run" else 0.0)
    return stage.task(point.name, point.target, seconds, size, linger=LINGER_S if point.step == "finalize" else 0.05)


def _expected(point: Point, submitter: Submitter, *, stored: bool = True) -> Expected:
    """Say what has to come of it; a submission that returned has sent the job, for good."""
    sent = None if not (submitter.words or "").startswith("submitted") else True
    if point.victim == "submitter" and point.step != "any":
        sent = {"put-sent": None, "acknowledged": True}.get(point.step, False)
    supervised = point.victim != "supervisor"
    return Expected(point.canceled, point.elsewhere, supervised=supervised, stored=stored, sent=sent)


def _judged(stage: Stage, point: Point, task: Task, submitter: Submitter, expected: Expected) -> Verdict:
    site = stage.site()
    try:
        verdict = judge(stage, site, task, expected)
    finally:
        hosts.close(site)
    if verdict.faults and submitter.words:
        verdict.faults.append(f"(the submitter said: {submitter.words})")
    return verdict


def _submitter(stage: Stage, point: Point) -> Verdict:
    """Kill the process that submits: at a named point, or at any moment."""
    dice = random.Random(point.seed)  # noqa: S311 - moments
    task = _task(stage, point, dice)
    if point.step == "any":
        submitter = stage.submitting(task)
        submitter.begun()
        time.sleep(dice.uniform(0.0, 1.2))
        submitter.kill()
    else:
        submitter = stage.submitting(task, TRAINYARD_CRASH_AT=point.step)
    code = submitter.ended()
    verdict = _judged(
        stage, point, task, submitter, _expected(point, submitter, stored=point.step != "any" or code == 0)
    )
    if code != KILLED and point.step != "any":
        verdict.faults.append(f"the submitter did not come to {point.step}: {code} {submitter.words}")
    return verdict


def _supervisor(stage: Stage, point: Point) -> Verdict:
    """Kill the node supervisor while it prepares, runs or finalizes."""
    dice = random.Random(point.seed)  # noqa: S311 - moments
    task = _task(stage, point, dice)
    own = {"TRAINYARD_CACHE": str(stage.base / "caches" / point.name)}
    fresh = own if (point.step, point.target) == ("prepare", "local") and dice.random() < 0.5 else {}
    submitter = stage.submitting(task, **fresh)
    submitter.begun()
    hit = kill_supervisor(stage, task, point.step, dice)
    submitter.ended()
    verdict = _judged(stage, point, task, submitter, _expected(point, submitter))
    verdict.hit = hit
    if fresh:
        # It may have been killed while it built the environment: the next run builds it, or finds it whole.
        again = stage.task(f"{task.name}-again", point.target, 0.0)
        second = stage.submitting(again, **fresh)
        second.ended()
        after = _judged(stage, point, again, second, Expected())
        verdict.faults += after.faults or ([] if after.state == "Completed" else [f"the next run is {after.state}"])
    return verdict


def kill_supervisor(stage: Stage, task: Task, phase: str, dice: random.Random) -> bool:
    """Find it, wait for the moment, and kill it; False when it was quicker than we are."""
    site = stage.site()
    assert until(lambda: stage.found(site, task)), f"{task.name} is not in the store"
    name = stage.found(site, task)[0].id
    if not until(lambda: stage.supervisors(name)):
        return False
    if phase == "prepare":
        time.sleep(dice.uniform(0.0, 0.3))
    else:
        run_dir = next(iter(stage.supervisors(name).values()), Path("/nonexistent"))
        gone = lambda: not stage.supervisors(name)  # noqa: E731 - said twice
        until((stage.witness / name).exists if phase == "run" else lambda: state_of(run_dir) == "Finalizing" or gone())
        time.sleep(dice.uniform(0.0, 0.4 if phase == "run" else 0.05))
    victims = stage.supervisors(name)
    stage.end(victims)
    return bool(victims)


def _outage(stage: Stage, points: list[Point], tally: Tally) -> None:
    """Kill the emulator, or sshd, once or twice while several runs are sent, queue, run and end."""
    dice = random.Random(points[0].seed)  # noqa: S311 - moments
    tasks = [_task(stage, point, dice, UPLOAD if point.victim == "sshd" else 100_000) for point in points]
    submitters: list[Submitter] = []
    moments = list[str]()
    down = threading.Thread(target=_down, args=(stage, points[0], tasks, moments))
    down.start()
    for task in tasks:
        submitters.append(stage.submitting(task))
        time.sleep(dice.uniform(0.0, SPREAD_S / 2 / len(tasks)))
    down.join()

    def end(point: Point, task: Task, submitter: Submitter) -> None:
        submitter.ended()
        verdict = _judged(stage, point, task, submitter, _expected(point, submitter))
        if record := verdict.record:
            verdict.hit = any(record.created <= moment <= (record.ended or moment) for moment in moments)
        tally.add(point, verdict)

    with ThreadPoolExecutor(len(points)) as pool:
        for future in [pool.submit(end, *given) for given in zip(points, tasks, submitters, strict=True)]:
            future.result()


def _down(stage: Stage, point: Point, tasks: list[Task], moments: list[str]) -> None:
    dice = random.Random(point.seed + 1)  # noqa: S311 - moments
    for _ in range(dice.choice([1, 1, 2])):
        aimed = point.step != "any" and until(lambda: any(_come_to(stage, task, point.step) for task in tasks), 2.0)
        time.sleep(dice.uniform(0.0, AIMED_S if aimed else SPREAD_S))
        moments.append(stamp(SYSTEM.now()))
        if point.victim == "emulator":
            stage.kill_emulator()
            time.sleep(dice.uniform(0.0, 0.3))
            stage.start_emulator()
        else:
            machine = stage.line.machine
            assert machine is not None
            machine.kill()
            time.sleep(dice.uniform(0.0, 0.4))
            machine.start()


def _come_to(stage: Stage, task: Task, step: str) -> bool:
    """Tell whether a run is where it is to be hit."""
    record = stage.spied(task)
    if record is None or record.terminal:
        return False
    if step == "run":
        return (stage.witness / record.id).exists()
    if step == "upload":
        return record.machine is not None and record.phase == "intent"
    return record.phase == ("acknowledged" if step == "queue" else "sending")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(folder: Path, count: int, seed: int) -> int:
    """Sweep, print, and tell whether all was right."""
    faulthandler.register(signal.SIGUSR1)  # tells where it hangs, should it
    folder.mkdir(parents=True, exist_ok=True)
    with staged(folder) as stage:
        targets = tuple(target for target in TARGETS if target != "gpu-box" or stage.line.machine is not None)
        points = planned(count, seed, targets)
        with watched(stage.project.root):
            tally = sweep(stage, points)
        late = changed(stage, [verdict for _, verdict in tally.verdicts])
        took = time.monotonic() - tally.began
    for line in (*tally.table(), *(f"BAD at the end: {fault}" for fault in late)):
        say(line)
    say(f"{len(tally.verdicts)} points, seed {seed}, {took:.0f} s: {tally.bad() + len(late)} with trouble")
    return 1 if tally.bad() or late or len(tally.verdicts) != count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
