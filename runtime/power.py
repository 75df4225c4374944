"""Whether an instance or a machine is on, switching it, and what only the machine itself can tell: its host key.

ARM is asked. Instances have start, stop and restart (Compute_*); a machine that the stack made is Azure's virtual
machine; an attached one is its owner's, and only looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from runtime import wire
from runtime.errors import NotFoundError, RefusedError, TargetError
from specs.targets import AmlComputeTarget, ComputeInstanceTarget, LocalTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.control_plane import ControlPlane
    from runtime.wire import Object
    from specs.outputs import StackOutputs
    from specs.targets import DeployedTarget, Target

API = "2025-12-01"
"""Microsoft.MachineLearningServices: Compute_Get, _ListNodes, _Start, _Stop, _Restart."""
MACHINES = "2024-11-01"
"""Microsoft.Compute: VirtualMachines_Get, _Start, _Deallocate, _Restart, _RunCommand."""
Verb: TypeAlias = Literal["start", "stop", "restart"]
Switched: TypeAlias = ComputeInstanceTarget | VirtualMachineTarget
RUNNING, STOPPED, UNKNOWN = "Running", "Stopped", "Unknown"
POWER = {"running": RUNNING, "deallocated": STOPPED, "stopped": "Stopped, still paid for"}
"""PowerState/... of a machine in Azure, in the words of instances: only a deallocated machine costs nothing."""
PASSING = frozenset(
    {"Creating", "Starting", "Stopping", "Restarting", "Resizing", "SettingUp", "UserSettingUp", "Deallocating"}
)
"""States that go by (ComputeInstanceState, 2025-12-01; PowerState)."""
PATIENCE_S, SHORTEST_S, LONGEST_S = 900.0, 1.0, 10.0
HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_HOST_KEY = re.compile(r"^(ssh-ed25519 [A-Za-z0-9+/]{40,}={0,3})(?: \S*)?$", re.MULTILINE)
_ACTIONS: dict[Verb, str] = {"start": "start", "stop": "deallocate", "restart": "restart"}
"""Of a machine in Azure."""


def machine_id(known: StackOutputs, target: VirtualMachineTarget) -> str | None:
    """Return the ARM id of the machine behind an attachment; None for one that is not in Azure."""
    if not target.made_here:
        return target.resource_id
    group = f"/subscriptions/{known.subscription_id}/resourceGroups/{known.resource_group}"
    return target.resource_id or f"{group}/providers/Microsoft.Compute/virtualMachines/{target.name}"


def document(plane: ControlPlane, target: DeployedTarget) -> Object:
    """Return a compute as ARM has it. Raises `NotFoundError` when it is gone."""
    found = plane.find(target.id, API)
    if found is None:
        message = f"{target.name} is gone: it was deleted outside the stack. To make it again: invoke refresh --revert"
        raise NotFoundError(message)
    return found


def settings_of(found: Object) -> Object:
    """Return what is of the kind in a compute's document."""
    return wire.obj(wire.at(found, "properties", "properties"))


def power(plane: ControlPlane, known: StackOutputs, target: VirtualMachineTarget) -> str | None:
    """Return whether a machine in Azure is Running or Stopped; None where that can't be asked."""
    id_ = machine_id(known, target)
    if id_ is None:
        return None
    try:
        found = plane.find(id_, MACHINES, {"$expand": "instanceView"})
    except RefusedError:
        if target.made_here:
            raise
        return None  # somebody else's machine may be closed to us
    if found is None:
        return "Gone"
    for status in wire.items(wire.at(found, "properties", "instanceView", "statuses")):
        kind, _, state = wire.text(wire.at(status, "code")).partition("/")
        if kind == "PowerState":
            return POWER.get(state, state.capitalize())
    return UNKNOWN


