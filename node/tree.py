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
from typing import TYPE_CHECKING

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_POLL_S = 0.1
_KILL_S = 3.0
"""How long to go on killing; a process in uninterruptible sleep is left to the kernel."""
_SIGNALED = 128
"""A shell's convention: 128 + the number of the signal that ended the command."""


def start(run_dir: Path, workdir: Path, variables: Mapping[str, str]) -> Tree:
    """Start `command.sh` with its output going straight to the log file.

    Raises: OSError.
    """
    log = os.open(run_dir / layout.USER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        wakeup = _wake_on_child()
        process = subprocess.Popen(
            [shutil.which("bash", path=variables.get("PATH")) or "/bin/sh", str(run_dir / layout.COMMAND)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=workdir,
            env=dict(variables),
            start_new_session=True,
        )
    finally:
        os.close(log)
    return Tree(process, wakeup)


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
