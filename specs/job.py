"""A job file: Azure ML's own CLI v2 schema, taken as it is. What this machine's targets can't honour is said, by name.

Source of the fields: azure-ai-ml 1.35.2's schemas and the 345 YAML files of Azure's public examples (2026-07).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from specs.base import Duration, Fault, Spec, Tags, named, raise_faults
from specs.loader import Document, read, validate

if TYPE_CHECKING:
    from pathlib import Path

DataType: TypeAlias = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]
OTHER_JOB_TYPES = ("sweep", "pipeline", "spark", "automl", "finetuning", "parallel", "data_transfer")
NOT_YET = {
    "distribution": "runs on several processes",
    "services": "interactive services",
    "queue_settings": "serverless queue settings",
}
"""Fields that are valid in Azure and that no target here honours yet."""


_REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_OTHER_JOBS = {"parent": "pipeline", "trial": "sweep", "search_space": "sweep"}
"""Expressions that only a job inside another kind of job has (azure-ai-ml: pipeline and sweep schemas)."""


def _text(value: object) -> object:
    """Take numbers and booleans as text, as CLI v2 does for environment variables and tags."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[
    str, named("job-name", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", "a job's name has 1 to 255 letters, digits, _ . and -")
]
InputName = Annotated[
    str, named("input-name", r"[A-Za-z_][A-Za-z0-9_]*", "an input's or output's name has letters, digits and _")
]
Variable = Annotated[
    str, named("variable-name", r"[A-Za-z_][A-Za-z0-9_]*", "an environment variable's name has letters, digits and _")
]


class JobPart(Spec):
    """A part of an Azure file: lenient about numbers written as text, strict about names."""

    model_config = ConfigDict(strict=False)


class DataInput(JobPart):
    """A file or folder given to the job."""

    type: DataType | Literal["string", "number", "integer", "boolean"] = "uri_folder"
    """How it is read; the service's default is uri_folder."""
    path: str | None = None
    """A local path, relative to the job file, or a URI."""
    mode: Literal["ro_mount", "rw_mount", "download", "direct", "upload", "eval_mount", "eval_download"] | None = None
    """How it reaches the node; absent: the target decides."""
    value: str | int | float | bool | None = None
    """The value of a literal written in the long form."""
    description: str | None = None
    """Free text."""


class DataOutput(JobPart):
    """A file or folder that the job writes."""

    type: DataType = "uri_folder"
    """What it is."""
    path: str | None = None
    """Where it is kept; absent: with the run."""
    mode: Literal["rw_mount", "upload", "direct"] | None = None
    """How it leaves the node; absent: uploaded at the end."""
    name: str | None = None
    """Name of the data asset to register."""
    version: Text | None = None
    """Its version."""
    description: str | None = None
    """Free text."""


class Build(JobPart):
    """A Docker build context."""

    path: str
    """The folder, relative to the file."""
    dockerfile_path: str = "Dockerfile"
    """The Dockerfile inside it."""


class Environment(JobPart):
    """An environment written inside the job or deployment file."""

    name: str | None = None
    """Its name; absent: anonymous."""
    version: Text | None = None
    """Its version."""
    image: str | None = None
    """Docker image to start from."""
    conda_file: str | dict[str, object] | None = None
    """A conda file relative to this file, or its content."""
    build: Build | None = None
    """A build context, instead of an image."""
    description: str | None = None
    """Free text."""
    os_type: Literal["linux", "windows", "Linux", "Windows"] = "linux"
    """Operating system of the image."""
    inference_config: dict[str, object] | None = None
    """Routes of a custom serving image."""
    tags: Tags = {}
    """Free tags."""


class Resources(JobPart):
    """How much of the target the job takes."""

    instance_count: Annotated[int, Field(ge=1)] = 1
    """Nodes."""
    instance_type: str | None = None
    """Node size, on serverless and Kubernetes targets."""
    shm_size: str | None = None
    """Shared memory of the container, e.g. 2g."""
    docker_args: str | None = None
    """Further arguments of docker run."""
    properties: dict[str, object] = {}
    """Service-specific settings."""


class Limits(JobPart):
    """Bounds of the run."""

    timeout: Duration | None = None
    """After which it is canceled; seconds or ISO 8601. Absent: the target's own limit."""


class JobIdentity(JobPart):
    """Who the job is when it reads data."""

    type: Literal["user_identity", "user", "managed", "managed_identity", "aml_token", "UserIdentity", "AMLToken"]
    """azure-ai-ml's words."""
    client_id: str | None = None
    """Of a user-assigned identity."""


