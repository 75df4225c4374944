"""What a job logs with MLflow, kept in the run's folder: the logic behind the tracking API, without HTTP.

Shapes and rules are those of MLflow's REST API 2.0 (mlflow.org, REST API; protos of mlflow 3.15): a parameter is
written once, a metric is appended, an unknown run is RESOURCE_DOES_NOT_EXIST. Nested runs live in `nested/<id>/`.
Nothing is acknowledged before it is written.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node import layout
from node.reading import Metric, metrics, rank

if TYPE_CHECKING:
    from pathlib import Path

    from node.job import Job
    from node.layout import Json

EXPERIMENT_ID = "1"
_PARENT_TAG = "mlflow.parentRunId"
_TAG_FILTER = re.compile(r"""\s*tags?\.[`"]?([\w.\-/]+)[`"]?\s*=\s*(['"])(.*)\2\s*\Z""")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class ApiError(Exception):
    """An answer that MLflow's client understands."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def bad(message: str) -> ApiError:
    """Return the error for a request that makes no sense."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def missing(message: str) -> ApiError:
    """Return the error for something that isn't there."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


@dataclass
class _Run:
    folder: Path
    artifacts: Path
    info: dict[str, Json]
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    latest: dict[str, Metric] = field(default_factory=dict)
    models: list[Json] = field(default_factory=list)


