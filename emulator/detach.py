"""`python -m emulator.detach LOG MODULE ARGUMENT...`: start `python -m MODULE` on its own and print its pid.

The started process belongs to nobody: new session, no terminal, no descriptor but the log, not a child of the caller,
so the caller may end, or never wait for it.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> None:
    """Fork; the parent prints the pid and returns, the child becomes the module."""
    log, module, *rest = arguments
    os.umask(0o077)
    pid = os.fork()
    if pid:
        os.write(1, f"{pid}\n".encode())
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.closerange(3, 64)
    os.execv(sys.executable, [sys.executable, "-m", module, *rest])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
