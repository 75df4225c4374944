"""`python -m node RUN_DIR`: be the supervisor of a run. With `--detach` the process forks once it holds the lock.

Exit codes: 0 the run ended (or, detached, is supervised), 2 wrong usage, 3 another supervisor holds the run, 4 the run
has already ended, 5 its disk is full. `node.launch.start` is the way to call this.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from node import layout, processes
from node import status as statuses
from node.launch import BUSY, ENDED, FULL, STARTED

_USAGE = 2
_PATIENCE_S = 2.0


def main(arguments: list[str]) -> int:
    """Take the run's lock, then supervise it to its end."""
    detach = arguments[:1] == ["--detach"]
    paths = arguments[1:] if detach else arguments
    if len(paths) != 1:
        sys.stderr.write("usage: python -m node [--detach] RUN_DIR\n")
        return _USAGE
    os.umask(0o077)
    run_dir = Path(paths[0]).absolute()
    lock = processes.acquire(run_dir / layout.LOCK, _PATIENCE_S)
    if lock is None:
        return BUSY
    before = statuses.read(run_dir)
    if before is not None and before.terminal:
        return ENDED
    try:
        layout.reserve(run_dir)
    except OSError as error:
        layout.note(str(error))
        return FULL
    # The lock belongs to the open file, so it passes to the child when the parent ends.
    if detach and os.fork() > 0:
        os._exit(STARTED)
    if detach:
        os.setsid()
    from node.supervisor import supervise

    supervise(run_dir, before)
    return STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
