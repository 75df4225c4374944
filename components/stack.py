"""The whole stack: from a `StackSpec` to resources and the one exported document."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import resources

from components import compute
from components.base import Account as Account  # noqa: PLC0414 - the program takes both from here
from components.base import Component, ComputeDependencies, Place
from components.document import render_document
from components.identity import UserAssignedIdentity
from components.references import elsewhere
from components.roles import DATA_ROLE, IMAGE_ROLE, Grants, Principal, Roles, Scope
from components.security_rules import uses
from components.workspace import Workspace, WorkspaceDependencies
from specs.compute import OnNodes
from specs.workspace import ExistingWorkspace as ExistingWorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.base import Declared, Secrets
    from components.endpoints import Endpoints
    from components.references import ExistingWorkspace
    from specs.compute import ComputeSpec
    from specs.stack import StackSpec
    from specs.workspace import WorkspaceSpec


class Stack(Component):
    """Everything that one stack file declares. `document` is what the stack exports."""

    document: pulumi.Output[dict[str, object]]

    def __init__(self, name: str, spec: StackSpec, account: Account, secrets: Secrets) -> None:
        super().__init__("Stack", name, None)
        self._spec, self._account, self._secrets = spec, account, secrets
        self._child = pulumi.ResourceOptions(parent=self)
        group = resources.ResourceGroup(
            spec.resource_group,
            resources.ResourceGroupArgs(
                resource_group_name=spec.resource_group, location=spec.location, tags=dict(spec.tags)
            ),
            self._child,
        )
        scope = f"{account.subscription_id}/{spec.resource_group}"
        self._place = Place(resource_group=group.name, location=spec.location, tags=spec.tags, scope=scope)
        self._network_ready: list[pulumi.Resource] = []
        there = elsewhere(spec, account, self._child)
        self._own_subnets = self._network()
        self._subnet_ids = {**self._own_subnets, **there.subnet_ids}
        self._own = {
            key: UserAssignedIdentity(key, item, self._place, self._child) for key, item in spec.identities.items()
        }
        self._identities = {**{key: item.id for key, item in self._own.items()}, **there.identity_ids}
        principals = {key: Principal(item.principal_id, item.resource) for key, item in self._own.items()}
        principals |= {key: Principal(id_) for key, id_ in there.principals.items()}
        self._roles = Roles(Grants(account.subscription_id, scope, self._child), principals)
        self._computes: dict[str, Declared] = {}
        workspaces = self._own_workspaces(self._declared_roles({"resource_group": Scope("resource_group", group.id)}))
        for key, existing in there.workspaces.items():
            self._declare(key, existing.name, existing.resource_group, ())
        self.document = self._document(name, workspaces, there.workspaces)
        self.register_outputs({})

    def _network(self) -> Mapping[str, pulumi.Input[str]]:
        """Declare the network, if there is one to make; importing the vendor's module for it costs 1.4 CPU seconds."""
        network = self._spec.network
        if network is None:
            return {}
        if network.id:
            return {name: f"{network.id}/subnets/{name}" for name in network.subnets}
        from components.network import Network

        name = f"{self._spec.resource_group}-vnet"
        made = Network(name, network, uses(self._spec), self._place, self._child)
        self._network_ready = made.ready
        return made.subnet_ids

    def _own_workspaces(self, early: Sequence[pulumi.Resource]) -> Mapping[str, Workspace]:
        """Declare the workspaces with all that belongs to them; `early` roles stand before."""
        found: dict[str, Workspace] = {}
        endpoints = self._endpoints()
        for key, item in self._spec.workspaces.items():
            uses_ = WorkspaceDependencies(
                tenant_id=self._account.tenant_id,
                identities=self._identities,
                subnet_ids=self._subnet_ids,
                roles=self._roles,
                after=early,
            )
            found[key] = workspace = Workspace(key, item, self._place, uses_, self._child)
            ready = endpoints.of(key, item, workspace) if endpoints else []
            # The last role is the one on the workspace itself, which the others precede.
            after = [*workspace.roles[-1:], *(ready if item.private else [])]
            self._declare(key, workspace.name, self._place.resource_group, after)
            self._roles_of_computes(key, item, workspace)
        self._declared_roles(
            {
                f"workspaces.{key}.{part}".rstrip("."): scope
                for key, workspace in found.items()
                for part, scope in workspace.scopes.items()
            }
        )
        return found

    def _endpoints(self) -> Endpoints | None:
        """Prepare for private endpoints, if there are any; imports what they need only then."""
        if not any(item.private_endpoint for item in self._spec.workspaces.values()):
            return None
        from components.endpoints import Endpoints

        return Endpoints(self._spec, self._subnet_ids, self._place, self._network_ready, self._child)

    def _declare(
        self,
        key: str,
        name: pulumi.Input[str],
        resource_group: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Declare the computes of a workspace, the stack's own or an existing one."""
        item = self._spec.all_workspaces()[key]
        location = item.location if isinstance(item, ExistingWorkspaceSpec) else None
        dependencies = ComputeDependencies(
            workspace_name=name,
            resource_group=resource_group,
            workspace_key=key,
            location=location or self._spec.location,
            private=item.private,
            identities=self._identities,
            subnet_ids=self._subnet_ids,
            secrets=self._secrets,
            after=after,
        )
        for compute_name, compute_spec in item.computes.items():
            self._computes[compute_name] = compute.declare(
                compute_name, compute_spec, self._place, dependencies, self._child
            )

    def _declared_roles(self, scopes: Mapping[str, Scope]) -> list[pulumi.Resource]:
        """Give what identities ask for in `scopes` and in what exists already; the rest waits for its workspace."""
        given: list[pulumi.Resource] = []
        for identity, item in self._spec.identities.items():
            for asked in item.role_assignments:
                existing = Scope(asked.scope, asked.scope) if asked.scope.startswith("/") else None
                if scope := scopes.get(asked.scope, existing):
                    given += self._roles.give(identity, [asked.role], scope)
        return given

    def _roles_of_computes(self, key: str, item: WorkspaceSpec, workspace: Workspace) -> None:
        """Let the identities of a workspace's computes reach its data and its images, where no keys are used."""
        for identity in sorted(_identities(item.computes)):
            if item.system_datastores_auth_mode == "Identity":
                scope = workspace.scopes["storage_account"]
                self._roles.give(identity, [DATA_ROLE], scope, former_name=f"{key}-{identity}-storage")
            if item.container_registry == "new":
                self._roles.give(identity, [IMAGE_ROLE], workspace.scopes["container_registry"])

    def _document(
        self, name: str, workspaces: Mapping[str, Workspace], existing: Mapping[str, ExistingWorkspace]
    ) -> pulumi.Output[dict[str, object]]:
        computes = self._computes
        known = pulumi.Output.all(
            workspaces={
                **{
                    key: {"id": item.id, "name": item.name, "storage_account": item.storage_account}
                    for key, item in workspaces.items()
                },
                **{key: {"id": item.id, "name": item.name, "storage_account": ""} for key, item in existing.items()},
            },
            ids={key: item.id for key, item in computes.items()},
            addresses={key: item.address for key, item in computes.items() if item.address},
            subnets=dict(self._own_subnets),
            identities={key: {"id": item.id, "principal_id": item.principal_id} for key, item in self._own.items()},
        )
        return known.apply(partial(render_document, name, self._spec, self._account))


def _identities(computes: Mapping[str, ComputeSpec]) -> set[str]:
    """Name the user-assigned identities of computes."""
    own = [item.identity for item in computes.values() if isinstance(item, OnNodes)]
    return {name for identity in own if identity for name in identity.user_assigned_identities}
