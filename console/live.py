"""The live state of a stack's targets, asked of the control plane, several at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypedDict, assert_never

from runtime import wire
from runtime.errors import TrainyardError
from specs.compute import AmlComputeTarget, LocalTarget
from specs.stack import LOCAL

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from specs.compute import Target
    from specs.outputs import StackOutputs

API = "2025-12-01"
"""Compute_Get."""


class Row(TypedDict):
    """One target as it is now."""

    name: str
    kind: str
    state: str
    nodes: str
    size: str
    default: bool


def targets(project: Project, known: StackOutputs | None) -> list[Row]:
    """Ask about every target; one that can't be asked says so in its state."""
    from runtime.control_plane import connect

    found: list[Target] = [*(known.targets.values() if known else ()), LocalTarget(name=LOCAL)]
    plane = connect(known.cloud, project) if known else None
    default = known.default_target if known else LOCAL
    with ThreadPoolExecutor(8, thread_name_prefix="targets") as pool:
        return list(pool.map(lambda target: _row(target, plane, default), found))


def _row(target: Target, plane: ControlPlane | None, default: str) -> Row:
    match target:
        case LocalTarget():
            state, nodes, size = "ready", "-", f"{os.cpu_count()} cores"
        case AmlComputeTarget():
            state, nodes = _cluster(target, plane)
            size = f"{target.vm_size}{' lp' if target.vm_priority == 'LowPriority' else ''}"
        case _:
            assert_never(target)
    return Row(name=target.name, kind=target.kind, state=state, nodes=nodes, size=size, default=target.name == default)


def _cluster(target: AmlComputeTarget, plane: ControlPlane | None) -> tuple[str, str]:
    if plane is None:
        return "not deployed", f"-/{target.max_node_count}"
    try:
        document = plane.find(target.id, API)
    except TrainyardError as error:
        return str(error).splitlines()[0], f"?/{target.max_node_count}"
    if document is None:
        return "gone", f"-/{target.max_node_count}"
    settings = wire.obj(wire.at(document, "properties", "properties"))
    state = wire.text(wire.at(document, "properties", "provisioningState"))
    most = wire.obj(settings.get("scaleSettings")).get("maxNodeCount")
    return state, f"{settings.get('currentNodeCount', 0)}/{most}"
