"""Who writes next: one file lock in front of SQLite's own, because that one is unfair.

SQLite's busy handler sleeps up to 100 ms between tries, so under load a writer starves behind ones that came later. A
blocked `flock` sleeps in the kernel, in the order of asking, and is woken at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def turn(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the turn; it ends with the process, however that ends. Raises `TimeoutError`, another OSError.

    Without patience nobody is queued: it is ours at once, or not at all.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _Waiter(fd).wait(patience_s)
    except BaseException:
        os.close(fd)
        raise
    try:
        yield
    finally:
        os.close(fd)


class _Waiter:
    """Waits in the kernel's queue; in a thread, as `flock` has no timeout of its own. Closes the file when it fails."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.agreed = threading.Lock()
        self.got = self.left = False
        self.trouble: OSError | None = None

    def wait(self, patience_s: float) -> None:
        if not patience_s:
            os.close(self.fd)
            raise TimeoutError("another process holds it")
        thread = threading.Thread(target=self._block, name="turn", daemon=True)
        thread.start()
        try:
            thread.join(patience_s)
        finally:
            # Also after Ctrl-C: whoever is late, the thread or we, closes the file.
            with self.agreed:
                self.left = True
                ours = self.got
        if self.trouble is not None:
            raise self.trouble
        if not ours:
            raise TimeoutError(f"another process has held it for more than {patience_s:g} s")

    def _block(self) -> None:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
        except OSError as error:
            self.trouble = error
        with self.agreed:
            self.got = self.trouble is None and not self.left
            if not self.got:
                os.close(self.fd)
