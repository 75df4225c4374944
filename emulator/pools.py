"""What the scheduler needs to know of each compute that runs jobs: clusters, instances, serverless jobs' own nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from emulator import durations, instances, ml, serverless
from emulator.resources import ml_compute
from emulator.scheduler import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.cloud import Cloud
    from emulator.routing import Json

PREPARE = {"immediate": timedelta(0), "time": timedelta(seconds=3), "manual": timedelta(days=365)}
DEFAULT_IDLE = timedelta(seconds=120)
INSTANCE = "ComputeInstance"


def find(cloud: Cloud, names: Iterable[str], running: Mapping[str, int]) -> list[Pool]:
    """Return the pools of these computes, and of the clusters with a minimum; `running` counts nodes by compute."""
    named = {spelt(cloud, name) for name in names}
    for key, document in cloud.state.all("arm"):
        if key.rpartition("/")[0].endswith("/computes") and _scale(document).get("minNodeCount"):
            named.add(ml.text(document["id"]))
    return [pool for id_ in sorted(named) if (pool := _pool(cloud, id_, running)) is not None]


def spelt(cloud: Cloud, compute_id: str) -> str:
    """Return a compute's id as its document spells it."""
    document = cloud.state.get(compute_id)
    return ml.text(document["id"]) if document else compute_id


def is_instance(cloud: Cloud, compute_id: str) -> bool:
    """Tell whether this is a compute instance."""
    return ml.obj((cloud.state.get(compute_id) or {}).get("properties")).get("computeType") == INSTANCE


def off(cloud: Cloud, compute_id: str) -> bool:
    """Tell whether this is an instance that is not running."""
    return is_instance(cloud, compute_id) and not instances.running(cloud, compute_id)


def low_priority(cloud: Cloud, compute_id: str) -> bool:
    """Tell whether nodes of this compute can be taken away."""
    inner = ml.obj(ml.obj((cloud.state.get(compute_id) or {}).get("properties")).get("properties"))
    return ml.text(inner.get("vmPriority")).lower() == "lowpriority"


def forget(cloud: Cloud, used: Iterable[str]) -> None:
    """Drop the pools of serverless jobs that are over: those that are not `used` by a job or a machine."""
    kept = {id_.lower() for id_ in used}
    for key, _ in cloud.state.all(serverless.KIND):
        if key not in kept:
            cloud.state.delete(key)


def _pool(cloud: Cloud, compute_id: str, running: Mapping[str, int]) -> Pool | None:
    document = cloud.state.get(compute_id)
    properties = ml.obj((document or {}).get("properties"))
    if document is None or properties.get("provisioningState") != "Succeeded":
        return None
    if properties.get("computeType") == INSTANCE:
        # One machine, there whenever the instance is on: what comes and goes here is its process for jobs. One job at a
        # time, which is less than Azure's "one job per vCPU can run in parallel" (azure-docs concept-compute-instance).
        on = instances.running(cloud, compute_id)
        return Pool(compute_id, 0, 1, timedelta(0), timedelta(0)) if on else None
    scale = _scale(document)
    idle = durations.parse(ml.text(scale.get("nodeIdleTimeBeforeScaleDown")))
    return Pool(
        compute_id=compute_id,
        min_nodes=cast("int", scale.get("minNodeCount") or 0),
        max_nodes=cast("int", scale.get("maxNodeCount") or 0),
        idle_before=DEFAULT_IDLE if idle is None else idle,
        prepare=PREPARE[cloud.transitions],
        quota=ml_compute.quota(cloud.state, document, running),
    )


def _scale(document: dict[str, Json]) -> dict[str, Json]:
    inner = ml.obj(ml.obj(document.get("properties")).get("properties"))
    return ml.obj(inner.get("scaleSettings"))
