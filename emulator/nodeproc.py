"""One emulated node: a process that does nothing but be there, and hold the lock that proves it.

Run as a file by `machines`, isolated and without site-packages, so that it stays below 10 MB. It ends when its folder
is gone, or when the emulator of its lease is dead and no run is left on it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

POLL_S = 1.0
GRACE_S = 5.0
"""A restarted emulator that comes within this time finds its idle nodes again."""
START_TIME = 19
"""Of /proc/PID/stat, counted after the name: proc(5)."""


HOLDERS = "holders"
"""In a run's folder: the locks of the supervisors on all of its nodes, a path a line. A node stays for the others."""


def busy(folder: str) -> bool:
    """Tell whether a supervisor holds the lock of some run on this node, or of its other nodes."""
    runs = os.path.join(folder, "runs")  # noqa: PTH118 - pathlib would cost a third of the memory
    for name in os.listdir(runs) if os.path.isdir(runs) else ():  # noqa: PTH112, PTH208
        own = os.path.join(runs, name, "lock")  # noqa: PTH118
        try:
            with open(os.path.join(runs, name, HOLDERS), encoding="utf-8") as file:  # noqa: PTH118, PTH123
                others = file.read().splitlines()
        except OSError:
            others = []
        if any(held(path) for path in (own, *others)):
            return True
    return False


def held(path: str) -> bool:
    """Tell whether somebody holds the lock on a file."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def owned(folder: str) -> bool:
    """Tell whether the emulator that wrote the lease (`pid start-time`) still lives. Raises OSError without a lease."""
    with open(os.path.join(folder, "lease"), encoding="ascii") as file:  # noqa: PTH118, PTH123
        pid, _, started = file.read().partition(" ")
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[START_TIME] == started and fields[0] not in "ZX"


def main(folder: str) -> None:
    """Stay until there is no reason to. The lock's descriptor was inherited and is never closed."""
    alone_s = 0.0
    while alone_s < GRACE_S:
        time.sleep(POLL_S)
        try:
            wanted = owned(folder) or busy(folder)
        except OSError:
            return
        alone_s = 0.0 if wanted else alone_s + max(POLL_S, 0.001)


if __name__ == "__main__":
    main(sys.argv[1])
