"""Kills the engine, the provider or the emulator at a request of `up` or `destroy`, recovers, and looks what is left.

`python -m tests.engine.sweep FOLDER [up,engine,8,handled …]` tries every point of one stack, or some, and prints what
it found; the engine tests try a sample. A workbench is one project folder with two snapshots, before and after an
`up`, put back for each point.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import yaml

from console import purging
from console.yard import Yard
from emulator import homes, launch
from engine import operations
from engine.errors import EngineError
from engine.goals import resources_of
from node import processes
from runtime.control_plane import connect
from runtime.project import Project
from tests.engine import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.session import Session

ROOT = Path(__file__).parents[2]
Victim = Literal["engine", "provider", "emulator"]
When = Literal["received", "handled", "answered"]
Operation = Literal["up", "destroy"]
Part: TypeAlias = "tuple[Operation, Victim, int, int]"
STACK = "local"
LANES: tuple[tuple[Part, ...], ...] = (
    (("up", "engine", 1, 1), ("destroy", "engine", 1, 1)),
    (("up", "provider", 1, 1), ("destroy", "provider", 1, 1)),
    (("up", "emulator", 1, 2),),
    (("up", "emulator", 2, 2),),
    (("destroy", "emulator", 1, 1),),
)
"""Sweeps that run side by side, each in its own folder: operation, victim, first request, step."""
SECRET_KEY, SECRET = "cluster-password", "Sweep-canary-71f3"
RANDOM = re.compile(r"(?<=vault)[0-9a-f]{8}$|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class Point:
    """One kill: of whom, at which request of which operation, and how far that request had come."""

    operation: Operation
    victim: Victim
    number: int
    when: When

    def __str__(self) -> str:
        return f"{self.operation:7} {self.victim:8} {self.number:3} {self.when}"


@dataclass
class Outcome:
    """What one kill led to; `reached` is false when the operation had ended before that request."""

    point: Point
    reached: bool
    request: str = ""
    facts: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Workbench:
    """One project folder and its two snapshots."""

    root: Path
    baseline: list[str] = field(default_factory=list)
    requests: dict[str, list[str]] = field(default_factory=dict)
    """By operation: what the provider asks when nobody is killed."""

    @property
    def home(self) -> Path:
        return self.root / ".trainyard" / "emulator"

    @property
    def yard(self) -> Yard:
        return Yard(Project(self.root))

    @property
    def log(self) -> Path:
        return self.root.with_name(f"{self.root.name}.log")

    def session(self) -> Session:
        return self.yard.session(STACK)[0]

    def prepare(self, stack_file: str) -> None:
        """Lay out the project, bring it up once, and keep both snapshots."""
        (self.root / "stacks").mkdir(parents=True)
        shutil.copy(ROOT / "Pulumi.yaml", self.root)
        shutil.copy(ROOT / "stacks" / "__main__.py", self.root / "stacks")
        (self.root / "stacks" / f"{STACK}.yaml").write_text(stack_file)
        operations.set_secret(self.session(), SECRET_KEY, SECRET)
        self.stop()
        self.keep("up")
        self.requests["up"] = self.undisturbed(Point("up", "engine", 0, "handled"))
        self.baseline = self.there()
        self.keep("destroy")
        self.requests["destroy"] = self.undisturbed(Point("destroy", "engine", 0, "handled"))

    def undisturbed(self, point: Point) -> list[str]:
        """Run an operation in peace and return what it asked the emulator."""
        emulator = self.count(point)
        try:
            assert self.operate(point.operation)
        finally:
            self.stop()
            emulator.wait()
        return [self.shown(line) for line in self.log.read_text().splitlines()]

    def keep(self, operation: Operation) -> None:
        shutil.copytree(self.root, self.root.with_name(f"{self.root.name}-{operation}"), symlinks=True)

    def put_back(self, operation: Operation) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.root.with_name(f"{self.root.name}-{operation}"), self.root, symlinks=True)

    def stop(self) -> None:
        """End the emulator's two processes, the hard way."""
        for record in ("provider.json", "lock"):
            holder = homes.owner(self.home / record)
            if holder and processes.is_alive(holder):
                os.kill(holder.pid, signal.SIGKILL)
                while processes.is_alive(holder):
                    time.sleep(0.01)
        for pid in self.hosts():
            os.kill(pid, signal.SIGKILL)

    def there(self) -> list[str]:
        """List what the emulator holds, without the random parts of names."""
        with sqlite3.connect(self.home / "state.db") as db:
            found = db.execute("select key from document where kind = 'arm'").fetchall()
        db.close()
        return sorted(RANDOM.sub("*", key) for (key,) in found)

    def hosts(self) -> list[int]:
        """List the processes of this project's engine."""
        mark = f"PULUMI_HOME={self.root}/.trainyard/pulumi-home".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def count(self, point: Point) -> subprocess.Popen[bytes]:
        """Start the emulator that kills at the point; its provider as ever."""
        self.log.unlink(missing_ok=True)
        variables = {
            counted.AT: str(point.number), counted.WHEN: point.when, counted.VICTIM: point.victim,
            counted.LOG: str(self.log),
        }  # fmt: skip
        out = self.root.with_name(f"{self.root.name}.emulator.log").open("ab")
        with out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.counted", "--home", str(self.home)],
                cwd=ROOT, env={**os.environ, **variables}, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        while not launch._server_answers(self.home):
            assert process.poll() is None, "the emulator ended"
            time.sleep(0.02)
        return process

    def run(self, point: Point) -> Outcome:
        """Kill at one point, recover, bring it up once, and look."""
        started = time.monotonic()
        self.put_back(point.operation)
        emulator = self.count(point)
        try:
            outcome = self._run(point)
        except EngineError as error:
            outcome = Outcome(point, reached=True, troubles=[f"stopped: {error}"])
        finally:
            self.stop()
            emulator.wait()
        outcome.request = self._request(point.number)
        outcome.seconds = round(time.monotonic() - started, 1)
        return outcome

    def _run(self, point: Point) -> Outcome:
        if self.operate(point.operation):
            return Outcome(point, reached=False)
        facts = [fact.line for fact in self.yard.recover(STACK)]
        done = operations.up(self.session())
        lost = [f"up did {item.op} {item.name}" for item in done.changes if item.op in ("replace", "delete")]
        return Outcome(point, reached=True, facts=facts, troubles=[*lost, *self.troubles(point)])

    def operate(self, operation: Operation) -> bool:
        """Bring the stack up, or down as `invoke destroy` does; tell whether it came to its end."""
        session = self.session()
        try:
            if operation == "up":
                operations.up(session)
            else:
                known = self.yard.deployed(STACK)
                if known:
                    purging.for_good(connect("emulator", self.yard.project), known)
                operations.destroy(session)
        except EngineError:
            return False
        return True

    def troubles(self, point: Point) -> Iterator[str]:
        """Name what is not as if nothing had happened."""
        session = self.session()
        plan = operations.preview(session, refresh=True)
        yield from (f"the preview is not empty: {item.op} {item.name} {item.properties}" for item in plan.differences)
        there = self.there()
        if more := list((Counter(there) - Counter(self.baseline)).elements()):
            yield f"left over: {more}"
        if less := list((Counter(self.baseline) - Counter(there)).elements()):
            yield f"lacking: {less}"
        state = operations.export(session)
        ids = sorted(
            RANDOM.sub("*", str(item["id"]).lower()) for item in resources_of(state)
            if str(item["type"]).startswith("azure-native:")
        )  # fmt: skip
        if missing := [id_ for id_ in ids if id_ not in there]:
            yield f"in the state only: {missing}"
        if "pending_operations" in json.dumps(state):
            yield "pending operations are left"
        if pids := self.hosts():
            yield f"orphans: {pids}"
        if point.number % 7 == 0 and (facts := self.yard.recover(STACK)):
            yield f"a second recover is not idle: {[fact.line for fact in facts]}"
        files = [path for path in self.root.rglob("*") if path.is_file()]
        if seen := [path.name for path in files if SECRET.encode() in path.read_bytes() and path.name != "state.db"]:
            yield f"the secret is in clear in {seen}"

    def _request(self, number: int) -> str:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return self.shown(lines[number - 1]) if len(lines) >= number else ""

    @staticmethod
    def shown(request: str) -> str:
        """Shorten what every request has in common."""
        return re.sub(r"/subscriptions/[^/]+(/resourcegroups/[^/]+)?", "", request, flags=re.IGNORECASE)


