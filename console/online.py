"""What the commands of `console/commands/sizes.py` ask of files, the subscription and the retail price service."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.yard import Yard
from specs.loader import read, validate
from specs.prices import REGION
from specs.problems import Problem, SpecError
from specs.quotas import asks, demands, load_quotas
from specs.stack import StackSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from specs.prices import Price
    from specs.quotas import Demand
    from specs.vm_sizes import Priority, VmSize


@dataclass(frozen=True, slots=True)
class Known:
    """A region's quotas as they were found, beside what a stack wants of them."""

    limits: list[tuple[str, int | None, int]]
    """Name, used (None where nobody was asked), limit."""
    wanted: list[Demand]
    """Of the computes in that region."""
    location: str
    as_of: date
    source: str
    changes: list[str] = field(default_factory=list)
    """Of the file that was written."""
    advice: str = ""


def region_and_prices(
    sizes: Sequence[VmSize], region: str, stack: str, *, online: bool
) -> tuple[str, dict[tuple[str, Priority], Price] | None]:
    """Return the region that is meant, and what sizes cost there; no prices unless `online`.

    The service is public: without a stack, or for one in Azure, nobody signs in. The emulator plays it for its stacks.
    """
    from runtime.control_plane import connect
    from runtime.retail import Retail

    access = None
    if stack:
        yard = Yard.here()
        spec = shape(yard, stack)
        region = region or spec.location
        if online and spec.cloud == "emulator":
            yard.cloud(stack, spec)
            access = connect(spec.cloud, yard.project).access
    region = region or REGION
    return region, Retail.of(access).prices([size.name for size in sizes], region) if online else None


def shape(yard: Yard, stack: str) -> StackSpec:
    """Read a stack's file without holding it against sizes and quotas, because it is these that are asked about."""
    if stack not in yard.stack_names():
        return yard.spec(stack)
    return validate(read(yard.project.root / "stacks" / f"{stack}.yaml", f"stacks/{stack}.yaml"), StackSpec)


def prices(yard: Yard, stack: str) -> dict[tuple[str, Priority], Price]:
    """Ask what the sizes of a stack cost in its region now. Raises `ConnectionLostError`, `RefusedError`."""
    from runtime.control_plane import connect
    from runtime.retail import Retail
    from specs.vm_sizes import find

    spec = yard.spec(stack)
    yard.cloud(stack, spec)
    access = connect(spec.cloud, yard.project).access if spec.cloud == "emulator" else None
    sizes = sorted({size.name for _, _, ask in asks(spec) if (size := find(ask.vm_size))})
    return Retail.of(access).prices(sizes, spec.location)


def stack_quotas(yard: Yard, stack: str, region: str, *, online: bool, write: str) -> Known:
    """Find the quotas of a stack's region: in the file that it names, or, `online`, from the subscription.

    `write`: a path from the project's folder where the answer is kept. Raises `SpecError` where there is no file.
    """
    spec = shape(yard, stack)
    location = region or spec.location
    if online or write:
        return _asked(yard, stack, spec, location, write)
    if spec.quotas is None:
        message = f"stacks/{stack}.yaml names no quota file (its field quotas). Add --online to ask the subscription."
        raise SpecError([Problem("invoke quotas", 0, 0, "--online", message, rule="no-quota-file")])
    kept = load_quotas(yard.project.root / spec.quotas, spec.quotas)
    if region and region != kept.location:
        message = f"{spec.quotas} is of {kept.location}. Add --online to ask the subscription."
        raise SpecError([Problem("invoke quotas", 0, 0, "--region", message, given=f'"{region}"', rule="region")])
    return Known(
        limits=[(name, None, limit) for name, limit in kept.limits.items()],
        wanted=_wanted(spec, kept.location),
        location=kept.location,
        as_of=kept.as_of,
        source=spec.quotas,
    )


def _wanted(spec: StackSpec, location: str) -> list[Demand]:
    return [demand for demand in demands(asks(spec)) if demand.location == location]


def _asked(yard: Yard, stack: str, spec: StackSpec, location: str, write: str) -> Known:
    from runtime import paths, quotas
    from runtime.control_plane import connect

    target = paths.confine(yard.project.root, write) if write else None
    yard.cloud(stack, spec)
    rows = quotas.usages(connect(spec.cloud, yard.project), location)
    today = datetime.now(UTC).date()
    changes: list[str] = []
    advice = f"invoke quotas --stack {stack} --write quotas/{stack}.yaml" if spec.quotas is None else ""
    if target:
        changes = quotas.write(target, write, quotas.as_quotas(rows, location, today))
        advice = "" if spec.quotas == write else f"write  quotas: {write}  in stacks/{stack}.yaml"
    return Known(
        limits=[(row.name, row.used, row.limit) for row in rows],
        wanted=_wanted(spec, location),
        location=location,
        as_of=today,
        source=f"asked of {'the emulator' if spec.cloud == 'emulator' else 'Azure'}",
        changes=changes,
        advice=advice,
    )