class CommandJob(JobPart):
    """A command with its code, environment and data: what is submitted. A run is one execution of it."""

    schema_: str | None = Field(default=None, alias="$schema")
    """Named for editors."""
    type: Literal["command"] = "command"
    """The kind of job."""
    name: Name | None = None
    """The run's id; absent: one is made up."""
    display_name: str | None = None
    """Name shown; absent: the run's id."""
    description: str | None = None
    """Free text."""
    experiment_name: Annotated[str, Field(max_length=256)] | None = None
    """What runs are compared under; absent: the folder's name, as in CLI v2."""
    tags: dict[str, Text] = {}
    """Free tags."""
    properties: dict[str, Text] = {}
    """Set by tools."""
    code: str | None = None
    """Folder of the source, relative to the file; its content is the job's working directory."""
    command: Annotated[str, Field(min_length=1)]
    """A shell line. `${{inputs.x}}` and `${{outputs.x}}` stand for values and paths."""
    environment: str | Environment
    """`azureml:NAME[:VERSION|@latest]`, or an environment written here."""
    environment_variables: dict[Variable, Text] = {}
    """Set for the command."""
    compute: str | None = None
    """`azureml:NAME` of a target of the stack, or `local`; absent: the stack's default target."""
    inputs: dict[InputName, DataInput | str | int | float | bool] = {}
    """Literals, files and folders by name."""
    outputs: dict[InputName, DataOutput | None] = {}
    """Named outputs."""
    resources: Resources = Resources()
    """Nodes and sizes."""
    limits: Limits = Limits()
    """Bounds."""
    identity: JobIdentity | None = None
    """Who it is."""
    distribution: dict[str, object] | None = None
    """Several processes."""
    services: dict[str, object] | None = None
    """Interactive services."""
    queue_settings: dict[str, object] | None = None
    """Serverless queue."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_command_job(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("type") in OTHER_JOB_TYPES:
            kind = value["type"]
            raise PydanticCustomError("job-type", f"a {kind} job can't be submitted yet; command jobs can")
        if isinstance(value, dict) and not {"command", "environment"} & set(value):
            keys = ", ".join(map(str, list(value)[:5]))
            raise PydanticCustomError(
                "not-a-job", f"not a job file: it has neither command nor environment (it has: {keys})"
            )
        return value

    @model_validator(mode="after")
    def _honoured(self) -> CommandJob:
        faults = [
            Fault(at=(field,), message=f"{what}: valid in Azure, not honoured here yet. Remove it.", rule="not-yet")
            for field, what in NOT_YET.items()
            if getattr(self, field)
        ]
        if self.resources.instance_count > 1:
            message = "several nodes: valid in Azure, not honoured here yet. Allowed: 1."
            faults.append(Fault(at=("resources", "instance_count"), message=message, rule="not-yet"))
        raise_faults([*faults, *self._references(), *self._characters()])
        return self

    def _references(self) -> list[Fault]:
        """Find what the command refers to and the job does not declare."""
        known = {*(f"inputs.{name}" for name in self.inputs), *(f"outputs.{name}" for name in self.outputs)}
        declared = f"Declared: {', '.join(sorted(known))}." if known else "The job declares no inputs and no outputs."
        found = dict.fromkeys(match.group(1).strip() for match in _REFERENCE.finditer(self.command))
        faults = []
        for name in found:
            if name in known:
                continue
            other = _OTHER_JOBS.get(name.partition(".")[0])
            why = f"is for a job inside a {other} job." if other else "names nothing that the job declares."
            message = f"${{{{{name}}}}} {why} {declared}"
            faults.append(Fault(at=("command",), message=message, rule="input-reference"))
        return faults

    def _characters(self) -> list[Fault]:
        """Find the one character that no process can be given."""
        given: dict[tuple[str, ...], object] = {("command",): self.command}
        given |= {("environment_variables", name): value for name, value in self.environment_variables.items()}
        for name, value in self.inputs.items():
            literal = isinstance(value, DataInput)
            given[("inputs", name, "value") if literal else ("inputs", name)] = (
                value.value if isinstance(value, DataInput) else value
            )
        return [
            Fault(at=at, message="holds a NUL character, which no process can be given. Remove it.", rule="nul")
            for at, value in given.items()
            if isinstance(value, str) and "\0" in value
        ]

    @property
    def target(self) -> str | None:
        """The target's name, without Azure's prefix."""
        return self.compute.removeprefix("azureml:") if self.compute else None


def load_job(path: Path, shown: str | None = None) -> tuple[CommandJob, Document]:
    """Read a job file; the document goes along for messages about its fields. Raises `SpecError`."""
    document = read(path, shown)
    return validate(document, CommandJob), document
