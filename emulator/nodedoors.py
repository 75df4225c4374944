"""SSH to the nodes of clusters: a server for each node whose cluster opens the port, for as long as the node exists."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import ssh
from emulator.resources.computes import aml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.cloud import Cloud
    from emulator.machines import Machine
    from emulator.routing import Json

LOG = logging.getLogger(__name__)
PREFIX = "node/"
"""Starts the names of nodes among all servers."""


def sync(cloud: Cloud, machines: Sequence[Machine]) -> None:
    """Start what is missing, end what has no node any more."""
    if cloud.ssh is None:
        return
    there = {_name(machine): machine for machine in machines if machine.state not in {"preempted", "preparing"}}
    for server in cloud.ssh.all():
        if server.name.startswith(PREFIX) and server.name not in there:
            cloud.ssh.remove(server.name)
    for name, machine in there.items():
        if cloud.ssh.listening(name):
            continue
        compute = cloud.state.get(machine.compute_id)
        account = aml.ssh_account(cloud, compute) if compute is not None else None
        if account is None:
            continue
        user, keys, password = account
        home = str(Path(machine.folder) / "home")
        try:
            cloud.ssh.start(ssh.Server(name, home, user, keys, password, port=ssh.FIRST_PORT + machine.number))
        except ssh.SshError as error:
            LOG.warning("%s", error)


def answer(cloud: Cloud, machine: Machine) -> dict[str, Json]:
    """Return the node as `listNodes` does: with its address and port where one can log in."""
    shown = machine.answer()
    name = _name(machine)
    server = cloud.ssh.find(name) if cloud.ssh is not None and cloud.ssh.listening(name) else None
    return shown if server is None else {**shown, "publicIpAddress": server.address, "port": server.port}


def _name(machine: Machine) -> str:
    return f"{PREFIX}{machine.node_id}"
