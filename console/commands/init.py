"""The first command in a team's own repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import JSON, command, dump

if TYPE_CHECKING:
    from invoke import Context

CLOUDS = ("emulator", "azure")


@command(
    help={
        "cloud": "emulator (default): no subscription needed; or azure.",
        "stack": "Name of the stack's file (default: local, or dev with --cloud azure).",
        "json": JSON,
    }
)
def init(_c: Context, cloud: str = "emulator", stack: str | None = None, json: bool = False) -> None:
    """Make this folder a Trainyard project: Pulumi.yaml, one stack file, a first job. Overwrites nothing.

    Example: trainyard init
    """
    from console import init as own
    from specs.problems import Problem, SpecError

    name = stack or ("dev" if cloud == "azure" else "local")
    if cloud == "azure":
        done = own.init(Path.cwd(), "azure", name)
    elif cloud == "emulator":
        done = own.init(Path.cwd(), "emulator", name)
    else:
        message = f"no such cloud. Allowed: {', '.join(CLOUDS)}."
        raise SpecError([Problem("the command", 0, 0, "--cloud", message, given=f'"{cloud}"', rule="cloud")])
    if json:
        dump(own.document(done))
        return
    print("\n".join(f"  wrote  {file}" for file in done.files) or "  everything is here already")
    if done.note:
        print(f"  {done.note}")
    print(f"  next: trainyard setup · trainyard preview --stack {name} · trainyard up --stack {name}")
