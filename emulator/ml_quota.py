"""Cores: who uses how many of each VM family in a region, and how many nodes that leaves a cluster.

Plays VirtualMachineSizes_List, Usages_List and Quotas_List (2025-12-01), with the rows that the service was recorded to
answer (azure-powershell, Get-AzMLServiceUsage and Get-AzMLServiceVMSize recordings, 2025-11). The limits are in
`ml_limits`. An instance counts as a cluster of one node, stopped or not: "Stopping the compute instance doesn't release
quota" (azure-docs concept-compute-instance).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import ml, ml_limits
from emulator.constants import SUBSCRIPTION_ID
from emulator.ml_limits import LOCATION, PROVIDER
from emulator.resources.base import place
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import AML_SOURCES, Size, family_key, sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from emulator.resources.base import Document
    from emulator.routing import Call, Json
    from emulator.state import State

COMPUTES = f"{PROVIDER}/workspaces/computes".lower()
PRICED_IN = "eastus"
"""Where the catalogue's prices are from."""
OTHER_KINDS = {"aml2025-mir": "MIR", "aml2025-spark": "AmlSpark"}
"""Sizes that are offered for online endpoints or Spark alone."""


def routes() -> list[Route]:
    """Return the rows of the table."""
    return [
        Route("GET", f"{LOCATION}/vmSizes", _vm_sizes),
        Route("GET", f"{LOCATION}/usages", _usages),
        Route("GET", f"{LOCATION}/quotas", _quotas),
        *ml_limits.routes(),
    ]


def allowed_nodes(state: State, compute: Document, running: Mapping[str, int] | None) -> int:
    """Return how many nodes a compute may have beside what the others have (their minimum when not told)."""
    properties = ml.obj(compute["properties"])
    settings = ml.obj(properties["properties"])
    size = sizes().get(ml.text(settings.get("vmSize")).lower())
    if size is None:
        return 0
    location, mine = place(properties["computeLocation"]), ml.text(compute["id"]).lower()
    low_priority = settings.get("vmPriority") == "LowPriority"
    workspace = "/".join(mine.split("/")[:9])
    total = in_family = in_workspace = 0
    for other, other_size, nodes in _computes(state, location, running):
        id_ = ml.text(other["id"]).lower()
        if id_ == mine or _low(other) != low_priority:
            continue
        cores = nodes * other_size.vcpus
        total += cores
        if family_key(other_size.family) == family_key(size.family):
            in_family += cores
            in_workspace += cores if id_.startswith(f"{workspace}/") else 0
    if low_priority:
        return max(0, ml_limits.total(state, location, "TotalLowPriorityCores") - total) // size.vcpus
    room = [
        ml_limits.family(state, location, size) - in_family,
        ml_limits.total(state, location, "TotalDedicatedCores") - total,
    ]
    given = ml_limits.workspace_family(state, workspace, family_key(size.family))
    if given is not None:
        room.append(given - in_workspace)
    return max(0, min(room)) // size.vcpus


def refuse_one_more(state: State, location: str) -> None:
    """Refuse a compute beyond the region's limit. Raises `Refusal` 400."""
    most = ml_limits.total(state, place(location), "TotalClusters")
    if sum(1 for document, _, _ in _computes(state, place(location), None) if not _hidden(document)) >= most:
        message = f"The limit of {most} computes in the region '{location}' is reached."
        raise Refusal(400, "ClusterCountExceedsQuota", message)


def least_cores(state: State, location: str, workspace_id: str, family: str) -> int:
    """Return the dedicated cores of a family that a workspace's computes have at the least."""
    below = f"{workspace_id.lower()}/"
    return sum(
        nodes * size.vcpus
        for document, size, nodes in _computes(state, location, None)
        if ml.text(document["id"]).lower().startswith(below) and not _low(document)
        if family_key(size.family) == family
    )


def _computes(state: State, location: str, running: Mapping[str, int] | None) -> list[tuple[Document, Size, int]]:
    """List the computes that use cores in a region, each with its size and how many nodes count."""
    found = []
    for key, document in [*state.all("arm"), *state.all("serverless")]:
        if ml.text(document.get("type")).lower() != COMPUTES:
            continue
        properties = ml.obj(document["properties"])
        settings = ml.obj(properties["properties"])
        size = sizes().get(ml.text(settings.get("vmSize")).lower())
        if size is None or place(properties["computeLocation"]) != location:
            continue
        least = ml.obj(settings.get("scaleSettings")).get("minNodeCount")
        nodes = running.get(key, 0) if running is not None else least if isinstance(least, int) else 0
        found.append((document, size, 1 if properties.get("computeType") == "ComputeInstance" else nodes))
    return found


def _hidden(compute: Document) -> bool:
    """Tell whether these are the nodes of a serverless job, which use cores and are no compute."""
    return "/computes/" not in ml.text(compute["id"])


def _low(compute: Document) -> bool:
    return ml.obj(ml.obj(compute["properties"])["properties"]).get("vmPriority") == "LowPriority"


def _vm_sizes(call: Call) -> Answer:
    """Play VirtualMachineSizes_List: every size that some compute can use there today."""
    location, today = ml_limits.region(call), call.cloud.now().date()
    value: list[Json] = []
    for size in sizes().values():
        kinds = _kinds(size, today)
        if kinds and size.in_location(location):
            value.append(_size_row(size, kinds, priced=location == PRICED_IN))
    # azure-mgmt 1.0 (api-version 2020-08-01) reads the list under its first name.
    name = "amlCompute" if call.query.get("api-version", "") < "2021" else "value"
    return Answer(200, {name: value})