class Store:
    """All runs of one job: its own, and those nested in it. Thread-safe."""

    def __init__(self, run_dir: Path, job: Job) -> None:
        self.lock = threading.RLock()
        self.run_dir, self.main_id = run_dir, job.run_id
        self.outputs = layout.outputs_dir(run_dir, job.code)
        self.experiments = {EXPERIMENT_ID: job.experiment}
        self.runs: dict[str, _Run] = {}
        self.trouble: str | None = None
        main = self._add(job.run_id, run_dir, self.outputs, {})
        main.tags.update(job.tags)

    def _add(self, run_id: str, folder: Path, artifacts: Path, given: dict[str, Json]) -> _Run:
        now = int(time.time() * 1000)
        run = _Run(
            folder,
            artifacts,
            {
                "run_id": run_id,
                "run_uuid": run_id,
                "run_name": given.get("run_name") or run_id,
                "experiment_id": given.get("experiment_id") or EXPERIMENT_ID,
                "user_id": given.get("user_id") or "",
                "status": "RUNNING",
                "start_time": given.get("start_time") or now,
                "artifact_uri": str(artifacts),
                "lifecycle_stage": "active",
            },
        )
        run.tags["mlflow.runName"] = str(run.info["run_name"])
        self.runs[run_id] = run
        return run

    def run(self, run_id: Json) -> _Run:
        """Return a run by its id."""
        found = self.runs.get(run_id) if isinstance(run_id, str) else None
        if found is None:
            raise missing(f"Run with id={run_id} not found")
        return found

    # --- runs ---

    def create(self, given: dict[str, Json]) -> _Run:
        """Make a run nested in the job's own."""
        run_id = os.urandom(16).hex()
        tags = pairs(given.get("tags"))
        run = self._add(run_id, self.run_dir / layout.NESTED / run_id, self.outputs / layout.NESTED / run_id, given)
        if not given.get("run_name") and tags.get("mlflow.runName"):
            run.info["run_name"] = tags["mlflow.runName"]
        layout.private_dir(run.folder)
        layout.private_dir(run.artifacts)
        self.set_tags(run, {_PARENT_TAG: self.main_id, "mlflow.runName": str(run.info["run_name"]), **tags})
        return run

    def describe(self, run: _Run) -> dict[str, Json]:
        """Return a run as runs/get shows it."""
        return {
            "info": dict(run.info),
            "data": {
                "metrics": [metric_json(metric) for metric in run.latest.values()],
                "params": [{"key": key, "value": value} for key, value in run.params.items()],
                "tags": [{"key": key, "value": value} for key, value in run.tags.items()],
            },
            "inputs": {},
            "outputs": {"model_outputs": list(run.models)},
        }

    def search(self, expression: str) -> list[Json]:
        """Return the runs that match: all, or those with one tag."""
        found = list(self.runs.values())
        if expression.strip():
            wanted = _TAG_FILTER.match(expression)
            if not wanted:
                raise bad(f"filter {expression!r}: here only tags.`name` = 'value' is understood")
            found = [run for run in found if run.tags.get(wanted.group(1)) == wanted.group(3)]
        return [self.describe(run) for run in found]

    # --- what is logged ---

    def log(self, run: _Run, logged: list[Metric], params: dict[str, str], tags: dict[str, str]) -> None:
        """Write a batch; nothing of it is written when a parameter would change."""
        for key, value in params.items():
            if run.params.get(key, value) != value:
                raise bad(f"Changing param values is not allowed. Param with key='{key}' was already logged")
        if logged:
            lines = "".join(json.dumps(metric_json(metric), ensure_ascii=False) + "\n" for metric in logged)
            self._append(run.folder / layout.METRICS, lines.encode("utf-8", "surrogatepass"))
        for metric in logged:
            held = run.latest.get(metric.key)
            if held is None or rank(metric) >= rank(held):
                run.latest[metric.key] = metric
        if params:
            self._replace(run.folder / layout.PARAMS, {**run.params, **params})
            run.params.update(params)
        if tags:
            self.set_tags(run, tags)

    def set_tags(self, run: _Run, tags: dict[str, str]) -> None:
        """Set tags; the name tag is the run's name, as in MLflow."""
        self._replace(run.folder / layout.TAGS, {**run.tags, **tags})
        run.tags.update(tags)
        run.info["run_name"] = run.tags.get("mlflow.runName", run.info["run_name"])

    def delete_tag(self, run: _Run, key: str) -> None:
        """Remove a tag."""
        if key not in run.tags:
            raise missing(f"No tag with name: {key}")
        self._replace(run.folder / layout.TAGS, {name: value for name, value in run.tags.items() if name != key})
        del run.tags[key]

    def history(self, run: _Run, key: str) -> list[Json]:
        """Return every value of a metric."""
        return [metric_json(metric) for metric in metrics(run.folder) if metric.key == key]

    def _append(self, path: Path, content: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            try:
                layout.write_all(fd, content)
            except OSError as error:
                os.ftruncate(fd, size)
                raise self._trouble(error) from error
        finally:
            os.close(fd)

    def _replace(self, path: Path, values: dict[str, str]) -> None:
        try:
            layout.write_json(path, {**values})
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> ApiError:
        # 400, not 500: the client would go on trying for minutes.
        self.trouble = error.strerror or str(error)
        return ApiError(400, "INTERNAL_ERROR", f"the run's folder can't be written: {self.trouble}")


def metric_json(metric: Metric) -> dict[str, Json]:
    """Return a metric as JSON; what is not finite as protobuf's JSON form writes it (NaN, Infinity, -Infinity)."""
    value: Json = metric.value
    if not math.isfinite(metric.value):
        value = next(name for name, number in _NOT_FINITE.items() if str(number) == str(metric.value))
    return {"key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step}


def metric_of(entry: Json) -> Metric:
    """Return the metric in a request. Raises: ApiError."""
    if not isinstance(entry, dict):
        raise bad("a metric must be an object")
    key, value = entry.get("key"), entry.get("value")
    if not isinstance(key, str) or not key:
        raise bad("a metric needs a key")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise bad(f"Got invalid value for metric '{key}'")
    try:
        return Metric(key, float(value), _whole(entry.get("timestamp")), _whole(entry.get("step")))
    except (ValueError, OverflowError) as error:
        raise bad(f"Got invalid value for metric '{key}': {error}") from error


def _whole(value: Json) -> int:
    return int(value) if isinstance(value, (int, float, str)) else 0


def pairs(entries: Json) -> dict[str, str]:
    """Return the parameters or tags in a request. Raises: ApiError."""
    if entries is None:
        return {}
    if not isinstance(entries, list):
        raise bad("a list of key and value is expected")
    return dict(pair(entry) for entry in entries)


def pair(entry: Json) -> tuple[str, str]:
    """Return the key and value of a parameter or tag in a request. Raises: ApiError."""
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str) or not entry["key"]:
        raise bad("a key is missing")
    value = entry.get("value")
    return str(entry["key"]), "" if value is None else str(value)
