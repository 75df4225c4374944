"""Make ready what a job runs in, as its plan says: an interpreter as it is, one from the cache, or a container."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node import layout
from node.status import BuiltEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from node.docker import Container
    from node.job import Job
    from node.plan import EnvironmentPlan

USER_MANAGED = "user-managed"
USER_BASE = "python"
"""Folder of a run for what its command installs."""


@dataclass(frozen=True)
class Prepared:
    """What the job gets."""

    built: BuiltEnvironment | None = None
    """For the run's status; None: whatever is on PATH."""
    interpreter: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the job's processes are told of it."""
    container: Container | None = None


def prepare(run_dir: Path, job: Job, mark: str, stop: Callable[[], bool]) -> Prepared:
    """Build or find the job's environment; the installers' output goes to the run's build log as it comes.

    Raises: EnvironmentRefused; BuildStopped soon after `stop()` is true; OSError when the log can't be written.
    """
    plan = job.environment
    if plan.interpreter is not None:
        return _as_it_is(plan.interpreter)
    if plan.cache is None:
        return Prepared()
    cache = run_dir / plan.cache
    with (run_dir / layout.BUILD_LOG).open("ab") as log:
        if plan.image is not None:
            return _container(run_dir, job, mark, cache, log, stop)
        return _python(run_dir, plan, cache, log, stop)


def _as_it_is(interpreter: str) -> Prepared:
    if not os.access(interpreter, os.X_OK):
        from node.installers import EnvironmentRefused

        raise EnvironmentRefused(f"the environment's interpreter {interpreter} is missing or not executable")
    return Prepared(BuiltEnvironment(USER_MANAGED, interpreter, cached=True, built_s=0.0), interpreter)


def _python(run_dir: Path, plan: EnvironmentPlan, cache: Path, log: BinaryIO, stop: Callable[[], bool]) -> Prepared:
    from node import environments, overlay

    if plan.conda is not None:
        built = environments.ensure_conda(plan.conda, cache, log, stop)
    else:
        built = environments.ensure(plan.python, plan.pip, cache, log, stop)
    environments.count_run(cache, built.id)
    kept = BuiltEnvironment(built.id, str(built.interpreter), built.cached, built.built_s)
    if plan.conda is not None:
        return Prepared(kept, kept.interpreter, _conda(run_dir, built.path))
    return Prepared(kept, str(overlay.make(run_dir, built.path) or built.interpreter))


def _conda(run_dir: Path, prefix: Path) -> dict[str, str]:
    """Say which conda environment this is; what the command installs with pip stays with the run, as elsewhere."""
    own = {"PIP_USER": "1", "PYTHONUSERBASE": str(run_dir / USER_BASE)}
    return {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), **own}


def _container(  # noqa: PLR0913, PLR0917  (what a build needs, and whose it is)
    run_dir: Path, job: Job, mark: str, cache: Path, log: BinaryIO, stop: Callable[[], bool]
) -> Prepared:
    from node import docker, environments

    image = job.environment.image
    if image is None:
        raise ValueError("the plan has no image")
    ready = docker.prepare(job.environment, cache, log, stop)
    container = docker.container(image, ready.image, run_dir, job, mark)
    if ready.key is not None:
        environments.count_run(cache, ready.key)
    kept = BuiltEnvironment(f"{docker.ID}{ready.image}", "python", ready.cached, ready.built_s)
    return Prepared(kept, container=container)
