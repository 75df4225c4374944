"""Cores: what the subscription may use of each VM family in a region, and how many nodes that leaves a cluster.

Plays VirtualMachineSizes_List, Usages_List and Quotas_List (2025-12-01). The limits are those of a subscription that
has never asked for more ("Manage and increase quotas and limits", 2026-01): 300 dedicated cores a region, 100 of each
ordinary family, none of GPU and specialised families, and 100 low-priority cores that all families share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import arm_common, ml
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources.base import place
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import Size, family_key, sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.resources.base import Document
    from emulator.routing import Call, Json
    from emulator.state import State

PROVIDER = "Microsoft.MachineLearningServices"
LOCATION = "/subscriptions/{sub}/providers/Microsoft.MachineLearningServices/locations/{location}"
COMPUTES = f"{PROVIDER}/workspaces/computes".lower()
TOTAL_DEDICATED, FAMILY_DEDICATED, TOTAL_LOW_PRIORITY, TOTAL_CLUSTERS = 300, 100, 100, 500


def routes() -> list[Route]:
    """Return the rows of the table."""
    return [
        Route("GET", f"{LOCATION}/vmSizes", _vm_sizes),
        Route("GET", f"{LOCATION}/usages", _usages),
        Route("GET", f"{LOCATION}/quotas", _quotas),
    ]


def allowed_nodes(state: State, compute: Document, running: Mapping[str, int] | None) -> int:
    """Return how many nodes a cluster may have beside what the others have (their minimum when not told)."""
    properties = ml.obj(compute["properties"])
    settings = ml.obj(properties["properties"])
    size = sizes().get(ml.text(settings.get("vmSize")).lower())
    if size is None:
        return 0
    location = place(properties["computeLocation"])
    family_used = total_used = 0
    low_priority = settings.get("vmPriority") == "LowPriority"
    for other, other_size, nodes in _clusters(state, location, running):
        if ml.text(other["id"]).lower() == ml.text(compute["id"]).lower() or _low(other) != low_priority:
            continue
        total_used += nodes * other_size.vcpus
        if family_key(other_size.family) == family_key(size.family):
            family_used += nodes * other_size.vcpus
    if low_priority:
        return max(0, TOTAL_LOW_PRIORITY - total_used) // size.vcpus
    return max(0, min(family_limit(size) - family_used, TOTAL_DEDICATED - total_used)) // size.vcpus


def family_limit(size: Size) -> int:
    """Return the dedicated cores that a size's family may use in a region."""
    return 0 if size.on_request else FAMILY_DEDICATED


def refuse_one_more(state: State, location: str) -> None:
    """Refuse a compute beyond the region's limit. Raises `Refusal` 400."""
    if sum(1 for _ in _clusters(state, place(location), None)) >= TOTAL_CLUSTERS:
        message = f"The limit of {TOTAL_CLUSTERS} computes in the region '{location}' is reached."
        raise Refusal(400, "ClusterCountExceedsQuota", message)


def _clusters(state: State, location: str, running: Mapping[str, int] | None) -> list[tuple[Document, Size, int]]:
    found = []
    for key, document in state.all("arm"):
        if ml.text(document.get("type")).lower() != COMPUTES:
            continue
        properties = ml.obj(document["properties"])
        settings = ml.obj(properties["properties"])
        size = sizes().get(ml.text(settings.get("vmSize")).lower())
        if size is None or place(properties["computeLocation"]) != location:
            continue
        least = ml.obj(settings.get("scaleSettings")).get("minNodeCount")
        nodes = running.get(key, 0) if running is not None else least if isinstance(least, int) else 0
        found.append((document, size, nodes))
    return found


def _low(compute: Document) -> bool:
    return ml.obj(ml.obj(compute["properties"])["properties"]).get("vmPriority") == "LowPriority"


def _location(call: Call) -> str:
    arm_common.known_location(call.args["location"], COMPUTES)
    return place(call.args["location"])


