"""What the emulator itself knows about a job, beside the document that GET answers.

One record a job, below the job's id, so that it goes with the workspace. Status is written here only, in one
transaction with the job's document; a terminal one is written once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import ml

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.routing import Json

ACTIVE, ENDED = "job-active", "job-ended"
TERMINAL = frozenset({"Completed", "Failed", "Canceled"})
SERVERLESS = "serverless"
"""What clients call the compute of a job that names none; its nodes are a pool `__serverless/JOB` of its own."""


@dataclass(frozen=True, slots=True)
class Record:
    """A job's way through its cluster. Moments are as `ml.stamp` writes them."""

    job_id: str
    compute_id: str
    storage_id: str
    nodes_wanted: int
    fingerprint: str
    """Of the submitted body: the same name with the same body is the same job."""
    created: str
    status: str = "NotStarted"
    node_ids: list[str] = field(default_factory=list)
    run_dir: str | None = None
    """The run's folder on its first node; None before it has nodes."""
    more_dirs: list[str] = field(default_factory=list)
    """Its folders on the other nodes, in order."""
    distribution: str = ""
    """`mpi`, `pytorch`, `tensorflow`; empty for none."""
    cancel_requested: bool = False
    started: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    error_code: str | None = None
    reason: str | None = None
    environment: dict[str, Json] = field(default_factory=dict)
    """How true the environment is: `fidelity` translated or substituted, `notes`, and what was built."""

    @property
    def name(self) -> str:
        """The job's name, which is its run id."""
        return self.job_id.rpartition("/")[2]

    @property
    def target(self) -> str:
        """The name of the compute, as clients know it."""
        return SERVERLESS if f"/__{SERVERLESS}/" in self.compute_id else self.compute_id.rpartition("/")[2]

    @property
    def dirs(self) -> list[Path]:
        """The run's folder on each of its nodes; none before it has nodes."""
        return [Path(folder) for folder in ([self.run_dir, *self.more_dirs] if self.run_dir else [])]

    @property
    def led(self) -> list[Path]:
        """The folders that have a supervisor: all, but mpirun starts the processes of all nodes from the first."""
        return self.dirs[:1] if self.distribution == "mpi" else self.dirs

    @property
    def terminal(self) -> bool:
        """Tell whether the status can never change."""
        return self.status in TERMINAL


def _key(job_id: str) -> str:
    return f"{job_id}/__record"


def get(cloud: Cloud, job_id: str) -> Record | None:
    """Return the job's record, or None."""
    document = cloud.state.get(_key(job_id))
    return _record(document) if document else None


def active(cloud: Cloud) -> list[Record]:
    """List the jobs that have not ended, in the order in which they were accepted."""
    return [_record(document) for _, document in cloud.state.all(ACTIVE)]


def create(cloud: Cloud, record: Record, document: dict[str, Json]) -> None:
    """Accept a job: its document and its record, together."""
    with cloud.state.transaction():
        cloud.state.put(record.job_id, document, "job")
        cloud.state.put(_key(record.job_id), _document(record), ACTIVE)


def update(cloud: Cloud, job_id: str, properties: dict[str, str] | None = None, **changes: object) -> Record | None:
    """Change a record (and the status and properties in the job's document); None when it is gone.

    A terminal record stays as it is and is returned.
    """
    with cloud.state.transaction():
        before = get(cloud, job_id)
        if before is None or before.terminal:
            return before
        after = replace(before, **changes)  # type: ignore[arg-type]  # fields by name, from this package
        cloud.state.put(_key(job_id), _document(after), ENDED if after.terminal else ACTIVE)
        document = cloud.state.get(job_id)
        if document is not None and (after.status != before.status or properties):
            known = ml.obj(document["properties"])
            known["status"] = after.status
            known["properties"] = {**ml.obj(known.get("properties")), **(properties or {})}
            document["properties"] = known
            cloud.state.put(job_id, document, "job")
    return after


def _document(record: Record) -> dict[str, Json]:
    return asdict(record)


def _record(document: dict[str, Json]) -> Record:
    return Record(**document)  # type: ignore[arg-type]  # written by `_document`
