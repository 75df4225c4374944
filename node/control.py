"""What anyone may do to a run from outside: ask it to end, and settle one whose supervisor died."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from node import layout, processes, reading
from node import status as statuses
from node.processes import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from node.status import Status

_GRACE_S = 2.0
_POLL_S = 0.05


def cancel(run_dir: Path, reason: str = "") -> bool:
    """Ask a run to end; durable on return, safe to repeat, honoured also by a supervisor that starts later.

    Returns False when the run has already ended: nothing is left to cancel.
    """
    try:
        current = statuses.read(run_dir)
    except ValueError:
        current = None  # a damaged status may hide a run that goes on
    if current is not None and current.terminal:
        return False
    try:
        fd = os.open(run_dir / layout.CANCEL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return True
    try:
        layout.write_all(fd, reason.encode("utf-8", "replace"))
        os.fsync(fd)
    finally:
        os.close(fd)
    layout.sync_dir(run_dir)
    return True


def cancel_reason(run_dir: Path) -> str | None:
    """Return what the one who canceled wrote, empty when nothing; None while nobody has."""
    try:
        return (run_dir / layout.CANCEL).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None


def settle(run_dir: Path) -> Status:
    """Write the end of a run whose supervisor died, after killing what it left behind; else change nothing.

    Blocks for at most a few seconds, while left-over processes end. Idempotent.
    """
    lock = processes.acquire(run_dir / layout.LOCK) if (run_dir / layout.STATUS).exists() else None
    if lock is None:
        return reading.status(run_dir)
    try:
        current = statuses.read(run_dir)
        if current is None or current.terminal:
            return current or statuses.Status(statuses.NOT_STARTED)
        kill_leftovers(current)
        final = reading.verdict(run_dir, current)
        (run_dir / layout.RESERVE).unlink(missing_ok=True)
        statuses.write(run_dir, final)
        return final
    finally:
        os.close(lock)


def kill_leftovers(status: Status) -> None:
    """End the processes of a dead supervisor's job that are proven to be the run's: TERM, then KILL.

    Proof is the run's random mark in a process's environment, or membership of a session whose leader is the very
    process (boot id, pid, start time) that the supervisor started.
    """
    if status.mark and status.environment is not None and status.environment.id.startswith("docker:"):
        from node import docker

        docker.remove(status.mark)
    number, deadline = signal.SIGTERM, time.monotonic() + _GRACE_S
    while left := _leftovers(status):
        processes.send(left, number)
        time.sleep(_POLL_S)
        if time.monotonic() > deadline + _GRACE_S:
            return
        if time.monotonic() > deadline:
            number = signal.SIGKILL


def _leftovers(status: Status) -> list[int]:
    found = set(processes.marked(status.mark)) if status.mark else set()
    if status.supervisor is not None:
        boot = status.supervisor.boot_id
        alive = [one for one in status.leaders if processes.is_alive(Identity(one.pid, one.start_time, boot))]
        found.update(processes.members(*(one.pgid for one in alive)))
    return sorted(found)
