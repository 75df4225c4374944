"""Serverless compute: a job that names no compute gets nodes of its own, which go after it.

Every workspace has it ("how-to-use-serverless-compute", azure-docs). Its nodes are a hidden pool below the workspace,
one a job, of the size in `resources.instanceType`, of the priority in `queueSettings.jobTier`, and they use the same
quota as clusters. Which size Azure takes when none is given ("based on quota, performance, cost, and disk size") is not
published: here it is the first one of ours that the quota allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator import ml, ml_quota
from emulator.jobrecords import SERVERLESS
from emulator.routing import Refusal
from emulator.vm_sizes import Size, sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Json

KIND = "serverless"
FIRST_CHOICE = "standard_ds3_v2"
FEWEST_CORES = 2
SPOT = "Spot"
TIERS = ("Null", SPOT, "Basic", "Standard", "Premium")
"""JobTier (azure-rest-api-specs, 2025-12-01)."""
SIZE = "trainyard.serverless.instanceType"
"""Names, in a job's properties, the size that it got."""


def wanted(compute_id: str) -> bool:
    """Tell whether a job's compute is serverless: absent, or by its name (azure-ai-ml sends `serverless`)."""
    return not compute_id or compute_id.removeprefix("azureml:").rpartition("/")[2].lower() == SERVERLESS


def pool(cloud: Cloud, workspace: Workspace, name: str, job: Mapping[str, Json]) -> dict[str, Json]:
    """Return the document of a job's nodes. Raises `Refusal` 400: no such size, or more than the quota could allow.

    Quota that other jobs use now is no refusal: the job waits for it, as in Azure.
    """
    id_, resources = f"{workspace.id}/__{SERVERLESS}/{name}", ml.obj(job.get("resources"))
    count = cast("int", resources.get("instanceCount") or 1)
    tier = ml.obj(job.get("queueSettings")).get("jobTier")
    chosen = ml.text(resources.get("instanceType"))
    today = cloud.now().date()
    if chosen:
        size = sizes().get(chosen.lower())
        if size is None or not size.for_clusters(today):
            raise _refuse(f"resources.instanceType '{chosen}' is not a VM size of serverless compute.", "InvalidVmSize")
        found = _document(cloud, id_, size.name, tier, count)
        _check_quota(found, size, ml_quota.allowed_nodes(cloud.state, found, {}), count)
        return found
    for size in _candidates(today):
        found = _document(cloud, id_, size.name, tier, count)
        if ml_quota.allowed_nodes(cloud.state, found, {}) >= count:
            return found
    text = f"No VM size has the quota for {count} nodes of serverless compute. Lower resources.instanceCount."
    raise _refuse(text, "InsufficientQuota")


def _candidates(today: date) -> list[Size]:
    """Return the sizes without a GPU, the first choice and then the cheapest first."""
    plain = [size for size in sizes().values() if size.for_clusters(today) and not size.gpus]
    cheap = sorted(
        (size for size in plain if size.price and size.vcpus >= FEWEST_CORES), key=lambda one: one.price or 0
    )
    return [*(size for size in plain if size.name.lower() == FIRST_CHOICE), *cheap]


def _check_quota(found: dict[str, Json], size: Size, allowed: int, count: int) -> None:
    where = ml.obj(found["properties"])["computeLocation"]
    if not allowed:
        text = f"There is no quota for the VM size {size.name} (family '{size.family}') in {where}."
        raise _refuse(f"{text} Choose another resources.instanceType, or ask for quota.", "InsufficientQuota")
    if count > allowed:
        text = f"The quota for the VM size {size.name} in {where} allows {allowed} nodes; the job asks for {count}."
        raise _refuse(f"{text} Lower resources.instanceCount to {allowed}, or ask for quota.", "InsufficientQuota")


def _refuse(text: str, code: str) -> Refusal:
    return Refusal(400, code, text)


def _document(cloud: Cloud, id_: str, size: str, tier: Json, count: int) -> dict[str, Json]:
    inner: dict[str, Json] = {
        "vmSize": size,
        "vmPriority": "LowPriority" if tier == SPOT else "Dedicated",
        "scaleSettings": {"minNodeCount": 0, "maxNodeCount": count, "nodeIdleTimeBeforeScaleDown": "PT0S"},
    }
    outer: dict[str, Json] = {
        "computeType": "AmlCompute",
        "computeLocation": (cloud.state.get(id_.partition("/__")[0]) or {}).get("location"),
        "provisioningState": "Succeeded",
        "properties": inner,
    }
    return {"id": id_, "name": id_.rpartition("/")[2], "type": ml_quota.COMPUTES, "properties": outer}


def size_of(found: Mapping[str, Json]) -> str:
    """Return the VM size of a pool."""
    return ml.text(ml.obj(ml.obj(found["properties"])["properties"]).get("vmSize"))
