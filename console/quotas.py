"""A region's quotas as lines for a person: what is used, what is allowed, what the stack may come to need. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.sizes import TO
from console.table import columns
from specs.quotas import TOTAL_CLUSTERS, TOTAL_DEDICATED, TOTAL_LOW_PRIORITY, key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.quotas import Demand

TOTALS = {key(name) for name in (TOTAL_DEDICATED, TOTAL_LOW_PRIORITY, TOTAL_CLUSTERS)}


@dataclass(frozen=True, slots=True)
class Row:
    """One limit."""

    name: str
    used: int | None
    """None where only a file was read."""
    limit: int | None
    """None where the file has none."""
    needs: tuple[int, int]
    """What the stack uses of it: always, and at most."""

    @property
    def note(self) -> str:
        """Say where the stack needs more than there is."""
        if self.limit is None or self.needs[1] <= self.limit:
            return ""
        return "too little for the minimum" if self.needs[0] > self.limit else "too little for the maximum"


def rows(known: Sequence[tuple[str, int | None, int]], wanted: Sequence[Demand], *, everything: bool) -> list[Row]:
    """Put limits and needs side by side: totals, and the families that the stack uses, or all of them."""
    needs = _needs(wanted)
    found = [
        Row(name, used, limit, needs.get(key(name), (0, 0)))
        for name, used, limit in known
        if everything or key(name) in needs or key(name) in TOTALS
    ]
    names = {key(row.name) for row in found}
    spelled = {key(demand.family): demand.family for demand in wanted}
    missing = [Row(spelled[name], None, None, need) for name, need in needs.items() if name in spelled.keys() - names]
    return sorted([*found, *missing], key=lambda row: (key(row.name) not in TOTALS, row.name.lower()))


def _needs(wanted: Sequence[Demand]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}

    def add(name: str, least: int, most: int) -> None:
        before = found.get(key(name), (0, 0))
        found[key(name)] = (before[0] + least, before[1] + most)

    for demand in wanted:
        add(TOTAL_CLUSTERS, 1, 1)
        if demand.priority == "LowPriority":
            add(TOTAL_LOW_PRIORITY, demand.cores_min, demand.cores_max)
        else:
            add(TOTAL_DEDICATED, demand.cores_min, demand.cores_max)
            add(demand.family, demand.cores_min, demand.cores_max)
    return found


def lines(found: Sequence[Row]) -> list[str]:
    """Show them as a table."""
    cells = [
        [
            row.name,
            "-" if row.used is None else str(row.used),
            "not in the file" if row.limit is None else str(row.limit),
            "-" if row.needs == (0, 0) else f"{row.needs[0]}{TO}{row.needs[1]}",
            row.note,
        ]
        for row in found
    ]
    return columns(["QUOTA", "USED", "LIMIT", "STACK", ""], cells)


def as_json(found: Sequence[Row]) -> list[dict[str, object]]:
    """Render them for scripts."""
    return [
        {"name": row.name, "used": row.used, "limit": row.limit, "needs_min": row.needs[0], "needs_max": row.needs[1]}
        for row in found
    ]
