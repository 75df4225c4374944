"""The project's own emulator, and the demo that shows everything in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(default=True, name="status", help={"json": JSON})
def emulator_status(_c: Context, json: bool = False) -> None:
    """Say whether this project's emulator runs, and where.

    Example: invoke emulator
    """
    from console.yard import Yard
    from emulator import launch

    found = launch.find(Yard.here().project.emulator_home)
    if json:
        dump({"running": found is not None, "resource_manager": found.resource_manager if found else None})
    else:
        print(
            f"  running at {found.resource_manager}" if found else "  not running. To start it: invoke emulator.start"
        )
    sys.exit(0 if found else 1)


@command(name="start")
def emulator_start(_c: Context) -> None:
    """Start this project's emulator; other commands do it when they need it."""
    from console.progress import step
    from console.yard import Yard
    from emulator import launch

    with step("emulator", "starting") as work:
        work.note = launch.ensure(Yard.here().project.emulator_home).resource_manager


@command(name="stop")
def emulator_stop(_c: Context) -> None:
    """Stop this project's emulator. Nothing is lost; running jobs go on and are found again at the next start."""
    from console.yard import Yard
    from emulator import launch

    stopped = launch.stop(Yard.here().project.emulator_home)
    print("  stopped" if stopped else "  it was not running")


@command(help={"stack": STACK})
def demo(_c: Context, stack: str = "local") -> None:
    """Run the whole line once, as a story: deploy, train on two targets, register, serve, score.

    Example: invoke demo
    """
    from console.demo import tell
    from console.yard import Yard

    tell(Yard.here(), stack)
