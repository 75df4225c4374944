"""What in a stack file can't be changed in place, held against what is deployed. Pure; no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specs.base import Fault, fixed, wires
from specs.workspace import ExistingWorkspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from specs.outputs import StackOutputs
    from specs.stack import StackSpec

REFUSED = "refused-change"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is known to stand, and which of it may be replaced."""

    outputs: StackOutputs
    accepted: tuple[str, ...] = ()
    """Names of computes and workspaces."""


def immutable_faults(spec: StackSpec, deployed: Deployed) -> list[Fault]:
    """List the fields whose change replaces a deployed thing, or is refused by the service, with both values."""
    faults: list[Fault] = []
    known = deployed.outputs
    for at, compute in spec.computes():
        target = known.targets.get(at[-1])
        if target is not None:
            faults += _differing(compute, target.fixed, at, _defaults(spec, at))
    for name, workspace in spec.workspaces.items():
        before = known.workspaces.get(name)
        if before is not None:
            faults += _differing(workspace, before.fixed, ("workspaces", name), {})
    return [fault for fault in faults if fault.rule == REFUSED or not _owners(fault) & set(deployed.accepted)]


def _owners(fault: Fault) -> set[str | int]:
    """Name the workspace, and the compute if it is one's, that a finding is about."""
    return {fault.at[1], fault.at[3]} if fault.at[2] == "computes" else {fault.at[1]}


def _defaults(spec: StackSpec, at: tuple[str, ...]) -> dict[str, str]:
    """Say what the fields are that depend on a compute's workspace where they are absent: to write it changes nothing.

    The workspace is taken as it is now; where that changes too, the plan of `up` finds what follows.
    """
    workspace = spec.all_workspaces()[at[1]]
    region = (workspace.location if isinstance(workspace, ExistingWorkspace) else None) or spec.location
    return {"location": json.dumps(region), "enable_node_public_ip": json.dumps(not workspace.private)}


def _differing(
    spec: BaseModel, before: dict[str, str], at: tuple[str, ...], defaults: Mapping[str, str]
) -> list[Fault]:
    if not before:
        return []  # deployed by a version that did not keep them
    now, changes = fixed(spec), wires(type(spec))
    if before.get("kind") != now.get("kind"):
        before, now = {"kind": before.get("kind", "absent")}, {"kind": now.get("kind", "absent")}  # it says all
    faults = []
    for field in sorted({*now, *before}):
        default = defaults.get(field)
        if now.get(field, default) == before.get(field, default) or field not in changes:
            continue
        deployed = before.get(field, "absent")
        if changes[field].on_change == "refused":
            rule, fix = REFUSED, f"The service takes no other. Put back {deployed}."
        else:
            rule = "immutable-field"
            fix = f"It is fixed at creation: put it back, or accept a replacement with --allow-replace {at[-1]}."
        message = f"differs from what is deployed ({deployed}). {fix}"
        faults.append(Fault(at=(*at, *field.split(".")), message=message, rule=rule))
    return faults
