"""The machines behind a target: which there are, and how to log in to them.

A cluster has nodes, an instance and an attached machine are one. ARM is asked; nothing here opens an SSH connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from urllib.parse import parse_qsl, urlsplit

from runtime import wire
from runtime.errors import NotFoundError, Problem, SpecError, TargetError
from runtime.power import API, RUNNING, document, power, settings_of
from specs.targets import AmlComputeTarget, ComputeInstanceTarget, LocalTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.wire import Json, Object
    from specs.outputs import StackOutputs
    from specs.targets import DeployedTarget, Target


@dataclass(frozen=True, slots=True)
class Node:
    """One machine."""

    id: str
    state: str
    host: str | None = None
    """Where its SSH server is; None: it has none that can be reached."""
    port: int | None = None
    user: str | None = None
    run: str | None = None
    """What it is working on."""

    @property
    def connection(self) -> str | None:
        """The command that logs in: `ssh -p 50000 ada@20.1.2.3`."""
        if self.host is None or self.user is None:
            return None
        return f"ssh -p {self.port} {self.user}@{self.host}"


@dataclass(frozen=True, slots=True)
class Login:
    """Everything that an SSH client needs."""

    alias: str
    """The machine's name among known host keys: addresses come and go."""
    host: str
    port: int
    user: str
    host_key: str | None
    """The pinned key; None: Azure does not publish it, so the user is asked at the first login."""


def find(known: StackOutputs, name: str) -> Target:
    """Return a target of a stack. Raises `SpecError` naming those that there are."""
    target = known.target(name)
    if target is None:
        message = f"no such target in stack {known.stack}. Allowed: {', '.join(known.names())}."
        raise SpecError([Problem("the command", 0, 0, "target", message, given=f'"{name}"', rule="unknown-target")])
    return target


def nodes(plane: ControlPlane, known: StackOutputs, target: DeployedTarget) -> list[Node]:
    """List the machines of a target as they are now. Raises `NotFoundError` when it is gone."""
    match target:
        case AmlComputeTarget():
            return _cluster(plane, target)
        case ComputeInstanceTarget():
            return [_instance(target, document(plane, target))]
        case VirtualMachineTarget():
            state = power(plane, known, target) or "Attached"
            return [Node(target.name, state, target.address or None, target.ssh_port, target.username)]
        case _:
            assert_never(target)


def _cluster(plane: ControlPlane, target: AmlComputeTarget) -> list[Node]:
    settings = settings_of(document(plane, target))
    user = _cluster_user(settings)
    return [_node(wire.obj(item), user) for item in _pages(plane, f"{target.id}/listNodes")]


def _pages(plane: ControlPlane, action: str) -> list[Json]:
    page = plane.post(action, {}, API)
    found = wire.items(page.get("nodes"))
    while link := wire.text(page.get("nextLink")):
        parts = urlsplit(link)
        query = {name: value for name, value in parse_qsl(parts.query) if name != "api-version"}
        page = plane.get(parts.path, API, query)
        found += wire.items(page.get("nodes"))
    return found


def _cluster_user(settings: Object) -> str | None:
    """Return who may log in to a cluster's nodes; None where its SSH is off."""
    if settings.get("remoteLoginPortPublicAccess") != "Enabled":
        return None
    return wire.text(wire.at(settings, "userAccountCredentials", "adminUserName")) or None


def _node(item: Object, user: str | None) -> Node:
    port = item.get("port")
    host = wire.text(item.get("publicIpAddress")) or wire.text(item.get("privateIpAddress")) or None
    return Node(
        id=wire.text(item.get("nodeId")),
        state=wire.text(item.get("nodeState")),
        host=host if isinstance(port, int) else None,
        port=port if isinstance(port, int) else None,
        user=user,
        run=wire.text(item.get("runId")) or None,
    )


def _instance(target: ComputeInstanceTarget, found: Object) -> Node:
    settings = settings_of(found)
    ssh, where = wire.obj(settings.get("sshSettings")), wire.obj(settings.get("connectivityEndpoints"))
    port, is_open = ssh.get("sshPort"), ssh.get("sshPublicAccess") == "Enabled"
    host = wire.text(where.get("publicIpAddress")) or wire.text(where.get("privateIpAddress"))
    return Node(
        id=target.name,
        state=wire.text(settings.get("state")),
        host=host or None if is_open else None,
        port=port if is_open and isinstance(port, int) else None,
        user=wire.text(ssh.get("adminUserName")) or None if is_open else None,
    )


