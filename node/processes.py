"""What the kernel says about processes: who they are, whether they live, who descends from whom, who holds a lock.

A process id alone proves nothing, because ids are reused: a process is (boot id, pid, start time), and everything that
a run started also carries the run's random mark in its environment. Linux only (/proc).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "TRAINYARD_RUN_MARK"
"""In the environment of every process of a run; its value is random, and recorded in the run's status."""
SUPERVISOR = "TRAINYARD_NODE_SUPERVISOR"
"""In the environment of a supervisor: what it started is another run's, even where it descends from this run's job."""

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_STAT_STATE, _STAT_PPID, _STAT_PGRP, _STAT_SESSION, _STAT_START = 0, 1, 2, 3, 19
_DEAD = ("Z", "X")


@dataclass(frozen=True)
class Identity:
    """One process that ever was, on one boot of one machine."""

    pid: int
    start_time: int
    """Clock ticks since boot, field 22 of /proc/PID/stat (proc(5))."""
    boot_id: str


def boot_id() -> str:
    """Return the id of this boot of this machine; it changes at each reboot (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def start_time(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None when there is none or it is a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[_STAT_STATE] in _DEAD else int(fields[_STAT_START])


def identity(pid: int) -> Identity | None:
    """Return who a living process is."""
    started = start_time(pid)
    return None if started is None else Identity(pid, started, boot_id())


def is_alive(who: Identity) -> bool:
    """Tell whether that very process still runs."""
    return who.boot_id == boot_id() and start_time(who.pid) == who.start_time


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold any character, parentheses as well.
    return text[text.rindex(")") + 2 :].split()


def _all_stats() -> dict[int, list[str]]:
    stats = {int(name): _stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    return {pid: fields for pid, fields in stats.items() if fields is not None and fields[_STAT_STATE] not in _DEAD}


def environment_has(pid: int, entry: str) -> bool:
    """Tell whether a process of ours was started with this `NAME=value`, or `NAME=` for any value."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    wanted = os.fsencode(entry)
    return any(item.startswith(wanted) if wanted.endswith(b"=") else item == wanted for item in raw.split(b"\0"))


def descendants(root: int) -> list[int]:
    """Return the living descendants of a process, without other runs' supervisors and what is below them."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all_stats().items():
        children.setdefault(int(fields[_STAT_PPID]), []).append(pid)
    found: list[int] = []
    queue = list(children.get(root, ()))
    while queue:
        pid = queue.pop()
        if environment_has(pid, SUPERVISOR + "="):
            continue
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return sorted(found)


def members(*sessions: int) -> list[int]:
    """Return the living processes of the sessions or process groups that a job leads."""
    return sorted(
        pid
        for pid, fields in _all_stats().items()
        if (int(fields[_STAT_SESSION]) in sessions or int(fields[_STAT_PGRP]) in sessions)
        and not environment_has(pid, SUPERVISOR + "=")
    )


def marked(mark: str) -> list[int]:
    """Return the living processes that carry a run's mark, wherever they went."""
    entry = f"{MARK}={mark}"
    return sorted(
        pid
        for pid in _all_stats()
        if pid != os.getpid() and environment_has(pid, entry) and not environment_has(pid, SUPERVISOR + "=")
    )


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def signal_name(number: int) -> str:
    """Return a signal's name; a real-time signal has none of its own, so its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant (prctl(2)), so that none can leave the run's tree."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return


def adopts_orphans() -> bool:
    """Tell whether this process is the parent of every orphaned descendant."""
    answer = ctypes.c_int(0)
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return answer.value == 1


def forbid_core_dumps() -> None:
    """Keep secret values out of core files, of this process and of what it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def acquire(path: Path, patience_s: float = 0.0) -> int | None:
    """Take the exclusive lock on a file for as long as the returned descriptor is open; None when another holds it.

    `patience_s` outlasts a reader, which holds the lock for microseconds while it looks.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(0.01)
        except OSError:
            os.close(fd)
            raise
        else:
            return fd


def is_locked(path: Path, *, or_shared: bool = False) -> bool:
    """Tell whether somebody holds the lock on a file (`or_shared`: be it shared); a missing file is not locked."""
    mode, wanted = (os.O_RDWR, fcntl.LOCK_EX) if or_shared else (os.O_RDONLY, fcntl.LOCK_SH)
    try:
        fd = os.open(path, mode | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, wanted | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
