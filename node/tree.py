"""The command's processes: started in their own session, waited for, and ended to the last descendant.

The supervisor is the subreaper of what the command starts, so that a process that leaves the group or the session is
still found; a process of another run's supervisor, started by this run's job, is not this run's and is left alone.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from node.job import Job

_POLL_S = 0.1
_KILL_S = 3.0
"""How long to go on killing; a process in uninterruptible sleep is left to the kernel."""
_SIGNALED = 128
"""A shell's convention: 128 + the number of the signal that ended the command."""
_LIMITED = 'ulimit -v "$1" && exec "$2" "$3"'
"""A shell sets the limit of memory and becomes the command: Python could do it only between fork and exec, which is
not safe beside the heartbeat's thread (subprocess, preexec_fn)."""
_KIB = 1024


def start(run_dir: Path, job: Job, variables: Mapping[str, str]) -> Tree:
    """Start `command.sh` within the job's limits, with its output going straight to the log file.

    Raises: OSError.
    """
    shell = shutil.which("bash", path=variables.get("PATH")) or "/bin/sh"
    argv, memory = [shell, str(run_dir / layout.COMMAND)], job.limits.memory_bytes
    if memory is not None:
        argv = ["/bin/sh", "-c", _LIMITED, "sh", str(max(1, memory // _KIB)), *argv]
    log = os.open(run_dir / layout.USER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        wakeup = _wake_on_child()
        with _on_processors(job):
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=layout.workdir(run_dir, job.code),
                env=dict(variables),
                start_new_session=True,
            )
    finally:
        os.close(log)
    return Tree(process, wakeup)


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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name of its own
        return str(number)


class Tree:
    """The command's first process and everything below it."""

    def __init__(self, process: subprocess.Popen[bytes], wakeup: socket.socket) -> None:
        self.pid = process.pid
        self.exit_code: int | None = None
        self.signal_name: str | None = None
        self._process = process
        self._wakeup = wakeup

    def wait(self, timeout_s: float = _POLL_S) -> None:
        """Wait until a child ends or the time is over, and reap whatever ended."""
        if select.select([self._wakeup], [], [], timeout_s)[0]:
            self._wakeup.recv(4096)
        self.reap()

    def reap(self) -> None:
        """Collect every ended child, adopted orphans as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._ended(os.waitstatus_to_exitcode(status))

    def _ended(self, code: int) -> None:
        self._process.returncode = code
        if code < 0:
            self.signal_name = _signal_name(-code)
        self.exit_code = code if code >= 0 else _SIGNALED - code

    def alive(self) -> list[int]:
        """Return every process of the tree that lives."""
        return sorted({*processes.descendants(os.getpid()), *processes.members(self.pid)})

    def end(self, grace_s: float) -> None:
        """TERM everything, KILL what is left after the grace; returns when nothing is left, or nothing can be done."""
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
