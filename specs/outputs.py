"""The one document that a stack exports, and all that `runtime` knows of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from specs.compute import DeployedTarget, LocalTarget, Target
from specs.stack import LOCAL


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorkspaceOutput(_Output):
    """A deployed workspace."""

    id: str
    """ARM id."""
    name: str
    location: str
    storage_account: str
    """ARM id."""


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

    def target(self, name: str) -> Target | None:
        """Find a target by name; `local` always exists."""
        return LocalTarget(name=LOCAL) if name == LOCAL else self.targets.get(name)

    def names(self) -> list[str]:
        """List every name that `submit` takes."""
        return [*self.targets, LOCAL]
