"""Experiments and runs of a workspace as MLflow sees them: tags, parameters, metrics with their history.

A job is a run with the job's name; other runs are made by MLflow clients. What a job logs lies in its node's files
until the run is collected, and is read from there meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from uuid import NAMESPACE_URL, uuid4, uuid5

from emulator import jobrecords, ml
from emulator.routing import Refusal
from node import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.ml import Workspace
    from emulator.routing import Json

STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
"""A job's terminal status in MLflow's words; SCHEDULED before it runs, else RUNNING."""
WAITING = frozenset({"NotStarted", "Queued", "Provisioning", "Starting"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One logged value; `timestamp` in milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with all that was logged so far."""

    run_id: str
    name: str
    experiment_id: str
    status: str
    start_ms: int
    end_ms: int | None
    lifecycle: str
    artifact_uri: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()


def experiment(cloud: Cloud, workspace: Workspace, name: str) -> dict[str, Json]:
    """Return the experiment of this name, created when missing. Its id depends on workspace and name alone."""
    id_ = str(uuid5(NAMESPACE_URL, f"{workspace.id.lower()}#{name}"))
    key = f"{workspace.id}/__experiments/{id_}"
    with cloud.state.transaction():
        known = cloud.state.get(key)
        if known is None:
            created = milliseconds(ml.stamp(cloud.now()))
            known = {"id": id_, "name": name, "created": created, "tags": {}}
            cloud.state.put(key, known, "experiment")
    return known


def experiments(cloud: Cloud, workspace: Workspace) -> list[dict[str, Json]]:
    """List the workspace's experiments, oldest first."""
    return cloud.state.children(f"{workspace.id}/__experiments")


def create(cloud: Cloud, workspace: Workspace, run_id: str, experiment_id: str, values: dict[str, Json]) -> None:
    """Make a run. Raises `Refusal` when there is one with this id."""
    key = _key(workspace, run_id)
    with cloud.state.transaction():
        if cloud.state.get(key) is not None:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"The run '{run_id}' exists already.")
        base: dict[str, Json] = {
            "run_id": run_id,
            "name": run_id,
            "experiment_id": experiment_id,
            "status": "RUNNING",
            "start_ms": milliseconds(ml.stamp(cloud.now())),
            "end_ms": None,
            "lifecycle": "active",
            "tags": {},
            "params": {},
        }
        cloud.state.put(key, base | values, "run")


def change(cloud: Cloud, workspace: Workspace, run_id: str, values: Mapping[str, Json]) -> None:
    """Change a run's fields; `tags` and `params` are merged. Raises `Refusal` 404."""
    key = _key(workspace, run_id)
    with cloud.state.transaction():
        document = cloud.state.get(key)
        if document is None:
            raise unknown(run_id)
        for name, value in values.items():
            merged = {**ml.obj(document[name]), **value} if isinstance(value, dict) else value
            document[name] = merged
        cloud.state.put(key, document, "run")


def delete(cloud: Cloud, workspace: Workspace, run_id: str) -> None:
    """Forget a run and all that it logged."""
    cloud.state.delete_tree(_key(workspace, run_id))


def drop_tag(cloud: Cloud, workspace: Workspace, run_id: str, tag: str) -> None:
    """Delete a tag. Raises `Refusal` 404."""
    key = _key(workspace, run_id)
    with cloud.state.transaction():
        document = cloud.state.get(key)
        if document is None or tag not in ml.obj(document["tags"]):
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"No tag '{tag}' on the run '{run_id}'.")
        document["tags"] = {name: value for name, value in ml.obj(document["tags"]).items() if name != tag}
        cloud.state.put(key, document, "run")


def log(cloud: Cloud, workspace: Workspace, run_id: str, metrics: Iterable[Metric]) -> None:
    """Append metrics to a run: one document for all of them. Infinities and NaN are kept as text, as JSON must."""
    rows: list[Json] = [[metric.key, repr(metric.value), metric.timestamp, metric.step] for metric in metrics]
    if rows:
        cloud.state.put(f"{_key(workspace, run_id)}/metrics/{uuid4().hex}", {"rows": rows}, "metrics")


