"""The v1 SDK's names, for people and scripts that come from it: the same words, and the one Job and Run.

`from runtime.v1 import Workspace, Experiment, ScriptRunConfig`. docs/from-v1.md sets every Python block of Azure's own
pages for v1 beside its counterpart. What the stack declares is found; what it doesn't is answered with the lines to
add; a word that has no counterpart says so. Everything is imported when it is first asked for.
"""

# ruff: noqa: PLC0414 - `as` is how a type checker knows that a name is handed on
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.errors import SpecError as SpecError
    from runtime.v1_compute import AdlaCompute as AdlaCompute
    from runtime.v1_compute import AmlCompute as AmlCompute
    from runtime.v1_compute import ComputeInstance as ComputeInstance
    from runtime.v1_compute import ComputeTarget as ComputeTarget
    from runtime.v1_compute import ComputeTargetException as ComputeTargetException
    from runtime.v1_compute import DatabricksCompute as DatabricksCompute
    from runtime.v1_compute import HDInsightCompute as HDInsightCompute
    from runtime.v1_compute import RemoteCompute as RemoteCompute
    from runtime.v1_compute import UserErrorException as UserErrorException
    from runtime.v1_config import AmlComputeConfiguration as AmlComputeConfiguration
    from runtime.v1_config import DockerConfiguration as DockerConfiguration
    from runtime.v1_config import MpiConfiguration as MpiConfiguration
    from runtime.v1_config import PyTorchConfiguration as PyTorchConfiguration
    from runtime.v1_config import RunConfiguration as RunConfiguration
    from runtime.v1_config import ScriptRunConfig as ScriptRunConfig
    from runtime.v1_config import TensorflowConfiguration as TensorflowConfiguration
    from runtime.v1_data import DataReference as DataReference
    from runtime.v1_data import Datastore as Datastore
    from runtime.v1_environments import DEFAULT_CPU_IMAGE as DEFAULT_CPU_IMAGE
    from runtime.v1_environments import DEFAULT_GPU_IMAGE as DEFAULT_GPU_IMAGE
    from runtime.v1_environments import CondaDependencies as CondaDependencies
    from runtime.v1_environments import DockerSection as DockerSection
    from runtime.v1_environments import Environment as Environment
    from runtime.v1_environments import PythonSection as PythonSection
    from runtime.v1_estimators import Estimator as Estimator
    from runtime.v1_estimators import PyTorch as PyTorch
    from runtime.v1_estimators import TensorFlow as TensorFlow
    from runtime.v1_runs import ActivityFailedException as ActivityFailedException
    from runtime.v1_runs import Experiment as Experiment
    from runtime.v1_runs import Run as Run
    from runtime.v1_words import V1Note as V1Note
    from runtime.v1_workspace import Workspace as Workspace

_IN = {
    "compute": (
        "AdlaCompute", "AmlCompute", "ComputeInstance", "ComputeTarget", "ComputeTargetException", "DatabricksCompute",
        "HDInsightCompute", "RemoteCompute", "UserErrorException",
    ),
    "config": (
        "AmlComputeConfiguration", "DockerConfiguration", "MpiConfiguration", "PyTorchConfiguration",
        "RunConfiguration", "ScriptRunConfig", "TensorflowConfiguration",
    ),
    "data": ("DataReference", "Datastore"),
    "environments": (
        "CondaDependencies", "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "DockerSection", "Environment", "PythonSection",
    ),
    "estimators": ("Estimator", "PyTorch", "TensorFlow"),
    "runs": ("ActivityFailedException", "Experiment", "Run"),
    "words": ("V1Note",),
    "workspace": ("Workspace",),
}  # fmt: skip
MODULES = {name: f"runtime.v1_{module}" for module, names in _IN.items() for name in names}
MODULES["SpecError"] = "runtime.errors"
"""Where each name lives."""
_NO_CLUSTER = "It needs a declared cluster: none is made for a run that tunes."
LATER = {
    "AutoMLConfig": f"automated machine learning comes later, as Azure's job files. {_NO_CLUSTER}",
    "DatabricksStep": "Databricks steps come later, with pipeline job files and the kind Databricks.",
    "HyperDriveConfig": f"tuning comes later, as Azure's own sweep job files. {_NO_CLUSTER}",
    "Pipeline": "pipelines come later, as Azure's own pipeline job files.",
}
"""What these names will be; using one says so."""
__all__ = [*MODULES, *LATER]  # noqa: PLE0604 - names, all of them


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name in MODULES:
        return getattr(importlib.import_module(MODULES[name]), name)
    if name in LATER:
        from runtime.v1_words import later

        return later(name, LATER[name])
    raise AttributeError(f"module 'runtime.v1' has no {name}; it has: {', '.join(sorted(__all__))}")
