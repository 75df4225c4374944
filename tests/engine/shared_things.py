"""What stands in Azure before the everything stacks: made over ARM, as other people would have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.conftest import Site

SUBSCRIPTION = "/subscriptions/00000000-7472-6169-6e79-617264656d75"
GROUP = "/resourceGroups/shared"
PROVIDERS = f"{GROUP}/providers"
WEST = "westeurope"
SUBNET = f"{SUBSCRIPTION}{PROVIDERS}/Microsoft.Network/virtualNetworks/company/subnets/research"
NIC = f"{SUBSCRIPTION}{PROVIDERS}/Microsoft.Network/networkInterfaces/old-box"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzN0Fd6SuWjAGyTYYpYXgkFPcTHRUSlAPXtVPvBjMOT team"


def bodies(tenant: str) -> list[tuple[str, str, dict[str, object]]]:
    """List paths, api-versions and bodies in the order in which they must be made."""
    configurations = [
        {"name": "main", "properties": {"subnet": {"id": SUBNET}, "privateIPAllocationMethod": "Dynamic"}}
    ]
    return [
        (GROUP, "2024-03-01", {"location": WEST}),
        (f"{PROVIDERS}/Microsoft.Storage/storageAccounts/sharedstore", "2024-01-01",
         {"location": WEST, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}),
        (f"{PROVIDERS}/Microsoft.KeyVault/vaults/shared-vault", "2024-11-01",
         {"location": WEST, "properties": {"tenantId": tenant, "sku": {"family": "A", "name": "standard"},
          "accessPolicies": [], "enableSoftDelete": True, "enablePurgeProtection": True}}),
        (f"{PROVIDERS}/Microsoft.OperationalInsights/workspaces/shared-logs", "2023-09-01",
         {"location": WEST, "properties": {"sku": {"name": "PerGB2018"}}}),
        (f"{PROVIDERS}/microsoft.insights/components/shared-insights", "2020-02-02",
         {"location": WEST, "kind": "web", "properties": {"Application_Type": "web", "WorkspaceResourceId":
          f"{SUBSCRIPTION}{PROVIDERS}/Microsoft.OperationalInsights/workspaces/shared-logs"}}),
        (f"{PROVIDERS}/Microsoft.ContainerRegistry/registries/sharedimages", "2023-01-01-preview",
         {"location": WEST, "sku": {"name": "Premium"}, "properties": {"adminUserEnabled": False}}),
        (f"{PROVIDERS}/Microsoft.Network/networkSecurityGroups/company-rules", "2024-05-01",
         {"location": WEST, "properties": {"securityRules": []}}),
        (f"{PROVIDERS}/Microsoft.Network/privateDnsZones/privatelink.notebooks.azure.net", "2024-06-01",
         {"location": "global", "properties": {}}),
        (f"{PROVIDERS}/Microsoft.Network/virtualNetworks/company", "2024-05-01",
         {"location": WEST, "properties": {"addressSpace": {"addressPrefixes": ["10.80.0.0/16"]},
          "subnets": [{"name": "research", "properties": {"addressPrefix": "10.80.1.0/24"}}]}}),
        (f"{PROVIDERS}/Microsoft.Network/networkInterfaces/old-box", "2024-05-01",
         {"location": WEST, "properties": {"ipConfigurations": configurations}}),
        (f"{PROVIDERS}/Microsoft.Compute/virtualMachines/old-box", "2024-11-01",
         {"location": WEST, "properties": {
             "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
             "storageProfile": {
                 "imageReference": {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                                    "sku": "22_04-lts-gen2", "version": "latest"},
                 "osDisk": {"createOption": "FromImage"}},
             "osProfile": {
                 "computerName": "old-box", "adminUsername": "jobs",
                 "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [
                     {"path": "/home/jobs/.ssh/authorized_keys", "keyData": PUBLIC_KEY}]}}},
             "networkProfile": {"networkInterfaces": [{"id": NIC}]}}}),
    ]  # fmt: skip


def make(site: Site) -> None:
    """Make all of it."""
    from emulator import launch

    tenant = launch.ensure(site.root / ".trainyard/emulator").tenant_id
    for path, version, body in bodies(tenant):
        site.put(f"{path}?api-version={version}", body)
