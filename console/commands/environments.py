"""The environments that runs on this machine are given: list, remove, build ahead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context


@command(default=True, name="list", help={"stack": STACK, "json": JSON})
def environments_list(_c: Context, stack: str = "local", json: bool = False) -> None:
    """List the environments of this machine: what is in them, their size, their last use. The last used comes first.

    Examples:
      invoke environments
      invoke environments --json

    """
    from console import environments
    from runtime.project import Project

    folders = environments.caches(Project.find(), stack)
    found = environments.rows(folders)
    if json:
        dump([row.document() for row in found])
    else:
        print("\n".join(environments.lines(found, folders)))


@command(
    name="prune",
    help={
        "older-than": "Those that were not used for so many days.",
        "unused": "Those that no run ever got, and what interrupted builds left.",
        "all": "Every one. Runs build theirs again.",
        "yes": "Remove without asking.",
        "stack": STACK,
        "json": JSON,
    },
)
def environments_prune(
    _c: Context,
    older_than: str | None = None,
    unused: bool = False,
    all: bool = False,
    yes: bool = False,
    stack: str = "local",
    json: bool = False,
) -> None:
    """Remove environments of this machine, after asking. One that a run uses right now always stays.

    Examples:
      invoke environments.prune --older-than 30
      invoke environments.prune --unused --yes

    """
    from console import environments
    from runtime.project import Project

    found = environments.rows(environments.caches(Project.find(), stack))
    days = None if older_than is None else environments.days(older_than)
    picked = environments.chosen(found, older_than=days, unused=unused, everything=all)
    done = environments.remove(picked, yes=yes)
    if done is None:
        sys.exit(1)
    if json:
        dump(done)
    else:
        print("\n".join(environments.told(done)))


@command(
    positional=["job"],
    name="build",
    help={
        "job": "A job file in Azure ML's CLI v2 schema.",
        "exact": "Refuse to build anything but the very environment that the job names.",
        "stack": STACK,
        "json": JSON,
    },
)
def environments_build(_c: Context, job: str, exact: bool = False, stack: str = "local", json: bool = False) -> None:
    """Build the environment of a job file ahead, on this machine; its next run here finds it. Other machines build
    theirs when the first run comes, and so does the workspace.

    Examples:
      invoke environments.build examples/digits/job.yml
      invoke environments.build job.yml --exact

    """  # noqa: D205 - invoke's own help shows the first paragraph
    from console import environments
    from runtime.project import Project

    built = environments.build(Project.find(), Path(job), stack, exact=exact)
    if json:
        dump(built)
    else:
        print(f"  {built['environment']}")
