"""Where each of our own resource types is in Azure Resource Manager: path and api-version. Data and pure functions.

The paths are pulumi-azure-native 3.29's, as its own metadata has them, with the SDK's parameter names in braces; a
contract test holds them against what the emulator's provider plays. Who needs an id before anything is made asks here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
ROLE_ASSIGNMENT = "azure-native:authorization:RoleAssignment"


@dataclass(frozen=True, slots=True)
class Kind:
    """One type: the path of its PUT and the api-version."""

    path: str
    api: str

    @property
    def parameter(self) -> str:
        """The path parameter that holds the resource's own name."""
        return self.path.rpartition("{")[2].rstrip("}")

    @property
    def collection(self) -> Kind:
        """The list that holds the resources of this type: the path without its last segment."""
        return Kind(self.path.rpartition("/")[0], self.api)

    def id(self, subscription: str, value: Callable[[str], str | None]) -> str | None:
        """Fill the path in; None where a parameter has no value yet."""
        filled = self.path
        for name in re.findall(r"{(\w+)}", self.path):
            found = subscription if name == "subscriptionId" else value(name)
            if not found:
                return None
            # A scope is an id itself: RoleAssignments_Create takes it as it is.
            part = found.strip("/") if name == "scope" else quote(found, safe="")
            filled = filled.replace(f"{{{name}}}", part)
        return filled


TABLE = """
storage:StorageAccount Microsoft.Storage/storageAccounts/{accountName} 2024-01-01
storage:BlobContainer Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName} 2024-01-01
keyvault:Vault Microsoft.KeyVault/vaults/{vaultName} 2024-11-01
operationalinsights:Workspace Microsoft.OperationalInsights/workspaces/{workspaceName} 2023-09-01
applicationinsights:Component microsoft.insights/components/{resourceName} 2020-02-02
containerregistry:Registry Microsoft.ContainerRegistry/registries/{registryName} 2023-01-01-preview
managedidentity:UserAssignedIdentity Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName} 2023-01-31
network:VirtualNetwork Microsoft.Network/virtualNetworks/{virtualNetworkName} 2024-05-01
network:Subnet Microsoft.Network/virtualNetworks/{virtualNetworkName}/subnets/{subnetName} 2024-05-01
network:NetworkSecurityGroup Microsoft.Network/networkSecurityGroups/{networkSecurityGroupName} 2024-05-01
network:NetworkInterface Microsoft.Network/networkInterfaces/{networkInterfaceName} 2024-05-01
network:PublicIPAddress Microsoft.Network/publicIPAddresses/{publicIpAddressName} 2024-05-01
network:PrivateEndpoint Microsoft.Network/privateEndpoints/{privateEndpointName} 2024-05-01
network:PrivateDnsZoneGroup Microsoft.Network/privateEndpoints/{privateEndpointName}/privateDnsZoneGroups/{privateDnsZoneGroupName} 2024-05-01
privatedns:PrivateZone Microsoft.Network/privateDnsZones/{privateZoneName} 2024-06-01
privatedns:VirtualNetworkLink Microsoft.Network/privateDnsZones/{privateZoneName}/virtualNetworkLinks/{virtualNetworkLinkName} 2024-06-01
compute:VirtualMachine Microsoft.Compute/virtualMachines/{vmName} 2024-11-01
machinelearningservices:Workspace Microsoft.MachineLearningServices/workspaces/{workspaceName} 2025-12-01
machinelearningservices:ManagedNetworkSettingsRule Microsoft.MachineLearningServices/workspaces/{workspaceName}/outboundRules/{ruleName} 2025-12-01
machinelearningservices:Compute Microsoft.MachineLearningServices/workspaces/{workspaceName}/computes/{computeName} 2025-12-01
"""  # noqa: E501 - a table has long rows
"""Types in a resource group, one a line: token, path below `providers/`, api-version. New types go here."""

KINDS: Mapping[str, Kind] = {
    "azure-native:resources:ResourceGroup": Kind(GROUP.replace("Groups", "groups"), "2024-03-01"),
    ROLE_ASSIGNMENT: Kind(
        "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}", "2022-04-01"
    ),
    **{
        f"azure-native:{token}": Kind(f"{GROUP}/providers/{path}", api)
        for token, path, api in (line.split() for line in TABLE.split("\n") if line)
    },
}
"""By Pulumi's type token."""
