"""Simulate a preemption: take a low-priority node of a cluster away, as Azure does when it wants the cores back.

Only the emulator can be asked. Azure takes nodes unasked and has no operation for it (azure-docs#87051).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime import machines, wire
from runtime.errors import RefusedError, TargetError
from runtime.power import API
from specs.targets import AmlComputeTarget

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from specs.outputs import StackOutputs

CONFLICT = 409


class Evicted(NamedTuple):
    """A node that is gone, and the job that ran on it."""

    node: str
    job: str | None


def evict(plane: ControlPlane, known: StackOutputs, name: str) -> Evicted:
    """Take one node of a cluster away, a busy one first.

    Raises: `SpecError` for an unknown target, `TargetError` where there is nothing to take or nobody to ask.
    """
    target = machines.find(known, name)
    if not isinstance(target, AmlComputeTarget):
        raise TargetError(
            f"{name} is a {target.kind}, and only low-priority nodes of an AmlCompute are ever preempted."
        )
    if known.cloud != "emulator":
        raise TargetError(
            f"{name} is in Azure, which takes nodes when it needs them and can't be asked to: a preemption can be "
            "simulated in an emulated stack only."
        )
    if target.vm_priority != "LowPriority":
        raise TargetError(
            f"{name} has Dedicated nodes, which Azure never takes away. Set vm_priority: LowPriority on a cluster in "
            "the stack's file to have one that it does."
        )
    # Asked before: afterwards the node no longer says what it worked on.
    ran = {node.id: node.run for node in machines.nodes(plane, known, target)}
    try:
        answer = plane.post(f"{target.id}/trainyard.evict", {}, API)
    except RefusedError as refused:
        if refused.status != CONFLICT:
            raise
        raise TargetError(
            f"{name} has no node right now, so there is nothing to take. Submit a job to it first."
        ) from None
    node = wire.text(answer.get("nodeId"))
    return Evicted(node, wire.text(answer.get("runId")) or ran.get(node))
