"""The catalogue of VM sizes as a person searches it: what is asked for, which sizes fit, and their table. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, get_args

from console.table import columns
from specs.base import Location
from specs.prices import REGION
from specs.problems import Problem, SpecError
from specs.vm_sizes import Kind, VmSize, catalogue, near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from specs.prices import Price, PriceRange
    from specs.vm_sizes import Priority

    Prices = Mapping[tuple[str, Priority], Price]

HEAD = ["SIZE", "SERIES", "VCPUS", "MEMORY", "GPU", "RDMA", "LOWPRIO", "$/H", "LP $/H", "RETIRES"]
TO = "\N{EN DASH}"
"""Between the least and the most."""
_TO_THE_RIGHT = (2, 3, 7, 8)
_CENT = 0.01


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person looks for; the empty one is every size that clusters can have."""

    names: tuple[str, ...] = ()
    """Sizes, with or without `Standard_`, or patterns with `*`; these are shown even when they are retired."""
    kind: Kind = "AmlCompute"
    gpu: bool = False
    rdma: bool = False
    low_priority: bool = False
    vcpus: int = 0
    memory_gib: float = 0
    max_price: float | None = None
    """Dollars an hour for one node; of the low-priority price where that is looked for."""
    everything: bool = False
    """Those too that are not offered."""


@dataclass(frozen=True, slots=True)
class Row:
    """A size with what it costs where it is looked for; None: no price is known."""

    size: VmSize
    price: float | None
    low_price: float | None


def wanted(texts: Mapping[str, str], names: Sequence[str], flags: frozenset[str]) -> Wanted:
    """Read the options of the command. Raises `SpecError` with every one that can't be understood."""
    problems = []
    numbers: dict[str, float] = {}
    for option in ("--vcpus", "--memory", "--max-price"):
        given = texts.get(option, "")
        if not given:
            continue
        if re.fullmatch(r"\d{1,6}" if option == "--vcpus" else r"\d{1,6}(\.\d{1,6})?", given):
            numbers[option] = float(given)
        else:
            example = {"--vcpus": "8", "--memory": "56", "--max-price": "1.5"}[option]
            problems.append(_problem(option, f"is a number, for example {example}.", given))
    kind = {item.lower(): item for item in get_args(Kind)}.get(texts.get("--kind", "").lower() or "amlcompute")
    if kind is None:
        problems.append(_problem("--kind", f"no such kind. Allowed: {', '.join(get_args(Kind))}.", texts["--kind"]))
    problems += [_unknown(name) for name in names if not _matching(name)]
    if problems:
        raise SpecError(problems)
    return Wanted(
        names=tuple(names),
        kind=kind or "AmlCompute",
        gpu="--gpu" in flags,
        rdma="--rdma" in flags,
        low_priority="--low-priority" in flags,
        vcpus=int(numbers.get("--vcpus", 0)),
        memory_gib=numbers.get("--memory", 0),
        max_price=numbers.get("--max-price"),
        everything="--all" in flags,
    )


