"""A workspace with what it needs: storage account, key vault, Log Analytics and Application Insights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import applicationinsights, keyvault, machinelearningservices, operationalinsights, storage

from components.base import Component, Place, unique_name
from components.identity import UserAssignedIdentity, identity_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.workspace import WorkspaceSpec


@dataclass(frozen=True, slots=True)
class WorkspaceDependencies:
    """What a workspace uses and does not own."""

    tenant_id: pulumi.Input[str]
    identities: Mapping[str, UserAssignedIdentity]


class Workspace(Component):
    """The workspace: its id, its name in Azure and its storage account."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    storage_account: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        spec: WorkspaceSpec,
        place: Place,
        dependencies: WorkspaceDependencies,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Workspace", name, opts)
        self._key, self._spec, self._place = name, spec, place
        self.storage_account = self._storage()
        workspace = machinelearningservices.Workspace(
            name,
            machinelearningservices.WorkspaceArgs(
                resource_group_name=place.resource_group,
                workspace_name=name,
                location=place.location,
                sku=machinelearningservices.SkuArgs(name="Basic"),
                identity=machinelearningservices.ManagedServiceIdentityArgs(
                    type=spec.identity.type,
                    user_assigned_identities=identity_ids(spec.identity, dependencies.identities) or None,
                ),
                friendly_name=spec.friendly_name,
                description=spec.description,
                storage_account=self.storage_account,
                key_vault=self._key_vault(dependencies.tenant_id),
                application_insights=self._insights(),
                public_network_access=spec.public_network_access,
                system_datastores_auth_mode=spec.system_datastores_auth_mode,
                hbi_workspace=spec.hbi_workspace,
                tags=place.tagged(spec.tags),
            ),
            # Fixed at creation in the service; the vendor's provider replaces for neither by itself.
            pulumi.ResourceOptions(
                parent=self, replace_on_changes=["hbiWorkspace", "location"], delete_before_replace=True
            ),
        )
        self.id, self.name = workspace.id, workspace.name
        self.register_outputs({"id": self.id, "name": self.name})

    def _storage(self) -> pulumi.Output[str]:
        if self._spec.storage_account:
            return pulumi.Output.from_input(self._spec.storage_account)
        account = storage.StorageAccount(
            f"{self._key}-storage",
            storage.StorageAccountArgs(
                resource_group_name=self._place.resource_group,
                account_name=unique_name("st", self._key, self._place.scope, 24),
                location=self._place.location,
                kind=storage.Kind.STORAGE_V2,
                sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
                allow_blob_public_access=False,
                allow_shared_key_access=self._spec.system_datastores_auth_mode == "AccessKey",
                enable_https_traffic_only=True,
                minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
                public_network_access=self._spec.public_network_access,
                tags=self._place.tagged(self._spec.tags),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        account_id: pulumi.Output[str] = account.id
        return account_id

    def _key_vault(self, tenant_id: pulumi.Input[str]) -> pulumi.Input[str]:
        if self._spec.key_vault:
            return self._spec.key_vault
        vault = keyvault.Vault(
            vault_logical_name(self._key),
            keyvault.VaultArgs(
                resource_group_name=self._place.resource_group,
                location=self._place.location,
                properties=keyvault.VaultPropertiesArgs(
                    tenant_id=tenant_id,
                    sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.STANDARD),
                    enable_rbac_authorization=True,
                    enable_soft_delete=True,
                    public_network_access=self._spec.public_network_access,
                ),
                tags=self._place.tagged(self._spec.tags),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        vault_id: pulumi.Output[str] = vault.id
        return vault_id

    def _insights(self) -> pulumi.Input[str]:
        if self._spec.application_insights:
            return self._spec.application_insights
        logs = operationalinsights.Workspace(
            f"{self._key}-logs",
            operationalinsights.WorkspaceArgs(
                resource_group_name=self._place.resource_group,
                workspace_name=f"{self._key}-logs",
                location=self._place.location,
                sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
                retention_in_days=30,
                tags=self._place.tagged(self._spec.tags),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        insights = applicationinsights.Component(
            f"{self._key}-insights",
            pulumi.ResourceOptions(parent=self),
            # Not as …Args: the vendor's class passes its field resource_name on beside its own first parameter.
            resource_group_name=self._place.resource_group,
            resource_name_=f"{self._key}-insights",
            location=self._place.location,
            kind="web",
            application_type=applicationinsights.ApplicationType.WEB,
            workspace_resource_id=logs.id,
            disable_local_auth=True,
            tags=self._place.tagged(self._spec.tags),
        )
        insights_id: pulumi.Output[str] = insights.id
        return insights_id


def vault_logical_name(workspace: str) -> str:
    """Name the vault's resource so that the provider's name (this and 8 random characters) stays within 24.

    The name is random on purpose: a deleted vault keeps its own for 90 days (Microsoft.KeyVault soft delete), so a
    fixed one would make `destroy` and `up` again fail.
    """
    room = 24 - 8 - len("-vault")
    if len(workspace) <= room:
        return f"{workspace}-vault"
    digest = hashlib.sha256(workspace.encode()).hexdigest()[:4]
    return f"{workspace[: room - 5].rstrip('-')}-{digest}-vault"
