"""Try what a preemption does: `evict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(positional=["target"], help={"target": "Name of a low-priority cluster.", "stack": STACK, "json": JSON})
def evict(_c: Context, target: str, stack: str = "local", json: bool = False) -> None:
    """Take a node of a low-priority cluster away, as Azure does when it wants the cores back. In the emulator only.

    A run with `retry: preemption` goes on with its next attempt, from its outputs.

    Example: invoke evict spot-cluster
    """
    from console import machines
    from console.yard import Yard
    from runtime.evictions import evict as take

    here = machines.place(Yard.here(), stack, target)
    taken = take(here.plane, here.known, target)
    if json:
        dump(taken._asdict())
    elif taken.job is None:
        print(f"  {target}: node {taken.node} is gone; nothing was running on it")
    else:
        print(f"  {target}: node {taken.node} is gone, and {taken.job} with it. To see what follows: invoke runs")
