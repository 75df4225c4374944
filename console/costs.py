"""What a stack's computes cost by the hour, before and after a change. Pure.

From the catalogue of sizes, or from `Asked`: what the retail price service said of the stack's region just now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from console.sizes import cost
from specs.prices import PriceRange, price_range, spread
from specs.quotas import ask_of
from specs.targets import AmlComputeTarget, ComputeInstanceTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.compute import ComputeSpec
    from specs.outputs import StackOutputs
    from specs.prices import Price
    from specs.stack import StackSpec
    from specs.targets import DeployedTarget
    from specs.vm_sizes import Priority

Asked: TypeAlias = "Mapping[tuple[str, Priority], Price] | None"


def _range(vm_size: str, priority: Priority, nodes: tuple[int, int], asked: Asked) -> PriceRange | None:
    if asked is None:
        return price_range(vm_size, priority, *nodes)
    each = asked.get((vm_size.lower(), priority))
    return spread(each, *nodes) if each else None


def declared(spec: ComputeSpec, asked: Asked = None) -> PriceRange | None:
    """Return what a declared compute costs; None where that is not known, or not this stack's to pay."""
    ask = ask_of(spec)
    if ask is None:
        return None
    least = ask.min_nodes if ask.kind == "AmlCompute" else 0  # one machine can be stopped
    return _range(ask.vm_size, ask.vm_priority, (least, ask.max_nodes), asked)


def deployed(target: DeployedTarget, asked: Asked = None) -> PriceRange | None:
    """Return what a deployed compute costs."""
    match target:
        case AmlComputeTarget():
            nodes = (target.min_node_count, target.max_node_count)
            return _range(target.vm_size, target.vm_priority, nodes, asked)
        case ComputeInstanceTarget():
            return _range(target.vm_size, "Dedicated", (0, 1), asked)
        case VirtualMachineTarget():
            return None
        case _:
            assert_never(target)


def notes(spec: StackSpec, known: StackOutputs | None, asked: Asked = None) -> dict[str, str]:
    """Say of every compute whose cost changes what it cost and what it will: `cost $0.00-0.58 → $0.00-1.16 /h`."""
    found = {}
    for at, compute in spec.computes():
        target = known.targets.get(at[-1]) if known else None
        before, after = deployed(target, asked) if target else None, declared(compute, asked)
        if after and (before is None or (before.least, before.most) != (after.least, after.most)):
            found[at[-1]] = f"cost {f'{cost(before)} → ' if before else ''}{cost(after)} /h"
    return found


def total(spec: StackSpec, asked: Asked = None) -> str:
    """Sum the stack's computes in one line; empty where none has a known price."""
    prices = [price for _, compute in spec.computes() if (price := declared(compute, asked))]
    if not prices:
        return ""
    first = min(prices, key=lambda price: price.as_of)
    whole = PriceRange(
        sum(price.least for price in prices),
        sum(price.most for price in prices),
        first.as_of,
        first.region,
        first.currency,
    )
    missing = sum(ask_of(compute) is not None and declared(compute, asked) is None for _, compute in spec.computes())
    unknown = f"; {missing} without a known price" if missing else ""
    return f"  computes cost {cost(whole)} ({whole.note(spec.location)}{unknown})"
