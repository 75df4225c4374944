"""Online deployment files: CLI v2's own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specs.base import Tags, named
from specs.job import Environment, JobPart, Text, Variable
from specs.loader import Document, read, validate

if TYPE_CHECKING:
    from pathlib import Path

EndpointName = Annotated[
    str,
    named(
        "endpoint-name",
        r"[a-zA-Z][-a-zA-Z0-9]{1,30}[a-zA-Z0-9]",
        "an endpoint's name has 3 to 32 letters, digits and dashes, starts with a letter and does not end in a dash",
    ),
]
"""azure-docs resource-name-rules: 3 to 32."""


class CodeConfiguration(JobPart):
    """Where the scoring script is."""

    code: str
    """Folder, relative to the file."""
    scoring_script: str
    """A Python file in it with `init()` and `run(data)`."""


class ModelReference(JobPart):
    """A model written inside the file."""

    name: str | None = None
    """Its name."""
    version: Text | None = None
    """Its version; absent: the newest."""
    path: str | None = None
    """A local path relative to the file, instead of a registered model."""
    type: Literal["custom_model", "mlflow_model", "triton_model"] = "custom_model"
    """What it is."""


class OnlineDeployment(JobPart):
    """A model behind an HTTP endpoint."""

    schema_: str | None = Field(default=None, alias="$schema")
    """Named for editors."""
    type: Literal["managed", "kubernetes"] | None = None
    """Kind of endpoint in Azure."""
    name: EndpointName
    """The deployment, e.g. `blue`."""
    endpoint_name: EndpointName
    """The endpoint; the name that `score` takes."""
    model: str | ModelReference
    """`azureml:NAME:VERSION`, `azureml:NAME@latest`, or a model written here."""
    code_configuration: CodeConfiguration
    """The scoring script."""
    environment: str | Environment
    """What the script runs in."""
    environment_variables: dict[Variable, Text] = {}
    """Set for the script."""
    instance_type: str | None = None
    """Node size, in Azure."""
    instance_count: Annotated[int, Field(ge=1)] | None = None
    """Instances, in Azure."""
    app_insights_enabled: bool = False
    """Telemetry, in Azure."""
    description: str | None = None
    """Free text."""
    tags: Tags = {}
    """Free tags."""
    request_settings: dict[str, object] | None = None
    """Limits of a request, in Azure."""
    liveness_probe: dict[str, object] | None = None
    """Probe, in Azure."""
    readiness_probe: dict[str, object] | None = None
    """Probe, in Azure."""
    scale_settings: dict[str, object] | None = None
    """Autoscale, in Azure."""
    egress_public_network_access: str | None = None
    """Outbound network, in Azure."""
    model_mount_path: str | None = None
    """Where the model appears, in Azure's container."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_deployment(cls, value: object) -> object:
        if isinstance(value, dict) and "endpoint_name" not in value and "model" not in value:
            keys = ", ".join(map(str, list(value)[:5]))
            raise PydanticCustomError(
                "not-a-deployment", f"not a deployment file: it has neither endpoint_name nor model (it has: {keys})"
            )
        return value


def load_deployment(path: Path, shown: str | None = None) -> tuple[OnlineDeployment, Document]:
    """Read a deployment file. Raises `SpecError`."""
    document = read(path, shown)
    return validate(document, OnlineDeployment), document