def _kinds(size: Size, today: date) -> list[Json]:
    """Return the compute types that have the size, in the service's words."""
    if size.source in AML_SOURCES and size.for_clusters(today):
        return ["AmlCompute", *(["ComputeInstance"] if size.compute_instance else [])]
    alive = size.retired_on is None or size.retired_on > today
    return [OTHER_KINDS[size.source]] if size.source in OTHER_KINDS and alive else []


def _size_row(size: Size, kinds: list[Json], *, priced: bool) -> Document:
    row: Document = {
        "name": size.name,
        "family": size.family,
        "vCPUs": size.vcpus,
        "gpus": int(size.gpus),
        "osVhdSizeMB": 1047552,
        "maxResourceVolumeMB": int(size.temp_disk_gib * 1024),
        "memoryGB": size.memory_gib,
        "lowPriorityCapable": size.low_priority,
        "premiumIO": "s" in size.name.rpartition("_v")[0].rpartition("_")[2].lower(),
        "supportsIB": size.rdma,
        "supportedComputeTypes": kinds,
    }
    prices: list[Json] = [
        {"retailPrice": price, "osType": "Linux", "vmTier": tier}
        for price, tier in ((size.price, "Standard"), (size.low_priority_price, "LowPriority"))
        if price is not None
    ]
    if priced and prices:
        row["estimatedVMPrices"] = {"billingCurrency": "USD", "unitOfMeasure": "OneHour", "values": prices}
    return row


def _used(call: Call, location: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the cores in use by family, and the three totals by name."""
    running = {}
    state = call.cloud.state
    for document, _, _ in _computes(state, location, None):
        id_ = str(document["id"])
        now = call.cloud.clusters.counts(id_).get("currentNodeCount") if call.cloud.clusters is not None else 0
        running[id_.lower()] = now if isinstance(now, int) else 0
    families: dict[str, int] = {}
    totals = dict.fromkeys(ml_limits.FIRST, 0)
    for document, size, nodes in _computes(state, location, running):
        totals["TotalClusters"] += 0 if _hidden(document) else 1
        if _low(document):
            totals["TotalLowPriorityCores"] += nodes * size.vcpus
        else:
            totals["TotalDedicatedCores"] += nodes * size.vcpus
            families[family_key(size.family)] = families.get(family_key(size.family), 0) + nodes * size.vcpus
    return families, totals


def _usages(call: Call) -> Answer:
    """Play Usages_List: the totals, then a row a family; a family's low-priority row has the limit -1."""
    location, state = ml_limits.region(call), call.cloud.state
    families, totals = _used(call, location)
    words = {
        "TotalClusters": "Total Clusters",
        "TotalDedicatedCores": "Total Cluster Dedicated Regional vCPUs",
        "TotalLowPriorityCores": "Total Cluster Low Priority Regional vCPUs",
    }
    rows = [
        _row(
            location,
            (name, words[name]),
            f"{PROVIDER}/{name[0].lower()}{name[1:]}/usages",
            (used, ml_limits.total(state, location, name)),
        )
        for name, used in totals.items()
    ]
    kind = f"{PROVIDER}/vmFamily"
    for key, size in ml_limits.one_a_family(location).items():
        figures = families.get(key, 0), ml_limits.family(state, location, size)
        shown = f"{ml_limits.shown(size.family)} Cluster"
        rows.append(_row(location, (size.family, f"{shown} Dedicated vCPUs"), f"{kind}/dedicatedCores/usages", figures))
        low = (size.family, f"{shown} LowPriority vCPUs")
        rows.append(_row(location, low, f"{kind}/lowPriorityCores/usages", (0, -1)))
    return Answer(200, {"value": [*rows]})


def _quotas(call: Call) -> Answer:
    """Play Quotas_List: the families' limits, then what workspaces were given of them (Quota/list.json)."""
    location, state = ml_limits.region(call), call.cloud.state
    value: list[Json] = []
    for size in ml_limits.one_a_family(location).values():
        names = (size.family, f"{ml_limits.shown(size.family)} Cluster Dedicated vCPUs")
        limit = ml_limits.family(state, location, size)
        row = _row(location, names, f"{PROVIDER}/vmFamily/quotas", (0, limit))
        del row["currentValue"]
        value.append(row)
    for _, given in state.all(ml_limits.KIND, "/subscriptions/"):
        workspace = state.get(ml.text(given["id"]).partition("/quotas/")[0]) or {}
        if place(workspace.get("location")) == location:
            name = f"{ml_limits.shown(ml.text(given['family']))} Cluster Dedicated vCPUs"
            names_: Document = {"value": name, "localizedValue": name}
            kind = f"{PROVIDER}/workspaces/quotas"
            value.append({"id": given["id"], "type": kind, "unit": "Count", "limit": given["limit"], "name": names_})
    return Answer(200, {"value": value})


def _row(location: str, names: tuple[str, str], kind: str, figures: tuple[int, int]) -> Document:
    base = LOCATION.format(sub=SUBSCRIPTION_ID, location=location)
    return {
        "id": f"{base}/{kind.partition('/')[2]}/{names[0].replace(' ', '_')}",
        "type": kind,
        "unit": "Count",
        "currentValue": figures[0],
        "limit": figures[1],
        "name": {"value": names[0], "localizedValue": names[1]},
    }
