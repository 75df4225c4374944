"""The source folder of a job, frozen: which files go, each with its hash, and one id over every byte that arrives.

`plan` only reads; `copy` and `read` hand out the very content that was planned, or fail. Which files stay behind is
`runtime.ignore`'s rule. Nothing leaves the folder that is not in it: links that point out are refused, links within are
followed as content, special files are skipped and named. Empty folders are not part of a snapshot, as in Azure.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat as modes
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

from runtime import ignore, likely_secrets, snapshot_cache, snapshot_notes
from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from runtime.ignore import Chain
    from runtime.snapshot_cache import Known

_CHUNK = 1 << 20
_HELD_BYTES = 64 << 20
_MAX_LINKED_FOLDERS = 1000
_ATTEMPTS = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class File(NamedTuple):
    """One file of a snapshot."""

    path: str
    """Relative to the folder, with forward slashes."""
    size: int
    sha256: str
    executable: bool
    source: str
    """Absolute path of what was read; another one than `path` says where a link was followed."""


class Skipped(NamedTuple):
    """Something that stays behind without an ignore file saying so."""

    path: str
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """A planned snapshot."""

    root: Path
    files: tuple[File, ...]
    """By path."""
    id: str
    """SHA-256 over the paths, executable bits and contents of all files."""
    hash_202208: str
    """azure-ai-ml's content hash (hashVersion 202208), by which code versions are found again and reused."""
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    reused: int
    """Files that were not read again, because they had not changed."""

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)


class _Found(NamedTuple):
    path: str
    source: str
    stat: os.stat_result


def plan(
    folder: Path, *, cache: Path | None = None, allow_secrets: Collection[str] | None = None, shown: str | None = None
) -> Snapshot:
    """Decide and hash what of a folder (or a single file) is sent. Blocks while changed files are read.

    `cache`: a folder for the stat cache; `allow_secrets`: relative paths that may go although they look like secrets,
    None where nobody can be asked; `shown`: what messages call the folder.
    Raises: SpecError with every link, name and secret that is refused.
    """
    root = Path(os.path.realpath(folder))
    called = str(folder) if shown is None else shown
    walk = _Walk(root if root.is_dir() else root.parent, called)
    if root.is_dir():
        walk.run()
    elif root.is_file():
        walk.found.append(_Found(root.name, str(root), root.stat()))
    else:
        raise SpecError([Problem(called, 1, 1, "", "no such folder.", rule="snapshot-folder")])
    if not walk.found and not walk.problems:
        message = "holds no file to send: it is empty, or everything in it is ignored."
        raise SpecError([Problem(called, 1, 1, "", message, rule="snapshot-empty")])
    hasher = _Hasher(walk, snapshot_cache.Cache(cache, root), allow_secrets)
    files = tuple(hasher.file(found) for found in sorted(walk.found))
    if walk.problems:
        raise SpecError(snapshot_notes.shortened(walk.problems, len(hasher.secrets)))
    identity = _identity(files)
    whole = hasher.whole(files, identity)
    return Snapshot(
        root=walk.root,
        files=files,
        id=identity,
        hash_202208=whole,
        skipped=tuple(sorted(walk.skipped)),
        warnings=(*hasher.warnings, *snapshot_notes.left_out(walk.skipped), *snapshot_notes.too_large(files)),
        reused=hasher.reused,
    )


