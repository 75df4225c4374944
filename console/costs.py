"""What a stack's computes cost by the hour, before and after a change, from the catalogue of sizes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from console.sizes import cost
from specs.compute import AmlComputeTarget, ComputeInstanceTarget, VirtualMachineTarget
from specs.prices import PriceRange, price_range
from specs.quotas import ask_of

if TYPE_CHECKING:
    from specs.compute import ComputeSpec, DeployedTarget
    from specs.outputs import StackOutputs
    from specs.stack import StackSpec


def declared(spec: ComputeSpec) -> PriceRange | None:
    """Return what a declared compute costs; None where that is not known, or not this stack's to pay."""
    ask = ask_of(spec)
    if ask is None:
        return None
    least = ask.min_nodes if ask.kind == "AmlCompute" else 0  # one machine can be stopped
    return price_range(ask.vm_size, ask.vm_priority, least, ask.max_nodes)


def deployed(target: DeployedTarget) -> PriceRange | None:
    """Return what a deployed compute costs."""
    match target:
        case AmlComputeTarget():
            return price_range(target.vm_size, target.vm_priority, target.min_node_count, target.max_node_count)
        case ComputeInstanceTarget():
            return price_range(target.vm_size, "Dedicated", 0, 1)
        case VirtualMachineTarget():
            return None
        case _:
            assert_never(target)


def notes(spec: StackSpec, known: StackOutputs | None) -> dict[str, str]:
    """Say of every compute whose cost changes what it cost and what it will: `cost $0.00-0.58 → $0.00-1.16 /h`."""
    found = {}
    for at, compute in spec.computes():
        target = known.targets.get(at[-1]) if known else None
        before, after = deployed(target) if target else None, declared(compute)
        if after and (before is None or (before.least, before.most) != (after.least, after.most)):
            found[at[-1]] = f"cost {f'{cost(before)} → ' if before else ''}{cost(after)} /h"
    return found


def total(spec: StackSpec) -> str:
    """Sum the stack's computes in one line; empty where none has a known price."""
    prices = [price for _, compute in spec.computes() if (price := declared(compute))]
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
    missing = sum(ask_of(compute) is not None and declared(compute) is None for _, compute in spec.computes())
    unknown = f"; {missing} without a known price" if missing else ""
    return f"  computes cost {cost(whole)} an hour ({whole.note(spec.location)}{unknown})"
