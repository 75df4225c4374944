"""What one part of a stack file says of another: names that must resolve, rooms that must suffice. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from specs.aml_compute import AmlComputeSpec
from specs.arm_ids import id_faults
from specs.base import Fault, Identity, is_elsewhere
from specs.compute import NAME_LENGTHS, OnNodes
from specs.compute_instance import ComputeInstanceSpec
from specs.names import reserved
from specs.placement import placement_faults
from specs.tags import tag_faults
from specs.virtual_machine import VirtualMachineSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.compute import ComputeSpec
    from specs.stack import StackSpec
    from specs.workspace import WorkspaceSpec

Place: TypeAlias = tuple[str | int, ...]
Kind = Literal["subnet", "identity", "workspace"]
LOCAL = "local"


def references(spec: StackSpec) -> list[tuple[Kind, Place, str]]:
    """List every name of a subnet, identity or workspace with where it stands."""
    found: list[tuple[Kind, Place, str]] = []
    for name, workspace in spec.workspaces.items():
        found += _of_workspace(workspace, ("workspaces", name))
    for name, existing in spec.existing_workspaces.items():
        found.append(("workspace", ("existing_workspaces", name, "workspace"), existing.workspace))
    for at, compute in spec.computes():
        found += _of_compute(compute, at)
    return found


def _of_workspace(workspace: WorkspaceSpec, at: Place) -> Iterator[tuple[Kind, Place, str]]:
    yield from _of_identity(workspace.identity, (*at, "identity"))
    if workspace.primary_user_assigned_identity:
        yield "identity", (*at, "primary_user_assigned_identity"), workspace.primary_user_assigned_identity
    if workspace.encryption and workspace.encryption.user_assigned_identity:
        yield "identity", (*at, "encryption", "user_assigned_identity"), workspace.encryption.user_assigned_identity
    if workspace.private_endpoint:
        yield "subnet", (*at, "private_endpoint", "subnet"), workspace.private_endpoint.subnet
    if workspace.serverless_compute and workspace.serverless_compute.subnet:
        yield "subnet", (*at, "serverless_compute", "subnet"), workspace.serverless_compute.subnet


def _of_compute(compute: ComputeSpec, at: Place) -> Iterator[tuple[Kind, Place, str]]:
    if isinstance(compute, VirtualMachineSpec) and compute.virtual_machine:
        yield "subnet", (*at, "virtual_machine", "subnet"), compute.virtual_machine.subnet
    if isinstance(compute, OnNodes):
        yield from _of_identity(compute.identity, (*at, "identity"))
        if compute.subnet:
            yield "subnet", (*at, "subnet"), compute.subnet


def _of_identity(identity: Identity | None, at: Place) -> Iterator[tuple[Kind, Place, str]]:
    for index, name in enumerate(identity.user_assigned_identities if identity else []):
        yield "identity", (*at, "user_assigned_identities", index), name


def reference_faults(spec: StackSpec) -> list[Fault]:
    """Check what refers to what in a stack file."""
    return [
        *_owners(spec),
        *_twice(spec),
        *_unknown(spec),
        *_identity_types(spec),
        *_primary_identities(spec),
        *_scopes(spec),
        *_image_builders(spec),
        *_names(spec),
        *_rooms(spec),
        *_regions(spec),
        *placement_faults(spec),
        *id_faults(spec),
        *tag_faults(spec),
    ]


def _owners(spec: StackSpec) -> list[Fault]:
    if not spec.workspaces and not spec.existing_workspaces:
        message = "declares no workspace. Give workspaces, or existing_workspaces of others."
        return [Fault(at=("workspaces",), message=message, rule="no-workspace")]
    return [
        Fault(
            at=("existing_workspaces", name),
            message="is the name of a workspace of this stack too. Rename it here.",
            rule="duplicate-workspace",
            key=True,
        )
        for name in spec.existing_workspaces
        if name.lower() in {own.lower() for own in spec.workspaces}
    ]


def _twice(spec: StackSpec) -> list[Fault]:
    """Check that nothing is named twice where Azure sees no difference between names in two cases."""
    groups: list[tuple[Place, list[str]]] = [
        (("workspaces",), list(spec.workspaces)),
        (("existing_workspaces",), list(spec.existing_workspaces)),
        (("identities",), list(spec.identities)),
        (("network", "subnets"), list(spec.network.subnets) if spec.network else []),
    ]
    faults = []
    for at, names in groups:
        for name, other in _repeated(names):
            message = f"is {other} again (case does not count). Rename one."
            faults.append(Fault(at=(*at, name), message=message, rule="duplicate-name", key=True))
    used = {name: item.workspace for name, item in spec.existing_workspaces.items()}
    first: dict[str, str] = {}
    for name, given in used.items():
        if (other := first.setdefault(given.lower(), name)) != name:
            at = ("existing_workspaces", name, "workspace")
            message = f"is the workspace that {other} is too. Put its computes there."
            faults.append(Fault(at=at, message=message, rule="duplicate-workspace"))
    return [*faults, *_given_twice(spec)]


def _given_twice(spec: StackSpec) -> list[Fault]:
    """Check that no list gives an identity or a role twice; the service refuses the second role."""
    faults = []
    places: dict[Place, str] = {}
    for kind, at, name in references(spec):
        if kind == "identity" and at[-2] == "user_assigned_identities":
            if name.lower() in [other.lower() for place, other in places.items() if place == at[:-1]]:
                faults.append(Fault(at=at, message="is in this list twice. Delete one.", rule="duplicate-identity"))
            places[at[:-1]] = name
    for name, identity in spec.identities.items():
        seen = set()
        for index, given in enumerate(identity.role_assignments):
            if (given.role, given.scope.lower()) in seen:
                role_at: Place = ("identities", name, "role_assignments", index)
                message = f"gives {given.role} at {given.scope} twice. Delete one."
                faults.append(Fault(at=role_at, message=message, rule="duplicate-role"))
            seen.add((given.role, given.scope.lower()))
    return faults


def _repeated(names: list[str]) -> list[tuple[str, str]]:
    """Pair each name with an earlier one that differs in case only."""
    first: dict[str, str] = {}
    return [(name, other) for name in names if (other := first.setdefault(name.lower(), name)) != name]


def _unknown(spec: StackSpec) -> list[Fault]:
    known = {
        "subnet": (list(spec.network.subnets) if spec.network else [], "network.subnets"),
        "identity": (list(spec.identities), "identities"),
    }
    faults = []
    for kind, at, name in references(spec):
        if is_elsewhere(name):
            continue
        if kind == "workspace":
            message = "is a workspace elsewhere: NAME@STACK of another stack, or an ARM id."
            faults.append(Fault(at=at, message=message, rule="unknown-workspace"))
            continue
        names, where = known[kind]
        if name not in names:
            here = ", ".join(names) or f"none is declared under {where}"
            message = f"no such {kind}. Allowed: {here}; NAME@STACK of another stack; an ARM id."
            faults.append(Fault(at=at, message=message, rule=f"unknown-{kind}"))
    return faults


def _identity_types(spec: StackSpec) -> list[Fault]:
    holders: list[tuple[Place, Identity | None]] = [
        (("workspaces", name, "identity"), item.identity) for name, item in spec.workspaces.items()
    ]
    holders += [((*at, "identity"), item.identity) for at, item in spec.computes() if isinstance(item, OnNodes)]
    message = "UserAssigned and user_assigned_identities go together: give both or neither."
    return [
        Fault(at=(*at, "type"), message=message, rule="identity-type")
        for at, identity in holders
        if identity and ("UserAssigned" in identity.type) != bool(identity.user_assigned_identities)
    ]


def _primary_identities(spec: StackSpec) -> list[Fault]:
    faults = []
    for name, workspace in spec.workspaces.items():
        primary, own = workspace.primary_user_assigned_identity, workspace.identity.user_assigned_identities
        at = ("workspaces", name, "primary_user_assigned_identity")
        if primary is not None and primary not in own:
            allowed = ", ".join(own) or "none, its identity names no user-assigned one"
            message = f"is not one of the workspace's own identities. Allowed: {allowed}."
            faults.append(Fault(at=at, message=message, rule="primary-identity"))
        reader = workspace.encryption.user_assigned_identity if workspace.encryption else None
        if reader is not None and reader not in own:
            allowed = ", ".join(own) or "none, its identity names no user-assigned one"
            message = f"reads the key for the workspace, so it must be one of its identities. Allowed: {allowed}."
            place = ("workspaces", name, "encryption", "user_assigned_identity")
            faults.append(Fault(at=place, message=message, rule="encryption-identity"))
        if primary is None and len(own) > 1:
            message = f"has several identities ({', '.join(own)}): say which one it acts as."
            faults.append(Fault(at=at, message=message, rule="primary-identity"))
    return faults


def _scopes(spec: StackSpec) -> list[Fault]:
    faults = []
    for name, identity in spec.identities.items():
        for index, given in enumerate(identity.role_assignments):
            at = ("identities", name, "role_assignments", index, "scope")
            word, _, rest = given.scope.partition(".")
            workspace, _, part = rest.partition(".")
            if word != "workspaces":
                continue
            if workspace not in spec.workspaces:
                allowed = ", ".join(spec.workspaces) or "none is declared"
                message = f"no such workspace. Allowed: {allowed}."
                faults.append(Fault(at=at, message=message, rule="unknown-scope"))
            elif part == "container_registry" and spec.workspaces[workspace].container_registry is None:
                message = f"workspace {workspace} has no registry here. Give it container_registry: new, or an ARM id."
                faults.append(Fault(at=at, message=message, rule="unknown-scope"))
    return faults


def _image_builders(spec: StackSpec) -> list[Fault]:
    faults = []
    for name, workspace in spec.workspaces.items():
        builder = workspace.image_build_compute
        if builder and not isinstance(workspace.computes.get(builder), AmlComputeSpec):
            clusters = [key for key, item in workspace.computes.items() if isinstance(item, AmlComputeSpec)]
            message = f"no such cluster in this workspace. Allowed: {', '.join(clusters) or 'none is declared'}."
            at = ("workspaces", name, "image_build_compute")
            faults.append(Fault(at=at, message=message, rule="image-build-compute"))
    return faults


def _names(spec: StackSpec) -> list[Fault]:
    """Check names of computes: they share one namespace, because `submit` takes a name alone."""
    faults = [
        Fault(at=("workspaces", name), message=words, rule="reserved-name", key=True)
        for name in spec.workspaces
        if (words := reserved(name))
    ]
    taken: dict[str, str] = {}
    for at, compute in spec.computes():
        workspace, name = at[1], at[-1]
        shortest, longest = NAME_LENGTHS[compute.kind]
        if not shortest <= len(name) <= longest:
            message = (
                f"the name of {_article(compute.kind)} has {shortest} to {longest} characters, this has {len(name)}."
            )
            faults.append(
                Fault(
                    at=at,
                    message=f"{message} {_other_length(len(name), longest)}",
                    rule="compute-name-length",
                    key=True,
                )
            )
        if words := reserved(name):
            faults.append(Fault(at=at, message=words, rule="reserved-name", key=True))
        if name.lower() == LOCAL:
            message = "local is this machine, which every stack has. Choose another name."
            faults.append(Fault(at=at, message=message, rule="reserved-name", key=True))
        if (other := taken.get(name.lower())) is not None:
            message = f"workspace {other} has a compute of this name too (case does not count). Rename one."
            faults.append(Fault(at=at, message=message, rule="duplicate-target", key=True))
        taken.setdefault(name.lower(), workspace)
    if spec.default_target not in {LOCAL, *(at[-1] for at, _ in spec.computes())}:
        allowed = ", ".join([LOCAL, *(at[-1] for at, _ in spec.computes())])
        message = f"no such target. Allowed: {allowed}."
        faults.append(Fault(at=("default_target",), message=message, rule="unknown-target"))
    return faults


def _other_length(count: int, longest: int) -> str:
    return "Shorten it." if count > longest else "Lengthen it."


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"


def _demands(spec: StackSpec) -> Iterator[tuple[Place, str, int]]:
    """Yield what takes addresses of a subnet: where it is named, which one, and how many at most."""
    for at, compute in spec.computes():
        if isinstance(compute, AmlComputeSpec) and compute.subnet:
            yield (*at, "subnet"), compute.subnet, compute.max_node_count
        elif isinstance(compute, ComputeInstanceSpec) and compute.subnet:
            yield (*at, "subnet"), compute.subnet, 1
        elif isinstance(compute, VirtualMachineSpec) and compute.virtual_machine:
            yield (*at, "virtual_machine", "subnet"), compute.virtual_machine.subnet, 1
    for name, workspace in spec.workspaces.items():
        if workspace.private_endpoint:
            # The workspace's endpoint takes an address a name: its API, its notebooks, its inference host; a
            # storage account two endpoints (blob, file), a vault one, a registry two addresses.
            count = 3 + (5 if workspace.private_endpoint.dependencies else 0)
            yield ("workspaces", name, "private_endpoint", "subnet"), workspace.private_endpoint.subnet, count


def _rooms(spec: StackSpec) -> list[Fault]:
    """Check that the most nodes of all that share a subnet fit into it."""
    subnets = spec.network.subnets if spec.network else {}
    faults = []
    used: dict[str, int] = {}
    for at, name, count in _demands(spec):
        if name not in subnets:
            continue
        before = used.get(name, 0)
        used[name] = before + count
        room, prefix = subnets[name].room, subnets[name].address_prefix
        if before <= room < used[name]:
            others = f", and {before} are spoken for" if before else ""
            message = f"{prefix} has room for {room} machines{others}; this needs {count}. Widen it, or use another."
            faults.append(Fault(at=at, message=message, rule="subnet-room"))
    return faults


def _regions(spec: StackSpec) -> list[Fault]:
    """Check that computes lie in their subnets' region (azure-docs how-to-secure-training-vnet)."""
    subnets = spec.network.subnets if spec.network else {}
    where = (spec.network.location if spec.network else None) or spec.location
    faults = []
    for at, compute in spec.computes():
        home = spec.existing_workspaces[at[1]].location if at[0] == "existing_workspaces" else None
        region = home or spec.location
        subnet = (
            compute.virtual_machine.subnet
            if isinstance(compute, VirtualMachineSpec) and compute.virtual_machine
            else None
        )
        if not isinstance(compute, ComputeInstanceSpec):
            region = compute.location or region
        if isinstance(compute, OnNodes):
            subnet = compute.subnet
        if subnet in subnets and region != where:
            message = f"lies in {where}, the {compute.kind} in {region}. They must share a region. Use another subnet."
            place = (*at, "virtual_machine", "subnet") if isinstance(compute, VirtualMachineSpec) else (*at, "subnet")
            faults.append(Fault(at=place, message=message, rule="subnet-region"))
    for name, workspace in spec.workspaces.items():
        serverless = workspace.serverless_compute
        if serverless and serverless.subnet in subnets and where != spec.location:
            message = (
                f"lies in {where}, the workspace in {spec.location}. They must share a region. Use another subnet."
            )
            at = ("workspaces", name, "serverless_compute", "subnet")
            faults.append(Fault(at=at, message=message, rule="subnet-region"))
    return faults