def login(plane: ControlPlane, known: StackOutputs, target: Target, node: str | None = None) -> Login:
    """Find out how to log in to a target, or to one node of a cluster: by its id, or its place in the list from 0.

    Raises: `TargetError` when nobody can, and why; `NotFoundError` when the target or the node is gone.
    """
    if isinstance(target, LocalTarget):
        raise TargetError(f"{target.name} is this machine: there is nothing to log in to.")
    if node is not None and not isinstance(target, AmlComputeTarget):
        raise TargetError(f"{target.name} is one machine. Leave --node out.")
    match target:
        case AmlComputeTarget():
            return _login_to_node(plane, target, node)
        case ComputeInstanceTarget():
            return _login_to_instance(plane, target)
        case VirtualMachineTarget():
            return _login_to_machine(known, target)
        case _:
            assert_never(target)


def _login_to_node(plane: ControlPlane, target: AmlComputeTarget, wanted: str | None) -> Login:
    settings = settings_of(document(plane, target))
    user = _cluster_user(settings)
    if user is None:
        closed = settings.get("remoteLoginPortPublicAccess") != "Enabled"
        what = "its SSH is off" if closed else "it has no SSH account"
        raise TargetError(
            f"nobody can log in to the nodes of {target.name}: {what}. In the stack's file give it "
            "remote_login_port_public_access: Enabled, user_account_credentials and disable_local_auth: false; "
            "they are fixed at creation, so the cluster is replaced"
        )
    found = [_node(wire.obj(item), user) for item in _pages(plane, f"{target.id}/listNodes")]
    if not found:
        raise TargetError(
            f"{target.name} has no node now; it gets one when a job is sent. See: invoke nodes {target.name}"
        )
    node = _chosen(target, found, wanted)
    if node.host is None or node.port is None:
        raise TargetError(f"node {node.id} of {target.name} is {node.state} and can't be reached. Try again")
    return Login(f"{target.name}-{node.id}", node.host, node.port, user, None)


def _chosen(target: AmlComputeTarget, found: list[Node], wanted: str | None) -> Node:
    """Return the node that was asked for; unasked, the first that can be reached."""
    if wanted is None:
        return next((node for node in found if node.host), found[0])
    by_place = {str(index): node for index, node in enumerate(found)}
    node = next((node for node in found if node.id == wanted), by_place.get(wanted))
    if node is None:
        there = ", ".join(item.id for item in found)
        raise NotFoundError(f"{target.name} has no node {wanted} (any more). There is: {there}")
    return node


def _login_to_instance(plane: ControlPlane, target: ComputeInstanceTarget) -> Login:
    found = document(plane, target)
    if wire.at(settings_of(found), "sshSettings", "sshPublicAccess") != "Enabled":
        raise TargetError(
            f"nobody can log in to {target.name}: its SSH is off. In the stack's file give it ssh_settings "
            "(ssh_public_access: Enabled, admin_public_key) and disable_local_auth: false; they are fixed at creation, "
            "so the instance is replaced"
        )
    node = _instance(target, found)
    if node.state != RUNNING:
        raise TargetError(f"{target.name} is {node.state}. First: invoke start {target.name}")
    if node.host is None or node.port is None or node.user is None:
        raise TargetError(f"{target.name} has no address that can be reached from here")
    return Login(target.name, node.host, node.port, node.user, None)


def _login_to_machine(known: StackOutputs, target: VirtualMachineTarget) -> Login:
    if target.host_key is None:
        raise TargetError(
            f"the host key of {target.name} is not pinned, so nobody could tell whether it is that machine. "
            f"First: invoke host-key {target.name} --stack {known.stack}"
        )
    if not target.address:
        raise TargetError(f"{target.name} has no address. See: invoke targets --stack {known.stack}")
    return Login(target.name, target.address, target.ssh_port, target.username, target.host_key)
