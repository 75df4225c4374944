"""Logging in to machines with the system's OpenSSH, and switching them: what the commands of `machines` do.

Host keys: those that a stack pins are the only ones accepted. Azure publishes none for the nodes of clusters and for
instances: there OpenSSH asks the user at the first login and remembers the answer, in a file of this project's own.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node import layout
from runtime import machines, power
from runtime.control_plane import connect
from runtime.errors import Problem, SpecError, TargetError
from runtime.project import private_folder
from specs.targets import LocalTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.yard import Yard
    from runtime.control_plane import ControlPlane
    from runtime.machines import Login, Node
    from runtime.power import Verb
    from specs.outputs import StackOutputs
    from specs.targets import Target

CLIENT = "ssh"
CONNECT_S = 15
"""A private address is not reached from elsewhere, and nothing says so: the system itself tries for two minutes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A target of a deployed stack, and how to ask about it."""

    yard: Yard
    known: StackOutputs
    target: Target
    plane: ControlPlane


def place(yard: Yard, stack: str, name: str) -> Place:
    """Find a target of a deployed stack. Raises `SpecError` for an unknown one, `NotDeployedError`."""
    known = yard.outputs(stack)
    target = machines.find(known, name)
    return Place(yard, known, target, connect(known.cloud, yard.project))


def nodes(here: Place) -> list[Node]:
    """List the machines of a target; this one is one too."""
    if isinstance(here.target, LocalTarget):
        return [machines.Node(here.target.name, "ready")]
    return machines.nodes(here.plane, here.known, here.target)


def switch(here: Place, verb: Verb, on_event: Callable[[str], None]) -> tuple[str, bool]:
    """Start, stop or restart; returns the state, and whether anything was done."""
    return power.switch(here.plane, here.known, here.target, verb, on_event)


def ssh_command(here: Place, node: str | None, identity: str | None, command: list[str]) -> list[str]:
    """Return the OpenSSH command line that logs in to a target; its file of known host keys is written.

    Raises: `TargetError` when nobody can log in, `NotFoundError` when it is gone, `SpecError` for a key file that is
    not there.
    """
    if identity is not None and not Path(identity).expanduser().is_file():
        message = "no such file."
        raise SpecError([Problem("the command", 0, 0, "--identity", message, given=f'"{identity}"', rule="identity")])
    login = machines.login(here.plane, here.known, here.target, node)
    client = shutil.which(CLIENT)
    if client is None:
        raise TargetError("there is no OpenSSH client (ssh) on this machine. Install openssh-client")
    known_hosts = _known_hosts(here, login)
    return [client, *options(login, known_hosts, identity), "--", f"{login.user}@{login.host}", *command]


def options(login: Login, known_hosts: Path, identity: str | None) -> list[str]:
    """Return OpenSSH's options: which host keys count, and whether an unknown one is refused or asked about. Pure."""
    shown = str(known_hosts).replace("%", "%%")
    settings = {
        "HostKeyAlias": login.alias,
        "UserKnownHostsFile": f'"{shown}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes" if login.host_key else "ask",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "HashKnownHosts": "no",
        "ConnectTimeout": str(CONNECT_S),
    }
    given = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    key = ["-o", "IdentitiesOnly=yes", "-i", str(Path(identity).expanduser())] if identity else []
    return ["-p", str(login.port), *given, *key]


def _known_hosts(here: Place, login: Login) -> Path:
    """Write the file with the pinned key; or make sure that there is one for answers of the user, a workspace's own."""
    folder = private_folder(private_folder(here.yard.project.data) / "ssh")
    if login.host_key is not None:
        path = folder / f"{here.known.stack}-{login.alias}.pinned"
        layout.write_bytes(path, f"{login.alias} {login.host_key}\n".encode())
        return path
    if isinstance(here.target, LocalTarget):
        raise TypeError("nobody logs in to this machine")
    path = folder / f"{here.known.stack}-{here.target.workspace}.asked"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path


def host_key_lines(here: Place) -> list[str]:
    """Read a machine's host key and say where it goes."""
    key = power.host_key(here.plane, here.known, here.target)
    pinned = here.target.host_key if isinstance(here.target, VirtualMachineTarget) else None
    if pinned and _material(pinned) == _material(key):
        return [f"  host_key: {key}", f"  {here.target.name} is pinned to this key already"]
    stack = here.known.stack
    return [
        f"  host_key: {key}",
        f"  put this line under {here.target.name} in stacks/{stack}.yaml, then: invoke up --stack {stack}",
    ]


def _material(key: str) -> tuple[str, ...]:
    """Return what makes a key: its type and its numbers, without the comment."""
    return tuple(key.split()[:2])
