"""What a machine must hold for a run: the code and the inputs, as files known by their content.

A machine keeps files by SHA-256 (`node.objects`); only those that it lacks are sent, in one stream. Inputs are hashed
once: what has not changed since is known from a cache like git's index.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from node.objects import LARGE
from runtime import paths, snapshot, snapshot_cache
from runtime.errors import Problem, SpecError
from runtime.snapshot import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from runtime.wire import Json, Object

THREADS = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """Files of one folder of a run."""

    files: tuple[File, ...]
    shared: bool = False
    """A large file is one copy for all runs on that machine: they only read it."""
    single: bool = False
    """It is one file, not a folder."""

    def rows(self) -> list[Json]:
        """Return it as `node.objects.tree` reads it."""
        return [[file.path, file.sha256, file.size, file.executable] for file in self.files]


@dataclass(frozen=True, slots=True)
class Cargo:
    """Everything that a run brings."""

    code: Tree
    inputs: dict[str, Tree]

    @property
    def files(self) -> dict[str, File]:
        """The different contents, by SHA-256."""
        trees = (self.code, *self.inputs.values())
        return {file.sha256: file for tree in trees for file in tree.files}

    @property
    def copied(self) -> int:
        """Bytes that the run takes beside the contents themselves."""
        own = sum(file.size for file in self.code.files)
        return own + sum(
            file.size
            for tree in self.inputs.values()
            for file in tree.files
            if not (tree.shared and file.size >= LARGE)
        )

    def described(self) -> Object:
        """Return what `node.remote` makes the run's folder from."""
        inputs: Object = {name: {"files": tree.rows(), "shared": tree.shared} for name, tree in self.inputs.items()}
        return {"code": self.code.rows(), "inputs": inputs}


def outgoing(files: Iterable[File], shown: str) -> list[tuple[str, int, Callable[[], Iterator[bytes]]]]:
    """Return files as `runtime.hosts.Host.send` takes them."""
    return [(file.sha256, file.size, partial(snapshot.read, file, shown)) for file in files]


def of_snapshot(plan: snapshot.Snapshot | None) -> Tree:
    """Return the code; none is an empty folder."""
    return Tree(plan.files if plan else ())


def of_input(root: Path, cache: Path, *, shared: bool) -> Tree:
    """Hash an input, a file or a folder; links in it are left out. Blocking. Raises `SpecError`.

    `cache`: where what is known of unchanged files is kept.
    """
    known = snapshot_cache.Cache(cache, root)
    listed = list(paths.files_below(root))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="hash") as pool:
        found = list(pool.map(lambda item: _hashed(item[0], item[1], known), listed))
    known.save(((file.path, entry) for file, entry in found), ("", ""))
    return Tree(tuple(file for file, _ in found), shared=shared, single=root.is_file())


def _hashed(name: str, path: Path, cache: snapshot_cache.Cache) -> tuple[File, snapshot_cache.Known]:
    try:
        stat = path.stat()
        known = cache.files.get(name)
        if known is None or not snapshot_cache.trusted(known, stat):
            read_at, digest = time.time_ns(), hashlib.sha256()
            for chunk in paths.chunks(path):
                digest.update(chunk)
            known = snapshot_cache.remember(stat, read_at, digest.hexdigest())
    except OSError as error:
        message = f"can't be read: {error.strerror}."
        raise SpecError([Problem(str(path), 1, 1, "", message, rule="input")]) from None
    return File(name, stat.st_size, known[-1], False, str(path)), known
