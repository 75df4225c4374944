"""The component package as the engine runs it: `pulumi-resource-trainyard`, a provider whose resources are components.

A program in any Pulumi language declares `trainyard:index:AmlCompute` and the others; what it gives is checked by the
model of the stack files, and the same component makes it. It serves the schema that `package` derives from the models,
through the SDK's own provider server (the one behind `component_provider_host`).
"""

from __future__ import annotations

import difflib
import importlib.metadata
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

import pulumi
import pulumi.provider
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.provider import ConstructResult
from pydantic import BaseModel, TypeAdapter, ValidationError

from components.base import ComputeDependencies, Place
from components.package import NAME, Given, camel, properties
from specs.base import ComputeName, Location, ResourceName, Spec, WorkspaceName
from specs.compute import NAME_LENGTHS, ComputeSpec
from specs.identity import IdentitySpec
from specs.network import Network as NetworkSpec
from specs.workspace import WorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pulumi.errors import InputPropertyErrorDetails
    from pydantic_core import ErrorDetails

    from components.package import Json

Model = TypeVar("Model", bound=BaseModel)
At: TypeAlias = tuple[str | int, ...]
TEXT: Json = {"type": "string"}
ARM_ID: Json = {**TEXT, "description": "Its ARM id."}
SUBNETS: Json = {"type": "object", "additionalProperties": TEXT, "description": "ARM ids of its subnets, by name."}
GROUP: Json = {**TEXT, "description": "Name of the resource group that it goes to."}
WORKSPACE: Json = {**TEXT, "description": "Name of its workspace, in the same resource group."}
REGION: Json = {**TEXT, "description": "Region, e.g. `westeurope`."}
ACCESS: Json = {
    **TEXT,
    "description": "`Enabled` or `Disabled` (the default), as of the workspace: nodes of an open one need public "
    "addresses.",
}


COMPUTES: Mapping[str, type[ComputeSpec]] = {
    str(model.model_fields["kind"].annotation.__args__[0]): model for model in get_args(get_args(ComputeSpec)[0])
}
"""The models of the one list, by kind."""
LEFT_OUT = {"kind", "computes", "id", "private_dns_zones", "private_endpoint", "role_assignments", "soft_deleted"}
"""What a resource of its own says here, or only the whole of a stack can mean."""


class Whereabouts(Spec):
    """What every resource of the package is told beside its spec, and a stack file says once."""

    location: Location
    """Region."""
    workspace_public_network_access: Literal["Enabled", "Disabled"] = "Disabled"
    """Of the workspace that a compute is in."""


def schema(version: str) -> Json:
    """Return the package's schema. Pure."""
    types: Json = {}
    place: Json = {"resourceGroupName": GROUP, "location": REGION}
    compute: Json = {**place, "workspaceName": WORKSPACE, "workspacePublicNetworkAccess": ACCESS}
    resources = {
        **{kind: _resource(model, compute, {"armId": ARM_ID}, types) for kind, model in COMPUTES.items()},
        "Network": _resource(NetworkSpec, place, {"armId": ARM_ID, "subnetIds": SUBNETS}, types),
        "UserAssignedIdentity": _resource(
            IdentitySpec,
            place,
            {"armId": ARM_ID, "principalId": {**TEXT, "description": "Whom roles are given to."}},
            types,
        ),
        "Workspace": _resource(
            WorkspaceSpec,
            place,
            {"armId": ARM_ID, "name": {**TEXT, "description": "Its name in Azure."}, "storageAccount": ARM_ID},
            types,
        ),
    }
    return {
        "name": NAME,
        "version": version,
        "description": "Azure Machine Learning workspaces and compute targets, safe by default.",
        "resources": {f"{NAME}:index:{kind}": resource for kind, resource in sorted(resources.items())},
        "types": dict(sorted(types.items())),
        "language": {"nodejs": {"respectSchemaVersion": True}, "python": {"respectSchemaVersion": True}},
    }


def _resource(model: type[BaseModel], place: Json, outputs: Json, types: Json) -> Json:
    inputs, needed = properties(model, LEFT_OUT, types)
    return {
        "isComponent": True,
        "type": "object",
        "description": (model.__doc__ or "").strip(),
        "inputProperties": {**inputs, **place},
        "requiredInputs": sorted({*needed, *place} - {"workspacePublicNetworkAccess"}),
        "properties": outputs,
        "required": sorted(outputs),
    }


