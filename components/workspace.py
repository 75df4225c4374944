"""A workspace with what it needs: what it stands on, the roles of its identity, its private endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from components.base import Component, Place, resolve
from components.roles import FILE_ROLE, OWN_ROLES, Roles, Scope
from components.workspace_parts import Maker
from specs.base import replacing
from specs.workspace import FqdnRule, ServiceTagRule, WorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from specs.workspace import Encryption, ManagedNetwork, OutboundRule


@dataclass(frozen=True, slots=True)
class WorkspaceDependencies:
    """What a workspace uses and does not own."""

    tenant_id: pulumi.Input[str]
    identities: Mapping[str, pulumi.Input[str]]
    """ARM ids by the names that specs use, `NAME@STACK` ones too."""
    subnet_ids: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """The same."""
    roles: Roles | None = None
    """Gives its identity what it needs; None: somebody else does."""
    after: Sequence[pulumi.Resource] = ()
    """What must stand before the workspace, e.g. the role that opens the customer's key."""


class Workspace(Component):
    """The workspace: its id, its name in Azure, and where roles on it and its parts hold."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    resource: pulumi.Resource
    scopes: dict[str, Scope]
    """By part, a field of the spec; "" is the workspace. No registry: the service makes one when it needs it."""
    roles: list[pulumi.Resource]
    """What its own identity may do."""

    def __init__(
        self,
        name: str,
        spec: WorkspaceSpec,
        place: Place,
        dependencies: WorkspaceDependencies,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Workspace", name, opts)
        self.scopes = self._parts(name, spec, place, dependencies.tenant_id)
        primary = primary_identity(spec)
        self.roles = self._own_roles(primary, spec, dependencies)
        workspace = ml.Workspace(
            name,
            _args(name, spec, place, dependencies, {part: scope.id for part, scope in self.scopes.items()}),
            # Fixed at creation in the service; the vendor's provider replaces for none by itself.
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[*dependencies.after, *self.roles],
                replace_on_changes=sorted({"location", *replacing(WorkspaceSpec)}),
                delete_before_replace=True,
                # Its rules are resources below: a PUT of the workspace adds those that it names and never takes one
                # away. A refresh finds them here too.
                ignore_changes=["managedNetwork.outboundRules"] if spec.managed_network else None,
            ),
        )
        self.id, self.name, self.resource = workspace.id, workspace.name, workspace
        self._outbound_rules(name, spec, place)
        self.scopes[""] = Scope(f"workspaces.{name}", self.id)
        if primary and dependencies.roles:
            self.roles += dependencies.roles.give(primary, OWN_ROLES[""], self.scopes[""])
        self.register_outputs({"id": self.id, "name": self.name})

    @property
    def storage_account(self) -> pulumi.Input[str]:
        """The storage account's ARM id."""
        return self.scopes["storage_account"].id

    def _parts(self, key: str, spec: WorkspaceSpec, place: Place, tenant_id: pulumi.Input[str]) -> dict[str, Scope]:
        maker = Maker(key, spec, place, pulumi.ResourceOptions(parent=self))
        found: dict[str, Scope] = {}

        def part(name: str, given: str | None, made: pulumi.Input[str] | None) -> None:
            if given or made:
                found[name] = Scope(given or f"workspaces.{key}.{name}", given or made or "")

        part("storage_account", spec.storage_account, None if spec.storage_account else maker.storage_account())
        part("key_vault", spec.key_vault, None if spec.key_vault else maker.key_vault(tenant_id))
        insights = spec.application_insights
        part("application_insights", insights, None if insights else maker.application_insights())
        made = spec.container_registry == "new"
        registry = None if made else spec.container_registry
        part("container_registry", registry, maker.container_registry() if made else None)
        return found

    def _outbound_rules(self, name: str, spec: WorkspaceSpec, place: Place) -> None:
        """Let nodes reach what the managed network's rules say, one resource a rule, one after the other."""
        before: list[pulumi.Resource] = []
        for rule_name, rule in (spec.managed_network.outbound_rules if spec.managed_network else {}).items():
            made = ml.ManagedNetworkSettingsRule(
                f"{name}-{rule_name}",
                ml.ManagedNetworkSettingsRuleArgs(
                    resource_group_name=place.resource_group,
                    workspace_name=self.name,
                    rule_name=rule_name,
                    properties=_outbound_rule(rule),
                ),
                pulumi.ResourceOptions(parent=self, depends_on=before, delete_before_replace=True),
            )
            before = [made]

    def _own_roles(
        self, primary: str | None, spec: WorkspaceSpec, dependencies: WorkspaceDependencies
    ) -> list[pulumi.Resource]:
        """Give the workspace's identity its roles before the workspace is made, which at once uses them."""
        if primary is None or dependencies.roles is None:
            return []
        given: list[pulumi.Resource] = []
        for part, scope in self.scopes.items():
            roles = list(OWN_ROLES[part])
            if part == "storage_account" and spec.system_datastores_auth_mode == "Identity":
                roles.append(FILE_ROLE)
            given += dependencies.roles.give(primary, roles, scope)
        return given


