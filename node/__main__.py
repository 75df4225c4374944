"""`python -m node RUN_DIR`: be the supervisor of a run. With `--standby` wait for a word to begin.

Exit codes: 0 the run ended (or, detached, is supervised), 2 wrong usage, 3 another supervisor holds the run, 4 the run
has already ended, 5 its disk is full. `node.launch.start` is the way to call this.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from node import layout, processes
from node import status as statuses
from node.launch import BUSY, ENDED, FULL, GO, GO_WITH, STARTED

_USAGE = 2
_PATIENCE_S = 2.0
_CHUNK = 1 << 16
_LATER = ("node.tree", "node.supervisor", "node.tracking", "node.preparing", "node.environments", "node.overlay")
"""Loaded while whoever launches the run is still preparing it, as far as there is time."""


def main(arguments: list[str]) -> int:
    """Take the run's lock, then supervise it to its end."""
    standby = arguments[:1] == ["--standby"]
    paths = arguments[1:] if standby else arguments
    if len(paths) != 1:
        sys.stderr.write("usage: python -m node [--standby] RUN_DIR\n")
        return _USAGE
    os.umask(0o077)
    secrets = _told() if standby else {}
    if secrets is None:
        return ENDED
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
    if standby and os.fork() > 0:
        os._exit(STARTED)
    if standby:
        os.setsid()
    from node.supervisor import supervise

    supervise(run_dir, before, secrets)
    return STARTED


def _told() -> dict[str, str] | None:
    """Wait for the word to begin, and return the job's secrets; None when whoever started us went away without it."""
    for module in _LATER:
        if select.select([0], [], [], 0)[0]:
            break
        __import__(module)
    secrets = _word()
    # Whatever we start shall not hold, or read from, the end of a pipe of ours.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return secrets


def _word() -> dict[str, str] | None:
    line = b""
    while not line.endswith(b"\n"):
        char = os.read(0, 1)
        if not char:
            return None
        line += char
    if line == GO:
        return {}
    from node import masking

    processes.forbid_core_dumps()
    content, size = bytearray(), int(line.removeprefix(GO_WITH))
    while len(content) < size:
        chunk = os.read(0, min(_CHUNK, size - len(content)))
        if not chunk:
            return None
        content += chunk
    return masking.unpacked(bytes(content))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
