"""The cores that a subscription may use of each VM family in one region, from a file, and what a stack needs of them.

The file is made by `invoke quotas --online --write quotas/dev.yaml` and holds the service's own usages rows
(MachineLearningServices Usages_List). Rules: azure-docs how-to-manage-quotas, 2026-01: dedicated cores are limited by
family and in total, low-priority cores by one pool of all families, GPU families start at 0. A machine that a stack
makes counts in Microsoft.Compute's quota, which is another, and is not counted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, TypeAlias, assert_never

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from specs.base import Fault, Location, Spec, raise_faults
from specs.loader import read, validate
from specs.problems import Problem, SpecError
from specs.vm_sizes import Ask, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from specs.compute import ComputeSpec
    from specs.stack import StackSpec
    from specs.vm_sizes import Priority

TOTAL_DEDICATED, TOTAL_LOW_PRIORITY, TOTAL_CLUSTERS = "TotalDedicatedCores", "TotalLowPriorityCores", "TotalClusters"
Place: TypeAlias = tuple[str | int, ...]


def key(family: str) -> str:
    """Make spellings of a family equal: the service's answers differ in case, blanks and underscores."""
    return family.lower().replace(" ", "").replace("_", "")


def _day(value: object) -> object:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise PydanticCustomError("date", "a day is written like 2026-11-21") from None


Day = Annotated[date, BeforeValidator(_day)]


class Quotas(Spec):
    """A quota file: `quotas/<name>.yaml`."""

    location: Location
    """The region that it holds for."""
    as_of: Day
    """The day on which the service said so."""
    limits: dict[Annotated[str, Field(min_length=1)], Annotated[int, Field(ge=0)]] = Field(min_length=1)
    """Most vCPUs by VM family; also `TotalDedicatedCores`, `TotalLowPriorityCores`, and `TotalClusters` (computes)."""

    @model_validator(mode="after")
    def _named_once(self) -> Quotas:
        seen: dict[str, str] = {}
        faults = []
        for name in self.limits:
            if other := seen.get(key(name)):
                message = f"is {other} again (case, blanks and _ do not count). Delete one."
                faults.append(Fault(at=("limits", name), message=message, rule="quota-duplicate"))
            seen.setdefault(key(name), name)
        raise_faults(faults)
        return self

    def limit(self, name: str) -> int | None:
        """Return a limit; None where the file has none."""
        return next((limit for family, limit in self.limits.items() if key(family) == key(name)), None)


def load_quotas(path: Path, shown: str | None = None) -> Quotas:
    """Read a quota file. Raises `SpecError` with the place of every mistake in it, or with how to make it."""
    name = shown or str(path)
    if not path.exists():
        message = f"there is no such file. To make it: invoke quotas --stack STACK --write {name}"
        raise SpecError([Problem(name, 0, 0, "quotas", message, rule="file")])
    return validate(read(path, name), Quotas)


@dataclass(frozen=True, slots=True)
class Demand:
    """The cores that one compute may come to use."""

    place: Place
    """The compute's path in the stack file."""
    location: str
    family: str
    vcpus: int
    """Of one node."""
    min_nodes: int
    max_nodes: int
    priority: Priority = "Dedicated"
    gpu: bool = False
    scales: bool = True
    """False for an instance: it is always one node."""

    @property
    def cores_min(self) -> int:
        """Cores that it always uses."""
        return self.min_nodes * self.vcpus

    @property
    def cores_max(self) -> int:
        """Cores that it uses at most."""
        return self.max_nodes * self.vcpus


def asks(spec: StackSpec) -> list[tuple[Place, str, Ask]]:
    """List what every compute of a stack asks for, with its place and region; attached machines ask for nothing."""
    from specs.compute_instance import ComputeInstanceSpec
    from specs.workspace import ExistingWorkspace

    homes = {**spec.workspaces, **spec.existing_workspaces}
    found: list[tuple[Place, str, Ask]] = []
    for at, compute in spec.computes():
        owner = homes[at[1]]
        home = (owner.location if isinstance(owner, ExistingWorkspace) else None) or spec.location
        own = None if isinstance(compute, ComputeInstanceSpec) else compute.location
        if ask := ask_of(compute):
            found.append((at, own or home, ask))
    return found


def ask_of(compute: ComputeSpec) -> Ask | None:
    """Say what a compute asks for; None for one that was there before."""
    from specs.aml_compute import AmlComputeSpec
    from specs.compute_instance import ComputeInstanceSpec
    from specs.virtual_machine import VirtualMachineSpec

    match compute:
        case AmlComputeSpec():
            return Ask(
                "AmlCompute", compute.vm_size, compute.vm_priority, compute.min_node_count, compute.max_node_count
            )
        case ComputeInstanceSpec():
            return Ask("ComputeInstance", compute.vm_size)
        case VirtualMachineSpec():
            made = compute.virtual_machine
            return Ask("VirtualMachine", made.vm_size) if made else None
        case _:
            assert_never(compute)


