"""What is known of files that have not changed since they were last read, like git's index.

A file is trusted when size, times, inode and mode are as they were, and when its last change lies clearly before the
moment at which it was read: a change within the same tick of the file system's clock would leave no trace
(git documentation, racy-git). The cache is only ever a shortcut: lost or damaged, it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from runtime import likely_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FORMAT = 1
_TICK_NS = 20_000_000
"""The kernel's file times lag the clock by up to a tick (10 ms at 100 Hz)."""
_COARSE_NS = 2_000_000_000
"""File systems without fractions of a second have a resolution of up to two seconds (FAT)."""

Known = tuple[int, int, int, int, int, int, str]
"""size, mtime, ctime, inode, mode, time of reading (all times in ns), sha256."""


def trusted(known: Known, stat: os.stat_result) -> bool:
    """Tell whether a file is provably the one that was read."""
    size, mtime, ctime, inode, mode, read_at, _ = known
    if (size, mtime, ctime, inode, mode) != (
        stat.st_size,
        stat.st_mtime_ns,
        stat.st_ctime_ns,
        stat.st_ino,
        stat.st_mode,
    ):
        return False
    changed = max(mtime, ctime)
    return changed + (_COARSE_NS if changed % 1_000_000_000 == 0 else _TICK_NS) < read_at


def remember(stat: os.stat_result, read_at: int, sha256: str) -> Known:
    """Make the entry of a file that was read when the clock said `read_at`."""
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_mode, read_at, sha256)


class Cache:
    """The entries of one source folder, in one file; not kept anywhere without a folder to keep it in."""

    def __init__(self, folder: Path | None, root: Path) -> None:
        self._key = os.fspath(root)
        name = hashlib.sha256(os.fsencode(self._key)).hexdigest()[:20] + ".json"
        self._file = folder / name if folder else None
        self.files: dict[str, Known] = {}
        self.whole: tuple[str, str] | None = None
        """A snapshot's id and its content hash as azure-ai-ml computes it."""
        self._load()

    def _load(self) -> None:
        if self._file is None:
            return
        try:
            document = json.loads(self._file.read_bytes())
            if document["format"] != [_FORMAT, likely_secrets.VERSION, self._key]:
                return
            self.files = {path: tuple(known) for path, known in document["files"].items() if len(known) == 7}  # noqa: PLR2004
            self.whole = tuple(document["whole"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.files, self.whole = {}, None

    def save(self, files: Iterable[tuple[str, Known]], whole: tuple[str, str]) -> None:
        """Replace the cache, when it changed; a failure is of no consequence."""
        entries = dict(files)
        if self._file is None or (entries == self.files and whole == self.whole):
            return
        document = {"format": [_FORMAT, likely_secrets.VERSION, self._key], "files": entries, "whole": whole}
        draft = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as stream:
                json.dump(document, stream, separators=(",", ":"))
            draft.replace(self._file)
        except OSError:
            draft.unlink(missing_ok=True)
