"""Brings a finished run's files from its node into the workspace's storage, where Azure leaves them.

Below `ExperimentRun/dcid.<job>/` in the container `azureml`: `user_logs/`, `azureml-logs/`, `outputs/`, `logs/`, and
`named-outputs/<name>/` for outputs without an address of their own. Safe to repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import blobstore, live, materialise, ml, uris
from emulator.routing import Refusal
from node import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.blobstore import Where
    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.ml import Workspace
    from emulator.routing import Json

_TYPES = {".txt": "text/plain", ".log": "text/plain", ".json": "application/json", ".csv": "text/csv"}
NAMED = "named-outputs"


def output_uri(job_name: str, output: str) -> str:
    """Return the address of a named output that the user gave none."""
    return f"azureml://datastores/{uris.ARTIFACTS}/paths/{live.prefix(job_name)}{NAMED}/{output}"


def collect(cloud: Cloud, record: Record, run_dir: Path) -> int:
    """Upload everything; returns how many files. An output's address that leads nowhere is skipped, as it was Azure's.

    Raises `Refusal` when the workspace's own storage is gone.
    """
    workspace = ml.workspace_of(cloud, record.job_id)
    where = uris.datastore(cloud, workspace, uris.ARTIFACTS)
    root = live.prefix(record.name)
    count = 0
    for log in live.LOGS:
        path = run_dir / log
        if path.is_file():
            count += _upload(cloud, where, root + log, path)
    for name in layout.COLLECTED:
        count += _folder(cloud, where, root + name, layout.workdir(run_dir) / name)
    job = ml.obj((cloud.state.get(record.job_id) or {}).get("properties"))
    for name in materialise.named_outputs(job):
        target = _destination(cloud, workspace, record, name, ml.obj(ml.obj(job["outputs"])[name]))
        if target is not None:
            count += _folder(cloud, *target, run_dir / "named" / name)
    return count


def _destination(
    cloud: Cloud, workspace: Workspace, record: Record, name: str, output: dict[str, Json]
) -> tuple[Where, str] | None:
    uri = ml.text(output.get("uri")) or output_uri(record.name, name)
    try:
        return uris.resolve(cloud, workspace, uri)
    except Refusal:
        return None


def _folder(cloud: Cloud, where: Where, prefix: str, folder: Path) -> int:
    return sum(
        _upload(cloud, where, f"{prefix}/{path.relative_to(folder).as_posix()}", path) for path in _files(folder)
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files whose real place is inside the folder: a link must not pull in the host's files."""
    inside = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve().is_relative_to(inside):
            yield path


def _upload(cloud: Cloud, where: Where, name: str, path: Path) -> int:
    content = blobstore.stage_file(cloud, path)
    known = blobstore.get(cloud, where, name)
    if known is None or known.path != content.path:
        blobstore.put(cloud, where, name, content, _TYPES.get(path.suffix, "application/octet-stream"))
    return 1
