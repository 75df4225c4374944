"""Brings a run's files from its nodes into the workspace's storage, where Azure leaves them: as it runs, at its end.

Below `ExperimentRun/dcid.<job>/` in the container `azureml`: `user_logs/`, `azureml-logs/`, `outputs/`, `logs/`, and
`named-outputs/<name>/` for outputs without an address of their own. Azure mounts these folders: a file is a blob when
it is closed. Here it is one when two looks found it unchanged, at most two seconds after it was; `logs/` is streamed,
so its files go at every look. Of what several nodes write to one name the newest counts. Safe to repeat.
"""

from __future__ import annotations

import math
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from emulator import blobstore, live, ml, outputs, uris
from emulator.routing import Refusal
from node import layout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from emulator.blobstore import Where
    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.ml import Workspace
    from emulator.routing import Json

_TYPES = {".txt": "text/plain", ".log": "text/plain", ".json": "application/json", ".csv": "text/csv"}
NAMED = "named-outputs"
LOOK_S = 0.5
"""Between two looks at the files of a run that runs."""
BUDGET_S = 1.0
"""What one look may take for storing; the rest comes with the next, so that a job with many files holds up nobody."""
SHARE = 10
"""A look that takes long is followed by a rest of so many times its length."""
STREAMED = "logs"
Signature: TypeAlias = tuple[int, int, int]
"""Time of the last write in ns, size, inode."""


@dataclass(slots=True)
class Uploaded:
    """What is known of the files of one run. Lost with the emulator: then every file is read once more."""

    stored: dict[tuple[str, str], Signature] = field(default_factory=dict)
    """By container and name of the blob: the file that it was made of."""
    seen: dict[str, Signature] = field(default_factory=dict)
    """By path: how the last look found it."""
    next_look: float = 0.0


class Target(NamedTuple):
    """One output of a run: where it goes, and its folder on each node."""

    where: Where
    prefix: str
    folders: list[Path]
    streamed: bool = False


class _File(NamedTuple):
    path: Path
    signature: Signature


def output_uri(job_name: str, output: str) -> str:
    """Return the address of a named output that the user gave none."""
    return f"azureml://datastores/{uris.ARTIFACTS}/paths/{live.prefix(job_name)}{NAMED}/{output}"


def remember(cloud: Cloud, record: Record) -> None:
    """Take what is in the folders before the run starts as stored: it came from there."""
    memory = cloud.uploaded.setdefault(record.job_id, Uploaded())
    for target in _targets(cloud, record, ended=False):
        for name, file in _files(target)[0].items():
            memory.stored[target.where.id, name] = file.signature


def look(cloud: Cloud, record: Record) -> int:
    """Store what was finished since the last look, if it is time to look; returns how many files."""
    memory, began = cloud.uploaded.setdefault(record.job_id, Uploaded()), time.monotonic()
    if began < memory.next_look:
        return 0
    count, walked = 0, 0.0
    for target in _targets(cloud, record, ended=False):
        start = time.monotonic()
        found = _files(target)
        walked += time.monotonic() - start
        count += _Pass(cloud, record, memory, until=began + BUDGET_S).store(target, *found)
    memory.next_look = time.monotonic() + max(LOOK_S, SHARE * walked)
    return count


def rescue(cloud: Cloud, record: Record, closed: Collection[Path]) -> int:
    """Store what is to be had of a run whose node is taken away: all of the nodes whose processes ended (`closed`).

    Of the other nodes only what the last look saw as it is now. Outputs of mode Upload are lost, as in Azure.
    """
    memory = cloud.uploaded.setdefault(record.job_id, Uploaded())
    work = _Pass(cloud, record, memory, closed)
    return sum(work.store(target, *_files(target)) for target in _targets(cloud, record, ended=False))


def collect(cloud: Cloud, record: Record) -> int:
    """Store everything; returns how many files. An output's address that leads nowhere is skipped, as it was Azure's.

    Raises `Refusal` when the workspace's own storage is gone.
    """
    memory = cloud.uploaded.setdefault(record.job_id, Uploaded())
    work, count = _Pass(cloud, record, memory, record.dirs), logs(cloud, record)
    count += sum(work.store(target, *_files(target)) for target in _targets(cloud, record, ended=True))
    cloud.uploaded.pop(record.job_id, None)
    return count


def logs(cloud: Cloud, record: Record) -> int:
    """Store the logs as they are now: Azure appends them to blobs as they are written."""
    where = uris.datastore(cloud, ml.workspace_of(cloud, record.job_id), uris.ARTIFACTS)
    found = live.logs(record)
    for name, path in found.items():
        _upload(cloud, where, live.prefix(record.name) + name, path)
    return len(found)


