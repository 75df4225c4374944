"""`invoke check`: a stack's file against itself, the catalogue, quotas, and what is deployed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from specs.deployed import Deployed
from specs.problems import SpecError

if TYPE_CHECKING:
    from console.yard import Yard
    from specs.checks import Examined


def checked(yard: Yard, stack: str, accepted: list[str], *, online: bool) -> Examined:
    """Check a stack's file; `online`: with the subscription's quotas as they are now.

    Raises:
        SpecError: with every problem.

    """
    known = yard.kept_outputs(stack) if stack in yard.stack_names() else None
    found = yard.examined(stack, Deployed(known, tuple(accepted)) if known else None)
    return _online(yard, stack, found) if online else found


def _online(yard: Yard, stack: str, found: Examined) -> Examined:
    from runtime import quotas
    from runtime.control_plane import connect
    from specs.checks import placed
    from specs.quotas import asks, demands, quota_faults

    yard.cloud(stack, found.spec)
    plane = connect(found.spec.cloud, yard.project)
    wanted = demands(asks(found.spec))
    today = datetime.now(UTC).date()
    faults = []
    for region in dict.fromkeys(demand.location for demand in wanted):
        limits = quotas.as_quotas(quotas.usages(plane, region), region, today)
        faults += quota_faults([demand for demand in wanted if demand.location == region], limits)
    path = yard.project.root / "stacks" / f"{stack}.yaml"
    errors, warnings = placed(path, f"stacks/{stack}.yaml", faults)
    if errors:
        raise SpecError(errors)
    kept = [item for item in found.warnings if not item.rule.startswith("quota-")]
    return replace(found, warnings=(*kept, *warnings))
