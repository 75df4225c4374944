"""The live state of a stack's targets, several asked at a time, with what each can do and what it costs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple, TypedDict, assert_never

from console import costs
from runtime import power, wire
from runtime.errors import NotFoundError, TrainyardError
from specs import capabilities, vm_sizes
from specs.targets import LOCAL, AmlComputeTarget, ComputeInstanceTarget, LocalTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from console.costs import Asked
    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from specs.capabilities import Support
    from specs.outputs import StackOutputs
    from specs.prices import PriceRange
    from specs.targets import DeployedTarget, Target

NOT_DEPLOYED, NONE = "not deployed", "-"
_GIB = 1 << 30


class Cost(TypedDict):
    """What an hour costs, from the fewest to the most nodes, by the catalogue."""

    least: float
    most: float
    currency: str
    region: str
    as_of: str
    note: str
    """What the figures are, and that the stack's region may differ."""


class Row(TypedDict):
    """One target as it is now."""

    name: str
    kind: str
    workspace: str | None
    state: str
    nodes: str
    size: str
    gpus: int | None
    """Of each node; None where the size is not in the catalogue."""
    default: bool
    capabilities: dict[str, Support]
    cost: Cost | None


class _Seen(NamedTuple):
    state: str
    nodes: str = NONE


def targets(project: Project, known: StackOutputs | None, asked: Asked = None) -> list[Row]:
    """Ask about every target; one that can't be asked says so in its state. `asked`: prices of today."""
    from runtime.control_plane import connect

    found: list[Target] = [*known.targets.values(), known.local] if known else [LocalTarget(name=LOCAL)]
    plane = connect(known.cloud, project) if known else None
    with ThreadPoolExecutor(8, thread_name_prefix="targets") as pool:
        return list(pool.map(lambda target: _row(target, plane, known, asked), found))


def _row(target: Target, plane: ControlPlane | None, known: StackOutputs | None, asked: Asked) -> Row:
    seen = _seen(target, plane, known)
    price = None if isinstance(target, LocalTarget) else costs.deployed(target, asked)
    return Row(
        name=target.name,
        kind=target.kind,
        workspace=None if isinstance(target, LocalTarget) else target.workspace,
        state=seen.state,
        nodes=seen.nodes,
        size=_size(target),
        gpus=_gpus(target),
        default=target.name == (known.default_target if known else LOCAL),
        capabilities=dict(capabilities.of(target).items()),
        cost=_cost(price, known) if price and known else None,
    )


def _cost(price: PriceRange, known: StackOutputs) -> Cost:
    figures = asdict(price)
    return Cost(
        least=price.least,
        most=price.most,
        currency=str(figures["currency"]),
        region=price.region,
        as_of=price.as_of.isoformat(),
        note=price.note(known.location),
    )


def _size(target: Target) -> str:
    match target:
        case LocalTarget():
            cores = min(target.cpus or os.cpu_count() or 1, os.cpu_count() or 1)
            whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
            memory = min(target.memory_gib or whole, whole)
            return f"{cores} core{'' if cores == 1 else 's'}, {memory:.3g} GiB"
        case AmlComputeTarget():
            return f"{target.vm_size}{' lp' if target.vm_priority == 'LowPriority' else ''}"
        case ComputeInstanceTarget():
            return target.vm_size
        case VirtualMachineTarget():
            return f"{target.address}:{target.ssh_port}"
        case _:
            assert_never(target)


def _gpus(target: Target) -> int | None:
    if not isinstance(target, AmlComputeTarget | ComputeInstanceTarget):
        return None
    size = vm_sizes.find(target.vm_size)
    return size.gpus if size else None


def _seen(target: Target, plane: ControlPlane | None, known: StackOutputs | None) -> _Seen:
    if isinstance(target, LocalTarget):
        return _Seen("ready")
    if plane is None or known is None:
        return _Seen(NOT_DEPLOYED)
    try:
        return _asked(target, plane, known)
    except NotFoundError:
        return _Seen("gone")
    except TrainyardError as error:
        return _Seen(str(error).splitlines()[0])


def _asked(target: DeployedTarget, plane: ControlPlane, known: StackOutputs) -> _Seen:
    """Ask for a compute's state: its own where it has one, else how its deployment went."""
    document = power.document(plane, target)
    settings = power.settings_of(document)
    deployment = wire.text(wire.at(document, "properties", "provisioningState"))
    match target:
        case AmlComputeTarget():
            most = wire.obj(settings.get("scaleSettings")).get("maxNodeCount")
            return _Seen(deployment, f"{settings.get('currentNodeCount', 0)}/{most}")
        case ComputeInstanceTarget():
            state = wire.text(settings.get("state")) or deployment
            return _Seen(state, f"{int(state == power.RUNNING)}/1")
        case VirtualMachineTarget():
            return _Seen(power.power(plane, known, target) or deployment)
        case _:
            assert_never(target)