def region_of(given: str) -> str:
    """Check a region's name. Raises `SpecError`."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return str(TypeAdapter(Location).validate_python(given))
    except ValidationError as error:
        raise SpecError([_problem("--region", f"{error.errors()[0]['msg']}.", given)]) from None


def _problem(option: str, message: str, given: str) -> Problem:
    return Problem("invoke sizes", 0, 0, option, message, given=f'"{given}"', rule="option")


def _unknown(name: str) -> Problem:
    close = near(name)
    hint = f"Did you mean {', '.join(close)}?" if close else "To see all of them: invoke sizes --all"
    return Problem(
        "invoke sizes", 0, 0, "--name", f"no such VM size. {hint}", given=f'"{name}"', rule="vm-size-unknown"
    )


def _matching(pattern: str) -> list[VmSize]:
    plain = pattern.lower().removeprefix("standard_")
    return [size for key, size in catalogue().items() if fnmatchcase(key.removeprefix("standard_"), plain)]


def candidates(asked: Wanted, today: date) -> list[VmSize]:
    """List the sizes that fit, apart from their price."""
    named = {size.name for name in asked.names for size in _matching(name)}
    return [
        size
        for size in catalogue().values()
        if (size.name in named if named else asked.everything or size.offered(asked.kind, today))
        and (size.gpus or not asked.gpu)
        and (size.rdma or not asked.rdma)
        and (size.low_priority or not asked.low_priority)
        and size.vcpus >= asked.vcpus
        and size.memory_gib >= asked.memory_gib
    ]


def priced(asked: Wanted, sizes: Sequence[VmSize], prices: Prices | None = None) -> list[Row]:
    """Give sizes their prices, the catalogue's or a region's, drop the dear ones, and put the cheapest first.

    A size without a price in the region asked about is left out, unless it was asked for by name.
    """
    rows = []
    for size in sizes:
        if prices is None:
            row = Row(size, size.price_usd_hour, size.low_priority_usd_hour)
        else:
            each, low = prices.get((size.name.lower(), "Dedicated")), prices.get((size.name.lower(), "LowPriority"))
            row = Row(size, each.amount if each else None, low.amount if low else None)
        price = _looked_at(row, asked)
        if asked.max_price is not None and (price is None or price > asked.max_price):
            continue
        if prices is None or price is not None or asked.names:
            rows.append(row)
    return sorted(rows, key=lambda row: (_looked_at(row, asked) is None, _looked_at(row, asked) or 0, row.size.name))


def _looked_at(row: Row, asked: Wanted) -> float | None:
    return row.low_price if asked.low_priority else row.price


def lines(rows: Sequence[Row]) -> list[str]:
    """Show sizes as a table, figures to the right."""
    cells = [_cells(row) for row in rows]
    for index in _TO_THE_RIGHT:
        width = max([len(HEAD[index]), *(len(row[index]) for row in cells)])
        for row in cells:
            row[index] = row[index].rjust(width)
    head = list(HEAD)
    for index in _TO_THE_RIGHT:
        head[index] = head[index].rjust(max(len(row[index]) for row in [HEAD, *cells]))
    return columns(head, cells)


def _cells(row: Row) -> list[str]:
    size = row.size
    return [
        size.name,
        size.series,
        str(size.vcpus),
        f"{size.memory_gib:g} GiB",
        f"{size.gpu} {size.gpu_memory_gib:g} GiB" if size.gpu and size.gpu_memory_gib else size.gpu or "-",
        "yes" if size.rdma else "-",
        {True: "yes", False: "no", None: "?"}[size.low_priority],
        _rate(row.price),
        _rate(row.low_price),
        str(size.retired_on or "-"),
    ]


def _rate(price: float | None) -> str:
    return "-" if price is None else f"{price:.3f}"


def footnote(rows: Sequence[Row], region: str, asked_on: date | None, left_out: int) -> str:
    """Say in one line what the table is of: how many, which prices, of when, and where to ask further."""
    count = f"{len(rows)} size{'' if len(rows) == 1 else 's'}"
    if asked_on:
        out = f"; {left_out} without a price there left out" if left_out else ""
        return f"  {count}. USD an hour, Linux, {region}, asked on {asked_on} (Azure Retail Prices){out}."
    days = sorted({row.size.price_as_of for row in rows if row.size.price_as_of})
    when = f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0]) if days else "no date"
    further = "other regions differ: add --region REGION --online"
    if region != REGION:
        further = f"{region} differs: add --online"
    return f"  {count}. USD an hour, Linux, {REGION}, {when} (Azure Retail Prices); {further}"


def as_json(rows: Sequence[Row], region: str, asked_on: date | None) -> list[dict[str, object]]:
    """Render sizes for scripts: the catalogue's fields, and the price with its region and day."""
    found = []
    for row in rows:
        fields: dict[str, object] = asdict(row.size)
        fields["price_usd_hour"], fields["low_priority_usd_hour"] = row.price, row.low_price
        fields["price_region"] = region if asked_on else REGION
        fields["price_as_of"] = asked_on or row.size.price_as_of
        found.append(fields)
    return found


def cost(found: PriceRange | None) -> str:
    """Show what an hour costs: from the least to the most, `$0.58` where that is the same, `-` where nobody knows."""
    if found is None:
        return "-"
    return cost_range(found.least, found.most)


def cost_range(least: float, most: float) -> str:
    """Show two amounts as one cost."""
    return f"${_money(least)}" if least == most else f"${_money(least)}{TO}{_money(most)}"


def _money(amount: float) -> str:
    return f"{amount:.2f}" if amount >= _CENT or not amount else f"{amount:.4f}"