def _identity(files: tuple[File, ...]) -> str:
    lines = (f"{'x' if file.executable else '-'} {file.sha256} {file.path}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class _Walk:
    """Finds the files of a folder without looking into what is ignored."""

    def __init__(self, root: Path, shown: str) -> None:
        self.root, self.shown = root, shown
        self.found: list[_Found] = []
        self.skipped: list[Skipped] = []
        self.problems: list[Problem] = []
        self.top = ignore.Chain((), nested=False)
        self.excludes: Callable[[str], bool] = self.top.excludes
        """Of the folder that is being listed."""
        self.linked = 0
        self.todo: list[tuple[str, str, str, Chain, tuple[str, ...]]] = []

    def refuse(self, path: str, message: str, rule: str, line: int = 1) -> None:
        """Note why the snapshot can't be made."""
        where = os.path.join(self.shown, path) if path else self.shown  # noqa: PTH118 - keeps ./ as it was written
        where = where.encode("utf-8", "backslashreplace").decode()
        shown = repr(where)[1:-1] if _CONTROL.search(where) else where
        self.problems.append(Problem(shown, line, 1, "", message, rule=rule))

    @property
    def ignore_file(self) -> str:
        """Name the file in which a user would add a pattern."""
        given = (self.root / ignore.AML_IGNORE).exists() or not (self.root / ignore.GIT_IGNORE).exists()
        return ignore.AML_IGNORE if given else ignore.GIT_IGNORE

    def run(self) -> None:
        self.top = ignore.Chain.of_root(self.root)
        # Visible path, path with links resolved (azure-ai-ml matches that one), folder, patterns, real ancestors.
        self.todo.append(("", "", str(self.root), self.top, (str(self.root),)))
        while self.todo:
            prefix, real, folder, chain, ancestors = self.todo.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except OSError as error:
                self.refuse(prefix, f"can't be read: {error.strerror}.", "snapshot-file")
                continue
            if prefix and chain.nested and any(entry.name == ignore.GIT_IGNORE for entry in listed):
                chain = chain.below(Path(folder), prefix)
            self.excludes = chain.sieve(prefix)
            for entry in listed:
                if entry.name not in ignore.ALWAYS:
                    self.entry(entry, (prefix, real), chain, ancestors)

    def entry(self, entry: os.DirEntry[str], at: tuple[str, str], chain: Chain, ancestors: tuple[str, ...]) -> None:
        path, real = at[0] + entry.name, at[1] + entry.name
        if entry.is_symlink():
            self.link(entry, path, chain, ancestors)
        elif entry.is_dir(follow_symlinks=False):
            if not self.pruned(path, real, chain):
                self.todo.append((path + "/", real + "/", entry.path, chain, (*ancestors, entry.path)))
        elif not (self.excludes(path) or (real != path and self.top.excludes(real))):
            if entry.is_file(follow_symlinks=False):
                self.add(path, entry.path, entry.stat(follow_symlinks=False))
            else:
                self.skipped.append(Skipped(path, _kind(entry.stat(follow_symlinks=False).st_mode)))

    def pruned(self, path: str, real: str, chain: Chain) -> bool:
        return chain.prunes(path + "/") or (real != path and self.top.prunes(real + "/"))

    def add(self, path: str, source: str, stat: os.stat_result) -> None:
        fault = None if path.isascii() and path.isprintable() else _name_fault(path)
        if fault:
            self.refuse(path, fault, "snapshot-name")
        else:
            self.found.append(_Found(path, source, stat))

    def link(self, entry: os.DirEntry[str], path: str, chain: Chain, ancestors: tuple[str, ...]) -> None:
        if chain.excludes(path) or chain.prunes(path + "/"):
            return
        target = os.path.realpath(entry.path)
        inside = os.path.relpath(target, self.root)
        parts = Path(inside).parts
        if parts[:1] == (os.pardir,):
            message = f"is a link that leaves the folder (to {target}). Copy it in, or add it to {self.ignore_file}."
            self.refuse(path, message, "snapshot-link")
            return
        if ignore.ALWAYS & set(parts):
            self.refuse(path, f"is a link into {inside}, which is never sent. Remove it.", "snapshot-link")
            return
        try:
            stat = os.stat(target)  # noqa: PTH116
        except OSError:
            self.skipped.append(Skipped(path, "a link to nothing"))
            return
        if modes.S_ISREG(stat.st_mode):
            self.add(path, target, stat)
        elif not modes.S_ISDIR(stat.st_mode):
            self.skipped.append(Skipped(path, _kind(stat.st_mode)))
        elif target in ancestors:
            self.skipped.append(Skipped(path, "a link to a folder that holds it"))
        elif not self.pruned(path, inside, chain):
            self.linked += 1
            if self.linked > _MAX_LINKED_FOLDERS:
                raise SpecError([Problem(self.shown, 1, 1, "", _TOO_MANY_LINKS, rule="snapshot-link")])
            self.todo.append((path + "/", inside + "/", target, chain, (*ancestors, target)))


_TOO_MANY_LINKS = f"leads through more than {_MAX_LINKED_FOLDERS:,} links to folders. Remove some."


def _name_fault(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8 text. Rename it."
    return "its name holds a control character. Rename it." if _CONTROL.search(path) else None


def _kind(mode: int) -> str:
    for test, name in ((modes.S_ISFIFO, "a FIFO"), (modes.S_ISSOCK, "a socket"), (modes.S_ISCHR, "a device")):
        if test(mode):
            return name
    return "a device" if modes.S_ISBLK(mode) else "not a file"


class _Hasher:
    """Reads what changed and looks it through for secrets; keeps small contents for the second hash."""

    def __init__(self, walk: _Walk, cache: snapshot_cache.Cache, allowed: Collection[str] | None) -> None:
        self.walk, self.cache, self.allowed = walk, cache, allowed
        self.warnings: list[str] = []
        self.reused = 0
        self.secrets: set[str] = set()
        self.fresh: dict[str, Known] = {}
        self.held: dict[str, bytes] = {}
        self.room = _HELD_BYTES

    def file(self, found: _Found) -> File:
        stat, known = found.stat, self.cache.files.get(found.path)
        secret = likely_secrets.by_name(found.path)
        if secret:
            self.secret(found.path, likely_secrets.Finding(secret, 1))
        if known is not None and snapshot_cache.trusted(known, stat):
            self.reused += 1
            self.fresh[found.path] = known
            return File(found.path, stat.st_size, known[-1], _executable(stat), found.source)
        try:
            stat, digest = self.read(found)
        except OSError as error:
            self.walk.refuse(found.path, f"can't be read: {error.strerror}.", "snapshot-file")
            digest = ""
        return File(found.path, stat.st_size, digest, _executable(stat), found.source)

    def read(self, found: _Found) -> tuple[os.stat_result, str]:
        """Hash a file that holds still; one that keeps changing is refused."""
        for _ in range(_ATTEMPTS):
            scanner, digest, chunks, read_at = likely_secrets.Scanner(), hashlib.sha256(), [], time_ns()
            with _open(found.source) as stream:
                before = os.fstat(stream.fileno())
                # A file that grows faster than it is read has no end; one byte too many is enough to know.
                while stream.tell() <= before.st_size and (chunk := stream.read(_CHUNK)):
                    digest.update(chunk)
                    scanner.feed(chunk)
                    if before.st_size <= min(_CHUNK, self.room):
                        chunks.append(chunk)
                after = os.fstat(stream.fileno())
                read = stream.tell()
            if read == after.st_size and _same(before, after):
                if chunks:
                    self.held[found.path] = b"".join(chunks)
                    self.room -= read
                if scanner.finding:
                    self.secret(found.path, scanner.finding)
                else:
                    self.fresh[found.path] = snapshot_cache.remember(after, read_at, digest.hexdigest())
                return after, digest.hexdigest()
        message = f"keeps changing while it is read. Wait until it is written, or add it to {self.walk.ignore_file}."
        self.walk.refuse(found.path, message, "snapshot-changing")
        return before, ""

    def secret(self, path: str, finding: likely_secrets.Finding) -> None:
        if path in (self.allowed or ()):
            self.warnings.append(f"{path}:{finding.line} looks like {finding.what} and was allowed by name")
            return
        if path in self.secrets:
            return
        self.secrets.add(path)
        if len(self.secrets) > snapshot_notes.LISTED:
            return
        message = (
            f"looks like {finding.what}; whoever reads the workspace's code could read it. "
            f"To leave it here, add the line {path} to {os.path.join(self.walk.shown, self.walk.ignore_file)}."  # noqa: PTH118
        )
        if self.allowed is not None:
            message += f" If it is none: {snapshot_notes.ALLOW} {path}"
        self.walk.refuse(path, message, snapshot_notes.REFUSED_AS, finding.line)

    def whole(self, files: tuple[File, ...], identity: str) -> str:
        """Compute azure-ai-ml's content hash, or take it from the cache, and save the cache."""
        known = self.cache.whole
        value = known[1] if known and known[0] == identity else self.hash_202208(files)
        self.cache.save(self.fresh.items(), (identity, value))
        return value

    def hash_202208(self, files: tuple[File, ...]) -> str:
        """Hash as azure-ai-ml 1.35.2's `get_content_hash` does: count, names and sizes, then all contents."""
        ordered = sorted(files, key=lambda file: file.path.lower())
        digest = hashlib.sha256(str(len(files)).encode())
        for file in ordered:
            digest.update(f"#{file.path}#{file.size}".encode())
        for file in ordered:
            held = self.held.get(file.path)
            for chunk in (held,) if held is not None else read(file, self.walk.shown):
                digest.update(chunk)
        return digest.hexdigest()


def _executable(stat: os.stat_result) -> bool:
    return bool(stat.st_mode & modes.S_IXUSR)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (other.st_size, other.st_mtime_ns, other.st_ctime_ns)


def _open(source: str) -> io.FileIO:
    """Open a regular file without ever waiting for the other end of a FIFO that took its place."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not modes.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a file any more")
    return io.FileIO(fd, "rb")


def read(file: File, shown: str = "") -> Iterator[bytes]:
    """Yield the content that was planned. Raises: SpecError at its end when the file has changed since."""
    digest = hashlib.sha256()
    try:
        with _open(file.source) as stream:
            while stream.tell() <= file.size and (chunk := stream.read(_CHUNK)):
                digest.update(chunk)
                yield chunk
    except OSError as error:
        raise _changed(file, shown, f"can't be read any more: {error.strerror}.") from None
    if digest.hexdigest() != file.sha256:
        raise _changed(file, shown, "changed after it was planned. Repeat the command.")


def _changed(file: File, shown: str, message: str) -> SpecError:
    return SpecError([Problem(os.path.join(shown, file.path), 1, 1, "", message, rule="snapshot-changing")])  # noqa: PTH118


def copy(snapshot: Snapshot, destination: Path) -> None:
    """Copy a snapshot to a folder that does not exist yet (or is empty), readable by the owner only.

    All or nothing: it is made beside the destination and renamed. Keeps the executable bit.
    Raises: SpecError when a file changed since it was planned; OSError, also when the destination holds something.
    """
    draft = destination.with_name(f".{destination.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(mode=0o700, parents=True)
        made = {""}
        for file in snapshot.files:
            parent = file.path.rpartition("/")[0]
            if parent not in made:
                (draft / parent).mkdir(mode=0o700, parents=True, exist_ok=True)
                made.add(parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(draft / file.path, flags, 0o700 if file.executable else 0o600)
            with os.fdopen(fd, "wb") as stream:
                for chunk in read(file, str(snapshot.root)):
                    stream.write(chunk)
        draft.rename(destination)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
