"""`invoke adopt`: takes a workspace or compute that exists into a stack's state, and says in what it differs.

Without it an existing one stops `up`, because a PUT would overwrite it. Nothing in the cloud is changed here, and the
program keeps no import id: the state holds the resource as if this stack had made it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console import drift, plans
from runtime.errors import HeldBackError, NotFoundError
from specs.problems import Problem, SpecError
from specs.reading import findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from console.yard import Yard
    from engine.goals import Goal
    from engine.importing import Found
    from engine.plan import Change, Json, Plan
    from specs.reading import Finding
    from specs.stack import StackSpec

KINDS = ("azure-native:machinelearningservices:Workspace", "azure-native:machinelearningservices:Compute")


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken over, and what the next `up` would change on it."""

    id: str
    change: Change | None
    """None: it is already what the file says."""
    wrote: tuple[str, ...]
    """Fields that were written into the stack's file."""


def adopt(yard: Yard, stack: str, name: str, *, write: bool) -> Adopted:
    """Take an existing workspace or compute over. `write`: put into the stack's file what it has otherwise.

    Raises:
        SpecError: the stack's file declares no such workspace or compute.
        NotFoundError: there is none in the cloud.
        HeldBackError: it belongs to the stack already, or the file would replace it; nothing was done.

    """
    from engine import operations
    from engine.goals import planned, resources_of
    from engine.importing import bring_in

    session, spec = yard.session(stack)
    operations.create_stack(session)
    before = operations.export(session)
    goals = planned(session, before)
    goal = _goal(goals, name, stack)
    if goal.urn in {str(item.get("urn")) for item in resources_of(before)}:
        raise HeldBackError(f"{name} belongs to stack {stack} already. Nothing was done.")
    found = _existing(yard, spec, goal, goals)
    path = yard.project.root / "stacks" / f"{stack}.yaml"
    text = path.read_text("utf-8")
    done = False
    try:
        seen: dict[str, Json] = {}
        bring_in(session, [found], goals, lambda item, read: _noted(seen, item, read))
        change = _change(operations.preview(session), goal.urn)
        differing = _differing(yard, stack, spec, change, seen)
        wrote: tuple[str, ...] = ()
        if write and differing and change:
            wrote = _write(yard, stack, spec, change, differing)
            change = _change(operations.preview(session), goal.urn)
        if change and change.op == "replace":
            raise HeldBackError(_refusal(stack, name, change, differing))
        done = True
    finally:
        if not done:
            if path.read_text("utf-8") != text:
                drift.write(path, text)
            operations.ask(session, ["stack", "import"], stdin=json.dumps(before))
    return Adopted(found.id, change, wrote)


def _goal(goals: Mapping[str, Goal], name: str, stack: str) -> Goal:
    known = {goal.name: goal for goal in goals.values() if goal.custom and goal.type in KINDS}
    if name not in known:
        message = f"stacks/{stack}.yaml declares no such workspace or compute. Allowed: {', '.join(known)}."
        raise SpecError([Problem("the command", 0, 0, "name", message, given=f'"{name}"', rule="adopt-name")])
    return known[name]


def _existing(yard: Yard, spec: StackSpec, goal: Goal, goals: Mapping[str, Goal]) -> Found:
    """Look it up in the cloud."""
    from engine.arm import KINDS as TYPES
    from engine.goals import id_of
    from engine.importing import Found
    from runtime.control_plane import connect

    plane = connect(spec.cloud, yard.project)
    id_ = id_of(goal, goals, plane.access.subscription_id)
    if id_ is None or plane.find(id_, TYPES[goal.type].api) is None:
        where = id_ or "its workspace does not exist either"
        raise NotFoundError(f"{goal.name} does not exist ({where}). To make it: invoke up")
    return Found(goal, id_)


def _noted(seen: dict[str, Json], found: Found, read: Mapping[str, Json]) -> Mapping[str, Json]:
    from engine.importing import by_the_program

    seen.update(read)
    return by_the_program(found, read)


def _change(plan: Plan, urn: str) -> Change | None:
    return next((item for item in plans.real(plan) if item.urn == urn), None)


def _differing(
    yard: Yard, stack: str, spec: StackSpec, change: Change | None, read: Mapping[str, Json]
) -> list[Finding]:
    """Say what the file would have to say so that nothing changes."""
    place = drift.place_of(spec, change) if change else None
    if change is None or place is None:
        return []
    names = drift.names_of(yard.deployed(stack))
    return findings(place[1], read, [item.path for item in change.properties], names)


def _write(yard: Yard, stack: str, spec: StackSpec, change: Change, differing: list[Finding]) -> tuple[str, ...]:
    place = drift.place_of(spec, change)
    if place is None:
        return ()
    moved = tuple(drift.moved(spec, place[0], item) for item in differing)
    path = yard.project.root / "stacks" / f"{stack}.yaml"
    after = drift.adopted(path.read_text("utf-8"), f"stacks/{stack}.yaml", [drift.Drift(change, moved, ())])
    drift.write(path, after)
    return tuple(".".join(item.path) for item in moved)


def _refusal(stack: str, name: str, change: Change, differing: list[Finding]) -> str:
    fields = {item.wire.path: item for item in differing}
    lines = []
    for item in change.properties:
        if item.replaces:
            known = next((field for path, field in fields.items() if path and item.path.startswith(path)), None)
            field = known.field if known else plans.short(item.path)
            lines.append(f"      {field} is {plans.value(item.old)}, the file says {plans.value(item.new)}")
    shown = "\n".join(lines)
    advice = f"To take over what it has: invoke adopt {name} --stack {stack} --write"
    return f"{name} exists, and stacks/{stack}.yaml would replace it. Nothing was done.\n{shown}\n  {advice}"
