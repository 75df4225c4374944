"""What changed outside the stack's file, in the file's own words; adopted by editing the file, or reverted by `up`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from console.plans import real, short, value
from specs.edit import Absent, edited
from specs.identity import IdentitySpec
from specs.loader import parse, validate
from specs.network import Network, Subnet
from specs.reading import findings, shaped
from specs.stack import StackSpec
from specs.workspace import OutboundRule, WorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.plan import Change, Plan
    from specs.base import Spec
    from specs.edit import Value
    from specs.outputs import StackOutputs
    from specs.reading import Finding

FilePath: TypeAlias = tuple[str, ...]
AZURE = "azure-native:"
WORKSPACE = f"{AZURE}machinelearningservices:Workspace"


@dataclass(frozen=True, slots=True)
class Moved:
    """One field that Azure has otherwise."""

    path: FilePath
    """In the stack's file."""
    field: str
    """Its last part, relative to what the resource comes from."""
    wire: str
    """Where it stands in the resource's inputs."""
    value: Value
    """What the file would have to say."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One resource that differs from what this stack made."""

    change: Change
    moved: tuple[Moved, ...]
    """Fields of the file that can take the difference in."""
    stranger: tuple[str, ...]
    """Differences that no field of the file sets: they can only be reverted."""


def drifts(spec: StackSpec, plan: Plan, known: StackOutputs | None) -> list[Drift]:
    """Read a refresh's findings in the words of the stack's file. Pure."""
    names = names_of(known)
    found = []
    for change in [kept for change in real(plan) if (kept := _without_rules(change))]:
        if change.op == "update" and (rule := _rule_of(spec, change)):
            found.append(Drift(change, (_moved_rule(rule, change, names),), ()))
            continue
        place = place_of(spec, change)
        if change.op != "update" or place is None:
            found.append(Drift(change, (), tuple(item.path for item in change.properties)))
            continue
        path, model = place
        paths = [item.path for item in change.properties]
        read = findings(model, change.inputs, paths, names)
        taken = tuple(moved(spec, path, item) for item in read)
        wires = [item.wire.path or "" for item in read]
        stranger = tuple(item for item in paths if not any(_within(item, wire) for wire in wires))
        found.append(Drift(change, taken, stranger))
    return found


def _without_rules(change: Change) -> Change | None:
    """Leave out a workspace's outbound rules: they are resources of their own, and found there."""
    if change.type != WORKSPACE or change.op != "update":
        return change
    left = tuple(item for item in change.properties if not item.path.startswith("managedNetwork.outboundRules"))
    return replace(change, properties=left) if left else None


def _rule_of(spec: StackSpec, change: Change) -> FilePath | None:
    """Find the outbound rule that a resource is; such a rule is one value of the file."""
    if change.type != f"{AZURE}machinelearningservices:ManagedNetworkSettingsRule":
        return None
    for key, item in spec.workspaces.items():
        for name in item.managed_network.outbound_rules if item.managed_network else ():
            if change.name == f"{key}-{name}":
                return ("workspaces", key, "managed_network", "outbound_rules", name)
    return None


def _moved_rule(path: FilePath, change: Change, names: Mapping[str, str]) -> Moved:
    return Moved(path, path[-1], "properties", shaped(change.inputs.get("properties"), OutboundRule, names))


def moved(spec: StackSpec, path: FilePath, found: Finding) -> Moved:
    """Say where in the file a finding belongs, and what to write there."""
    wanted = _own_tags(spec, path, found.value) if found.field == "tags" else found.value
    return Moved((*path, *found.field.split(".")), found.field, found.wire.path or "", wanted)


def _within(path: str, wire: str) -> bool:
    plain = path.partition("[")[0]
    return plain == wire or plain.startswith(f"{wire}.") or wire.startswith(f"{plain}.")


def names_of(known: StackOutputs | None) -> dict[str, str]:
    """Return what the stack's file calls the things behind ARM ids, by id in lower case."""
    if known is None:
        return {}
    return {
        **{id_.lower(): name for name, id_ in known.subnets.items()},
        **{item.id.lower(): name for name, item in known.identities.items()},
    }


def place_of(spec: StackSpec, change: Change) -> tuple[FilePath, type[Spec]] | None:
    """Find the part of the file that a resource comes from; None for what no field describes."""
    kind, name = change.type.removeprefix(AZURE), change.name
    if kind == "resources:ResourceGroup":
        return (), StackSpec
    if kind == "network:VirtualNetwork":
        return ("network",), Network
    if kind == "network:Subnet" and spec.network:
        match = [key for key in spec.network.subnets if name == f"{spec.resource_group}-vnet-{key}"]
        return (("network", "subnets", match[0]), Subnet) if match else None
    if kind == "managedidentity:UserAssignedIdentity" and name in spec.identities:
        return ("identities", name), IdentitySpec
    if kind == "machinelearningservices:Workspace" and name in spec.workspaces:
        return ("workspaces", name), WorkspaceSpec
    if kind == "machinelearningservices:Compute":
        return next(((at, type(item)) for at, item in spec.computes() if at[-1] == name), None)
    return None


def _own_tags(spec: StackSpec, path: FilePath, value: Value) -> Value:
    """Leave out the tags that come from the whole stack."""
    if not path or not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if spec.tags.get(key) != item} or Absent.ABSENT


def adopted(text: str, shown: str, found: list[Drift]) -> str:
    """Return the stack file's text with every difference that it can hold taken in.

    Raises:
        SpecError: the result would be no good stack file.

    """
    changes: Mapping[FilePath, Value] = {item.path: item.value for drift in found for item in drift.moved}
    after = edited(text, changes)
    validate(parse(after, shown), StackSpec)
    return after


def lines(found: list[Drift], shown: str) -> list[str]:
    """Render what differs: declared → found, and the field of the file where there is one."""
    rows = []
    for drift in found:
        change = drift.change
        rows.append(f"  {'-' if change.op == 'delete' else '~'} {change.name}  {change.type.rpartition(':')[2]}")
        if change.op == "delete":
            rows.append("      is gone")
        rows += [
            f"      {_field_of(drift, item.path)} {value(item.old)} → {value(item.new)}" for item in change.properties
        ]
        if drift.stranger and change.op == "update":
            rows.append(f"      no field of {shown} sets {', '.join(short(path) for path in drift.stranger)}")
    return rows


def _field_of(drift: Drift, path: str) -> str:
    """Name a property in the file's words: its field, and the way on inside of it."""
    for item in drift.moved:
        if path == item.wire or path.startswith((f"{item.wire}.", f"{item.wire}[")):
            return item.field + short(path[len(item.wire) :])
    return short(path)


def write(path: Path, text: str) -> None:
    """Replace a file in one step, keeping its mode."""
    mode = path.stat().st_mode
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
    ) as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.chmod(out.name, mode)  # noqa: PTH101 - the name is a text
    os.replace(out.name, path)  # noqa: PTH105
