"""A workspace and what belongs to it: its storage, vault, insights, registry, network and computes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import (
    ArmId,
    ComputeName,
    Fault,
    Identity,
    Location,
    Named,
    Spec,
    Tags,
    Wire,
    named,
    raise_faults,
    worded,
)
from specs.compute import ComputeSpec

WORKSPACE_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+",
    re.IGNORECASE,
)
RuleName = Annotated[
    str,
    named(
        "outbound-rule-name",
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        "an outbound rule's name has 1 to 64 letters, digits, _ and -, and starts with a letter or digit",
    ),
]


class FqdnRule(Spec):
    """Nodes may reach a host by name. Azure Firewall guards it, at its own price."""

    type: Literal["FQDN"]
    """ARM's rule type."""
    destination: Annotated[
        str,
        worded(
            r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", "must be a host such as packages.example.com or *.example.com"
        ),
    ]
    """The host, e.g. `packages.example.com` or `*.example.com`."""


class PrivateEndpointDestination(Spec):
    """What a private endpoint of the managed network leads to."""

    service_resource_id: ArmId
    """ARM id of the resource."""
    subresource_target: Annotated[str, Field(min_length=1)]
    """Its part, e.g. `blob`, `vault`, `registry`."""
    spark_enabled: bool = False
    """Whether Spark jobs use it too."""


class PrivateEndpointRule(Spec):
    """Nodes may reach a resource through a private endpoint in the managed network."""

    type: Literal["PrivateEndpoint"]
    """ARM's rule type."""
    destination: PrivateEndpointDestination
    """Where it leads."""


class ServiceTagDestination(Spec):
    """Addresses of an Azure service."""

    service_tag: Annotated[str, Field(min_length=1)]
    """Its service tag, e.g. `DataFactory`."""
    protocol: Literal["TCP", "UDP", "ICMP", "*"]
    """Protocol."""
    port_ranges: Annotated[
        str, worded(r"\*|[0-9]+(-[0-9]+)?(, ?[0-9]+(-[0-9]+)?)*", "must be ports such as 443, or 80, 8080-8089, or *")
    ]
    """Ports, e.g. `443` or `80, 8080-8089`."""


class ServiceTagRule(Spec):
    """Nodes may reach an Azure service."""

    type: Literal["ServiceTag"]
    """ARM's rule type."""
    destination: ServiceTagDestination
    """Which, and how."""


OutboundRule = Annotated[FqdnRule | PrivateEndpointRule | ServiceTagRule, Field(discriminator="type")]


class ManagedNetwork(Spec):
    """A network that the service keeps for the workspace's computes."""

    isolation_mode: Annotated[
        Literal["Disabled", "AllowInternetOutbound", "AllowOnlyApprovedOutbound"], Wire("isolationMode")
    ]
    """Where nodes may go. It can be turned on and tightened; the service never turns it off again."""
    outbound_rules: Annotated[dict[RuleName, OutboundRule], Wire(None)] = {}
    """What nodes may reach beside what the service needs, by name."""
    firewall_sku: Annotated[Literal["Standard", "Basic"] | None, Wire("firewallSku")] = None
    """Azure Firewall's tier, where there are FQDN rules; absent: Standard."""

    @model_validator(mode="after")
    def _rules_apply(self) -> ManagedNetwork:
        faults = []
        for name, rule in self.outbound_rules.items():
            if self.isolation_mode == "Disabled" or (
                self.isolation_mode == "AllowInternetOutbound" and not isinstance(rule, PrivateEndpointRule)
            ):
                message = (
                    f"has no effect with isolation_mode {self.isolation_mode}. Delete it, or set "
                    "isolation_mode: AllowOnlyApprovedOutbound."
                )
                faults.append(Fault(at=("outbound_rules", name), message=message, rule="outbound-rule"))
        raise_faults(faults)
        return self


class Encryption(Spec):
    """Encryption with the customer's own key. Set when the workspace is made, and for good."""

    key_vault_arm_id: Annotated[ArmId, Wire("keyVaultProperties.keyVaultArmId", "refused")]
    """ARM id of the vault that has the key; with soft delete and purge protection, in the workspace's region."""
    key_identifier: Annotated[
        Annotated[
            str,
            worded(
                r"https://[A-Za-z0-9-]+\.vault\.[a-z0-9.-]+(:[0-9]+)?/keys/[A-Za-z0-9-]+/[0-9a-f]+",
                "must be a key with its version, such as https://v.vault.azure.net/keys/k/0123456789abcdef",
            ),
        ],
        Wire("keyVaultProperties.keyIdentifier"),
    ]
    """The key with its version, e.g. `https://v.vault.azure.net/keys/k/0123…`. Another version or key of the same vault
    is taken in place."""
    user_assigned_identity: Annotated[Named | None, Wire("identity.userAssignedIdentity", "refused")] = None
    """Who reads the key; absent: the workspace's own identity."""


class PrivateEndpoint(Spec):
    """A private address for the workspace in a network."""

    subnet: Annotated[Named, Wire(None)]
    """Name of a subnet of this stack's `network`, of another stack's, or an ARM id. A new one replaces the endpoints,
    not the workspace."""
    dependencies: Annotated[bool, Wire(None)] = True
    """Private endpoints too for the storage, vault and registry that are made here."""


