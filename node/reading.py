"""Pure readers of a run's folder, for whoever watches a run: they never write, never signal, never wait.

`status` tells the truth about a dead supervisor too: liveness is the lock, never a pid. Making that truth durable and
killing what is left is `node.control.settle`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from node import layout, processes
from node import status as statuses
from node.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from node.layout import Json

__all__ = ["Metric", "Status", "heartbeat_age_s", "last_metrics", "metrics", "params", "status", "tags", "verdict"]


@dataclass(frozen=True)
class Metric:
    """One logged value. `timestamp` is in milliseconds since the epoch, as MLflow has it."""

    key: str
    value: float
    timestamp: int
    step: int


def status(run_dir: Path) -> Status:
    """Return the state of a run: `NotStarted` before its supervisor's first word, `Failed` when that one died.

    Raises: ValueError when `status.json` is damaged.
    """
    current = statuses.read(run_dir)
    if current is not None and current.terminal:
        return current
    if processes.is_locked(run_dir / layout.LOCK):
        return current or Status(statuses.NOT_STARTED)
    # The lock may have been let go between the two looks because the run ended: look again, in that order.
    current = statuses.read(run_dir)
    if current is None:
        return Status(statuses.NOT_STARTED)
    return current if current.terminal else verdict(run_dir, current)


def verdict(run_dir: Path, current: Status) -> Status:
    """Return the terminal status of a run whose supervisor is gone and left this one."""
    rebooted = current.supervisor is not None and current.supervisor.boot_id != processes.boot_id()
    why = "the host was rebooted" if rebooted else "it was killed"
    reason = f"the supervisor died while the run was {current.state} ({why})"
    canceled = (run_dir / layout.CANCEL).exists()
    return replace(
        current,
        state=statuses.CANCELED if canceled else statuses.FAILED,
        sequence=current.sequence + 1,
        reason=f"canceled; {reason}" if canceled else reason,
        times={**current.times, "ended": _last_sign(run_dir)},
    )


def _last_sign(run_dir: Path) -> str:
    """Return when the supervisor was last alive: its heartbeat, else the status file."""
    for name in (layout.HEARTBEAT, layout.STATUS):
        try:
            return layout.iso((run_dir / name).stat().st_mtime)
        except OSError:
            continue
    return layout.utc_now()


def heartbeat_age_s(run_dir: Path) -> float | None:
    """Return the seconds since the last heartbeat; None before the first. A hint only: clocks step."""
    try:
        return max(0.0, time.time() - (run_dir / layout.HEARTBEAT).stat().st_mtime)
    except OSError:
        return None


def metrics(run_dir: Path) -> list[Metric]:
    """Return every metric in the order in which it was logged; an unfinished last line is not there yet."""
    try:
        raw = (run_dir / layout.METRICS).read_bytes()
    except FileNotFoundError:
        return []
    return [found for line in raw.split(b"\n")[:-1] if (found := _metric(line)) is not None]


def _metric(line: bytes) -> Metric | None:
    try:
        entry: dict[str, Json] = json.loads(line)
        # NaN and infinities are written as text, because JSON has no word for them.
        value, timestamp, step = (str(entry[name]) for name in ("value", "timestamp", "step"))
        return Metric(str(entry["key"]), float(value), int(timestamp), int(step))
    except (ValueError, KeyError, TypeError):
        return None


def last_metrics(run_dir: Path) -> dict[str, float]:
    """Return the last value of each metric: the highest step, then timestamp, then value, as MLflow decides it."""
    best: dict[str, Metric] = {}
    for metric in metrics(run_dir):
        held = best.get(metric.key)
        if held is None or rank(metric) >= rank(held):
            best[metric.key] = metric
    return {key: metric.value for key, metric in best.items()}


def rank(metric: Metric) -> tuple[int, int, float]:
    """Return the order in which MLflow decides which value is the last (mlflow SqlAlchemyStore, latest metrics)."""
    return metric.step, metric.timestamp, metric.value


def params(run_dir: Path) -> dict[str, str]:
    """Return the logged parameters."""
    return _texts(run_dir / layout.PARAMS)


def tags(run_dir: Path) -> dict[str, str]:
    """Return the tags that the job set."""
    return _texts(run_dir / layout.TAGS)


def _texts(path: Path) -> dict[str, str]:
    return {key: str(value) for key, value in (layout.read_json(path) or {}).items()}
