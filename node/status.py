"""The state of a run's attempt as `status.json` holds it, and the rule that a terminal state is written once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from node import layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from node.layout import Json

NOT_STARTED = "NotStarted"
PREPARING = "Preparing"
RUNNING = "Running"
FINALIZING = "Finalizing"
COMPLETED = "Completed"
FAILED = "Failed"
CANCELED = "Canceled"
TERMINAL = frozenset({COMPLETED, FAILED, CANCELED})


@dataclass(frozen=True)
class Supervisor:
    """Who wrote the status; alive as long as it holds the run's lock."""

    pid: int
    start_time: int
    boot_id: str


@dataclass(frozen=True)
class JobProcess:
    """A first process of the job, which leads its own session and group."""

    pid: int
    pgid: int
    start_time: int


@dataclass(frozen=True)
class BuiltEnvironment:
    """The Python environment that the job got."""

    id: str
    interpreter: str
    cached: bool
    built_s: float


@dataclass(frozen=True)
class Status:
    """One status of a run's attempt. `sequence` grows with every write, so order never depends on a clock."""

    state: str
    sequence: int = 0
    supervisor: Supervisor | None = None
    job: JobProcess | None = None
    """The command's first process; of several, the first one's."""
    exit_code: int | None = None
    """The command's; 128 + n when signal n ended it."""
    reason: str | None = None
    times: Mapping[str, str] = field(default_factory=dict)
    """`created preparing running ended`, ISO 8601 UTC, for people."""
    duration_s: float | None = None
    """Of the command, from a monotonic clock; None when it never ran."""
    environment: BuiltEnvironment | None = None
    mark: str | None = None
    """Random; in the environment of each of the job's processes, so that a left-over one is proven the run's."""
    others: tuple[JobProcess, ...] = ()
    """The first processes of the other ranks on this node."""

    @property
    def terminal(self) -> bool:
        """Tell whether this state can never change."""
        return self.state in TERMINAL

    @property
    def leaders(self) -> tuple[JobProcess, ...]:
        """Return every first process that the supervisor started."""
        return (self.job, *self.others) if self.job else ()

    def document(self) -> dict[str, Json]:
        """Return the JSON object of `status.json`."""
        return {**asdict(self), "times": dict(self.times), "others": [asdict(other) for other in self.others]}


def read(run_dir: Path) -> Status | None:
    """Return what `status.json` says, without looking at processes; None before the first write.

    Raises: ValueError when the file is damaged.
    """
    document = layout.read_json(run_dir / layout.STATUS)
    return None if document is None else parse(document)


def write(run_dir: Path, status: Status) -> None:
    """Write a status, an end durably: of another one a power cut leaves no process. Only the holder of the lock may.

    Raises: ValueError when the run already has another terminal status.
    """
    before = read(run_dir)
    if before is not None and before.terminal:
        raise ValueError(f"the run already ended as {before.state}")
    layout.write_json(run_dir / layout.STATUS, status.document(), durable=status.terminal)


def parse(document: Mapping[str, Json]) -> Status:
    """Return the status in a JSON object; unknown fields are ignored, so that old readers read new files."""
    supervisor, job, built = (document.get(key) for key in ("supervisor", "job", "environment"))
    times, others = document.get("times"), document.get("others")
    try:
        return Status(
            state=_text(document["state"]),
            sequence=_whole(document.get("sequence") or 0),
            supervisor=_supervisor(supervisor) if isinstance(supervisor, dict) else None,
            job=_job(job) if isinstance(job, dict) else None,
            others=tuple(_job(entry) for entry in others if isinstance(entry, dict))
            if isinstance(others, list)
            else (),
            exit_code=_optional_whole(document.get("exit_code")),
            reason=_optional_text(document.get("reason")),
            times={key: _text(value) for key, value in times.items()} if isinstance(times, dict) else {},
            duration_s=_optional_float(document.get("duration_s")),
            environment=_built(built) if isinstance(built, dict) else None,
            mark=_optional_text(document.get("mark")),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{layout.STATUS} is damaged: {error!r}") from error


def _supervisor(entry: Mapping[str, Json]) -> Supervisor:
    return Supervisor(_whole(entry["pid"]), _whole(entry["start_time"]), _text(entry["boot_id"]))


def _job(entry: Mapping[str, Json]) -> JobProcess:
    return JobProcess(_whole(entry["pid"]), _whole(entry["pgid"]), _whole(entry["start_time"]))


def _built(entry: Mapping[str, Json]) -> BuiltEnvironment:
    built_s = _optional_float(entry["built_s"])
    return BuiltEnvironment(_text(entry["id"]), _text(entry["interpreter"]), entry["cached"] is True, built_s or 0.0)


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _optional_text(value: Json) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _optional_whole(value: Json) -> int | None:
    return None if value is None else _whole(value)


def _optional_float(value: Json) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