def stack_file() -> str:
    """Return the shipped local stack with a role assignment, logs and a password: all that recovery treats apart."""
    document = yaml.safe_load((ROOT / "stacks" / "local.yaml").read_text())
    research = document["workspaces"]["research"]
    research["system_datastores_auth_mode"] = "Identity"
    research["computes"]["spot-cluster"] |= {
        "remote_login_port_public_access": "Enabled",
        "disable_local_auth": False,
        "user_account_credentials": {"admin_user_name": "azureuser", "admin_user_password": SECRET_KEY},
    }
    text: str = yaml.safe_dump(document)
    return text


def main() -> None:
    """Sweep in a folder: every request of both operations and every victim; or the points that are named."""
    folder, *chosen = sys.argv[1:]
    if chosen:
        work = Workbench(Path(folder) / "w")
        work.prepare(stack_file())
        for words in chosen:
            show(work.run(point_of(words)))
        return
    with ThreadPoolExecutor(len(LANES)) as pool:
        tried = [pool.submit(lane, Path(folder) / f"w{number}", parts) for number, parts in enumerate(LANES)]
        outcomes = [outcome for future in tried for outcome in future.result()]
    bad = sum(bool(outcome.troubles) for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes)} points, {bad} with trouble\n")


def point_of(words: str) -> Point:
    """Read `up,engine,8,handled`."""
    operation, victim, number, when = words.split(",")
    return Point(cast("Operation", operation), cast("Victim", victim), int(number), cast("When", when))


def lane(folder: Path, parts: Sequence[Part]) -> list[Outcome]:
    """Work through some sweeps in one workbench; what only reads makes no difference to an emulator before or after."""
    work = Workbench(folder)
    work.prepare(stack_file())
    outcomes: list[Outcome] = []
    for operation, victim, first, step in parts:
        for number in range(first, 1000, step):
            outcome = work.run(Point(operation, victim, number, "handled"))
            show(outcome)
            if not outcome.reached:
                break
            outcomes.append(outcome)
            if victim == "emulator" and not outcome.request.startswith("GET"):
                outcomes.append(work.run(Point(operation, victim, number, "received")))
                show(outcomes[-1])
    return outcomes


def show(outcome: Outcome) -> None:
    """Print one line a point, and what is wrong below it."""
    verdict = "BAD" if outcome.troubles else "ok" if outcome.reached else "end"
    facts = [*outcome.facts, *(f"TROUBLE {line}" for line in outcome.troubles)]
    lines = [f"{outcome.point}  {outcome.seconds:5.1f} s  {verdict}  {outcome.request}", *(f"      {x}" for x in facts)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
