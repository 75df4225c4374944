"""How a run ends on its nodes: whose end decides, the notice before an eviction, the end of all processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from node import control, layout, processes
from node import status as statuses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from node.status import Status

NOTICE_S = 1.0


def decisive(finals: Sequence[Status]) -> tuple[int, Status]:
    """Return the node whose end is the run's: the first that failed, else one that was canceled, else the first."""
    ranked = list(enumerate(finals))
    for state in (statuses.FAILED, statuses.CANCELED):
        found = [(rank, status) for rank, status in ranked if status.state == state]
        if found:
            return min(found, key=lambda one: (one[1].times.get("ended", ""), one[0]))
    return ranked[0]


def reason(final: Status, rank: int | None) -> str | None:
    """Return why the run ended so; `rank` names the node where there are several."""
    said = final.reason
    if final.state == statuses.FAILED and not said:
        said = f"Execution failed. User process exited with status code {final.exit_code}. See user_logs/std_log.txt."
    if rank is None or final.state != statuses.FAILED:
        return said
    return f"Node {rank}: {said}"


def notice(dirs: Sequence[Path]) -> list[Path]:
    """Send a run's processes the notice of an eviction (SIGTERM) and wait a moment, where Azure waits half a minute.

    Returns the folders whose processes ended in time.
    """
    told = {run_dir: status for run_dir in dirs if (status := _status(run_dir)) is not None and lives(status)}
    deadline = time.monotonic() + NOTICE_S
    left = {run_dir: _processes(status) for run_dir, status in told.items()}
    processes.send([pid for pids in left.values() for pid in pids], signal.SIGTERM)
    while any(left.values()) and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {run_dir: _processes(told[run_dir]) for run_dir, pids in left.items() if pids}
    return [run_dir for run_dir in dirs if not left.get(run_dir)]


def _processes(status: Status) -> list[int]:
    """Return the living processes of the job's sessions."""
    return sorted({pid for leader in status.leaders for pid in processes.members(leader.pgid)})


def kill(run_dir: Path) -> None:
    """End a run's supervisor and all its processes at once, and settle what is written."""
    status = _status(run_dir)
    if status is None or status.terminal or status.supervisor is None:
        return
    who = processes.Identity(status.supervisor.pid, status.supervisor.start_time, status.supervisor.boot_id)
    if processes.is_alive(who):
        with contextlib.suppress(ProcessLookupError):
            os.kill(who.pid, signal.SIGKILL)
        _gone(run_dir)
    if lives(status):
        processes.send(_processes(status), signal.SIGKILL)
    control.settle(run_dir)


def _gone(run_dir: Path) -> None:
    """Wait until the kernel has let go of the killed supervisor's lock, which takes a moment."""
    deadline = time.monotonic() + 5
    while processes.is_locked(run_dir / layout.LOCK) and time.monotonic() < deadline:
        time.sleep(0.01)


def lives(status: Status) -> bool:
    """Tell whether the run's command is running: one of the processes that the supervisor started."""
    boot = status.supervisor.boot_id if status.supervisor else ""
    return any(processes.is_alive(processes.Identity(leader.pid, leader.start_time, boot)) for leader in status.leaders)


def _status(run_dir: Path) -> Status | None:
    try:
        return statuses.read(run_dir)
    except (OSError, ValueError):
        return None