class ServerlessCompute(Spec):
    """Where jobs that name no compute run, in the workspace's serverless compute."""

    subnet: Annotated[Named | None, Wire("serverlessComputeCustomSubnet")] = None
    """A subnet of this stack, of another, or an ARM id; absent: the service's own network."""
    no_public_ip: Annotated[bool, Wire("serverlessComputeNoPublicIP")] = True
    """Nodes without public addresses."""


class WorkspaceSpec(Spec):
    """An Azure Machine Learning workspace. The fields are those of ARM's WorkspaceProperties, 2025-12-01."""

    friendly_name: Annotated[Annotated[str, Field(max_length=260)] | None, Wire("friendlyName")] = None
    """Name shown in the studio; absent: its own name."""
    description: Annotated[Annotated[str, Field(max_length=5000)] | None, Wire("description")] = None
    """Free text."""
    sku: Annotated[Literal["Basic", "Free", "Standard", "Premium"], Wire("sku.name")] = "Basic"
    """ARM's tier; the service charges for none of them and knows one edition since 2020."""
    identity: Annotated[Identity, Wire("identity")] = Identity(type="SystemAssigned")
    """Who the workspace is when it reads its storage and vault."""
    primary_user_assigned_identity: Annotated[Named | None, Wire("primaryUserAssignedIdentity")] = None
    """Which of several user-assigned identities it acts as; absent: the only one."""
    public_network_access: Annotated[Literal["Enabled", "Disabled"], Wire("publicNetworkAccess")] = "Disabled"
    """Disabled: reachable through a private endpoint only, so not from a laptop. Open it explicitly."""
    v1_legacy_mode: Annotated[bool, Wire("v1LegacyMode")] = False
    """Keep v2's calls inside the network, as before v2; then v2 jobs do not work."""
    system_datastores_auth_mode: Annotated[Literal["Identity", "AccessKey"], Wire("systemDatastoresAuthMode")] = (
        "Identity"
    )
    """How data is reached: by each caller's own identity, or by the storage account's key."""
    hbi_workspace: Annotated[bool, Wire("hbiWorkspace", "replace")] = False
    """High business impact: less telemetry, scratch disks encrypted. Changing it replaces the workspace."""
    encryption: Annotated[Encryption | None, Wire("encryption", "refused")] = None
    """The customer's own key; absent: Microsoft's."""
    managed_network: Annotated[ManagedNetwork | None, Wire("managedNetwork")] = None
    """A network that the service keeps; absent: none, so nodes use the internet or their own `subnet`."""
    private_endpoint: Annotated[PrivateEndpoint | None, Wire(None)] = None
    """A private address for it; absent: none."""
    serverless_compute: Annotated[ServerlessCompute | None, Wire("serverlessComputeSettings")] = None
    """Serverless compute's network; absent: the service decides."""
    storage_account: Annotated[ArmId | None, Wire("storageAccount", "replace")] = None
    """ARM id of an existing storage account; absent: one is made. Another one replaces the workspace."""
    key_vault: Annotated[ArmId | None, Wire("keyVault", "replace")] = None
    """ARM id of an existing key vault; absent: one is made. Another one replaces the workspace."""
    application_insights: Annotated[ArmId | None, Wire("applicationInsights")] = None
    """ARM id of an existing Application Insights; absent: one is made, with its Log Analytics workspace."""
    container_registry: Annotated[ArmId | Literal["new"] | None, Wire("containerRegistry")] = None
    """ARM id of an existing registry, or `new`; absent: the service makes one when it first builds an image."""
    image_build_compute: Annotated[ComputeName | None, Wire("imageBuildCompute")] = None
    """Cluster of this workspace that builds images, where the registry is private; absent: the registry builds."""
    soft_deleted: Annotated[Literal["refuse", "purge"], Wire(None)] = "refuse"
    """What `up` does when a deleted workspace still holds this name, as it does for 14 days: say so, or delete it for
    good and make a new one. Taking it back is done in Azure's portal, and then by `invoke adopt`."""
    tags: Annotated[Tags, Wire("tags")] = {}
    """Added to the stack's tags."""
    computes: Annotated[dict[ComputeName, ComputeSpec], Wire(None)] = {}
    """Compute targets by name; the names that `submit` takes."""

    @property
    def private(self) -> bool:
        """Whether the public network is closed to it."""
        return self.public_network_access == "Disabled"


class ExistingWorkspace(Spec):
    """A workspace that this stack uses and does not own: another stack's, or one made by hand."""

    workspace: Annotated[Named, Wire(None, "replace")]
    """`NAME@STACK` of another stack of the same backend, or an ARM id."""
    location: Annotated[Location | None, Wire(None)] = None
    """Its region; absent: the stack's."""
    public_network_access: Annotated[Literal["Enabled", "Disabled"], Wire(None)] = "Disabled"
    """What it is, for the defaults of its computes."""
    computes: Annotated[dict[ComputeName, ComputeSpec], Wire(None)] = {}
    """Compute targets that this stack adds to it."""

    @model_validator(mode="after")
    def _is_a_workspace(self) -> ExistingWorkspace:
        if self.workspace.startswith("/") and not WORKSPACE_ID.fullmatch(self.workspace):
            message = "is no workspace's ARM id, which ends in /Microsoft.MachineLearningServices/workspaces/NAME."
            raise_faults([Fault(at=("workspace",), message=message, rule="workspace-id")])
        return self

    @property
    def private(self) -> bool:
        """Whether the public network is closed to it."""
        return self.public_network_access == "Disabled"
