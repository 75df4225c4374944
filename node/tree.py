"""The command's processes: started in their own session, waited for, and ended to the last descendant.

The supervisor is the subreaper of what the command starts, so that a process that leaves the group or the session is
still found; a process of another run's supervisor, started by this run's job, is not this run's and is left alone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from node.job import Job
    from node.masking import Logs
    from node.starting import Start

_POLL_S = 0.1
_KILL_S = 3.0
"""How long to go on killing; a process in uninterruptible sleep is left to the kernel."""
_SIGNALED = 128
"""A shell's convention: 128 + the number of the signal that ended the command."""


def start(run_dir: Path, job: Job, starts: Sequence[Start], logs: Logs | None = None) -> Tree:
    """Start the job's processes within its limits, with the output of each going straight to its log file.

    `logs`: it goes through these instead, which mask the job's secrets. Raises: OSError; nothing runs then.
    """
    tree = Tree(_wake_on_child(), logs)
    try:
        with _on_processors(job):
            for one in starts:
                tree.add(one, _popen(run_dir, job, one, logs))
    except BaseException:
        tree.end(job.grace_s)
        raise
    return tree


def _popen(run_dir: Path, job: Job, one: Start, logs: Logs | None) -> subprocess.Popen[bytes]:
    log = _log(run_dir, one, logs)
    try:
        with _holding(one.stdin) as given:
            return subprocess.Popen(
                one.argv,
                stdin=given,
                stdout=log,
                stderr=log,
                cwd=layout.workdir(run_dir, job.code),
                env=dict(one.variables),
                start_new_session=True,
            )
    finally:
        os.close(log)


def _log(run_dir: Path, one: Start, logs: Logs | None) -> int:
    if logs is None:
        return os.open(run_dir / one.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for name in one.opens:
        logs.fifo(run_dir / name)
    return logs.pipe(run_dir / one.log)


@contextmanager
def _holding(content: bytes | None) -> Iterator[int]:
    """Open what a process reads on its standard input: in memory, so that it is in no file, and nobody need feed it."""
    if content is None:
        yield subprocess.DEVNULL
        return
    held = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        layout.write_all(held, content)
        os.lseek(held, 0, os.SEEK_SET)
        yield held
    finally:
        os.close(held)


@contextmanager
def _on_processors(job: Job) -> Iterator[None]:
    """Keep this thread, whose place a child inherits (sched_setaffinity(2)), to as many processors as the job may use.

    Which ones depends on the run, so that two runs don't crowd the same.
    """
    mine = os.sched_getaffinity(0)
    if job.limits.cpus is None or job.limits.cpus >= len(mine):
        yield
        return
    available = sorted(mine)
    first = zlib.crc32(job.run_id.encode()) % len(available)
    os.sched_setaffinity(0, [*available[first:], *available[:first]][: job.limits.cpus])
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _wake_on_child() -> socket.socket:
    """Return a socket that becomes readable when a child ends, so that an exit is seen at once."""
    ours, kernels = socket.socketpair()
    for end in (ours, kernels):
        end.setblocking(False)
    signal.set_wakeup_fd(kernels.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return ours


class Leader:
    """A process that the supervisor started, which leads its own session."""

    def __init__(self, start: Start, process: subprocess.Popen[bytes]) -> None:
        self.start = start
        self.pid = process.pid
        self.process = process
        self.exit_code: int | None = None
        self.signal_name: str | None = None

    def ended(self, code: int) -> None:
        """Note how it ended: its exit code, or below zero the signal."""
        self.process.returncode = code
        if code < 0:
            self.signal_name = processes.signal_name(-code)
        self.exit_code = code if code >= 0 else _SIGNALED - code


class Tree:
    """The job's first processes and everything below them."""

    def __init__(self, wakeup: socket.socket, logs: Logs | None = None) -> None:
        self.leaders: dict[int, Leader] = {}
        self.logs = logs
        self.failed: Leader | None = None
        """The first that did not end well."""
        self._wakeup = wakeup
        self._childless = False
        """No child is left, and as the subreaper we would have every descendant."""

    def add(self, start: Start, process: subprocess.Popen[bytes]) -> None:
        """Take in a process that was just started."""
        self.leaders[process.pid] = Leader(start, process)

    @property
    def exit_code(self) -> int | None:
        """That of the first one that failed, 0 when all but parameter servers have ended well; else None."""
        if self.failed is not None:
            return self.failed.exit_code
        waited = any(leader.exit_code is None and not leader.start.server for leader in self.leaders.values())
        return None if waited else 0

    @property
    def serving(self) -> bool:
        """Whether parameter servers still run."""
        return any(leader.exit_code is None and leader.start.server for leader in self.leaders.values())

    @property
    def worked(self) -> bool:
        """Whether anything but parameter servers was started."""
        return any(not leader.start.server for leader in self.leaders.values())

    def wait(self, timeout_s: float = _POLL_S) -> None:
        """Wait until a child ends or the time is over, and reap whatever ended."""
        if select.select([self._wakeup], [], [], timeout_s)[0]:
            self._wakeup.recv(4096)
        self.reap()

    def reap(self) -> None:
        """Collect every ended child, adopted orphans as well."""
        before, failed = self.exit_code, list[Leader]()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = processes.adopts_orphans()
                break
            if pid == 0:
                break
            leader = self.leaders.get(pid)
            if leader is not None:
                leader.ended(os.waitstatus_to_exitcode(status))
                failed += [leader] if leader.exit_code else []
        if failed and before is None:
            # Of several that ended in the same moment the one that a signal ended is the likelier cause: the others
            # lost their connection to it.
            self.failed = max(failed, key=lambda leader: (leader.exit_code or 0) >= _SIGNALED)

    def alive(self) -> list[int]:
        """Return every process of the tree that lives."""
        if self._childless:
            return []
        return sorted({*processes.descendants(os.getpid()), *processes.members(*self.leaders)})

    def end(self, grace_s: float) -> None:
        """TERM everything, KILL what is left after the grace; returns when nothing is left, or nothing can be done.

        All that it printed is in the logs then.
        """
        self._end(grace_s)
        if self.logs is not None:
            self.logs.close()

    def _end(self, grace_s: float) -> None:
        term_until = time.monotonic() + grace_s
        kill_until = term_until + _KILL_S
        told: set[int] = set()
        while left := self.alive():
            now = time.monotonic()
            if now > kill_until:
                return
            if now >= term_until:
                processes.send(left, signal.SIGKILL)
            else:
                processes.send([pid for pid in left if pid not in told], signal.SIGTERM)
                told.update(left)
            self.wait(_POLL_S / 2)
        self.reap()
