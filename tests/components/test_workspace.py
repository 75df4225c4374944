from __future__ import annotations

from typing import TYPE_CHECKING

from specs.base import replacing
from specs.stack import StackSpec
from specs.workspace import WorkspaceSpec
from tests.components.conftest import SUBSCRIPTION, arm_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.components.conftest import Rendered

WORKSPACE = "azure-native:machinelearningservices:Workspace"
STORAGE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.Storage/storageAccounts/store"
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.KeyVault/vaults/vault"
INSIGHTS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/microsoft.insights/components/insights"
REGISTRY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.ContainerRegistry/registries/images"
)
KEY = "https://vault.vault.azure.net/keys/workspace/0123456789abcdef0123456789abcdef"


def stack(workspace: Mapping[str, object], **more: object) -> StackSpec:
    return StackSpec.model_validate(
        {
            "cloud": "emulator",
            "location": "westeurope",
            "resource_group": "rg",
            "workspaces": {"research": workspace},
            **more,
        }
    )


def test_a_workspace_of_which_nothing_is_said_is_closed_and_uses_no_keys(
    render: Callable[..., Rendered],
) -> None:
    recorder = render(stack({})).recorder
    (workspace,), (account,) = recorder.of(WORKSPACE), recorder.of("azure-native:storage:StorageAccount")
    (vault,) = recorder.of("azure-native:keyvault:Vault")
    assert workspace.inputs == {
        "resourceGroupName": "rg",
        "workspaceName": "research",
        "location": "westeurope",
        "sku": {"name": "Basic"},
        "identity": {"type": "SystemAssigned"},
        "storageAccount": arm_id("StorageAccount", "research-storage"),
        "keyVault": arm_id("Vault", "research-vault"),
        "applicationInsights": arm_id("Component", "research-insights"),
        "publicNetworkAccess": "Disabled",
        "v1LegacyMode": False,
        "systemDatastoresAuthMode": "Identity",
        "hbiWorkspace": False,
        "tags": {},
    }
    assert account.inputs == {
        "resourceGroupName": "rg",
        "accountName": "stresearch19f90eda",
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "allowSharedKeyAccess": False,
        "defaultToOAuthAuthentication": True,
        "enableHttpsTrafficOnly": True,
        "minimumTlsVersion": "TLS1_2",
        "publicNetworkAccess": "Disabled",
        "networkRuleSet": {"bypass": "AzureServices", "defaultAction": "Deny"},
        "tags": {},
    }
    assert vault.inputs == {
        "resourceGroupName": "rg",
        "location": "westeurope",
        "properties": {
            "tenantId": "tenant",
            "sku": {"family": "A", "name": "standard"},
            "enablePurgeProtection": True,
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "publicNetworkAccess": "Disabled",
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny"},
            "enabledForDeployment": False,
            "enabledForDiskEncryption": False,
            "enabledForTemplateDeployment": False,
            "softDeleteRetentionInDays": 90,
        },
        "tags": {},
    }
    assert recorder.of("azure-native:authorization:RoleAssignment") == []


