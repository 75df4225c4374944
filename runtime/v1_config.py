"""What to run, where and how, under the v1 SDK's names. `runtime.v1_jobs` makes the job of it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from runtime.v1_environments import CondaDependencies, Environment
from runtime.v1_words import Words, choice, note, words, wrong

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runtime.v1_compute import ComputeTarget

RUN_BASED = "amlcompute"
"""As a target: a cluster that is made for the run."""
LOCAL = "local"
SHORT = {
    "compute_target": "target",
    "environment": "environment",
    "max_run_duration_seconds": "max_run_duration_seconds",
    "docker_runtime_config": "docker",
}


@words
class MpiConfiguration(Words):
    """`mpirun` over the nodes."""

    process_count_per_node: int = 1
    node_count: int = 1


@words
class PyTorchConfiguration(Words):
    """The script once for each process, with the variables of `env://`; the script names its backend itself."""

    communication_backend: str = "Nccl"
    process_count: int | None = None
    """Of all nodes; absent: one on each."""
    node_count: int = 1


@words
class TensorflowConfiguration(Words):
    """The script once for each task, with `TF_CONFIG`; nodes: `run_config.node_count`, at least one a worker."""

    worker_count: int = 1
    parameter_server_count: int = 1


Distributed: TypeAlias = MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration


@words
class DockerConfiguration(Words):
    """v1's later word for `environment.docker`."""

    use_docker: bool = True
    arguments: list[str] | None = None
    shm_size: str | None = None


@words
class AmlComputeConfiguration(Words):
    """The cluster that is made for a run whose target is "amlcompute"."""

    vm_size: str | None = None
    vm_priority: str | None = None
    cluster_max_node_count: int | None = None
    """Most nodes; absent: as many as the run has."""
    name: str | None = None
    retain_cluster: bool = False

    @property
    def _cluster_max_node_count(self) -> int | None:
        return self.cluster_max_node_count

    @_cluster_max_node_count.setter
    def _cluster_max_node_count(self, value: int | None) -> None:
        self.cluster_max_node_count = value


@words
class RunConfiguration(Words):
    """Where and in what a script runs."""

    script: str | None = None
    arguments: Sequence[object] | None = None
    framework: str | None = None
    communicator: str | None = None
    command: str | Sequence[object] | None = None
    target: str | ComputeTarget = LOCAL
    """A target, its name, `local`, or `amlcompute` for a cluster that is made for the run."""
    environment: Environment = field(default_factory=Environment)
    node_count: int = 1
    amlcompute: AmlComputeConfiguration = field(default_factory=AmlComputeConfiguration)
    mpi: MpiConfiguration = field(default_factory=MpiConfiguration)
    pytorch: PyTorchConfiguration = field(default_factory=PyTorchConfiguration)
    tensorflow: TensorflowConfiguration = field(default_factory=TensorflowConfiguration)
    docker: DockerConfiguration | None = None
    max_run_duration_seconds: int | None = None
    auto_prepare_environment: bool = True
    prepare_environment: bool = True
    conda_dependencies: CondaDependencies | None = None
    """Short for `environment.python.conda_dependencies`."""

    def __setattr__(self, name: str, value: object) -> None:
        """Put the short word in its place; say of preparing an environment that nothing is left to decide."""
        if name in ("auto_prepare_environment", "prepare_environment") and value is not True:
            note(f"{name}: an environment that is missing is always prepared")
        super().__setattr__(name, value)
        if name == "conda_dependencies" and value is not None:
            self.environment.python.conda_dependencies = self.conda_dependencies

    @property
    def environment_variables(self) -> dict[str, str]:
        """v1's earlier place of `environment.environment_variables`."""
        return self.environment.environment_variables

    @environment_variables.setter
    def environment_variables(self, value: dict[str, str]) -> None:
        note("environment_variables moved: run_config.environment.environment_variables")
        self.environment.environment_variables = value

    @classmethod
    def load(cls, *_given: object, **named: object) -> NoReturn:
        """Refuse: attaching writes no .runconfig file here."""
        name = named.get("run_config_name") or named.get("name") or "NAME"
        message = "no .runconfig files are kept here; the stack's file is where targets are. Write: run_config = "
        message += f'RunConfiguration(); run_config.target = "{name}".'
        raise wrong("RunConfiguration", "load", message, rule="v1-runconfig")


@words
class ScriptRunConfig(Words):
    """A script with its folder, its arguments, its environment and its target: what is submitted."""

    source_directory: str
    script: str | None = None
    arguments: Sequence[object] | None = None
    """Text, numbers and data references; each reaches the script unchanged, no shell reads it."""
    run_config: RunConfiguration = field(default_factory=RunConfiguration)
    compute_target: str | ComputeTarget | None = None
    """Short for `run_config.target`; so are the next two for words of `run_config`."""
    environment: Environment | None = None
    distributed_job_config: Distributed | None = None
    resume_from: object = None
    max_run_duration_seconds: int | None = None
    command: str | Sequence[object] | None = None
    """Instead of script and arguments: a text is a shell line; a list is words, which no shell reads."""
    docker_runtime_config: DockerConfiguration | None = None

    def __setattr__(self, name: str, value: object) -> None:
        """Put the short words in their place too."""
        super().__setattr__(name, value)
        if name in SHORT and value is not None:
            setattr(self.run_config, SHORT[name], value)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.resume_from is not None:
            message = "give the earlier run's outputs as an input: download them, and name the folder in arguments."
            raise wrong("ScriptRunConfig", "resume_from", message, rule="v1-later")
        if not (self.script or self.command or self.run_config.script or self.run_config.command):
            raise wrong("ScriptRunConfig", "script", "is missing: the file to run, from source_directory.")
        if self.command and (self.script or self.arguments):
            message = "is a whole command, so script and arguments have no place beside it. Give one or the other."
            raise wrong("ScriptRunConfig", "command", message)

    def script_run_config(self) -> ScriptRunConfig:
        """Return itself: what estimators are made into."""
        return self


FRAMEWORKS = {
    "python": "python",
    "pytorch": "pytorch",
    "tensorflow": "tensorflow",
    "cntk": "cntk",
    "pyspark": "pyspark",
}
COMMUNICATORS = {
    "none": None,
    "openmpi": "mpi",
    "intelmpi": "mpi",
    "mpi": "mpi",
    "nccl": "pytorch",
    "gloo": "pytorch",
    "parameterserver": "tensorflow",
    "ps": "tensorflow",
    "paralleltask": None,
}


def distributed(config: ScriptRunConfig) -> Distributed | None:
    """Return how the processes of a run are started; None: one process, or one on each node."""
    if config.distributed_job_config is not None:
        return config.distributed_job_config
    run = config.run_config
    if run.communicator is None or str(run.communicator).lower() in ("none", "paralleltask"):
        return None
    kind = choice("RunConfiguration", "communicator", run.communicator, COMMUNICATORS)
    if kind == "mpi":
        return MpiConfiguration(run.mpi.process_count_per_node, max(run.node_count, run.mpi.node_count))
    return run.pytorch if kind == "pytorch" else run.tensorflow
