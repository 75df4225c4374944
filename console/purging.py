"""Soft-deleted workspaces: Azure keeps a deleted workspace, and its name, for 14 days. Known here, or deleted for good.

Azure lists them nowhere but in its portal, which is also the only place that takes one back (azure-docs
concept-soft-delete): so what this project deleted is remembered here.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from engine.plan import Plan
    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from specs.outputs import StackOutputs
    from specs.stack import StackSpec

API = "2025-12-01"
"""Workspaces_Delete, with forceToPurge (azure-rest-api-specs, machinelearningservices)."""
PURGE = {"forceToPurge": "true"}
KEPT = timedelta(days=14)
"""azure-docs concept-soft-delete: the default retention."""
WORKSPACE = "azure-native:machinelearningservices:Workspace"


def for_good(plane: ControlPlane, known: StackOutputs, names: Iterable[str] | None = None) -> list[str]:
    """Delete a deployed stack's workspaces with all that is in them, beyond recovery; returns their names.

    `names`: only these. Workspaces of others are left alone.
    """
    own = [item for key, item in known.workspaces.items() if item.storage_account and (names is None or key in names)]
    for workspace in own:
        plane.delete(workspace.id, API, PURGE)
    return [workspace.name for workspace in own]


def left_behind(plane: ControlPlane, spec: StackSpec, names: Iterable[str] | None = None) -> list[str]:
    """Purge those workspaces of a stack file that are gone but keep their name; returns their names.

    A workspace that lives is never touched. `names`: only these.
    """
    group = f"/subscriptions/{plane.access.subscription_id}/resourceGroups/{spec.resource_group}"
    purged = []
    for name in spec.workspaces if names is None else names:
        id_ = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        if plane.find(id_, API) is None and plane.delete(id_, API, PURGE):
            purged.append(name)
    return purged


def remember(project: Project, known: StackOutputs) -> None:
    """Note that a stack's workspaces are being deleted softly, and when. Idempotent."""
    now = datetime.now(UTC)
    kept = {id_: when for id_, when in _remembered(project).items() if now - when < KEPT}
    kept |= {workspace.id.lower(): now for workspace in known.workspaces.values() if workspace.storage_account}
    path = _file(project)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({id_: when.isoformat() for id_, when in sorted(kept.items())}, indent=1), "utf-8")
    draft.replace(path)


def held_names(project: Project, plan: Plan, known: StackOutputs | None) -> dict[str, datetime | None]:
    """Name the workspaces that a plan makes and whose name Azure may still hold; with the end of that, if it is known.

    `known`: what this clone believes to stand. What it holds and the plan makes anew was deleted behind its back.
    """
    created = {change.name for change in plan.changes if change.op == "create" and change.type == WORKSPACE}
    now = datetime.now(UTC)
    ends = {id_.rpartition("/")[2]: when + KEPT for id_, when in _remembered(project).items() if now - when < KEPT}
    believed = set(known.workspaces) if known else set()
    return {name: ends.get(name.lower()) for name in sorted(created) if name.lower() in ends or name in believed}


def notes(stack: str, held: dict[str, datetime | None]) -> list[str]:
    """Say what may stop `up`, and the choice."""
    return [
        f"  {name} was deleted before; Azure may keep the name until {f'{end:%Y-%m-%d}' if end else '14 days after'}. "
        f"Take it back in the portal (Recently deleted), or delete it for good: invoke purge --stack {stack}"
        for name, end in held.items()
    ]


def _file(project: Project) -> Path:
    return project.data / "deleted-workspaces.json"


def _remembered(project: Project) -> dict[str, datetime]:
    try:
        found = json.loads(_file(project).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return {str(id_): datetime.fromisoformat(str(when)) for id_, when in found.items()}
