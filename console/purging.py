"""Soft-deleted workspaces: Azure keeps a deleted workspace, and its name, for 14 days. This deletes one for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from specs.outputs import StackOutputs
    from specs.stack import StackSpec

API = "2025-12-01"
"""Workspaces_Delete, with forceToPurge (azure-rest-api-specs, machinelearningservices)."""
PURGE = {"forceToPurge": "true"}


def for_good(plane: ControlPlane, known: StackOutputs) -> list[str]:
    """Delete a deployed stack's workspaces with all that is in them, beyond recovery; returns their names."""
    for workspace in known.workspaces.values():
        plane.delete(workspace.id, API, PURGE)
    return [workspace.name for workspace in known.workspaces.values()]


def left_behind(plane: ControlPlane, spec: StackSpec) -> list[str]:
    """Purge those workspaces of a stack file that are gone but keep their name; returns their names.

    A workspace that lives is never touched.
    """
    group = f"/subscriptions/{plane.access.subscription_id}/resourceGroups/{spec.resource_group}"
    purged = []
    for name in spec.workspaces:
        id_ = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        if plane.find(id_, API) is None and plane.delete(id_, API, PURGE):
            purged.append(name)
    return purged
