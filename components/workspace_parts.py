"""What a workspace stands on: storage account, key vault, insights, registry; each made closed and without keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pulumi_azure_native import applicationinsights, keyvault, operationalinsights, storage

from components.base import unique_name

if TYPE_CHECKING:
    import pulumi

    from components.base import Place
    from specs.workspace import WorkspaceSpec

TRUSTED = "AzureServices"
"""Who passes a closed firewall: Azure's own services by their managed identities, the workspace's among them."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the parts of one workspace."""

    key: str
    spec: WorkspaceSpec
    place: Place
    child: pulumi.ResourceOptions

    @property
    def _tags(self) -> dict[str, str]:
        return self.place.tagged(self.spec.tags)

    @property
    def _default_action(self) -> str:
        return "Deny" if self.spec.private else "Allow"

    def storage_account(self) -> pulumi.Output[str]:
        """Make the storage account; its keys open it only where the datastores use them."""
        keys = self.spec.system_datastores_auth_mode == "AccessKey"
        account = storage.StorageAccount(
            f"{self.key}-storage",
            storage.StorageAccountArgs(
                resource_group_name=self.place.resource_group,
                account_name=unique_name("st", self.key, self.place.scope, 24),
                location=self.place.location,
                kind=storage.Kind.STORAGE_V2,
                sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
                allow_blob_public_access=False,
                allow_cross_tenant_replication=False,
                allow_shared_key_access=keys,
                default_to_o_auth_authentication=not keys,
                enable_https_traffic_only=True,
                minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
                public_network_access=self.spec.public_network_access,
                network_rule_set=storage.NetworkRuleSetArgs(bypass=TRUSTED, default_action=self._default_action),
                tags=self._tags,
            ),
            self.child,
        )
        account_id: pulumi.Output[str] = account.id
        return account_id

    def key_vault(self, tenant_id: pulumi.Input[str]) -> pulumi.Output[str]:
        """Make the vault: roles instead of access policies, and nobody deletes what is in it for good."""
        vault = keyvault.Vault(
            vault_logical_name(self.key),
            keyvault.VaultArgs(
                resource_group_name=self.place.resource_group,
                location=self.place.location,
                properties=keyvault.VaultPropertiesArgs(
                    tenant_id=tenant_id,
                    sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.STANDARD),
                    enable_purge_protection=True,
                    enable_rbac_authorization=True,
                    enable_soft_delete=True,
                    public_network_access=self.spec.public_network_access,
                    network_acls=keyvault.NetworkRuleSetArgs(bypass=TRUSTED, default_action=self._default_action),
                ),
                tags=self._tags,
            ),
            self.child,
        )
        vault_id: pulumi.Output[str] = vault.id
        return vault_id

    def container_registry(self) -> pulumi.Output[str]:
        """Make the registry, without its admin account: identities pull. Premium, where only private ends reach it.

        Importing the vendor's module costs time, so only here.
        """
        from pulumi_azure_native import containerregistry

        closed = self.spec.private
        registry = containerregistry.Registry(
            f"{self.key}-registry",
            containerregistry.RegistryArgs(
                resource_group_name=self.place.resource_group,
                registry_name=unique_name("cr", self.key, self.place.scope, 50),
                location=self.place.location,
                # Private endpoints and a closed firewall are Premium's alone (azure-docs container-registry-skus).
                sku=containerregistry.SkuArgs(name="Premium" if closed else "Basic"),
                admin_user_enabled=False,
                anonymous_pull_enabled=False,
                public_network_access=self.spec.public_network_access,
                network_rule_bypass_options=TRUSTED,
                network_rule_set=containerregistry.NetworkRuleSetArgs(default_action="Deny") if closed else None,
                tags=self._tags,
            ),
            self.child,
        )
        registry_id: pulumi.Output[str] = registry.id
        return registry_id

    def application_insights(self) -> pulumi.Output[str]:
        """Make Application Insights on a Log Analytics workspace of its own."""
        logs = operationalinsights.Workspace(
            f"{self.key}-logs",
            operationalinsights.WorkspaceArgs(
                resource_group_name=self.place.resource_group,
                workspace_name=f"{self.key}-logs",
                location=self.place.location,
                sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
                retention_in_days=30,
                tags=self._tags,
            ),
            self.child,
        )
        insights = applicationinsights.Component(
            f"{self.key}-insights",
            self.child,
            # Not as …Args: the vendor's class passes its field resource_name on beside its own first parameter.
            resource_group_name=self.place.resource_group,
            resource_name_=f"{self.key}-insights",
            location=self.place.location,
            kind="web",
            application_type=applicationinsights.ApplicationType.WEB,
            workspace_resource_id=logs.id,
            disable_local_auth=True,
            tags=self._tags,
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
