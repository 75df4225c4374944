"""The machines behind targets: listing, logging in, switching on and off."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context

    from runtime.power import Verb

TARGET = "Name of a target, as invoke targets lists it."


@command(positional=["target"], help={"target": TARGET, "stack": STACK, "json": JSON})
def nodes(_c: Context, target: str, stack: str = "local", json: bool = False) -> None:
    """List the nodes of a cluster, or the one machine of another target, with the command that logs in.

    Example: invoke nodes cpu-cluster
    """
    from dataclasses import asdict

    from console import listings, machines
    from console.yard import Yard

    found = machines.nodes(machines.place(Yard.here(), stack, target))
    if json:
        dump([{**asdict(node), "connection": node.connection} for node in found])
    else:
        print("\n".join(listings.nodes(found, target)))


@command(
    positional=["target"],
    help={
        "target": TARGET,
        "node": "Which node of a cluster: its id or its place in the list (default: the first that can be reached).",
        "identity": "File of the private key (default: ssh-agent and OpenSSH's own).",
        "print": "Print the ssh command line and run nothing.",
        "stack": STACK,
    },
)
def ssh(
    _c: Context, target: str, node: str = "", identity: str = "", stack: str = "local", print: bool = False
) -> None:
    """Log in to a node, an instance or an attached machine with OpenSSH; or run a command there, after --.

    Examples:
      invoke ssh gpu-box
      invoke ssh cpu-cluster --node 1 -- nvidia-smi

    """
    from console import machines
    from console.yard import Yard

    here = machines.place(Yard.here(), stack, target)
    argv = machines.ssh_command(here, node or None, identity or None, after_dashes(sys.argv))
    if print:
        sys.stdout.write(f"{shlex.join(argv)}\n")
        return
    sys.stdout.flush()
    os.execv(argv[0], argv)  # noqa: S606 - an argv list; this process becomes the client, with its terminal and signals


def after_dashes(argv: list[str]) -> list[str]:
    """Return what follows `--`, word for word: invoke itself hands it on as one text."""
    return argv[argv.index("--") + 1 :] if "--" in argv else []


@command(positional=["target"], help={"target": TARGET, "stack": STACK, "json": JSON})
def start(_c: Context, target: str, stack: str = "local", json: bool = False) -> None:
    """Turn an instance on, or a machine that the stack made; waits until it is.

    Example: invoke start ada-box
    """
    _switch(target, stack, "start", as_json=json)


@command(positional=["target"], help={"target": TARGET, "stack": STACK, "json": JSON})
def stop(_c: Context, target: str, stack: str = "local", json: bool = False) -> None:
    """Turn an instance off, or a machine that the stack made, so that it costs nothing; what is on its disk stays.

    Example: invoke stop ada-box
    """
    _switch(target, stack, "stop", as_json=json)


@command(positional=["target"], help={"target": TARGET, "stack": STACK, "json": JSON})
def restart(_c: Context, target: str, stack: str = "local", json: bool = False) -> None:
    """Restart an instance, or a machine that the stack made.

    Example: invoke restart ada-box
    """
    _switch(target, stack, "restart", as_json=json)


def _switch(target: str, stack: str, verb: Verb, *, as_json: bool) -> None:
    from console import machines
    from console.progress import step
    from console.yard import Yard

    with step(verb, f"{verb} {target}") as work:
        state, done = machines.switch(machines.place(Yard.here(), stack, target), verb, work.say)
        work.note = f"{target} is {state}{'' if done else ' already'}"
    if as_json:
        dump({"target": target, "state": state, "changed": done})


@command(positional=["target"], help={"target": TARGET, "stack": STACK})
def host_key(_c: Context, target: str, stack: str = "local") -> None:
    """Read the SSH host key of a machine that the stack made, through Azure, and print the line that pins it.

    Example: invoke host-key gpu-box
    """
    from console import machines
    from console.yard import Yard

    print("\n".join(machines.host_key_lines(machines.place(Yard.here(), stack, target))))
