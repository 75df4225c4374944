"""The whole stack: from a `StackSpec` to resources and the one exported document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import authorization, resources

from components import compute
from components.aml_compute import ComputeDependencies
from components.base import Component, Place, Secrets
from components.identity import UserAssignedIdentity
from components.workspace import Workspace, WorkspaceDependencies
from specs.outputs import StackOutputs, WorkspaceOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.compute import ComputeSpec
    from specs.stack import StackSpec

STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
"""Azure built-in role (RBAC built-in roles, Storage)."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who deploys, and where to."""

    subscription_id: str
    tenant_id: str


class Stack(Component):
    """Everything that one stack file declares. `document` is what the stack exports."""

    document: pulumi.Output[dict[str, object]]

    def __init__(self, name: str, spec: StackSpec, account: Account, secrets: Secrets) -> None:
        super().__init__("Stack", name, None)
        child = pulumi.ResourceOptions(parent=self)
        group = resources.ResourceGroup(
            spec.resource_group,
            resources.ResourceGroupArgs(
                resource_group_name=spec.resource_group, location=spec.location, tags=dict(spec.tags)
            ),
            child,
        )
        scope = f"{account.subscription_id}/{spec.resource_group}"
        place = Place(resource_group=group.name, location=spec.location, tags=spec.tags, scope=scope)
        subnet_ids = _network(f"{spec.resource_group}-vnet", spec, place, child)
        identities = {key: UserAssignedIdentity(key, item, place, child) for key, item in spec.identities.items()}
        workspaces: dict[str, Workspace] = {}
        ids: dict[str, pulumi.Output[str]] = {}
        for key, item in spec.workspaces.items():
            uses = WorkspaceDependencies(tenant_id=account.tenant_id, identities=identities)
            workspaces[key] = workspace = Workspace(key, item, place, uses, child)
            dependencies = ComputeDependencies(
                workspace=workspace,
                workspace_key=key,
                private=item.public_network_access == "Disabled",
                identities=identities,
                subnet_ids=subnet_ids,
                secrets=secrets,
            )
            for compute_name, compute_spec in item.computes.items():
                ids[compute_name] = compute.declare(compute_name, compute_spec, place, dependencies, child)
            if item.system_datastores_auth_mode == "Identity":
                used = _used_identities(item.computes, identities)
                _let_read(key, used, workspace.storage_account, account.subscription_id, child)
        self.document = _document(name, spec, account, workspaces, ids)
        self.register_outputs({})


def _network(
    name: str, spec: StackSpec, place: Place, opts: pulumi.ResourceOptions
) -> Mapping[str, pulumi.Output[str]]:
    """Declare the network, if there is one; importing the vendor's network module costs 1.4 CPU seconds."""
    if spec.network is None:
        return {}
    from components.network import Network

    return Network(name, spec.network, place, opts).subnet_ids


def _used_identities(
    computes: Mapping[str, ComputeSpec], known: Mapping[str, UserAssignedIdentity]
) -> dict[str, UserAssignedIdentity]:
    names = {name for item in computes.values() if item.identity for name in item.identity.user_assigned_identities}
    return {name: known[name] for name in sorted(names & set(known))}


def _let_read(
    key: str,
    identities: Mapping[str, UserAssignedIdentity],
    storage_account: pulumi.Output[str],
    subscription_id: str,
    opts: pulumi.ResourceOptions,
) -> None:
    """Let the identities of a workspace's computes read and write its storage, where keys are not used."""
    role = (
        f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
        f"{STORAGE_BLOB_DATA_CONTRIBUTOR}"
    )
    for name, identity in identities.items():
        authorization.RoleAssignment(
            f"{key}-{name}-storage",
            authorization.RoleAssignmentArgs(
                principal_id=identity.principal_id,
                principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
                role_definition_id=role,
                scope=storage_account,
            ),
            opts,
        )


def _document(
    name: str,
    spec: StackSpec,
    account: Account,
    workspaces: Mapping[str, Workspace],
    ids: Mapping[str, pulumi.Output[str]],
) -> pulumi.Output[dict[str, object]]:
    known = pulumi.Output.all(
        ids=dict(ids),
        workspaces={
            key: {"id": item.id, "name": item.name, "storage_account": item.storage_account}
            for key, item in workspaces.items()
        },
    )

    def render(values: dict[str, dict[str, object]]) -> dict[str, object]:
        return render_document(name, spec, account, values)

    return known.apply(render)


def render_document(
    name: str, spec: StackSpec, account: Account, values: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """Build the exported document from the spec and the ids that Azure gave. Pure."""
    outputs = StackOutputs(
        stack=name,
        cloud=spec.cloud,
        subscription_id=account.subscription_id,
        tenant_id=account.tenant_id,
        resource_group=spec.resource_group,
        location=spec.location,
        workspaces={
            key: WorkspaceOutput.model_validate({**dict(found), "location": spec.location})
            for key, found in values["workspaces"].items()
            if isinstance(found, dict)
        },
        targets={
            compute_name: compute.target(compute_name, key, compute_spec, str(values["ids"][compute_name]))
            for key, item in spec.workspaces.items()
            for compute_name, compute_spec in item.computes.items()
        },
        default_target=spec.default_target,
    )
    return outputs.model_dump(mode="json")
