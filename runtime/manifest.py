"""What a download wrote into a folder: one JSON line a file, so that the next download knows its own from others'.

A line is appended before its file gets its name, so a download that is killed leaves no file of its own unknown.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from runtime import wire
from runtime.errors import HeldBackError, Problem, SpecError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


KEPT = 2
"""Lines a file that are left at the end: the last may be of one that did not get its name any more."""


class Entry(NamedTuple):
    """One file as it was written."""

    name: str
    sha256: str
    size: int
    mtime_ns: int
    version: str

    def is_at(self, path: Path) -> bool:
        """Tell whether a file still looks as it was written. Good enough to leave it alone, not to replace it."""
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class Manifest:
    """The entries of one run in one folder, held by one download at a time."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self._run_id = run_id
        self._written: dict[str, list[Entry]] = {}
        """All that was ever written under a name, the latest last."""
        self._fd = -1
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Take the file, made when it is missing. Raises `HeldBackError` while another download has it, `SpecError`."""
        try:
            while self._fd < 0:
                self._take()
            self._read()
        except OSError as error:
            self._close()
            why = error.strerror or str(error)
            raise SpecError([Problem(str(self.path), 0, 0, "", f"can't be written: {why}.", rule="file")]) from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Leave few lines a file, or no file where there is nothing to remember."""
        try:
            if not self._written:
                self.path.unlink(missing_ok=True)
            elif any(len(entries) > KEPT for entries in self._written.values()):
                self._compact()
        finally:
            self._close()

    def latest(self, name: str) -> Entry | None:
        """Return what was last written under a name."""
        return self._written[name][-1] if name in self._written else None

    def ours(self, name: str) -> set[str]:
        """Return the hashes of all that was written under a name."""
        return {entry.sha256 for entry in self._written.get(name, [])}

    def add(self, entry: Entry) -> None:
        """Remember a file; called before it gets its name."""
        with self._lock:
            if self.latest(entry.name) == entry:
                return
            os.write(self._fd, _line(entry))
            self._keep(entry)

    def _take(self) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = f"another download of {self._run_id} writes to {self.path.parent} now"
            raise HeldBackError(f"{busy}. Wait for it, or choose another folder") from None
        here = os.fstat(self._fd)
        with contextlib.suppress(FileNotFoundError):
            there = self.path.lstat()
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return
        self._close()  # replaced by the download that just ended

    def _read(self) -> None:
        with os.fdopen(os.dup(self._fd), "rb") as stream:
            stream.seek(0)
            raw = stream.read()
        for line in raw.splitlines():
            with contextlib.suppress(ValueError):  # the last one of a download that was killed
                self._keep(_entry(line))
        if raw and not raw.endswith(b"\n"):
            os.write(self._fd, b"\n")

    def _keep(self, entry: Entry) -> None:
        self._written.setdefault(entry.name, []).append(entry)

    def _compact(self) -> None:
        draft = self.path.with_name(f"{self.path.name}.part")
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.writelines(_line(entry) for entries in self._written.values() for entry in entries[-KEPT:])
        draft.replace(self.path)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _line(entry: Entry) -> bytes:
    return json.dumps(entry._asdict()).encode() + b"\n"


def _entry(line: bytes) -> Entry:
    found = wire.obj(wire.parse(line))
    name, sha256, version = (wire.text(found.get(key)) for key in ("name", "sha256", "version"))
    size, mtime_ns = found.get("size"), found.get("mtime_ns")
    if not (name and sha256 and isinstance(size, int) and isinstance(mtime_ns, int)):
        raise ValueError("not an entry")
    return Entry(name, sha256, size, mtime_ns, version)
