"""Submit the job of a run again: `runs.retry`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from console.commands.base import JSON, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(
    positional=["run"],
    name="retry",
    help={
        "run": "A run's id; see: invoke runs.",
        "target": "Run it there instead: another target of the same workspace, or for a run of this machine any.",
        "workspace": "ARM id of its workspace, on a machine that never submitted the run.",
        "restore": "Begin with the outputs that the run left.",
        "detach": "Return when the job is accepted instead of streaming its log.",
        "json": JSON,
    },
)
def runs_retry(
    _c: Context,
    run: str,
    target: str | None = None,
    workspace: str | None = None,
    restore: bool = False,
    detach: bool = False,
    json: bool = False,
) -> None:
    """Submit the job of a run again, as a new run: from its workspace, its job file, or what this machine kept of it.

    Examples:
      invoke runs.retry digits-quiet-heron
      invoke runs.retry digits-quiet-heron --target big-cluster --restore

    """
    from console.running import Teller, stream
    from console.yard import Yard
    from runtime.retrying import retry

    say = Teller(quiet=json)
    made = retry(Yard.here().run(run, workspace), target, restore=restore, on_event=say)
    if detach:
        say.line("submit", f"{made.id} → {made.target} is {made.state}. To follow it: invoke logs {made.id}")
    else:
        made = stream(made, say, quiet=json)
    if json:
        dump(made.document())
    sys.exit(0 if made.state == "Completed" or detach else 1)
