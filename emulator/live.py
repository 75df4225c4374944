"""Logs of a run that is still on its nodes: served from the nodes' files until the run is collected.

Azure appends a run's logs to blobs while it runs; here the file that the command writes is read directly, so a tail is
as fresh as the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import jobrecords, ml
from emulator.blobstore import Blob
from node import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.blobstore import Where
    from emulator.cloud import Cloud
    from emulator.jobrecords import Record

CONTAINER = "azureml"
ROOT = "ExperimentRun/dcid."


def prefix(job_name: str) -> str:
    """Return where a run's files are in the container `azureml`."""
    return f"{ROOT}{job_name}/"


def logs(record: Record) -> dict[str, Path]:
    """Return the logs of all nodes by name. Each process has its own; the environment's is the first node's."""
    found: dict[str, Path] = {}
    for rank, folder in enumerate(record.dirs):
        for name in layout.logs(folder):
            if name not in found and not (rank and name == layout.BUILD_LOG):
                found[name] = folder / name
    return found


def blob(cloud: Cloud, where: Where, name: str) -> Blob | None:
    """Return a log of a run that is on its nodes, or None."""
    return next((found for found in listing(cloud, where, name) if found.name == name), None)


def listing(cloud: Cloud, where: Where, start: str) -> list[Blob]:
    """List the logs of the runs that are on their nodes, whose name starts so."""
    if where.container != CONTAINER or not (start.startswith(ROOT) or ROOT.startswith(start)):
        return []
    return [found for found in _all(cloud, where, start) if found.name.startswith(start)]


def _all(cloud: Cloud, where: Where, start: str) -> Iterator[Blob]:
    for record in jobrecords.active(cloud):
        root = prefix(record.name)
        if record.storage_id.lower() != where.account.id.lower():
            continue
        if not (root.startswith(start) or start.startswith(root)):
            continue
        for name, path in logs(record).items():
            found = _appended(record, name, path)
            if found is not None:
                yield found


def _appended(record: Record, log: str, path: Path) -> Blob | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    modified = ml.stamp(ml.epoch(stat.st_mtime))
    return Blob(
        name=prefix(record.name) + log,
        path=path,
        size=stat.st_size,
        md5="",
        etag=f'"0x{stat.st_mtime_ns:X}{stat.st_size:X}"',
        created=record.started or record.created,
        modified=modified,
        content_type="text/plain",
        kind="AppendBlob",
    )
