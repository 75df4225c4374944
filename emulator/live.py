"""Blobs of a run that is still on its node: served from the node's files until the run is collected.

Azure appends a run's logs to blobs while it runs; here the file that the command writes is read directly, so a tail is
as fresh as the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emulator import jobrecords, ml
from emulator.blobstore import Blob
from node import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.blobstore import Where
    from emulator.cloud import Cloud

CONTAINER = "azureml"
ROOT = "ExperimentRun/dcid."
LOGS = (layout.USER_LOG, layout.BUILD_LOG)


def prefix(job_name: str) -> str:
    """Return where a run's files are in the container `azureml`."""
    return f"{ROOT}{job_name}/"


def blob(cloud: Cloud, where: Where, name: str) -> Blob | None:
    """Return a log of a run that is on its node, or None."""
    return next((found for found in listing(cloud, where, name) if found.name == name), None)


def listing(cloud: Cloud, where: Where, start: str) -> list[Blob]:
    """List the logs of the runs that are on their nodes, whose name starts so."""
    if where.container != CONTAINER or not (start.startswith(ROOT) or ROOT.startswith(start)):
        return []
    return [found for found in _all(cloud, where) if found.name.startswith(start)]


def _all(cloud: Cloud, where: Where) -> Iterator[Blob]:
    for record in jobrecords.active(cloud):
        if record.run_dir is None or record.storage_id.lower() != where.account.id.lower():
            continue
        for log in LOGS:
            found = _appended(record, log)
            if found is not None:
                yield found


def _appended(record: jobrecords.Record, log: str) -> Blob | None:
    path = Path(record.run_dir or "") / log
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
