"""Azure's VM sizes as data, and what a stack file may not ask of them. A copy of facts, with their dates in the file.

Sources, by the file's `source` column: the service's own vmSizes answer (eastus, 2025-11-04 and 2022-06-05, as recorded
in Azure/azure-powershell) and concept-compute-target of 2026-03-31; the rest, with the doubts, is in docs/vm-sizes.md.
Other regions offer fewer sizes; the service has the last word.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, TypeAlias

from specs.base import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind: TypeAlias = Literal["AmlCompute", "ComputeInstance", "VirtualMachine"]
Priority: TypeAlias = Literal["Dedicated", "LowPriority"]
ENDPOINTS_ONLY, SPARK_ONLY = "aml2025-mir", "aml2025-spark"
GONE = "aml2022"
"""Offered in 2022 and not in 2025."""
PREFIX = "standard_"
NOUNS: Mapping[Kind, str] = {
    "AmlCompute": "clusters",
    "ComputeInstance": "compute instances",
    "VirtualMachine": "machines",
}
SOON = timedelta(days=365)
LOW_PRIORITY_END = date(2026, 3, 31)
"""Announced (Azure/EOL service_list.json, update 501658); no page says what clusters do since, so it is a warning."""
RDMA_NODES = 100
"""Most nodes of a cluster of an RDMA family that can talk to each other (azure-docs how-to-manage-quotas, 2026-01)."""
FREE_NODES = 100
"""More nodes than this in one cluster only on request, unless they may talk to each other: then 300 (same page)."""


@dataclass(frozen=True, slots=True)
class VmSize:
    """One size: a row of the file."""

    name: str
    series: str
    family: str
    """As the service's usages spell it; compare by `specs.quotas.key`."""
    vcpus: int
    memory_gib: float
    gpus: int
    """0, or how many; of NVadsA10_v5, slices of one."""
    gpu_model: str
    gpu_memory_gib: float | None
    """Of one GPU."""
    temp_disk_gib: float
    """SCSI only; local NVMe is not counted."""
    rdma: bool
    low_priority: bool | None
    """None: nothing is known."""
    isolated: bool
    """One such machine is a whole host."""
    approval: Literal["none", "request"] | None
    """Whether Microsoft asks before it gives quota; None: in no table."""
    compute_instance: bool
    retired_on: date | None
    """Past or announced."""
    successor: str
    """Microsoft's own advice; may be retired itself, or not for this kind. Empty: none."""
    price_usd_hour: float | None
    """Linux, eastus."""
    low_priority_usd_hour: float | None
    price_as_of: date | None
    source: str

    @property
    def gpu(self) -> str:
        """Name the GPUs: `4 x V100`; empty where there are none."""
        return f"{self.gpus} x {self.gpu_model}" if self.gpus else ""

    def retired(self, today: date) -> bool:
        """Tell whether it is gone."""
        return self.retired_on <= today if self.retired_on else self.source == GONE

    def offered(self, kind: Kind, today: date) -> bool:
        """Tell whether a new compute of a kind can have it."""
        if self.retired(today) or kind == "VirtualMachine":
            return not self.retired(today)
        if self.source in (ENDPOINTS_ONLY, SPARK_ONLY):
            return False
        return kind == "AmlCompute" or self.compute_instance


@dataclass(frozen=True, slots=True)
class Ask:
    """What a compute asks for: a size, how it is paid, how many."""

    kind: Kind
    vm_size: str
    vm_priority: Priority = "Dedicated"
    min_nodes: int = 1
    max_nodes: int = 1


@cache
def catalogue() -> Mapping[str, VmSize]:
    """Read the sizes, by lower-case name."""
    with (files("specs") / "vm_sizes.csv").open(encoding="utf-8") as stream:
        return {row["size"].lower(): _size(row) for row in csv.DictReader(stream)}


