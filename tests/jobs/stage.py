"""Where a crash sweep plays: four targets of its own, processes that submit, and whoever is killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import homes, launch
from node import processes
from node import status as statuses
from runtime import hosts
from runtime.errors import TrainyardError
from runtime.project import Project
from runtime.runs import list_runs
from runtime.site import open_site
from runtime.submit import submit
from runtime.submitters import aml_compute
from tests.jobs.line import Line, opened
from tests.runtime import kit
from tests.ssh import kit as ssh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from multiprocessing.synchronize import Event

    from runtime.records import Record
    from runtime.site import Site

WITHIN_S = 60.0
PRELOADED = ["tests.jobs.line", "runtime.submitters.aml_compute", "runtime.submitters.local", "runtime.ssh",
             "runtime.submitters.virtual_machine", "runtime.mirror", "paramiko"]  # fmt: skip
COMMAND = (
    'printf "%s\\n" "$AZUREML_RUN_ID" >> "{witness}/$AZUREML_RUN_ID"; echo hello; '
    "(trap '' TERM; sleep {linger}) & sleep {seconds}; echo bye"
)
"""One line a job, in one write, outside of the run; what it leaves behind makes its end take a moment."""
SAID = b"hello\nbye\n"
WITHOUT_END = 60.0
LATE_S = 8.0
"""In place of a minute: how long a job that was sent without an answer is asked after. On loopback none comes later."""
_FIND_S, WATCH_S = 0.005, 0.3


@dataclass(frozen=True)
class Task:
    """A job that is submitted by a process of its own."""

    name: str
    """Its experiment, by which its run is found: no other has it."""
    target: str
    seconds: float
    file: Path


@dataclass
class Stage:
    """Four targets, and the folder of witnesses."""

    line: Line
    base: Path

    @property
    def project(self) -> Project:
        return self.line.project

    @property
    def home(self) -> Path:
        return self.project.emulator_home

    @property
    def witness(self) -> Path:
        return self.base / "witness"

    def task(self, name: str, target: str, seconds: float, size: int = 20_000, linger: float = 0.1) -> Task:
        """Write a job whose code nobody has seen before."""
        folder = self.base / "jobs" / name
        command = COMMAND.format(witness=self.witness, seconds=seconds, linger=linger)
        file = kit.a_job(folder, command=command, inputs=None, environment=ssh.PLAIN, experiment_name=name)
        (folder / "src/data.bin").write_bytes(random.Random(name).randbytes(size))  # noqa: S311 - no secrets
        return Task(name, target, seconds, file)

    def site(self) -> Site:
        """Open the runs as another process does."""
        return open_site(self.project)

    def found(self, site: Site, task: Task) -> list[Record]:
        return [record for record in site.store.all() if record.experiment == task.name]

    def spied(self, task: Task) -> Record | None:
        """Return its run as it is this moment, without reading all the others."""
        names = [path.name for path in self.project.runs.glob(f"{task.name}-*")]
        return self.line.site.store.get(names[0]) if names else None

    def submitting(self, task: Task, **environ: str) -> Submitter:
        """Start a process that submits."""
        return Submitter(self.project.root, task, {**os.environ, **environ})

    def kill_emulator(self) -> None:
        """End the emulator as a crash would; what runs on its nodes goes on."""
        holder = homes.owner(self.home / "lock")
        if holder is not None and processes.is_alive(holder):
            os.kill(holder.pid, signal.SIGKILL)
            while processes.is_alive(holder):
                time.sleep(_FIND_S)

    def start_emulator(self) -> None:
        launch.ensure(self.home)

    def supervisors(self, name: str) -> dict[int, Path]:
        """Return the processes that supervise a run, or are about to, with its folder on that machine."""
        return {pid: path for pid, path in _supervisors() if _of(path, name)}

    def end(self, victims: Iterable[int]) -> None:
        """Kill processes, without a word."""
        processes.send([*victims], signal.SIGKILL)

    def left(self, name: str) -> list[int]:
        """Return the processes of a run that live, supervisors as well."""
        return sorted({*self.supervisors(name), *_with_variable(f"AZUREML_RUN_ID={name}")})


def _supervisors() -> Iterator[tuple[int, Path]]:
    for pid, words in _commands():
        if words[2:5] == [b"-m", b"node", b"--standby"] and len(words) > 5:
            yield pid, Path(os.fsdecode(words[5]))


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - many times a second
        if name.isdigit():
            with contextlib.suppress(OSError):
                yield int(name), Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")


def _of(run_dir: Path, name: str) -> bool:
    return name in (run_dir.name, run_dir.parent.name)


def _with_variable(entry: str) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - many times a second
    return [pid for pid in pids if processes.environment_has(pid, entry) and processes.start_time(pid) is not None]


_BOOKS = threading.Lock()
"""Every start of a process reaps the others, and an exit code can be read once."""


class Submitter:
    """A process that submits one job; it says when it begins, and how that ended unless it is killed."""

    def __init__(self, root: Path, task: Task, environ: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._heard, said = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(target=_submit, args=(root, task, environ, said), daemon=True)
        with _BOOKS:
            self.process.start()
        said.close()
        self.words: str | None = None

    def begun(self) -> None:
        """Wait until it begins."""
        assert self._heard.poll(WITHIN_S), "the submitter did not begin"
        assert self._heard.recv() == "begin"

    def kill(self) -> None:
        self.process.kill()

    def ended(self) -> int | None:
        """Wait for its end; returns its exit code, and keeps what it said."""
        wait([self.process.sentinel], WITHIN_S * 2)
        with _BOOKS:
            self.process.join(0)
        with contextlib.suppress(EOFError):
            while self._heard.poll() and (said := self._heard.recv()):
                self.words = None if said == "begin" else str(said)
        self._heard.close()
        code = self.process.exitcode
        assert code is not None, "the submitter does not end"
        return code


def _submit(root: Path, task: Task, environ: dict[str, str], said: Connection) -> None:
    os.environ.clear()
    os.environ.update(environ)
    project = Project(root)
    site = open_site(project)
    said.send("begin")
    try:
        run = submit(task.file, task.target, stack="local", project=project, site=site)
        said.send(f"submitted {run.id}")
    except TrainyardError as error:
        said.send(f"{type(error).__name__}: {error}")
    finally:
        hosts.close(site)


@contextlib.contextmanager
def watched(root: Path) -> Iterator[None]:
    """Have a process list the runs all the time, as `runs --watch` does: looking must never change how a run ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    enough = context.Event()
    process = context.Process(target=_watch, args=(root, dict(os.environ), enough), daemon=True)
    with _BOOKS:
        process.start()
    try:
        yield
    finally:
        enough.set()
        wait([process.sentinel], WITHIN_S)
        with _BOOKS:
            process.join(0)
        assert process.exitcode == 0, f"who watched ended with {process.exitcode}"


