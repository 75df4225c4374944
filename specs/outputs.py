"""The one document that a stack exports, and all that `runtime` knows of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from specs.targets import LOCAL, DeployedTarget, LocalTarget, Target

SERVERLESS = "serverless"
"""Azure's word for the workspace's own compute, which has no name of its own."""


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorkspaceOutput(_Output):
    """A deployed workspace."""

    id: str
    """ARM id."""
    name: str
    location: str
    storage_account: str
    """ARM id; empty for a workspace that this stack does not own."""
    fixed: dict[str, str] = {}
    """What can't be changed in place, by field, as text."""
    serverless: bool = False
    """Whether the stack declares its serverless compute, so that jobs may run there."""


class IdentityOutput(_Output):
    """A user-assigned identity, for the stacks that use it."""

    id: str
    """ARM id."""
    principal_id: str
    """Whom roles are given to."""


class StackOutputs(_Output):
    """Version 1 of the contract between `components` and `runtime`. Holds no secret."""

    version: Literal[1] = 1
    stack: str
    cloud: Literal["azure", "emulator"]
    subscription_id: str
    tenant_id: str
    resource_group: str
    location: str
    workspaces: dict[str, WorkspaceOutput]
    targets: dict[str, DeployedTarget]
    default_target: str
    local: LocalTarget = LocalTarget(name=LOCAL)
    """This machine, as the stack's file sees it."""
    subnets: dict[str, str] = {}
    """ARM ids by name, for the stacks that use them."""
    identities: dict[str, IdentityOutput] = {}
    """By name, for the stacks that use them."""

    def target(self, name: str) -> Target | None:
        """Find a target by name; `local` always exists."""
        return self.local if name == LOCAL else self.targets.get(name)

    def serverless(self) -> str | None:
        """Return the workspace whose serverless compute takes jobs without one: the default target's, or the only one.

        None where the stack does not declare it.
        """
        default = self.targets.get(self.default_target)
        key = default.workspace if default else next(iter(self.workspaces), "")
        alone = default is not None or len(self.workspaces) == 1
        return key if alone and key in self.workspaces and self.workspaces[key].serverless else None

    def names(self) -> list[str]:
        """List every name that `submit` takes."""
        return [*self.targets, LOCAL]