def _vm_sizes(call: Call) -> Answer:
    """Play VirtualMachineSizes_List: what clusters or instances can use there today."""
    location, today = _location(call), call.cloud.now().date()
    value: list[Json] = []
    for size in sizes().values():
        if size.for_clusters(today) and size.in_location(location):
            kinds: list[Json] = ["AmlCompute", *(["ComputeInstance"] if size.compute_instance else [])]
            value.append(
                {
                    "name": size.name,
                    "family": size.family,
                    "vCPUs": size.vcpus,
                    "gpus": int(size.gpus),
                    "osVhdSizeMB": 1047552,
                    "maxResourceVolumeMB": int(size.temp_disk_gib * 1024),
                    "memoryGB": size.memory_gib,
                    "lowPriorityCapable": size.low_priority,
                    "premiumIO": "s" in size.name.rpartition("_v")[0].rpartition("_")[2].lower(),
                    "supportedComputeTypes": kinds,
                }
            )
    return Answer(200, {"value": value})


def _used(call: Call, location: str) -> tuple[dict[str, int], int, int, int]:
    """Return the cores by family, the dedicated total, the low-priority total and the number of clusters."""
    running = {}
    state = call.cloud.state
    for document, _, _ in _clusters(state, location, None):
        id_ = str(document["id"])
        now = call.cloud.clusters.counts(id_).get("currentNodeCount") if call.cloud.clusters is not None else 0
        running[id_.lower()] = now if isinstance(now, int) else 0
    families: dict[str, int] = {}
    dedicated = low = count = 0
    for document, size, nodes in _clusters(state, location, running):
        count += 1
        if _low(document):
            low += nodes * size.vcpus
        else:
            dedicated += nodes * size.vcpus
            families[family_key(size.family)] = families.get(family_key(size.family), 0) + nodes * size.vcpus
    return families, dedicated, low, count


def _usages(call: Call) -> Answer:
    """Play Usages_List: the totals, then a row a family; a family's low-priority row has the limit -1."""
    location = _location(call)
    families, dedicated, low, count = _used(call, location)
    totals = (
        ("TotalClusters", "Total Clusters", count, TOTAL_CLUSTERS),
        ("TotalDedicatedCores", "Total Cluster Dedicated Regional vCPUs", dedicated, TOTAL_DEDICATED),
        ("TotalLowPriorityCores", "Total Cluster Low Priority Regional vCPUs", low, TOTAL_LOW_PRIORITY),
    )
    rows = [
        _row(location, name, shown, f"{PROVIDER}/{name[0].lower()}{name[1:]}/usages", (used, limit))
        for name, shown, used, limit in totals
    ]
    kind = f"{PROVIDER}/vmFamily"
    for size in _one_a_family(location):
        figures = families.get(family_key(size.family), 0), family_limit(size)
        shown = f"{_shown(size.family)} Cluster"
        rows.append(_row(location, size.family, f"{shown} Dedicated vCPUs", f"{kind}/dedicatedCores/usages", figures))
        rows.append(
            _row(location, size.family, f"{shown} LowPriority vCPUs", f"{kind}/lowPriorityCores/usages", (0, -1))
        )
    return Answer(200, {"value": [*rows]})


def _quotas(call: Call) -> Answer:
    """Play Quotas_List: the families' limits."""
    location = _location(call)
    value: list[Json] = []
    for size in _one_a_family(location):
        shown = f"{_shown(size.family)} Cluster Dedicated vCPUs"
        row = _row(location, size.family, shown, f"{PROVIDER}/vmFamily/quotas", (0, family_limit(size)))
        del row["currentValue"]
        value.append(row)
    return Answer(200, {"value": value})


def _one_a_family(location: str) -> list[Size]:
    found: dict[str, Size] = {}
    for size in sizes().values():
        if size.in_location(location):
            found.setdefault(family_key(size.family), size)
    return list(found.values())


def _shown(family: str) -> str:
    plain = family.removeprefix("standard").removeprefix("Standard").removesuffix("Family").strip()
    return f"Standard {plain} Family"


def _row(location: str, name: str, shown: str, kind: str, figures: tuple[int, int]) -> Document:
    base = LOCATION.format(sub=SUBSCRIPTION_ID, location=location)
    return {
        "id": f"{base}/{kind.partition('/')[2]}/{name.replace(' ', '_')}",
        "type": kind,
        "unit": "Count",
        "currentValue": figures[0],
        "limit": figures[1],
        "name": {"value": name, "localizedValue": shown},
    }