def _targets(cloud: Cloud, record: Record, *, ended: bool) -> Iterator[Target]:
    workspace = ml.workspace_of(cloud, record.job_id)
    where, root = uris.datastore(cloud, workspace, uris.ARTIFACTS), live.prefix(record.name)
    for name in layout.COLLECTED:
        folders = [layout.workdir(folder) / name for folder in record.dirs]
        yield Target(where, root + name, folders, streamed=name == STREAMED)
    job = ml.obj((cloud.state.get(record.job_id) or {}).get("properties"))
    for name, output in outputs.stored(job).items():
        target = _destination(cloud, workspace, record, name, output)
        if target is not None and (ended or output.get("mode") != "Upload"):
            yield Target(*target, [outputs.path(folder, name, output) for folder in record.dirs])


def _destination(
    cloud: Cloud, workspace: Workspace, record: Record, name: str, output: dict[str, Json]
) -> tuple[Where, str] | None:
    uri = ml.text(output.get("uri")) or output_uri(record.name, name)
    try:
        return uris.resolve(cloud, workspace, uri)
    except Refusal:
        return None


def _files(target: Target) -> tuple[dict[str, _File], bool]:
    """Return the files by the name that their blobs get, and whether these are all: no folder was closed to us."""
    found: dict[str, _File] = {}
    faults: list[OSError] = []
    for folder in target.folders:
        for path, signature in _walk(folder, faults):
            inside = "" if path == folder else path.relative_to(folder).as_posix()
            name = "/".join(filter(None, (target.prefix, inside)))
            if name not in found or signature[0] > found[name].signature[0]:
                found[name] = _File(path, signature)
    return found, all(isinstance(fault, FileNotFoundError) for fault in faults)


def _walk(folder: Path, faults: list[OSError]) -> Iterator[tuple[Path, Signature]]:
    """Yield the regular files whose real place is inside the folder: a link must not pull in the host's files.

    An output that is a file is one itself.
    """
    if not folder.is_symlink() and (found := _signature(folder)):
        yield folder, found
        return
    inside = folder.resolve()
    for base, _, names in os.walk(folder, onerror=faults.append):
        for name in names:
            path = Path(base, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                continue
            if found := _signature(path):
                yield path, found


def _signature(path: Path) -> Signature | None:
    """Return a regular file's, or None for anything else."""
    try:
        found = path.stat()
    except OSError:  # gone since it was listed, or a link to nowhere
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None


@dataclass(slots=True)
class _Pass:
    """One look at the files of a run."""

    cloud: Cloud
    record: Record
    memory: Uploaded
    closed: Collection[Path] = ()
    """The run's folders on the nodes where nothing writes any more."""
    until: float = math.inf
    """When to stop storing, by the monotonic clock."""

    def store(self, target: Target, files: dict[str, _File], whole: bool) -> int:  # noqa: FBT001 - of `_files`
        """Store the files that are new and not being written; drop the blobs of those that are gone for certain."""
        count = sum(self._one(target, name, file) for name, file in files.items())
        if whole and all(run_dir.is_dir() for run_dir in self.record.dirs):
            self._prune(target, files)
        return count

    def _one(self, target: Target, name: str, file: _File) -> bool:
        key, memory = (target.where.id, name), self.memory
        if memory.stored.get(key) == file.signature:
            return False
        quiet = target.streamed or any(file.path.is_relative_to(folder) for folder in self.closed)
        settled = quiet or memory.seen.get(str(file.path)) == file.signature
        memory.seen[str(file.path)] = file.signature
        if not settled or time.monotonic() >= self.until:
            return False
        if not _upload(self.cloud, target.where, name, file.path, None if quiet else file.signature):
            return False
        memory.stored[key] = file.signature
        return True

    def _prune(self, target: Target, files: dict[str, _File]) -> None:
        for key in list(self.memory.stored):
            below = key[1] == target.prefix or key[1].startswith(f"{target.prefix}/")
            if key[0] == target.where.id and below and key[1] not in files:
                blobstore.delete(self.cloud, target.where, key[1])
                del self.memory.stored[key]


def _upload(cloud: Cloud, where: Where, name: str, path: Path, wanted: Signature | None = None) -> bool:
    """Store a file; False when it is gone, or (`wanted`) was written to meanwhile."""
    try:
        content = blobstore.stage_file(cloud, path)
    except FileNotFoundError:
        return False
    if wanted is not None and _signature(path) != wanted:
        return False
    known = blobstore.get(cloud, where, name)
    if known is None or known.path != content.path:
        blobstore.put(cloud, where, name, content, _TYPES.get(path.suffix, "application/octet-stream"))
    return True