def switch(
    plane: ControlPlane, known: StackOutputs, target: Target, verb: Verb, on_event: Callable[[str], None]
) -> tuple[str, bool]:
    """Start, stop or restart an instance, or a machine that the stack made; wait until it is done.

    Returns the state and whether anything was done: what is as wanted already is left alone. Safe to repeat.
    Raises: `TargetError` for what can't be switched, or does not come to the state that was wanted.
    """
    match target:
        case ComputeInstanceTarget():
            action, api = f"{target.id}/{verb}", API
        case VirtualMachineTarget():
            action, api = f"{_ours(known, target, verb)}/{_ACTIONS[verb]}", MACHINES
        case AmlComputeTarget():
            message = f"{target.name} is a cluster: its nodes come and go by themselves."
            raise TargetError(f"{message} To keep some: min_node_count in the stack's file")
        case LocalTarget():
            raise TargetError(f"{target.name} is this machine, and always on while you read this.")
        case _:
            assert_never(target)
    wanted = STOPPED if verb == "stop" else RUNNING
    before = _at_rest(plane, known, target, on_event)
    if before == wanted and verb != "restart":
        return before, False
    if verb == "restart" and before == STOPPED:
        raise TargetError(f"{target.name} is {before}. To turn it on: invoke start {target.name}")
    on_event(f"{target.name}: {before} → {wanted}")
    plane.act(action, {}, api)
    after = _at_rest(plane, known, target, on_event)
    if after != wanted:
        raise TargetError(f"{target.name} is {after}, not {wanted}. See: invoke targets --stack {known.stack}")
    return after, True


def _at_rest(plane: ControlPlane, known: StackOutputs, target: Switched, on_event: Callable[[str], None]) -> str:
    """Return the state once it is none that goes by. Raises `TargetError` after a quarter of an hour."""
    began, pause = plane.clock.monotonic(), SHORTEST_S
    while (now := state(plane, known, target)) in PASSING:
        if plane.clock.monotonic() - began > PATIENCE_S:
            message = f"{target.name} is still {now} after {PATIENCE_S / 60:.0f} minutes, and goes on by itself."
            raise TargetError(f"{message} See: invoke targets --stack {known.stack}")
        on_event(f"{target.name}: {now}")
        plane.clock.sleep(pause)
        pause = min(pause * 1.5, LONGEST_S)
    return now


def state(plane: ControlPlane, known: StackOutputs, target: Switched) -> str:
    """Return whether an instance or a machine is on."""
    if isinstance(target, VirtualMachineTarget):
        return power(plane, known, target) or UNKNOWN
    return wire.text(settings_of(document(plane, target)).get("state")) or UNKNOWN


def _ours(known: StackOutputs, target: VirtualMachineTarget, verb: Verb) -> str:
    id_ = machine_id(known, target)
    if not target.made_here or id_ is None:
        raise TargetError(f"{target.name} is attached, not made by this stack: it is not ours to {verb}.")
    return id_


def host_key(plane: ControlPlane, known: StackOutputs, target: Target) -> str:
    """Read the host key of a machine that the stack made, over ARM: no one between here and the machine can change it.

    Raises: `TargetError` for a target that the stack did not make, or when the machine did not say it.
    """
    if not isinstance(target, VirtualMachineTarget):
        raise TargetError(f"{target.name} is no VirtualMachine: it has no host_key.")
    id_ = machine_id(known, target)
    if not target.made_here or id_ is None:
        raise TargetError(f"{target.name} is attached, not made by this stack. On it, type: cat {HOST_KEY_FILE}")
    answer = plane.act(
        f"{id_}/runCommand", {"commandId": "RunShellScript", "script": [f"cat {HOST_KEY_FILE}"]}, MACHINES
    )
    said = "\n".join(wire.text(wire.at(item, "message")) for item in wire.items(answer.get("value")))
    found = _HOST_KEY.search(said)
    if found is None:
        raise TargetError(
            f"{target.name} did not say its host key. Is it on? See: invoke targets --stack {known.stack}"
        )
    return found[1]
