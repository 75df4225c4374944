"""A workspace and what belongs to it: its storage, vault, insights and computes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from specs.base import ArmId, ComputeName, Identity, Spec, Tags
from specs.compute import ComputeSpec


class WorkspaceSpec(Spec):
    """An Azure Machine Learning workspace. The fields are those of ARM's WorkspaceProperties, 2025-12-01."""

    friendly_name: Annotated[str, Field(max_length=260)] | None = None
    """Name shown in the studio; absent: its own name."""
    description: Annotated[str, Field(max_length=5000)] | None = None
    """Free text."""
    identity: Identity = Identity(type="SystemAssigned")
    """Who the workspace is when it reads its storage and vault."""
    public_network_access: Literal["Enabled", "Disabled"] = "Disabled"
    """Disabled: reachable through a private endpoint only, so not from a laptop. Open it explicitly."""
    system_datastores_auth_mode: Literal["Identity", "AccessKey"] = "Identity"
    """How data is reached: by each caller's own identity, or by the storage account's key."""
    hbi_workspace: bool = False
    """High business impact: less telemetry, scratch disks encrypted. Changing it replaces the workspace."""
    storage_account: ArmId | None = None
    """ARM id of an existing storage account; absent: one is made."""
    key_vault: ArmId | None = None
    """ARM id of an existing key vault; absent: one is made."""
    application_insights: ArmId | None = None
    """ARM id of an existing Application Insights; absent: one is made, with its Log Analytics workspace."""
    tags: Tags = {}
    """Added to the stack's tags."""
    computes: dict[ComputeName, ComputeSpec] = {}
    """Compute targets by name; the names that `submit` takes."""