def test_every_option_of_a_workspace_reaches_its_place_in_the_body(render: Callable[..., Rendered]) -> None:
    spec = stack(
        {
            "friendly_name": "Research",
            "description": "Experiments.",
            "sku": "Premium",
            "identity": {"type": "UserAssigned", "user_assigned_identities": ["first", "second"]},
            "primary_user_assigned_identity": "second",
            "public_network_access": "Enabled",
            "v1_legacy_mode": True,
            "system_datastores_auth_mode": "AccessKey",
            "hbi_workspace": True,
            "encryption": {
                "key_vault_arm_id": VAULT,
                "key_identifier": KEY,
                "user_assigned_identity": "first",
            },
            "managed_network": {
                "isolation_mode": "AllowOnlyApprovedOutbound",
                "firewall_sku": "Basic",
                "outbound_rules": {
                    "packages": {"type": "FQDN", "destination": "packages.example.com"},
                    "data": {
                        "type": "PrivateEndpoint",
                        "destination": {
                            "service_resource_id": STORAGE,
                            "subresource_target": "blob",
                            "spark_enabled": True,
                        },
                    },
                    "factory": {
                        "type": "ServiceTag",
                        "destination": {"service_tag": "DataFactory", "protocol": "TCP", "port_ranges": "443"},
                    },
                },
            },
            "serverless_compute": {"subnet": "nodes", "no_public_ip": False},
            "storage_account": STORAGE,
            "key_vault": VAULT,
            "application_insights": INSIGHTS,
            "container_registry": REGISTRY,
            "image_build_compute": "builder",
            "tags": {"data": "internal"},
            "computes": {"builder": {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 1}},
        },
        tags={"owner": "team"},
        identities={"first": {}, "second": {}},
        network={"address_space": ["10.0.0.0/16"], "subnets": {"nodes": {"address_prefix": "10.0.1.0/24"}}},
    )
    recorder = render(spec).recorder
    (workspace,) = recorder.of(WORKSPACE)
    first, second = (arm_id("UserAssignedIdentity", name) for name in ("first", "second"))
    assert workspace.inputs == {
        "resourceGroupName": "rg",
        "workspaceName": "research",
        "location": "westeurope",
        "sku": {"name": "Premium"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [first, second]},
        "primaryUserAssignedIdentity": second,
        "friendlyName": "Research",
        "description": "Experiments.",
        "storageAccount": STORAGE,
        "keyVault": VAULT,
        "applicationInsights": INSIGHTS,
        "containerRegistry": REGISTRY,
        "imageBuildCompute": "builder",
        "publicNetworkAccess": "Enabled",
        "v1LegacyMode": True,
        "systemDatastoresAuthMode": "AccessKey",
        "hbiWorkspace": True,
        "encryption": {
            "status": "Enabled",
            "keyVaultProperties": {"keyVaultArmId": VAULT, "keyIdentifier": KEY},
            "identity": {"userAssignedIdentity": first},
        },
        "managedNetwork": {
            "enableNetworkMonitor": False,
            "isolationMode": "AllowOnlyApprovedOutbound",
            "firewallSku": "Basic",
        },
        "serverlessComputeSettings": {
            "serverlessComputeCustomSubnet": arm_id("Subnet", "rg-vnet-nodes"),
            "serverlessComputeNoPublicIP": False,
        },
        "tags": {"owner": "team", "data": "internal"},
    }
    for kind in ("storage:StorageAccount", "keyvault:Vault", "applicationinsights:Component"):
        assert recorder.of(f"azure-native:{kind}") == []
    rules = recorder.of("azure-native:machinelearningservices:ManagedNetworkSettingsRule")
    assert {str(rule.inputs["ruleName"]): rule.inputs["properties"] for rule in rules} == {
        "packages": {"type": "FQDN", "category": "UserDefined", "destination": "packages.example.com"},
        "data": {
            "type": "PrivateEndpoint",
            "category": "UserDefined",
            "destination": {"serviceResourceId": STORAGE, "subresourceTarget": "blob", "sparkEnabled": True},
        },
        "factory": {
            "type": "ServiceTag",
            "category": "UserDefined",
            "destination": {"serviceTag": "DataFactory", "protocol": "TCP", "portRanges": "443"},
        },
    }


def test_what_the_service_fixes_at_creation_replaces_the_workspace_and_nothing_else(
    render: Callable[..., Rendered],
) -> None:
    options = render(stack({})).recorder.options[WORKSPACE, "research"]
    assert options.replace_on_changes == ("hbiWorkspace", "keyVault", "location", "storageAccount")
    assert set(options.replace_on_changes) == {"location", *replacing(WorkspaceSpec)}
    assert options.delete_before_replace


def test_an_open_workspace_with_keys_stands_on_open_parts(render: Callable[..., Rendered]) -> None:
    spec = stack(
        {"public_network_access": "Enabled", "system_datastores_auth_mode": "AccessKey", "container_registry": "new"}
    )
    recorder = render(spec).recorder
    (account,) = recorder.of("azure-native:storage:StorageAccount")
    (registry,) = recorder.of("azure-native:containerregistry:Registry")
    shown = ("allowSharedKeyAccess", "defaultToOAuthAuthentication", "publicNetworkAccess", "networkRuleSet")
    assert {name: account.inputs[name] for name in shown} == {
        "allowSharedKeyAccess": True,
        "defaultToOAuthAuthentication": False,
        "publicNetworkAccess": "Enabled",
        "networkRuleSet": {"bypass": "AzureServices", "defaultAction": "Allow"},
    }
    assert registry.inputs == {
        "resourceGroupName": "rg",
        "registryName": "crresearch19f90eda",
        "location": "westeurope",
        "sku": {"name": "Basic"},
        "adminUserEnabled": False,
        "anonymousPullEnabled": False,
        "publicNetworkAccess": "Enabled",
        "networkRuleBypassOptions": "AzureServices",
        "zoneRedundancy": "Disabled",
        "tags": {},
    }


def test_a_private_workspaces_new_registry_is_premium_and_shut(render: Callable[..., Rendered]) -> None:
    (registry,) = render(stack({"container_registry": "new"})).recorder.of("azure-native:containerregistry:Registry")
    assert registry.inputs["sku"] == {"name": "Premium"}
    assert registry.inputs["networkRuleSet"] == {"defaultAction": "Deny"}
    assert registry.inputs["publicNetworkAccess"] == "Disabled"
    assert registry.inputs["adminUserEnabled"] is False


def test_the_only_user_assigned_identity_is_the_primary_one(render: Callable[..., Rendered]) -> None:
    identity = {"type": "SystemAssigned,UserAssigned", "user_assigned_identities": ["only"]}
    (workspace,) = render(stack({"identity": identity}, identities={"only": {}})).recorder.of(WORKSPACE)
    assert workspace.inputs["primaryUserAssignedIdentity"] == arm_id("UserAssignedIdentity", "only")
