"""Runs: submit, look, follow, cancel, download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(
    positional=["job"],
    help={
        "job": "A job file in Azure ML's CLI v2 schema.",
        "target": "Run it there instead of where the file says.",
        "stack": STACK,
        "detach": "Return when the job is accepted instead of streaming its log.",
        "json": JSON,
    },
)
def submit(
    _c: Context, job: str, target: str | None = None, stack: str = "local", detach: bool = False, json: bool = False
) -> None:
    """Submit a job and stream its log. Ctrl-C detaches; the run goes on.

    Examples:
      invoke submit examples/digits/job.yml
      invoke submit examples/digits/job.yml --target local

    """
    from console.running import submit_and_follow
    from console.yard import Yard

    run = submit_and_follow(Yard.here(), job, target, stack, follow=not detach, quiet=json)
    if json:
        dump(run.document())
    sys.exit(0 if run.state == "Completed" or detach else 1)


@command(default=True, name="list", help={"json": JSON, "stack": "Only this stack's (default: all of this project)."})
def runs_list(_c: Context, stack: str | None = None, json: bool = False) -> None:
    """List runs, newest first: state, target, duration, last metrics.

    Example: invoke runs --json
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().runs(stack)
    if json:
        dump([run.document() for run in found])
    else:
        print("\n".join(listings.runs(found)))


@command(positional=["run"], name="show", help={"run": "A run's id.", "json": JSON})
def runs_show(_c: Context, run: str, json: bool = False) -> None:
    """Show one run: where, when, how it ended, metrics, environment.

    Example: invoke runs.show digits-quiet-heron
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().run(run)
    if json:
        dump(found.document())
    else:
        print("\n".join(listings.run(found)))


RUN = "A run's id; see: invoke runs."
WORKSPACE = "ARM id of its workspace, on a machine that never submitted the run."


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE})
def logs(_c: Context, run: str, workspace: str | None = None) -> None:
    """Print a run's log from its beginning, and go on until it ends. Works from any machine, with --workspace.

    Example: invoke logs digits-quiet-heron
    """
    from console.running import follow_logs
    from console.yard import Yard

    sys.exit(follow_logs(Yard.here().run(run, workspace)))


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE})
def cancel(_c: Context, run: str, workspace: str | None = None) -> None:
    """Cancel a run. Kept even when the target can't be reached now.

    Example: invoke cancel digits-quiet-heron
    """
    from console.yard import Yard

    ended = Yard.here().run(run, workspace).cancel()
    now = f"is {ended.state}" if ended.terminal else f"will be canceled; now it is {ended.state}"
    print(f"  {run} {now}" + (f" ({ended.stale})" if ended.stale else ""))


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE, "to": "Folder (default: downloads/RUN)."})
def download(_c: Context, run: str, to: str | None = None, workspace: str | None = None) -> None:
    """Download a run's outputs and logs. Never writes outside the folder, never overwrites another file.

    Example: invoke download digits-quiet-heron
    """
    from console.table import plural, size
    from console.yard import Yard

    folder = Path(to or f"downloads/{run}")
    done = Yard.here().run(run, workspace).download(folder)
    total = size(sum(path.stat().st_size for path in done.written))
    there = f"; {plural(len(done.already), 'file')} already there" if done.already else ""
    print(f"  {plural(len(done.written), 'file')}, {total} in {folder}{there}")
