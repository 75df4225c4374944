"""What a size costs by the hour, from the catalogue: Linux, pay as you go, one region, one date. Pure.

Source: the Azure Retail Prices API for eastus, by way of Azure/karpenter-provider-azure's generated price list (see
docs/vm-sizes.md). Prices differ by region, some by two thirds (M64m: 10.337 in eastus, 17.347 in westus), and by
contract; `runtime.retail` asks the service itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from specs.vm_sizes import find

if TYPE_CHECKING:
    from datetime import date

    from specs.vm_sizes import Priority

REGION, CURRENCY = "eastus", "USD"
_DIGITS = 6
"""As many as the service gives."""


@dataclass(frozen=True, slots=True)
class Price:
    """An amount for an hour, and what it holds for."""

    amount: float
    as_of: date
    region: str = REGION
    currency: str = CURRENCY


@dataclass(frozen=True, slots=True)
class PriceRange:
    """What an hour costs with the fewest and with the most nodes."""

    least: float
    most: float
    as_of: date
    region: str = REGION
    currency: str = CURRENCY

    def note(self, location: str) -> str:
        """Say what the figures are, and that they may not be those of a region."""
        text = f"{self.currency} an hour, Linux, {self.region}, {self.as_of}"
        return text if location == self.region else f"{text}; {location} differs"


def hourly(vm_size: str, vm_priority: Priority, nodes: int) -> Price | None:
    """Return what some nodes cost in an hour; None for a size, or a priority of it, without a known price."""
    size = find(vm_size)
    if size is None or size.price_as_of is None:
        return None
    each = size.low_priority_usd_hour if vm_priority == "LowPriority" else size.price_usd_hour
    return None if each is None else Price(round(each * nodes, _DIGITS), size.price_as_of)


def spread(each: Price, min_nodes: int, max_nodes: int) -> PriceRange:
    """Multiply one node's price by the fewest and by the most nodes; for prices that the service was asked for."""
    least, most = round(each.amount * min_nodes, _DIGITS), round(each.amount * max_nodes, _DIGITS)
    return PriceRange(least, most, each.as_of, each.region, each.currency)


def price_range(vm_size: str, vm_priority: Priority, min_nodes: int, max_nodes: int) -> PriceRange | None:
    """Return what an hour costs from the fewest to the most nodes; None where the price is not known."""
    each = hourly(vm_size, vm_priority, 1)
    return spread(each, min_nodes, max_nodes) if each else None