def get(cloud: Cloud, workspace: Workspace, run_id: str) -> RunView:
    """Return a run. Raises `Refusal` 404 in MLflow's words."""
    document = cloud.state.get(_key(workspace, run_id))
    if document is None:
        raise unknown(run_id)
    return _view(cloud, workspace, document)


def search(cloud: Cloud, workspace: Workspace, experiment_ids: frozenset[str]) -> list[RunView]:
    """List the runs of these experiments, the newest first."""
    found = cloud.state.children(f"{workspace.id}/__runs")
    return [
        _view(cloud, workspace, document) for document in reversed(found) if document["experiment_id"] in experiment_ids
    ]


def collected(cloud: Cloud, record: Record) -> None:
    """Keep what a run logged on its nodes, once: a second call finds the mark of the first."""
    workspace = ml.workspace_of(cloud, record.job_id)
    key = _key(workspace, record.name)
    with cloud.state.transaction():
        document = cloud.state.get(key)
        if document is None or document.get("collected"):
            return
        log(cloud, workspace, record.name, _metrics(record))
        logged: dict[str, Json] = {"params": dict(_params(record)), "tags": dict(_tags(record))}
        change(cloud, workspace, record.name, {**logged, "collected": True})


def milliseconds(stamp: str) -> int:
    """Return a moment as MLflow counts it."""
    return int(ml.moment(stamp).timestamp() * 1000)


def unknown(run_id: str) -> Refusal:
    """Return MLflow's 404 of a run."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found")


def _key(workspace: Workspace, run_id: str) -> str:
    return f"{workspace.id}/__runs/{run_id}"


def _metrics(record: Record) -> tuple[Metric, ...]:
    return tuple(
        Metric(found.key, found.value, found.timestamp, found.step)
        for folder in record.dirs
        for found in reading.metrics(folder)
    )


def _params(record: Record) -> dict[str, str]:
    """Return the parameters of all nodes; the first one that logged a name has it."""
    return {key: value for folder in reversed(record.dirs) for key, value in reading.params(folder).items()}


def _tags(record: Record) -> dict[str, str]:
    return {key: value for folder in reversed(record.dirs) for key, value in reading.tags(folder).items()}


def _stored(cloud: Cloud, workspace: Workspace, run_id: str) -> Iterable[Metric]:
    for document in cloud.state.children(f"{_key(workspace, run_id)}/metrics"):
        for row in ml.items(document["rows"]):
            key, value, timestamp, step = cast("tuple[str, str, int, int]", row)
            yield Metric(key, float(value), timestamp, step)


def _view(cloud: Cloud, workspace: Workspace, document: Mapping[str, Json]) -> RunView:
    run_id = ml.text(document["run_id"])
    record = jobrecords.get(cloud, f"{workspace.id}/jobs/{run_id}")
    tags, params = ml.texts(document["tags"]), ml.texts(document["params"])
    metrics = tuple(_stored(cloud, workspace, run_id))
    status, end = ml.text(document["status"]), cast("int | None", document["end_ms"])
    start = cast("int", document["start_ms"])
    if record is not None:
        status = STATUS.get(record.status, "SCHEDULED" if record.status in WAITING else "RUNNING")
        start = milliseconds(record.started or record.created)
        end = milliseconds(record.ended) if record.ended else None
        if not record.terminal and not document.get("collected"):
            metrics += _metrics(record)
            tags, params = {**tags, **_tags(record)}, {**params, **_params(record)}
    return RunView(
        run_id=run_id,
        name=ml.text(document["name"]),
        experiment_id=ml.text(document["experiment_id"]),
        status=status,
        start_ms=start,
        end_ms=end,
        lifecycle=ml.text(document["lifecycle"]),
        artifact_uri=artifact_uri(cloud, workspace, ml.text(document["experiment_id"]), run_id),
        tags=tags,
        params=params,
        metrics=metrics,
    )


def artifact_uri(cloud: Cloud, workspace: Workspace, experiment_id: str, run_id: str) -> str:
    """Return where azureml-mlflow looks for a run's artifacts."""
    host = cloud.origin.removeprefix("https://")
    return f"azureml://{host}/artifacts/v1.0{workspace.id}/experiments/{experiment_id}/runs/{run_id}/artifacts"