class Package(pulumi.provider.Provider):
    """The package's provider: it has components only."""

    def __init__(self) -> None:
        version = importlib.metadata.version("trainyard")
        super().__init__(version, json.dumps(schema(version)))

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Mapping[str, pulumi.Input[object]],
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Declare one component. Refuses bad inputs, each by its name, before anything is made."""
        kind, taken, given = resource_type.rpartition(":")[2], dict[str, object](inputs), Given()
        if kind == "Workspace":
            return _workspace(name, taken, given, options)
        if kind == "UserAssignedIdentity":
            return _identity(name, taken, given, options)
        if kind == "Network":
            return _network(name, taken, given, options)
        return _compute(name, COMPUTES[kind], taken, given, options)


def _compute(
    name: str, model: type[ComputeSpec], inputs: Json, given: Given, opts: pulumi.ResourceOptions | None
) -> ConstructResult:
    kind = next(kind for kind, item in COMPUTES.items() if item is model)
    _check_name(name, TypeAdapter(ComputeName), NAME_LENGTHS[kind])
    workspace = _text(inputs, "workspaceName")
    place, where = _place(inputs, given)
    uses = ComputeDependencies(
        workspace_name=workspace,
        resource_group=place.resource_group,
        workspace_key=name,
        location=where.location,
        private=where.workspace_public_network_access == "Disabled",
        identities=given.outputs,
        subnet_ids=given.outputs,
        secrets=given.secret,
    )
    from components.compute import component  # the vendor's modules load now, not when the engine asks for the schema

    made = component(name, validated(model, given, inputs, kind=kind), place, uses, opts)
    return ConstructResult(made.urn, {"armId": made.id})


def _workspace(name: str, inputs: Json, given: Given, opts: pulumi.ResourceOptions | None) -> ConstructResult:
    from pulumi_azure_native import authorization

    from components.workspace import Workspace, WorkspaceDependencies

    _check_name(name, TypeAdapter(WorkspaceName), (3, 33))
    place, _ = _place(inputs, given)
    spec = validated(WorkspaceSpec, given, inputs)
    client = authorization.get_client_config()
    scope = f"{client.subscription_id}/{pulumi.get_project()}/{pulumi.get_stack()}"
    uses = WorkspaceDependencies(client.tenant_id, given.outputs, given.outputs)
    made = Workspace(name, spec, replace(place, scope=scope), uses, opts)
    outputs = {"armId": made.id, "name": made.name, "storageAccount": made.storage_account}
    return ConstructResult(made.urn, outputs)


def _identity(name: str, inputs: Json, given: Given, opts: pulumi.ResourceOptions | None) -> ConstructResult:
    from components.identity import UserAssignedIdentity

    _check_name(name, TypeAdapter(ResourceName), (3, 64))
    place, _ = _place(inputs, given)
    made = UserAssignedIdentity(name, validated(IdentitySpec, given, inputs), place, opts)
    return ConstructResult(made.urn, {"armId": made.id, "principalId": made.principal_id})


def _network(name: str, inputs: Json, given: Given, opts: pulumi.ResourceOptions | None) -> ConstructResult:
    from components.network import Network

    _check_name(name, TypeAdapter(ResourceName), (2, 64))
    place, _ = _place(inputs, given)
    # What stands in its subnets is not known here; a subnet that nothing is known of gets the rules for nodes.
    made = Network(name, validated(NetworkSpec, given, inputs), {}, place, opts)
    return ConstructResult(made.urn, {"armId": made.id, "subnetIds": made.subnet_ids})


def validated(model: type[Model], given: Given, inputs: Mapping[str, object], **fixed: str) -> Model:
    """Check inputs by the model of the stack files. Raises `InputPropertiesError`, every finding under its name."""
    try:
        return model.model_validate({**given.model(model, inputs), **fixed})
    except ValidationError as error:
        findings: list[InputPropertyErrorDetails] = [
            {"property_path": _path(at), "reason": message}
            for found in error.errors(include_url=False, include_input=False)
            for at, message in _findings(found["loc"], _said(model, found), found.get("ctx", {}))
        ]
        raise InputPropertiesError(f"{len(findings)} bad inputs" if findings[1:] else "a bad input", findings) from None


def _said(model: type[BaseModel], found: ErrorDetails) -> str:
    """Say in our words what pydantic says in its own."""
    if found["type"] == "missing":
        return "is required"
    if found["type"] == "extra_forbidden":
        known = [camel(name) for name in model.model_fields]
        near = difflib.get_close_matches(str(found["loc"][-1]), known, 1) if len(found["loc"]) == 1 else []
        return f"no such input. Did you mean {near[0]}?" if near else "no such input"
    return found["msg"]


def _findings(at: At, message: str, context: Mapping[str, object]) -> list[tuple[At, str]]:
    """Take apart what a model found over several of its fields (`specs.base.raise_faults`)."""
    faults = context.get("faults")
    if isinstance(faults, list):
        return [((*at, *fault["at"]), fault["message"]) for fault in faults]
    return [(at, message)]


def _path(at: At) -> str:
    """Write where a finding is as the program's author names it."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{camel(part)}" for part in at]
    return "".join(parts).lstrip(".")


def _place(inputs: Json, given: Given) -> tuple[Place, Whereabouts]:
    """Take out where a resource goes."""
    group = _text(inputs, "resourceGroupName")
    own: Json = {name: inputs.pop(name) for name in ("location", "workspacePublicNetworkAccess") if name in inputs}
    where = validated(Whereabouts, given, own)
    return Place(group, where.location, {}, ""), where


def _check_name(name: str, rule: TypeAdapter[str], length: tuple[int, int]) -> None:
    """Check a resource's name, which is its name in Azure too."""
    try:
        rule.validate_python(name)
    except ValidationError as error:
        raise InputPropertyError("name", f"{name}: {error.errors()[0]['msg']}") from None
    if not length[0] <= len(name) <= length[1]:
        raise InputPropertyError("name", f"{name}: a name here has {length[0]} to {length[1]} characters")


def _text(inputs: Json, name: str) -> pulumi.Input[str]:
    """Take out a text that may be the output of another resource."""
    value = inputs.pop(name, None)
    if isinstance(value, (str, pulumi.Output)):
        return value
    raise InputPropertyError(name, "is required, a text" if value is None else "is a text")


def main() -> None:
    """Serve the package to the engine that started this process."""
    pulumi.provider.main(Package(), sys.argv[1:])