def _size(row: Mapping[str, str]) -> VmSize:
    approval = row["approval"]
    return VmSize(
        name=row["size"],
        series=row["series"],
        family=row["family"],
        vcpus=int(row["vcpus"]),
        memory_gib=float(row["memory_gib"]),
        gpus=int(row["gpus"]),
        gpu_model=row["gpu_model"],
        gpu_memory_gib=_number(row["gpu_memory_gib"]),
        temp_disk_gib=float(row["temp_disk_gib"]),
        rdma=row["rdma"] == "yes",
        low_priority={"yes": True, "no": False}.get(row["low_priority"]),
        isolated=row["isolated"] == "yes",
        approval="none" if approval == "none" else "request" if approval else None,
        compute_instance=row["compute_instance"] == "yes",
        retired_on=_date(row["retired_on"]),
        successor=row["successor"],
        price_usd_hour=_number(row["price_usd_hour_eastus_linux"]),
        low_priority_usd_hour=_number(row["low_priority_usd_hour"]),
        price_as_of=_date(row["price_as_of"]),
        source=row["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def find(name: str) -> VmSize | None:
    """Find a size; case does not count, as the service answers in several."""
    return catalogue().get(name.lower())


def near(name: str, sizes: Iterable[VmSize] | None = None) -> list[str]:
    """Name up to three sizes that a name may have meant."""
    found = catalogue().values() if sizes is None else sizes
    names = {size.name.lower().removeprefix(PREFIX): size.name for size in found}
    return [names[item] for item in difflib.get_close_matches(name.lower().removeprefix(PREFIX), names, 3)]


def instead(size: VmSize, kind: Kind, today: date) -> str:
    """Advise what to take: Microsoft's successor while that is itself offered, else the cheapest of its measure."""
    known, name = catalogue(), size.successor.lower()
    for _ in range(len(known)):
        if name not in known:
            break
        if known[name].offered(kind, today):
            return f"Instead: {known[name].name}."
        name = known[name].successor.lower()
    fitting = sorted(
        (other.price_usd_hour, other.name)
        for other in known.values()
        if other.price_usd_hour is not None and other.offered(kind, today) and _measures_up(other, size)
    )
    names = ", ".join(name for _, name in fitting[:2])
    if size.gpus:
        return (
            f"With {size.gpus} GPU{'' if size.gpus == 1 else 's'}: {names}."
            if names
            else f"See: invoke sizes --gpu --kind {kind}"
        )
    least = f"{size.vcpus} vCPUs and {size.memory_gib:g} GiB"
    return f"With {least}: {names}." if names else f"See: invoke sizes --kind {kind}"


def _measures_up(other: VmSize, size: VmSize) -> bool:
    """Tell whether a size can be advised in the place of another: as big, here to stay, no rarer."""
    if size.gpus:
        return other.gpus == size.gpus and not other.retired_on and not other.isolated
    enough = other.vcpus == size.vcpus and other.memory_gib >= size.memory_gib
    return enough and not (other.gpus or other.retired_on or other.isolated or other.approval == "request")


def size_faults(ask: Ask, today: date, *, quotas_known: bool = False) -> list[Fault]:
    """Say what is wrong with a compute's size, and what to know of it. Pure; places are relative to the compute.

    `quotas_known`: its quota is checked against a file or the subscription, so it need not be guessed here.
    """
    size = find(ask.vm_size)
    if size is None:
        return [_unknown(ask, today)]
    if wrong := _not_for(size, ask, today):
        return [wrong]
    faults = [*_low_priority(size, ask), *_nodes(size, ask)]
    if size.retired_on and size.retired_on <= today + SOON:
        message = f"will be retired on {size.retired_on}. {instead(size, ask.kind, size.retired_on)}"
        faults.append(_warning(_at(ask), message, "vm-size-retiring"))
    asks_first = size.approval == "request" or size.gpus
    if asks_first and not quotas_known and ask.kind != "VirtualMachine" and ask.vm_priority == "Dedicated":
        message = f"the quota of {size.family} is 0 until you ask for it in the portal. To see yours: invoke quotas"
        faults.append(_warning(_at(ask), f"{message} --online", "vm-size-approval"))
    if size.isolated:
        message = f"is a whole host of Azure's to itself ({size.vcpus} vCPUs); regions have few."
        faults.append(_warning(_at(ask), message, "vm-size-isolated"))
    return faults


def _at(ask: Ask) -> tuple[str, ...]:
    return ("virtual_machine", "vm_size") if ask.kind == "VirtualMachine" else ("vm_size",)


def _warning(at: tuple[str, ...], message: str, rule: str) -> Fault:
    return Fault(at=at, message=message, rule=rule, severity="warning")


def _unknown(ask: Ask, today: date) -> Fault:
    names = near(ask.vm_size, [size for size in catalogue().values() if size.offered(ask.kind, today)])
    hint = f"Did you mean {', '.join(names)}?" if names else ""
    if ask.kind == "VirtualMachine":
        # Microsoft.Compute sells sizes that Azure ML does not offer (B, v6 …), and the catalogue is of Azure ML's.
        message = f"is not in the catalogue of Azure ML's sizes, so it was not checked. {hint}".rstrip()
        return _warning(_at(ask), message, "vm-size-unlisted")
    return Fault(at=_at(ask), message=f"no such VM size. {hint or 'See: invoke sizes'}", rule="vm-size-unknown")


def _not_for(size: VmSize, ask: Ask, today: date) -> Fault | None:
    if size.offered(ask.kind, today):
        return None
    advice = instead(size, ask.kind, today)
    if size.retired(today):
        when = f"retired since {size.retired_on}" if size.retired_on else "no longer offered"
        return Fault(at=_at(ask), message=f"{when}. {advice}", rule="vm-size-retired")
    uses = {ENDPOINTS_ONLY: "managed online endpoints", SPARK_ONLY: "Spark pools"}
    message = f"is for {uses.get(size.source, 'clusters')} only, not for {NOUNS[ask.kind]}. {advice}"
    return Fault(at=_at(ask), message=message, rule="vm-size-kind")


def _low_priority(size: VmSize, ask: Ask) -> list[Fault]:
    if ask.vm_priority != "LowPriority":
        return []
    at = ("vm_priority",)
    if size.low_priority is False or ask.kind != "AmlCompute":
        what = size.name if ask.kind == "AmlCompute" else f"a {ask.kind}"
        message = f"{what} is not to be had as LowPriority. Allowed: Dedicated."
        return [Fault(at=at, message=message, rule="low-priority")]
    message = f"Azure announced the end of low-priority machines for {LOW_PRIORITY_END} and has not said since what "
    faults = [_warning(at, f"{message}becomes of clusters. Dedicated is safe.", "low-priority-end")]
    if size.low_priority is None:
        message = f"whether {size.name} is to be had as LowPriority is not known. Dedicated is safe."
        faults.append(_warning(at, message, "low-priority-unknown"))
    return faults


def _nodes(size: VmSize, ask: Ask) -> list[Fault]:
    if ask.kind != "AmlCompute":
        return []
    at, nodes = ("max_node_count",), ask.max_nodes
    if size.rdma and nodes > RDMA_NODES:
        message = f"a cluster of {size.name}, which has InfiniBand, ends at {RDMA_NODES} nodes. Allowed: 1 to"
        return [Fault(at=at, message=f"{message} {RDMA_NODES}.", rule="rdma-nodes")]
    faults = []
    if nodes > FREE_NODES:
        message = f"more than {FREE_NODES} nodes in one cluster (300 where they talk to each other) only on request."
        faults.append(_warning(at, f"{message} Ask for the limit in the portal.", "node-limit"))
    if size.gpus and not size.rdma and nodes > 1:
        message = f"{size.name} has no InfiniBand: a job over several nodes waits for the network. With it: invoke"
        faults.append(_warning(at, f"{message} sizes --gpu --rdma", "no-rdma"))
    return faults
