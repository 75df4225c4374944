"""What a plan means to those who work on a stack: its cost, the runs that are on what it takes away, what to accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console import costs, plans, purging
from runtime.errors import HeldBackError
from specs.targets import VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from console.costs import Asked
    from console.yard import Yard
    from engine.plan import Plan
    from runtime.control_plane import ControlPlane
    from specs.outputs import StackOutputs
    from specs.stack import StackSpec


def lines(yard: Yard, stack: str, plan: Plan, asked: Asked = None) -> list[str]:
    """Render a plan with what each compute will cost and the runs that are on those it takes away."""
    spec, known = yard.spec(stack), yard.kept_outputs(stack)
    notes = costs.notes(spec, known, asked)
    for name in plans.lost(plan):
        if busy := active(yard, [name]):
            words = f"active on it: {', '.join(busy)}"
            notes[name] = f"{notes[name]}; {words}" if name in notes else words
    shown = plans.lines(plan, notes)
    if plan.empty:
        return shown
    whole = costs.total(spec, asked)
    held = {name: end for name, end in purging.held_names(yard.project, plan, known).items() if not _purged(spec, name)}
    return [*shown, *([whole] if whole else []), *purging.notes(stack, held)]


def _purged(spec: StackSpec, name: str) -> bool:
    return name in spec.workspaces and spec.workspaces[name].soft_deleted == "purge"


def make_room(yard: Yard, stack: str, plan: Plan) -> None:
    """Do what the engine can't, before it carries out a plan that was agreed to.

    A workspace that is to be replaced, or made under the name of a deleted one whose file says `purge`, is deleted for
    good: else the old one would hold the name for 14 days. What was attached is detached.
    """
    spec, known = yard.spec(stack), yard.kept_outputs(stack)
    ours = {change.name: change.op for change in plan.changes if change.type == purging.WORKSPACE}
    purged = [name for name, op in ours.items() if op == "create" and _purged(spec, name)]
    replaced = [name for name, op in ours.items() if op == "replace"]
    gone = [
        change.name for change in plan.changes if change.type == plans.COMPUTE and change.op in ("delete", "replace")
    ]
    if not (purged or replaced or gone):
        return
    plane = connected(yard, stack)
    purging.left_behind(plane, spec, purged)
    if known is not None:
        detach(plane, known, gone)
        purging.for_good(plane, known, replaced)


def connected(yard: Yard, stack: str) -> ControlPlane:
    """Return the control plane of a stack's cloud."""
    from runtime.control_plane import connect

    return connect(yard.spec(stack).cloud, yard.project)


def detach(plane: ControlPlane, known: StackOutputs, names: Iterable[str]) -> None:
    """Detach machines from their workspaces; what is attached is never deleted.

    Compute_Delete wants to be told (`underlyingResourceAction`), and the vendor's provider says nothing
    (pulumi-azure-native provider.go, Delete). It finds them gone afterwards, which is what it wants.
    """
    for name in names:
        target = known.targets.get(name)
        if isinstance(target, VirtualMachineTarget):
            plane.delete(target.id, purging.API, {"underlyingResourceAction": "Detach"})


def accepting(stack: str, plan: Plan) -> str:
    """Return the command that carries a plan out, its losses accepted by name."""
    flags = "".join(f" --allow-{how} {name}" for name, how in plans.lost(plan).items())
    return f"invoke up --stack {stack}{flags}"


def active(yard: Yard, targets: list[str]) -> list[str]:
    """Name the runs that go on on some targets, as far as this clone knows."""
    from runtime.runs import list_runs

    known = list_runs(yard.project, refreshed=False)
    return [run.id for run in known if run.target in targets and not run.terminal]


def hold_back(yard: Yard, stack: str, plan: Plan, allowed: list[str]) -> None:
    """Refuse a plan that takes runs, models or data along, unless each loss is accepted by name.

    Raises:
        HeldBackError: a loss is not accepted, or one is accepted that the plan does not bring.

    """
    lost = plans.lost(plan)
    if strange := [name for name in allowed if name not in lost]:
        known = ", ".join(lost) or "nothing"
        raise HeldBackError(f"{', '.join(strange)} would not be lost; this plan loses {known}. Nothing was done.")
    held = [name for name in lost if name not in allowed]
    if not held:
        return
    words = " and ".join(
        f"{op} {', '.join(names)}"
        for op in ("delete", "replace")
        if (names := [name for name in held if lost[name] == op])
    )
    busy = active(yard, held)
    runs = f"\n  active there: {', '.join(busy)}" if busy else ""
    shown = "\n".join(plans.lines(plan))
    if any(change.type == purging.WORKSPACE and change.op == "replace" for change in plan.changes):
        shown += (
            "\n  a replaced workspace is deleted beyond recovery, with its runs and models: one name, one workspace"
        )
    accept = f"to accept it: {accepting(stack, plan)}"
    raise HeldBackError(f"this would {words}. Nothing was done.\n{shown}{runs}\n  {accept}")
