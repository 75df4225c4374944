"""The public face: `from trainyard import submit`, and the `trainyard` command, the same tasks anywhere.

Everything is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.runs import Run
    from specs.job import CommandJob

EXPORTS = {
    "AmlCompute": "components.aml_compute",
    "CommandJob": "specs.job",
    "ComputeInstance": "components.compute_instance",
    "Network": "components.network",
    "Run": "runtime.runs",
    "Stack": "components.stack",
    "StackSpec": "specs.stack",
    "UserAssignedIdentity": "components.identity",
    "VirtualMachine": "components.virtual_machine",
    "Workspace": "components.workspace",
}
"""`Workspace`, `AmlCompute`, `ComputeInstance` are what a Pulumi program declares; the v1 SDK's are `v1.Workspace` …"""
V1 = (
    "AdlaCompute", "AutoMLConfig", "ComputeTarget", "ComputeTargetException", "CondaDependencies", "DataReference",
    "DatabricksCompute", "Datastore", "DockerConfiguration", "Environment", "Estimator", "Experiment",
    "HDInsightCompute", "HyperDriveConfig", "MpiConfiguration", "PyTorch", "PyTorchConfiguration", "RemoteCompute",
    "RunConfiguration", "ScriptRunConfig", "TensorFlow", "TensorflowConfiguration", "UserErrorException",
)  # fmt: skip
"""The v1 SDK's names that nothing else here has."""


def submit(
    job: str | Path | CommandJob,
    target: str | None = None,
    *,
    stack: str = "local",
    secrets: Mapping[str, str] | None = None,
) -> Run:
    """Submit a job file, or a job made in Python, and return its run at once; `run.wait()` blocks until it ends.

    `target`: a name of the stack, or `local`; absent: what the job says, else the stack's default. The project is the
    one of the current folder. `secrets`: variables of the job whose values are written nowhere.
    Raises the errors of `runtime.errors`; with `SpecError` nothing was sent.
    """
    from console.yard import Yard
    from runtime.events import silent
    from runtime.site import Options

    file = Path(job) if isinstance(job, str) else job
    return Yard.here().submit(file, target, stack, silent, options=Options(secrets=secrets or {}))


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name == "v1":
        return importlib.import_module("runtime.v1")
    if name in EXPORTS or name in V1:
        return getattr(importlib.import_module(EXPORTS.get(name, "runtime.v1")), name)
    known = ", ".join(sorted([*EXPORTS, *V1, "submit", "v1"]))
    raise AttributeError(f"module 'trainyard' has no attribute {name!r}; it has: {known}")


def main() -> None:
    """Run the `trainyard` command."""
    from importlib.metadata import version

    import tasks
    from console.program import run

    run(tasks.namespace, version("trainyard"))
