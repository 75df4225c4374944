"""The whole of a stack file: one per environment of a team (`stacks/dev.yaml`)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from specs.base import (
    Fault,
    Identity,
    Location,
    ResourceGroupName,
    ResourceName,
    Spec,
    Tags,
    WorkspaceName,
    raise_faults,
)
from specs.loader import read, validate
from specs.network import Network
from specs.problems import SpecError
from specs.vm_sizes import cluster_faults
from specs.workspace import WorkspaceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from specs.compute import ComputeSpec

LOCAL = "local"
"""The target that always exists: this machine."""


class IdentitySpec(Spec):
    """A user-assigned managed identity."""

    tags: Tags = {}
    """Added to the stack's tags."""


class StackSpec(Spec):
    """Everything that one `up` makes."""

    cloud: Literal["azure", "emulator"]
    """Where it goes. `emulator`: the stand-in on this machine, no subscription needed."""
    location: Location
    """Region of everything that names no other, e.g. `westeurope`."""
    resource_group: ResourceGroupName
    """The resource group that the stack makes and owns."""
    tags: Tags = {}
    """Put on every resource."""
    network: Network | None = None
    """A virtual network; absent: none is made."""
    identities: dict[ResourceName, IdentitySpec] = {}
    """User-assigned identities by name."""
    workspaces: dict[WorkspaceName, WorkspaceSpec] = Field(min_length=1)
    """Workspaces by name."""
    default_target: str = LOCAL
    """Target of a job file that names no compute; absent: `local`."""

    @model_validator(mode="after")
    def _references_resolve(self) -> StackSpec:
        faults: list[Fault] = []
        owners: list[str] = []
        taken: dict[str, str] = {}
        for name, workspace in self.workspaces.items():
            at: tuple[str | int, ...] = ("workspaces", name)
            faults += self._unknown_identities(workspace.identity, (*at, "identity"))
            for compute_name, compute in workspace.computes.items():
                here = (*at, "computes", compute_name)
                if compute_name == LOCAL:
                    faults.append(
                        Fault(at=here, message="local is this machine; choose another name.", rule="reserved-name")
                    )
                if (other := taken.get(compute_name.lower())) is not None:
                    message = f"workspace {other} has a compute of this name too (case does not count). Rename one."
                    faults.append(Fault(at=here, message=message, rule="duplicate-target"))
                taken.setdefault(compute_name.lower(), name)
                owners.append(compute_name)
                faults += self._unknown_identities(compute.identity, (*here, "identity"))
                faults += self._subnet(compute.subnet, compute.max_node_count, here)
        if self.default_target not in {LOCAL, *owners}:
            allowed = ", ".join([LOCAL, *owners])
            faults.append(
                Fault(at=("default_target",), message=f"no such target. Allowed: {allowed}.", rule="unknown-target")
            )
        raise_faults(faults)
        return self

    def computes(self) -> list[tuple[tuple[str, ...], ComputeSpec]]:
        """List every compute with its path in the file."""
        return [
            (("workspaces", name, "computes", compute_name), compute)
            for name, workspace in self.workspaces.items()
            for compute_name, compute in workspace.computes.items()
        ]

    def _unknown_identities(self, identity: Identity | None, at: tuple[str | int, ...]) -> list[Fault]:
        if identity is None:
            return []
        allowed = ", ".join(self.identities) or "none is declared under identities"
        faults = [
            Fault(
                at=(*at, "user_assigned_identities", index),
                message=f"no such identity. Allowed: {allowed}, or an ARM id.",
                rule="unknown-identity",
            )
            for index, name in enumerate(identity.user_assigned_identities)
            if not name.startswith("/") and name not in self.identities
        ]
        if ("UserAssigned" in identity.type) != bool(identity.user_assigned_identities):
            message = "UserAssigned and user_assigned_identities go together: give both or neither."
            faults.append(Fault(at=(*at, "type"), message=message, rule="identity-type"))
        return faults

    def _subnet(self, subnet: str | None, nodes: int, at: tuple[str | int, ...]) -> list[Fault]:
        if subnet is None or subnet.startswith("/"):
            return []
        subnets = self.network.subnets if self.network else {}
        if subnet not in subnets:
            allowed = ", ".join(subnets) or "none is declared under network.subnets"
            return [
                Fault(
                    at=(*at, "subnet"),
                    message=f"no such subnet. Allowed: {allowed}, or an ARM id.",
                    rule="unknown-subnet",
                )
            ]
        if subnets[subnet].room < nodes:
            prefix, room = subnets[subnet].address_prefix, subnets[subnet].room
            message = f"{prefix} has room for {room} nodes; max_node_count is {nodes}."
            return [Fault(at=(*at, "subnet"), message=message, rule="subnet-room")]
        return []


def load_stack(path: Path, shown: str | None = None, today: date | None = None) -> StackSpec:
    """Read a stack file and check it against the catalogue of VM sizes as of `today`. Raises `SpecError`."""
    document = read(path, shown)
    spec = validate(document, StackSpec)
    moment = today or datetime.now(UTC).date()
    problems = [
        document.problem(place, fault.message, given=document.given(place), rule=fault.rule)
        for at, compute in spec.computes()
        for fault in cluster_faults(compute, moment)
        if (place := (*at, *fault.at))
    ]
    if problems:
        raise SpecError(problems)
    return spec
