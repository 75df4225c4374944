"""Decide what a job runs in on a machine that we prepare ourselves: its environment, its limits, and how true both are.

Serves Local and VirtualMachine. Judging only, before anything is sent; `node.environments` and `node.docker` carry it
out on the machine. What a workspace's own targets run in is the service's to build.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node import conda
from runtime import environments
from runtime.abilities import Abilities, probe_here
from runtime.errors import TargetError
from runtime.job_body import INTERPRETER
from runtime.project import cache_folder
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.targets import LocalTarget

if TYPE_CHECKING:
    from runtime.environments import Resolution
    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.records import Fidelity
    from runtime.wire import Json, Object
    from specs.job import Resources
    from specs.targets import Target

__all__ = ["Abilities", "Place", "exact_elsewhere", "place", "probe_here"]

GIB = 1 << 30
REMOTE_CACHE = "~/.trainyard/environments"
"""Where environments are kept on a machine reached by SSH; `~` is resolved there."""
SHM_SIZE = "2g"
"""What Azure ML gives a container where the job says nothing (reference-yaml-job-command, resources.shm_size)."""


@dataclass(frozen=True, slots=True)
class Place:
    """How a machine runs a job."""

    environment: Object
    """`environment` of `job.json` (node/plan.py)."""
    limits: Object
    words: str
    """What the environment is, and how true to the job file."""
    fidelity: Fidelity
    notes: tuple[str, ...]
    """What differs from Azure, one sentence each."""


def place(project: Project, source: JobFile, target: Target, abilities: Abilities, *, exact: bool = False) -> Place:
    """Decide the environment: the user's own interpreter as it is, or one that is built and kept, or an image.

    Raises: `SpecError`; `TargetError` where there is no such interpreter, or, with `exact`, for anything but the
    very environment that the job names.
    """
    local = target if isinstance(target, LocalTarget) else LocalTarget(name=target.name)
    memory = local.memory_gib
    limits: Object = {"cpus": local.cpus, "memory_bytes": int(memory * GIB) if memory else None}
    if (own_python := source.job.properties.get(INTERPRETER)) is not None:
        return _named_by_the_job(source, own_python, limits, here=abilities.here)
    if local.interpreter:
        return _user_managed(str(_from(project, local.interpreter)), limits, exact=exact)
    found = environments.resolve(source.job.environment, source.base, source.document, abilities=abilities)
    if exact and found.fidelity != "exact":
        raise TargetError(f"{target.name} {_differs(found)}")
    own = local.environments_folder
    kept = str(_from(project, own) if own else cache_folder() / "environments") if abilities.here else REMOTE_CACHE
    built = _plan(found, kept, source.job.resources, abilities)
    return Place(built, limits, f"{found.fidelity}: {_what(found)}", found.fidelity, found.notes)


def exact_elsewhere(target: Target, *, exact: bool) -> None:
    """Refuse `exact` on a workspace's target that is the emulator's. Azure itself builds what the job names.

    Raises: `TargetError`.
    """
    if exact and not isinstance(target, LocalTarget) and target.id.split("/")[2] == EMULATOR_SUBSCRIPTION_ID:
        raise TargetError(
            f"{target.name} is a target of the emulator, which pulls no image: what it builds stands in for the job's "
            "environment (--exact). Submit it to a workspace in Azure, or leave --exact out"
        )


def _named_by_the_job(source: JobFile, interpreter: str, limits: Object, *, here: bool) -> Place:
    """Take the environment that the job's own Python is of; on another machine its supervisor looks for that."""
    if here and not os.access(interpreter, os.X_OK):
        message = "no such program on this machine. Give the path of the environment's Python."
        raise source.wrong(("properties", INTERPRETER), message, given=f'"{interpreter}"', rule="interpreter")
    return Place({"interpreter": interpreter}, limits, f"user-managed: {interpreter}", "user-managed", ())


def _user_managed(interpreter: str, limits: Object, *, exact: bool) -> Place:
    if not os.access(interpreter, os.X_OK):
        raise TargetError(
            f"local.interpreter of the stack is {interpreter}, which is missing or not executable here. "
            "Change it in the stack's file, then: invoke up"
        )
    if exact:
        raise TargetError(
            f"the stack's local.interpreter, {interpreter}, takes the place of the job's environment (--exact). "
            "Take it out of the stack's file and invoke up, or leave --exact out"
        )
    note = f"the job's environment is not built: it runs with {interpreter} as it is (local.interpreter)"
    return Place({"interpreter": interpreter}, limits, f"user-managed: {interpreter}", "user-managed", (note,))


def _plan(found: Resolution, cache: str, resources: Resources, abilities: Abilities) -> Object:
    """Write the environment down for the machine."""
    pip: list[Json] = list(found.pip)
    plan: Object = {"python": found.python, "pip": pip, "interpreter": None, "cache": cache}
    if found.how != "venv" and found.conda_text is not None:
        plan["conda"] = found.conda_text
    if found.how == "docker":
        given = resources.docker_args or []
        arguments: list[Json] = [*(shlex.split(given) if isinstance(given, str) else given)]
        image: Object = {
            "name": found.image,
            "docker_args": arguments,
            "shm_size": resources.shm_size or SHM_SIZE,
            "gpus": abilities.gpus > 0,
        }
        if context := found.context:
            image |= {"context": str(context.folder), "dockerfile": context.dockerfile, "content": context.content}
        plan["image"] = image
    return plan


def _what(found: Resolution) -> str:
    """Say in a few words what is built, without credentials that an address may hold."""
    match found.how:
        case "docker":
            inside = ", with the conda file built inside" if found.conda_text else ""
            return f"image {found.image}{inside}"
        case "conda":
            return "the conda file, by conda"
        case "venv":
            return conda.shown(", ".join(found.pip)) or "no packages"


def _differs(found: Resolution) -> str:
    """Say what differs from the job's environment, and what would not."""
    away = "leave --exact out"
    if found.conda_text is None:
        instead = conda.shown(", ".join(found.pip)) or f"a bare Python {found.python or ''}".rstrip()
        what = found.reference.name if found.reference else f"image {found.image}"
        return (
            f"can't give exactly this environment (--exact): {instead} would stand in for {what}, as no Docker engine "
            f"answers there. Start one, submit to a target of a workspace in Azure, or {away}"
        )
    if found.image:
        return (
            f"can't give exactly this environment (--exact): image {found.image} would not be pulled, as no Docker "
            f"engine answers there. Start one, submit to a target of a workspace in Azure, or {away}"
        )
    return (
        "can't give exactly this environment (--exact): the conda file's Python part would be installed by pip, as no "
        f"conda, mamba or micromamba is there. Install one, submit to a target of a workspace in Azure, or {away}"
    )


def _from(project: Project, path: str) -> Path:
    """Read a path of a stack's file: `~` is the home, a relative one begins at the project."""
    return project.root / Path(path).expanduser()