def primary_identity(spec: WorkspaceSpec) -> str | None:
    """Return the user-assigned identity that a workspace acts as, as its spec names it: the stated or the only one."""
    own = spec.identity.user_assigned_identities
    return spec.primary_user_assigned_identity or (own[0] if len(own) == 1 else None)


def _args(
    name: str,
    spec: WorkspaceSpec,
    place: Place,
    dependencies: WorkspaceDependencies,
    parts: Mapping[str, pulumi.Input[str]],
) -> ml.WorkspaceArgs:
    identities, primary = dependencies.identities, primary_identity(spec)
    serverless = spec.serverless_compute
    subnet = serverless.subnet if serverless else None
    return ml.WorkspaceArgs(
        resource_group_name=place.resource_group,
        workspace_name=name,
        location=place.location,
        sku=ml.SkuArgs(name=spec.sku),
        identity=ml.ManagedServiceIdentityArgs(
            type=spec.identity.type,
            user_assigned_identities=[resolve(item, identities) for item in spec.identity.user_assigned_identities]
            or None,
        ),
        primary_user_assigned_identity=resolve(primary, identities) if primary else None,
        friendly_name=spec.friendly_name,
        description=spec.description,
        storage_account=parts["storage_account"],
        key_vault=parts["key_vault"],
        application_insights=parts["application_insights"],
        container_registry=parts.get("container_registry"),
        image_build_compute=spec.image_build_compute,
        public_network_access=spec.public_network_access,
        v1_legacy_mode=spec.v1_legacy_mode,
        system_datastores_auth_mode=spec.system_datastores_auth_mode,
        hbi_workspace=spec.hbi_workspace,
        encryption=_encryption(spec.encryption, identities) if spec.encryption else None,
        managed_network=_managed_network(spec.managed_network) if spec.managed_network else None,
        serverless_compute_settings=ml.ServerlessComputeSettingsArgs(
            serverless_compute_custom_subnet=resolve(subnet, dependencies.subnet_ids) if subnet else None,
            serverless_compute_no_public_ip=serverless.no_public_ip,
        )
        if serverless
        else None,
        tags=place.tagged(spec.tags),
    )


def _encryption(spec: Encryption, identities: Mapping[str, pulumi.Input[str]]) -> ml.EncryptionPropertyArgs:
    reader = spec.user_assigned_identity
    return ml.EncryptionPropertyArgs(
        status=ml.EncryptionStatus.ENABLED,
        key_vault_properties=ml.KeyVaultPropertiesArgs(
            key_vault_arm_id=spec.key_vault_arm_id, key_identifier=spec.key_identifier
        ),
        identity=ml.IdentityForCmkArgs(user_assigned_identity=resolve(reader, identities)) if reader else None,
    )


def _managed_network(spec: ManagedNetwork) -> ml.ManagedNetworkSettingsArgs:
    return ml.ManagedNetworkSettingsArgs(isolation_mode=spec.isolation_mode, firewall_sku=spec.firewall_sku)


def _outbound_rule(
    rule: OutboundRule,
) -> ml.FqdnOutboundRuleArgs | ml.PrivateEndpointOutboundRuleArgs | ml.ServiceTagOutboundRuleArgs:
    category = ml.RuleCategory.USER_DEFINED
    if isinstance(rule, FqdnRule):
        return ml.FqdnOutboundRuleArgs(type=rule.type, category=category, destination=rule.destination)
    if isinstance(rule, ServiceTagRule):
        return ml.ServiceTagOutboundRuleArgs(
            type=rule.type,
            category=category,
            destination=ml.ServiceTagDestinationArgs(
                service_tag=rule.destination.service_tag,
                protocol=rule.destination.protocol,
                port_ranges=rule.destination.port_ranges,
            ),
        )
    return ml.PrivateEndpointOutboundRuleArgs(
        type=rule.type,
        category=category,
        destination=ml.PrivateEndpointDestinationArgs(
            service_resource_id=rule.destination.service_resource_id,
            subresource_target=rule.destination.subresource_target,
            spark_enabled=rule.destination.spark_enabled,
        ),
    )
