"""The v1 SDK's estimators: shorthands that become a `ScriptRunConfig` when they are submitted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from runtime.v1_config import (
    RUN_BASED,
    AmlComputeConfiguration,
    Distributed,
    MpiConfiguration,
    PyTorchConfiguration,
    RunConfiguration,
    ScriptRunConfig,
    TensorflowConfiguration,
)
from runtime.v1_environments import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, CondaDependencies, Environment
from runtime.v1_words import Words, choice, note, text_list, words, wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.v1_compute import ComputeTarget
    from runtime.v1_data import DataReference

Value: TypeAlias = "str | int | float | DataReference"
MOVED = {
    "custom_docker_base_image": "custom_docker_image",
    "conda_dependencies_file_path": "conda_dependencies_file",
    "pip_requirements_file_path": "pip_requirements_file",
}
"""v1's earlier words, and where they went."""
WITHOUT_MEANING = ("use_docker", "source_directory_data_store")
NOT_YET = {
    "image_registry_details": "images are pulled with the workspace's own identity. Give its registry in the stack.",
    "resume_from": "give the earlier run's outputs as an input: download them, and name the folder in script_params.",
}


@words
class Estimator(Words):
    """A script with its parameters, packages and target."""

    source_directory: str
    compute_target: str | ComputeTarget | None = None
    vm_size: str | None = None
    """Instead of a target: a cluster of this size is made for the run, and gone after it."""
    vm_priority: str | None = None
    entry_script: str | None = None
    script_params: dict[str, Value] | None = None
    """Arguments by name; an empty text makes a flag of one."""
    node_count: int = 1
    process_count_per_node: int = 1
    distributed_backend: str | None = None
    distributed_training: Distributed | None = None
    use_gpu: bool = False
    use_docker: bool | None = None
    custom_docker_base_image: str | None = None
    custom_docker_image: str | None = None
    image_registry_details: object = None
    user_managed: bool = False
    conda_packages: Sequence[str] | None = None
    pip_packages: Sequence[str] | None = None
    conda_dependencies_file_path: str | None = None
    conda_dependencies_file: str | None = None
    pip_requirements_file_path: str | None = None
    pip_requirements_file: str | None = None
    environment_variables: dict[str, str] | None = None
    environment_definition: Environment | None = None
    inputs: Sequence[DataReference] | None = None
    source_directory_data_store: object = None
    shm_size: str | None = None
    resume_from: object = None
    max_run_duration_seconds: int | None = None

    def __post_init__(self) -> None:
        """Put earlier words in the place of the later ones, and refuse what is not there."""
        where = type(self).__name__
        for old, new in MOVED.items():
            if getattr(self, old) is not None:
                note(f"{where}: {old} is called {new}")
                setattr(self, new, getattr(self, new) or getattr(self, old))
        for name in WITHOUT_MEANING:
            if getattr(self, name) is not None:
                note(f"{where}: {name} has no meaning any more")
        for name, message in NOT_YET.items():
            if getattr(self, name) is not None:
                raise wrong(where, name, message, rule="v1-later")
        if not self.entry_script:
            raise wrong(where, "entry_script", "is missing: the file to run, from source_directory.")
        if self.compute_target is not None and self.vm_size is not None:
            message = "makes a cluster for the run, so compute_target has no place beside it. Give one of the two."
            raise wrong(where, "vm_size", message, given=self.vm_size)
        if self.user_managed and (self.conda_packages or self.pip_packages):
            message = "means that everything is installed already, so packages have no place beside it."
            raise wrong(where, "user_managed", message)
        if self.environment_definition is not None and self._packages():
            message = "is a whole environment, so packages and images have no place beside it."
            raise wrong(where, "environment_definition", message)

    @property
    def conda_dependencies(self) -> CondaDependencies:
        """Its packages."""
        made = CondaDependencies(self.conda_dependencies_file)
        where = type(self).__name__
        for name in text_list(where, "conda_packages", self.conda_packages):
            made.add_conda_package(name)
        for name in [*self._frameworks(), *text_list(where, "pip_packages", self.pip_packages)]:
            made.add_pip_package(name)
        if self.pip_requirements_file is not None:
            section = Environment.from_pip_requirements("requirements", self.pip_requirements_file).python
            for name in section.conda_dependencies.pip_packages if section.conda_dependencies else []:
                made.add_pip_package(name)
        return made

    def script_run_config(self) -> ScriptRunConfig:
        """Make what is submitted. Raises `SpecError`."""
        run = RunConfiguration(environment=self._environment(), node_count=self.node_count)
        run.max_run_duration_seconds = self.max_run_duration_seconds
        if self.vm_size is not None:
            run.target = RUN_BASED
            run.amlcompute = AmlComputeConfiguration(vm_size=self.vm_size, vm_priority=self.vm_priority)
        elif self.compute_target is not None:
            run.target = self.compute_target
        return ScriptRunConfig(
            source_directory=self.source_directory,
            script=self.entry_script,
            arguments=self._arguments(),
            run_config=run,
            distributed_job_config=self._distributed(),
        )

    def _arguments(self) -> list[object]:
        given = self.script_params or {}
        if not isinstance(given, dict):
            message = "takes a mapping of arguments: {'--rate': 0.1}."
            raise wrong(type(self).__name__, "script_params", message, given=given)
        # An empty text makes a flag (azure-docs how-to-train-ml-models, script_params).
        found: list[object] = []
        for name, value in given.items():
            found += [name] if isinstance(value, str) and value == "" else [name, value]
        return found

    def _environment(self) -> Environment:
        if self.environment_definition is not None:
            given = self.environment_definition
            docker = replace(given.docker, shm_size=self.shm_size or given.docker.shm_size)
            made = replace(given, docker=docker, environment_variables=dict(given.environment_variables))
        else:
            made = Environment()
            made.python.user_managed_dependencies = self.user_managed
            if not self.user_managed:
                made.python.conda_dependencies = self.conda_dependencies
            default = DEFAULT_GPU_IMAGE if self.use_gpu else DEFAULT_CPU_IMAGE
            made.docker.base_image = self.custom_docker_image or (default if self.use_gpu else None)
            made.docker.enabled = self.custom_docker_image is not None
            made.docker.shm_size = self.shm_size
        made.environment_variables.update(self.environment_variables or {})
        return made

    def _packages(self) -> bool:
        return bool(self.conda_packages or self.pip_packages or self.custom_docker_image or self.user_managed)

    def _frameworks(self) -> list[str]:
        return []

    def _backends(self) -> dict[str, str]:
        return {"mpi": "mpi"}

    def _distributed(self) -> Distributed | None:
        if self.distributed_training is not None:
            return self.distributed_training
        where = type(self).__name__
        if self.distributed_backend is None:
            if self.node_count > 1 or self.process_count_per_node > 1:
                allowed = ", ".join(self._backends())
                message = f"is needed for several nodes or processes. Allowed: {allowed}."
                raise wrong(where, "distributed_backend", message)
            return None
        kind = choice(where, "distributed_backend", self.distributed_backend, self._backends())
        if kind == "mpi":
            return MpiConfiguration(self.process_count_per_node, self.node_count)
        return self._other(self.node_count * self.process_count_per_node)

    def _other(self, processes: int) -> Distributed:
        return PyTorchConfiguration(str(self.distributed_backend), processes, self.node_count)


def pinned(package: str, version: str | None) -> str:
    """Write a framework's version as pip takes it: `1.4` is any 1.4."""
    if version is None:
        return package
    return f"{package}=={version}" if version.count(".") > 1 else f"{package}=={version}.*"


@words
class PyTorch(Estimator):
    """An estimator with PyTorch."""

    framework_version: str | None = None
    """Absent: the newest."""

    def _frameworks(self) -> list[str]:
        return [pinned("torch", self.framework_version)]

    def _backends(self) -> dict[str, str]:
        return {"mpi": "mpi", "nccl": "pytorch", "gloo": "pytorch"}


@words
class TensorFlow(Estimator):
    """An estimator with TensorFlow."""

    worker_count: int = 1
    parameter_server_count: int = 1
    framework_version: str | None = None
    """Absent: the newest."""

    def _frameworks(self) -> list[str]:
        return [pinned("tensorflow", self.framework_version)]

    def _backends(self) -> dict[str, str]:
        return {"mpi": "mpi", "ps": "tensorflow"}

    def _other(self, processes: int) -> Distributed:
        _ = processes
        return TensorflowConfiguration(self.worker_count, self.parameter_server_count)
