"""Files by content below `~/.trainyard/objects`, from which the folders of runs are made.

An object has its SHA-256 as name and a fixed time of change, which any later write to it would move: so an object that
a job damaged is known, and sent again. Many small ones that come together lie in one file, a pack, with an index beside
it: making a file is what costs. Whatever is copied into a run is hashed on the way; a large input is linked, and was on
the disk before it got its name.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from node import boot, layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from node.layout import Json

FULL = (errno.ENOSPC, errno.EDQUOT)
LARGE = 1 << 20
"""From here on an input is linked. Bytes."""
SMALL, MANY = 1 << 16, 32
"""Files up to that size go into a pack, where at least so many come together."""
WHOLE_NS = 946_684_800 * 10**9
"""The time of change of an object that nobody touched: 2000-01-01."""
PACK, INDEX = ".pack", ".json"
OLD_S = 86_400.0
"""A pack without an index is of a transfer that died; after a day it is gone."""
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """A file of a tree."""

    path: str
    """Relative, with forward slashes."""
    key: str
    """SHA-256 of its content."""
    size: int
    executable: bool


class Packed(NamedTuple):
    """Where a small object is."""

    pack: Path
    offset: int
    size: int


def tree(document: Mapping[str, Json], name: str) -> list[Entry]:
    """Read a list of `[path, sha256, size, executable]`. Raises: ValueError for a path that leaves its folder."""
    listed = document.get(name)
    found = [Entry(*row) for row in (listed if isinstance(listed, list) else [])]  # type: ignore[misc]
    for entry in found:
        if not entry.path or entry.path.startswith("/") or ".." in entry.path.split("/"):
            raise ValueError(f"{entry.path!r} does not stay inside its folder")
    return found


def sizes(request: Mapping[str, Json]) -> dict[str, int]:
    """Return the size by name of the objects that a client has."""
    listed = request.get("objects")
    return {str(key): int(str(size)) for key, size in (listed if isinstance(listed, dict) else {}).items()}


class Store:
    """The objects of one machine. Several clients may add to it at once."""

    def __init__(self, home: Path) -> None:
        self.root = home / "objects"

    @functools.cached_property
    def packed(self) -> dict[str, Packed]:
        """What lies in packs."""
        found: dict[str, Packed] = {}
        for index in self.root.glob(f"*{INDEX}"):
            pack = index.with_suffix(PACK)
            try:
                document, whole = layout.read_json(index) or {}, pack.stat().st_mtime_ns == WHOLE_NS
            except (FileNotFoundError, ValueError):
                continue
            for key, place in document.items():
                if whole and isinstance(place, list):
                    found[key] = Packed(pack, int(str(place[0])), int(str(place[1])))
        return found

    def has(self, key: str, size: int) -> bool:
        """Tell whether an object is here, as it came."""
        packed = self.packed.get(key)
        if packed is not None and packed.size == size:
            return True
        try:
            found = os.stat(self.place(key))  # noqa: PTH116 - for each of ten thousand
        except FileNotFoundError:
            return False
        return found.st_size == size and found.st_mtime_ns == WHOLE_NS

    def place(self, key: str) -> Path:
        """Return where an object of its own is, or would be."""
        return self.root / key[:2] / key

    def receive(self, wanted: Mapping[str, int], source: BinaryIO) -> None:
        """Take files that follow one another in that order, and give each its name when it is whole.

        Raises: OSError; ValueError for a content that is not what was announced; EOFError when the client vanished.
        """
        layout.private_dir(self.root)
        self._forget_dead()
        packing = sum(size <= SMALL for size in wanted.values()) >= MANY
        with _Pack(self.root) as pack:
            for key, size in wanted.items():
                if packing and size <= SMALL:
                    pack.add(key, _checked(key, boot.read_exact(source, size)))
                else:
                    _take(self.place(key), key, size, source)
        self.__dict__.pop("packed", None)

    def _forget_dead(self) -> None:
        for pack in self.root.glob(f"*{PACK}"):
            with contextlib.suppress(FileNotFoundError):
                if not pack.with_suffix(INDEX).exists() and pack.stat().st_ctime < time.time() - OLD_S:
                    pack.unlink()

    def fill(self, entries: list[Entry], folder: Path, *, shared: bool = False) -> list[str]:
        """Write files to a new folder; return which objects are not here, or not whole. Those are dropped.

        `shared`: a large file is one copy for all runs, whose content they may only read.
        """
        missing, made = list[str](), {layout.private_dir(folder)}
        for entry in entries:
            target = folder / entry.path
            if target.parent not in made:
                made.add(layout.private_dir(target.parent))
            if not self.has(entry.key, entry.size):
                missing.append(entry.key)
            elif shared and entry.size >= LARGE and not entry.executable:
                os.link(self.place(entry.key), target)
            elif not self._copy(target, entry):
                self._drop(entry.key)
                missing.append(entry.key)
        return missing

    def _copy(self, target: Path, entry: Entry) -> bool:
        """Copy an object; False when its content is another one (after a power cut, or a write by a job)."""
        packed = self.packed.get(entry.key)
        origin, offset = (packed.pack, packed.offset) if packed else (self.place(entry.key), 0)
        digest, left = hashlib.sha256(), entry.size
        fd = os.open(target, _NEW, 0o700 if entry.executable else 0o600)
        try:
            with origin.open("rb", buffering=0) as source:
                source.seek(offset)
                while left and (chunk := source.read(min(left, _CHUNK))):
                    digest.update(chunk)
                    layout.write_all(fd, chunk)
                    left -= len(chunk)
        finally:
            os.close(fd)
        return digest.hexdigest() == entry.key

    def _drop(self, key: str) -> None:
        packed = self.packed.get(key)
        if packed is None:
            self.place(key).unlink(missing_ok=True)
            return
        for path in (packed.pack.with_suffix(INDEX), packed.pack):
            path.unlink(missing_ok=True)
        self.__dict__.pop("packed", None)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _checked(key: str, content: bytes) -> bytes:
    if hashlib.sha256(content).hexdigest() != key:
        raise ValueError("a file changed while it was sent. Repeat the command")
    return content


class _Pack:
    """A pack that is being filled; it counts from the moment that its index is there, also after a cut."""

    def __init__(self, root: Path) -> None:
        self.path = root / f"{time.time_ns()}-{os.urandom(4).hex()}{PACK}"
        self.index: dict[str, Json] = {}
        self.offset, self.fd = 0, -1

    def __enter__(self) -> _Pack:  # noqa: PYI034 - typing.Self is younger than the oldest Python here
        return self

    def add(self, key: str, content: bytes) -> None:
        if self.fd < 0:
            self.fd = os.open(self.path, _NEW, 0o600)
        layout.write_all(self.fd, content)
        self.index[key] = [self.offset, len(content)]
        self.offset += len(content)

    def __exit__(self, *_: object) -> None:
        if self.fd < 0:
            return
        os.fchmod(self.fd, 0o400)
        os.utime(self.fd, ns=(WHOLE_NS, WHOLE_NS))
        os.close(self.fd)
        layout.write_json(self.path.with_suffix(INDEX), self.index)


def _take(target: Path, key: str, size: int, source: BinaryIO) -> None:
    layout.private_dir(target.parent)
    draft = target.with_name(f".{key}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            digest, left = hashlib.sha256(), size
            while left:
                chunk = boot.read_exact(source, min(left, _CHUNK))
                digest.update(chunk)
                layout.write_all(fd, chunk)
                left -= len(chunk)
            if digest.hexdigest() != key:
                raise ValueError("a file changed while it was sent. Repeat the command")
            if size >= LARGE:
                os.fsync(fd)
            os.fchmod(fd, 0o400)
            os.utime(fd, ns=(WHOLE_NS, WHOLE_NS))
        finally:
            os.close(fd)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
