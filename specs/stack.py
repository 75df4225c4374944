"""The whole of a stack file: one per environment of a team (`stacks/dev.yaml`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from specs.base import Location, ResourceGroupName, ResourceName, Spec, Tags, Wire, WorkspaceName, raise_faults
from specs.identity import IdentitySpec
from specs.local import LocalSpec
from specs.network import Network
from specs.references import reference_faults
from specs.targets import LOCAL
from specs.workspace import ExistingWorkspace, WorkspaceSpec

if TYPE_CHECKING:
    from specs.compute import ComputeSpec

__all__ = ["LOCAL", "StackSpec"]


class StackSpec(Spec):
    """Everything that one `up` makes."""

    cloud: Annotated[Literal["azure", "emulator"], Wire(None, "refused")]
    """Where it goes. `emulator`: the stand-in on this machine, no subscription needed."""
    location: Annotated[Location, Wire("location", "replace")]
    """Region of everything that names no other, e.g. `westeurope`."""
    resource_group: Annotated[ResourceGroupName, Wire("resourceGroupName", "replace")]
    """The resource group that the stack makes and owns."""
    tags: Annotated[Tags, Wire("tags")] = {}
    """Put on every resource."""
    network: Annotated[Network | None, Wire(None)] = None
    """A virtual network; absent: none is made."""
    identities: Annotated[dict[ResourceName, IdentitySpec], Wire(None)] = {}
    """User-assigned identities by name."""
    workspaces: Annotated[dict[WorkspaceName, WorkspaceSpec], Wire(None)] = {}
    """Workspaces by name."""
    existing_workspaces: Annotated[dict[WorkspaceName, ExistingWorkspace], Wire(None)] = {}
    """Workspaces that others own, by the name that they have here; this stack adds computes to them."""
    local: Annotated[LocalSpec, Wire(None)] = LocalSpec()
    """This machine as a target."""
    default_target: Annotated[str, Wire(None)] = LOCAL
    """Target of a job file that names no compute; absent: `local`."""
    quotas: Annotated[Annotated[str, Field(min_length=1)] | None, Wire(None)] = None
    """A file with the subscription's quotas, from the project's folder, e.g. `quotas/dev.yaml`; `invoke quotas --write`
    makes it. Absent: node counts are checked against none."""

    @model_validator(mode="after")
    def _references_resolve(self) -> StackSpec:
        raise_faults(reference_faults(self))
        return self

    def all_workspaces(self) -> dict[str, WorkspaceSpec | ExistingWorkspace]:
        """Return owned and existing workspaces by their name here."""
        return {**self.workspaces, **self.existing_workspaces}

    def computes(self) -> list[tuple[tuple[str, ...], ComputeSpec]]:
        """List every compute with its path in the file."""
        return [
            ((field, name, "computes", compute_name), compute)
            for field, group in (("workspaces", self.workspaces), ("existing_workspaces", self.existing_workspaces))
            for name, workspace in group.items()
            for compute_name, compute in workspace.computes.items()
        ]

    def other_stacks(self) -> list[str]:
        """Name the stacks whose things this one uses."""
        return sorted({name.rpartition("@")[2] for name in self.named() if "@" in name and not name.startswith("/")})

    def named(self) -> list[str]:
        """List every reference in the file, to this stack's things or others'."""
        from specs.references import references

        return [name for _, _, name in references(self)]
