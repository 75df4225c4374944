"""The parts of a job file that say what runs and on which data: environment, inputs, outputs, resources, limits.

Shared with deployment files where they share them in Azure. Source: azure-ai-ml 1.35.2's schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from specs import job_words
from specs.base import Duration, Spec, Tags, named

if TYPE_CHECKING:
    from collections.abc import Collection

DataType: TypeAlias = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]


def _text(value: object) -> object:
    """Take numbers and booleans as text, as CLI v2 does for environment variables and tags."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _text_or_none(value: object) -> object:
    return "" if value is None else _text(value)


def _lower(value: object) -> object:
    """Take a word in any case, as azure-ai-ml's StringTransformedEnum does."""
    return value.lower() if isinstance(value, str) else value


def _snake(value: object) -> object:
    """Take `UserIdentity`, `AMLToken` and the like as azure-ai-ml does: as `user_identity`, `aml_token`."""
    words = {
        "useridentity": "user_identity",
        "amltoken": "aml_token",
        "managedidentity": "managed",
        "user": "user_identity",
    }
    plain = value.lower().replace("_", "") if isinstance(value, str) else ""
    return words.get(plain, _lower(value))


def _seconds(value: object) -> object:
    """Take seconds written as text, as azure-ai-ml's integer fields do."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _local(value: object) -> object:
    """Take a path written as `file:PATH`."""
    if not isinstance(value, str) or not value.startswith("file:"):
        return value
    return value.removeprefix("file://") if value.startswith("file://") else value.removeprefix("file:")


def without(value: object, names: Collection[str]) -> object:
    """Drop the fields that only the service writes."""
    return {key: item for key, item in value.items() if key not in names} if isinstance(value, dict) else value


Text = Annotated[str, BeforeValidator(_text)]
Label = Annotated[str, BeforeValidator(_text_or_none)]
"""A text that may be left empty in YAML (`key:`), as the values of tags and variables."""
AnyCase = BeforeValidator(_lower)
LocalPath = Annotated[str, BeforeValidator(_local)]
"""A path, or a URL."""
Variable = Annotated[
    str, named("variable-name", r"[A-Za-z_][A-Za-z0-9_]*", "an environment variable's name has letters, digits and _")
]


class JobPart(Spec):
    """A part of an Azure file: lenient about numbers written as text, strict about names."""

    model_config = ConfigDict(strict=False)


class DataInput(JobPart):
    """A file or folder given to the job."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.INPUT})

    type: Annotated[DataType | Literal["string", "number", "integer", "boolean"], AnyCase] = "uri_folder"
    """How it is read; the service's default is uri_folder."""
    path: LocalPath | None = None
    """A local path, relative to the job file, or a URI."""
    mode: (
        Annotated[
            Literal["ro_mount", "rw_mount", "download", "direct", "upload", "eval_mount", "eval_download"], AnyCase
        ]
        | None
    ) = None
    """How it reaches the node; absent: the target decides."""
    value: str | int | float | bool | None = None
    """The value of a literal written in the long form."""
    datastore: str | None = None
    """Where a local path is uploaded to; absent: the workspace's own, workspaceblobstore."""
    path_on_compute: str | None = None
    """A place on the node. azure-ai-ml 1.35.2 reads it and does not send it."""
    description: str | None = None
    """Free text."""

    @property
    def asset(self) -> Literal["data", "models"]:
        """What `azureml:NAME:VERSION` names: ARM's collection of such assets."""
        return "models" if self.type.endswith("_model") else "data"


class DataOutput(JobPart):
    """A file or folder that the job writes."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.OUTPUT})

    type: Annotated[DataType, AnyCase] = "uri_folder"
    """What it is."""
    path: str | None = None
    """Where it is kept; absent: with the run."""
    mode: Annotated[Literal["mount", "rw_mount", "upload", "direct"], AnyCase] | None = None
    """How it leaves the node; absent: uploaded at the end. `mount` is an older word for rw_mount."""
    name: str | None = None
    """Name of the data asset to register."""
    version: Text | None = None
    """Its version."""
    description: str | None = None
    """Free text."""

    @model_validator(mode="before")
    @classmethod
    def _shown(cls, value: object) -> object:
        return without(value, job_words.READ_ONLY_OUTPUT)


class Build(JobPart):
    """A Docker build context."""

    path: LocalPath
    """The folder, relative to the file; or a URL that the workspace fetches."""
    dockerfile_path: str = "Dockerfile"
    """The Dockerfile inside it."""


class Environment(JobPart):
    """An environment written inside the job or deployment file."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.ENVIRONMENT})

    schema_: str | None = Field(default=None, alias="$schema")
    """Named for editors."""
    name: str | None = None
    """Its name; absent: anonymous."""
    version: Text | None = None
    """Its version."""
    image: str | None = None
    """Docker image to start from."""
    conda_file: LocalPath | dict[str, object] | None = None
    """A conda file relative to this file, or its content."""
    build: Build | None = None
    """A build context, instead of an image."""
    description: str | None = None
    """Free text."""
    os_type: Annotated[Literal["linux", "windows"], AnyCase] = "linux"
    """Operating system of the image."""
    inference_config: dict[str, object] | None = None
    """Routes of a custom serving image."""
    datastore: str | None = None
    """Where the build context is uploaded to; absent: the workspace's own, workspaceblobstore."""
    tags: Tags = {}
    """Free tags."""

    @model_validator(mode="before")
    @classmethod
    def _shown(cls, value: object) -> object:
        return without(value, job_words.READ_ONLY_ENVIRONMENT)


class Resources(JobPart):
    """How much of the target the job takes."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.RESOURCES})

    instance_count: Annotated[int, Field(ge=1)] = 1
    """Nodes."""
    instance_type: str | list[str] | None = None
    """Node size, on serverless and Kubernetes targets; several: any of them."""
    max_instance_count: Annotated[int, Field(ge=1)] | None = None
    """The most nodes of an elastic job, on virtual clusters."""
    locations: list[str] | None = None
    """Regions where the job may run, on virtual clusters."""
    shm_size: (
        Annotated[str, named("shm-size", r"[0-9]*[1-9][0-9]*[bkmgBKMG]", "must be a number and a unit: 512m, 2g")]
        | None
    ) = None
    """Shared memory of the container, e.g. 2g: a number, and b, k, m or g (ARM: JobResourceConfiguration.shmSize)."""
    docker_args: str | list[str] | None = None
    """Further arguments of docker run."""
    properties: dict[str, object] = {}
    """Service-specific settings."""


class Limits(JobPart):
    """Bounds of the run."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.LIMITS})

    timeout: Annotated[Duration, BeforeValidator(_seconds)] | None = None
    """After which it is canceled; seconds or ISO 8601. Absent: the target's own limit."""


class JobIdentity(JobPart):
    """Who the job is when it reads data."""

    type: Annotated[Literal["user_identity", "managed", "aml_token"], BeforeValidator(_snake)]
    """azure-ai-ml's words, in its spelling or ARM's."""
    client_id: str | None = None
    """Of a user-assigned identity."""
    object_id: str | None = None
    """Of a user-assigned identity, instead."""
    msi_resource_id: str | None = None
    """ARM id of a user-assigned identity, instead."""