def demands(found: Iterable[tuple[Place, str, Ask]]) -> list[Demand]:
    """Turn what computes ask for into cores; sizes that nobody knows and machines of Microsoft.Compute need none."""
    return [
        Demand(
            place=place,
            location=location,
            family=size.family,
            vcpus=size.vcpus,
            min_nodes=ask.min_nodes,
            max_nodes=ask.max_nodes,
            priority=ask.vm_priority,
            gpu=size.gpus > 0,
            scales=ask.kind == "AmlCompute",
        )
        for place, location, ask in found
        if ask.kind != "VirtualMachine" and (size := find(ask.vm_size))
    ]


def quota_faults(wanted: Sequence[Demand], quotas: Quotas) -> list[Fault]:
    """Compare what computes need with what there is. Pure; places are whole paths in the stack file.

    An error where the nodes that always run are too many, because the service refuses those
    (ClusterMinNodesExceedCoreQuota); a warning where only the most nodes are, because jobs then wait.
    """
    here = [demand for demand in wanted if demand.location == quotas.location]
    faults = [_elsewhere(demand, quotas) for demand in wanted if demand.location != quotas.location]
    dedicated = [demand for demand in here if demand.priority == "Dedicated"]
    for family in dict.fromkeys(key(demand.family) for demand in dedicated):
        faults += _family(quotas, [demand for demand in dedicated if key(demand.family) == family])
    faults += _row(TOTAL_DEDICATED, quotas, dedicated)
    faults += _row(TOTAL_LOW_PRIORITY, quotas, [demand for demand in here if demand.priority == "LowPriority"])
    return [*faults, *_count(here, quotas)]


def _elsewhere(demand: Demand, quotas: Quotas) -> Fault:
    message = f"is in {demand.location}, and the quota file is of {quotas.location}: its node counts were not checked."
    return Fault(at=demand.place, message=message, rule="quota-location", severity="warning")


def _family(quotas: Quotas, demanded: Sequence[Demand]) -> list[Fault]:
    first = demanded[0]
    limit = quotas.limit(first.family)
    if limit is None and not first.gpu:
        message = f"{first.family} is not in the quota file ({quotas.as_of}): its node counts were not checked. "
        message += "To read it anew: invoke quotas --online --write FILE"
        at = (*first.place, "vm_size")
        return [Fault(at=at, message=message, rule="quota-family", severity="warning")]
    return _row(first.family, quotas, demanded)


def _row(name: str, quotas: Quotas, demanded: Sequence[Demand]) -> list[Fault]:
    """Hold the sum of some computes against one limit; the finding stands at the first compute that is too much."""
    limit = quotas.limit(name)
    if limit is None:
        if not demanded or name in (TOTAL_DEDICATED, TOTAL_LOW_PRIORITY):
            return []
        limit = 0  # a GPU family starts at 0 (azure-docs how-to-manage-quotas), and a file from the service names it
    for least in (True, False):
        used = 0
        for index, demand in enumerate(demanded):
            used += demand.cores_min if least else demand.cores_max
            if used > limit:
                return [_exceeded(name, limit, quotas, demanded[: index + 1], least=least)]
    return []


def _exceeded(name: str, limit: int, quotas: Quotas, demanded: Sequence[Demand], *, least: bool) -> Fault:
    last = demanded[-1]
    field = "vm_size" if not last.scales else "min_node_count" if least else "max_node_count"
    counted = [(demand, demand.min_nodes if least else demand.max_nodes) for demand in demanded]
    shown = [f"{demand.place[-1]} {nodes} x {demand.vcpus}" for demand, nodes in counted if nodes]
    total = sum(nodes * demand.vcpus for demand, nodes in counted)
    which = "always" if least else "at most"
    text = f"{total} vCPUs {which} ({', '.join(shown)}); the quota {name} in {quotas.location} is {limit}"
    room = (limit - total) // last.vcpus + (last.min_nodes if least else last.max_nodes)
    if last.scales and room > (-1 if least else 0):
        advice = f"Allowed here: up to {room}, or ask for more in the portal."
    else:
        advice = "Ask for more in the portal, or take another size."
    said = f"{text} ({quotas.as_of})."
    if not least:
        return Fault(
            at=(*last.place, field), message=f"{said} Jobs will wait. {advice}", rule="quota-max", severity="warning"
        )
    return Fault(at=(*last.place, field), message=f"{said} {advice}", rule="quota-min")


def _count(here: Sequence[Demand], quotas: Quotas) -> list[Fault]:
    limit = quotas.limit(TOTAL_CLUSTERS)
    if limit is None or len(here) <= limit:
        return []
    message = f"{len(here)} clusters and instances; the quota {TOTAL_CLUSTERS} in {quotas.location} is {limit}"
    message += f" ({quotas.as_of}). Ask for more in the portal."
    return [Fault(at=here[limit].place, message=message, rule="quota-clusters")]