def _watch(root: Path, environ: dict[str, str], enough: Event) -> None:
    os.environ.clear()
    os.environ.update(environ)
    project = Project(root)
    site = open_site(project)
    aml_compute.LATE_S = LATE_S
    while not enough.wait(WATCH_S):
        list_runs(project, site=site)
    hosts.close(site)


def state_of(run_dir: Path) -> str:
    """Return the state that a supervisor wrote last; nothing before its first word."""
    try:
        status = statuses.read(run_dir)
    except ValueError:
        return ""
    return status.state if status else ""


def until(look: object, patience_s: float = WITHIN_S) -> bool:
    """Look again and again, every few milliseconds; False when the time is over."""
    deadline = time.monotonic() + patience_s
    while not look():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(_FIND_S)
    return True


@contextlib.contextmanager
def staged(base: Path) -> Iterator[Stage]:
    """Make it all in a folder; gone at the end, with every process."""
    with opened(base, base / "cache") as line, pytest.MonkeyPatch.context() as patch:
        # An empty home has the credentials of its user, and the workspace's id.
        patch.setenv("ARM_SUBSCRIPTION_ID", kit.WORKSPACE.split("/")[2])
        patch.setenv("TRAINYARD_EMULATOR", str(line.project.emulator_home))
        patch.setattr(aml_compute, "LATE_S", LATE_S)
        made = Stage(line, base)
        made.witness.mkdir(parents=True)
        yield made
