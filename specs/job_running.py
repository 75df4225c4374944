"""The parts of a job file that say how it runs: processes on nodes, interactive services, serverless queue.

Source: azure-ai-ml 1.35.2's schemas (`_schema/job/distribution.py`, `services.py`, `_schema/queue_settings.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from specs import job_words
from specs.base import Fault, raise_faults
from specs.job_parts import AnyCase, JobPart, Text, without

Count = Annotated[int, Field(ge=1)]


class _Tagged(JobPart):
    """One of several kinds, told apart by `type`: what is written of it always has that word."""

    def model_post_init(self, _context: object) -> None:
        """Count the word as given, also where it was left to the class."""
        self.model_fields_set.add("type")


class MpiDistribution(_Tagged):
    """`mpirun` over all nodes."""

    type: Literal["mpi"] = "mpi"
    """Which."""
    process_count_per_instance: Count = 1
    """Processes on each node."""


class PyTorchDistribution(_Tagged):
    """The command once for each process, with the variables of torch's `env://` rendezvous."""

    type: Literal["pytorch"] = "pytorch"
    """Which."""
    process_count_per_instance: Count = 1
    """Processes on each node."""


class TensorFlowDistribution(_Tagged):
    """The command once for each task, with `TF_CONFIG`."""

    type: Literal["tensorflow"] = "tensorflow"
    """Which."""
    worker_count: Count | None = None
    """Workers; absent: one on each node."""
    parameter_server_count: Annotated[int, Field(ge=0)] = 0
    """Parameter servers."""


def _distribution(value: object) -> object:
    """Take the word in any case; say of ray that nothing here honours it."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return value
    word = value["type"].lower()
    if word == "ray":
        raise_faults([Fault(at=("type",), message=job_words.RAY, rule="distribution-ray")])
    return {**value, "type": word}


Distribution: TypeAlias = Annotated[
    Annotated[MpiDistribution | PyTorchDistribution | TensorFlowDistribution, Field(discriminator="type")],
    BeforeValidator(_distribution),
]


class _Service(_Tagged):
    """What every service has."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port on the node; absent: the service chooses."""
    nodes: Literal["all"] | None = None
    """On every node; absent: on the first."""
    properties: dict[str, Text] = {}
    """Service-specific settings."""

    @model_validator(mode="before")
    @classmethod
    def _shown(cls, value: object) -> object:
        return without(value, job_words.READ_ONLY_SERVICE)


class SshService(_Service):
    """A login into the job's container."""

    type: Literal["ssh"] = "ssh"
    """Which."""
    ssh_public_keys: str | None = None
    """Who may log in: public keys, one a line."""


class TensorBoardService(_Service):
    """TensorBoard beside the job."""

    type: Literal["tensor_board"] = "tensor_board"
    """Which."""
    log_dir: str | None = None
    """Folder of its event files."""


class JupyterLabService(_Service):
    """JupyterLab beside the job."""

    type: Literal["jupyter_lab"] = "jupyter_lab"
    """Which."""


class VsCodeService(_Service):
    """VS Code beside the job."""

    type: Literal["vs_code"] = "vs_code"
    """Which."""


def _service(value: object) -> object:
    given = value.get("type") if isinstance(value, dict) else None
    return {**value, "type": given.lower()} if isinstance(value, dict) and isinstance(given, str) else value


Service: TypeAlias = Annotated[
    Annotated[SshService | TensorBoardService | JupyterLabService | VsCodeService, Field(discriminator="type")],
    BeforeValidator(_service),
]


def users_services(value: object) -> object:
    """Drop what the workspace adds to every job by itself, so that a shown job can be submitted."""
    if not isinstance(value, dict):
        return value
    return {
        name: item
        for name, item in value.items()
        if not (isinstance(item, dict) and str(item.get("type")).lower() in job_words.SYSTEM_SERVICES)
    }


class QueueSettings(JobPart):
    """The queue of serverless compute."""

    job_tier: Annotated[Literal["spot", "basic", "standard", "premium", "null"], AnyCase] | None = None
    """How it is paid and preempted."""
    priority: Annotated[Literal["low", "medium", "high"], AnyCase] | None = None
    """Among the jobs that wait; absent: medium."""
