"""For each rule a change that must break it: an edit of the stack's file; where no file can say it, of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.security.machine_learning import COMPUTE, ENDPOINT, STORAGE, WORKSPACE
from tests.security.parts import LINUX, MACHINE, VAULT
from tests.security.parts import REGISTRY as REGISTRY_TYPE
from tests.security.stacks import REGISTRY, STORE, Change

if TYPE_CHECKING:
    from emulator.routing import Json

VAULT_NAME = "research-vault641acae2"
CLUSTER, INSTANCE, BOX = "research/cpu-cluster", "research/workstation", "research/gpu-box"
SUBNETS = "    training:\n      address_prefix: 10.40.1.0/24\n"
BUILDS = "    image_build_compute: cpu-cluster"
ACTS = (
    "    identity:\n      type: UserAssigned\n      user_assigned_identities: [workspace]\n"
    "    primary_user_assigned_identity: workspace\n"
)
LEADS = "    private_endpoint:\n      subnet: endpoints\n"
SERVERLESS = "    serverless_compute:\n      subnet: training\n      no_public_ip: true\n"
NODES = "        max_node_count: 8\n        subnet: training\n"
DESK = "        vm_size: Standard_DS3_v2\n"
DESK_STANDS = f"{DESK}        subnet: training\n"
SSH_RULE = """\
      security_rules:
        ssh:
          priority: 200
          direction: Inbound
          access: Allow
          protocol: Tcp
          source_address_prefix: {source}
          destination_address_prefix: "*"
          destination_port_range: "{ports}"
"""
ELSEWHERE = "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/team/providers"
OWN_KEY = f"""\
    encryption:
      key_vault_arm_id: {ELSEWHERE}/Microsoft.KeyVault/vaults/team
      key_identifier: https://team.vault.azure.net/keys/workspace/0123456789abcdef0123456789abcdef
      user_assigned_identity: workspace
"""
MANAGED = f"""\
    managed_network:
      isolation_mode: AllowOnlyApprovedOutbound
      outbound_rules:
        data:
          type: PrivateEndpoint
          destination:
            service_resource_id: {ELSEWHERE}/Microsoft.Storage/storageAccounts/team
            subresource_target: blob
"""
SETTING: dict[str, Json] = {
    "type": "Microsoft.Insights/diagnosticSettings",
    "apiVersion": "2021-05-01-preview",
    "name": "logs",
    "scope": f"[resourceId('{WORKSPACE}', 'research')]",
    "properties": {"workspaceId": "logs", "logs": [{"categoryGroup": "allLogs", "enabled": True}]},
}
HERE = "research"


def by(resource: str, *rules: str) -> dict[str, list[str]]:
    """Say that a resource breaks rules."""
    return {rule: [resource] for rule in rules}


def ssh_from(source: str, ports: str) -> Change:
    """Let somebody reach the SSH port of what stands in the subnet."""
    rule = SSH_RULE.format(source=source, ports=ports)
    return Change({"CKV_AZURE_10": ["trainyard-prod-vnet-training-nsg"]}, ((SUBNETS, f"{SUBNETS}{rule}"),))


def body(resource: tuple[str, str], path: str, value: Json, *rules: str) -> Change:
    """Change what a component writes, so that these rules are broken."""
    return Change(by(resource[1], *rules), body=(*resource, path, value))


def mended(resource: tuple[str, str], path: str, value: Json, rule: str) -> Change:
    """Change what a component writes, so that an excepted rule holds."""
    return Change({}, body=(*resource, path, value), holds=(rule,))


STACKS = {
    "a workspace open to the public network": Change(
        {
            **by(HERE, "438c38d2", "a10ee784", "AZR-000406", "CKV_AZURE_144"),
            **by(HERE, "CKV2_AZURE_49", "CKV2_AZURE_50"),
            **by(STORE, "b2982f36", "2a1a9cdf", "CKV_AZURE_35", "CKV_AZURE_59"),
            **by(VAULT_NAME, "CKV_AZURE_109", "CKV_AZURE_189"),
            **by(REGISTRY, "CKV_AZURE_139", "CKV_AZURE_163"),
        },
        (("    public_network_access: Disabled", "    public_network_access: Enabled"),),
    ),
    "no private endpoint": Change(
        {**by(HERE, "45e05259", "40cec1dd", "7838fd83"), "6edd7eda": [STORE]}, ((LEADS, ""),)
    ),
    "a private endpoint for the workspace alone": Change(
        {"6edd7eda": [STORE]}, ((LEADS, f"{LEADS}      dependencies: false\n"),)
    ),
    "a workspace that acts as itself": Change({"5f0c7d88": [HERE], "AZR-000407": [HERE]}, ((ACTS, ""),)),
    "a workspace that acts as either": Change(
        {"AZR-000407": [HERE]}, ((ACTS, ACTS.replace("type: User", "type: SystemAssigned,User")),)
    ),
    "data by the account's key": Change(
        {"8c6a50c6": [STORE]}, (("auth_mode: Identity", "auth_mode: AccessKey"),)
    ),
    "keys and passwords on a cluster's nodes": Change(
        by(CLUSTER, "e96a9a5f", "a6f9a2d0", "AZR-000404", "CKV_AZURE_142"),
        ((NODES, f"{NODES}        disable_local_auth: false\n"),),
    ),
    "keys and passwords on an instance": Change(
        by(INSTANCE, "e96a9a5f", "a6f9a2d0", "AZR-000404"),
        ((DESK, f"{DESK}        disable_local_auth: false\n"),),
    ),
    "other ways into a machine": Change(
        by(BOX, "a6f9a2d0", "AZR-000404"),
        (("        kind: VirtualMachine\n", "        kind: VirtualMachine\n        disable_local_auth: false\n"),),
    ),
    "a node that always runs": Change({"CKV_AZURE_150": [CLUSTER]}, ((NODES, f"{NODES}        min_node_count: 1\n"),)),
    "a cluster in no network": Change(
        by(CLUSTER, "7804b5c7", "AZR-000405"), ((NODES, "        max_node_count: 8\n"),)
    ),
    "an instance that never stops": Change(
        by(INSTANCE, "679ddf89", "AZR-000403"), (("_shutdown: PT30M", "_shutdown: null"),)
    ),
    "SSH from everywhere": ssh_from('"*"', "22"),
    "a range with SSH in it, from the Internet": ssh_from("Internet", "20-30"),
    "the customer's key": Change({}, ((BUILDS, f"{OWN_KEY}{BUILDS}"),), holds=("ba769a63", "7f40cee6")),
    "v1 legacy mode": Change({}, ((BUILDS, f"    v1_legacy_mode: true\n{BUILDS}"),), holds=("e413671a",)),
    "a managed network instead of our own": Change(
        {"7804b5c7": [CLUSTER, INSTANCE], "AZR-000405": [CLUSTER, INSTANCE]},
        (
            (SERVERLESS, MANAGED),
            (NODES, "        max_node_count: 8\n"),
            (DESK_STANDS, DESK),
        ),
        holds=("6ddb1705",),
    ),
}  # fmt: skip
"""What a stack file can say."""

ACCOUNT, SAFE, IMAGES = (STORAGE, STORE), (VAULT, VAULT_NAME), (REGISTRY_TYPE, REGISTRY)
MADE, ATTACHED, ZONE = (MACHINE, "gpu-box"), (COMPUTE, BOX), (f"{ENDPOINT}/privateDnsZoneGroups", "research-pe/default")
BODIES = {
    "an endpoint without a name": Change({"ee40564d": ["research-pe"]}, body=(*ZONE, "", None)),
    "an old image": body(
        (COMPUTE, INSTANCE), "properties.properties.osImageMetadata.isLatestOsImageVersion", False, "f110a506"
    ),
    "public blobs": body(ACCOUNT, "properties.allowBlobPublicAccess", True, "4fa4b6c0"),
    "old TLS": body(ACCOUNT, "properties.minimumTlsVersion", "TLS1_0", "fe83a0eb", "CKV_AZURE_44"),
    "plain HTTP": body(ACCOUNT, "properties.supportsHttpsTrafficOnly", False, "CKV_AZURE_3"),
    "a single address": body(ACCOUNT, "properties.networkAcls.ipRules", [{"value": "203.0.113.7"}], "2a1a9cdf"),
    "Azure's services kept out": body(ACCOUNT, "properties.networkAcls.bypass", "None", "CKV_AZURE_36"),
    "a vault that can be purged": body(SAFE, "properties.enablePurgeProtection", False, "CKV_AZURE_110"),
    "a vault without soft delete": body(SAFE, "properties.enableSoftDelete", False, "CKV_AZURE_111"),
    "the registry's admin": body(IMAGES, "properties.adminUserEnabled", True, "CKV_AZURE_137"),
    "anonymous pull": body(IMAGES, "properties.anonymousPullEnabled", True, "CKV_AZURE_138"),
    "password login": body(MADE, f"{LINUX}.disablePasswordAuthentication", False, "CKV_AZURE_1", "CKV_AZURE_149"),
    "no SSH key": body(MADE, f"{LINUX}.ssh", None, "CKV_AZURE_178"),
    "logs to Log Analytics": Change({}, added=SETTING, holds=("afe0c3be", "f59276f0")),
    "storage with the customer's key": mended(
        ACCOUNT, "properties.encryption.keySource", "Microsoft.Keyvault", "6fac406b"
    ),
    "copies in a second region": mended(ACCOUNT, "sku.name", "Standard_GZRS", "CKV_AZURE_206"),
    "quarantine": mended(IMAGES, "properties.policies.quarantinePolicy.status", "enabled", "CKV_AZURE_166"),
    "zones": mended(IMAGES, "properties.zoneRedundancy", "Enabled", "CKV_AZURE_233"),
    "no extensions": mended(MADE, "properties.osProfile.allowExtensionOperations", False, "CKV_AZURE_50"),
    "encryption at host": mended(MADE, "properties.securityProfile.encryptionAtHost", True, "CKV_AZURE_97"),
    "an outbound rule in the workspace's own body": mended(
        (WORKSPACE, HERE), "properties.managedNetwork.outboundRules.data", {"type": "PrivateEndpoint"}, "CKV_AZURE_243"
    ),
    "a machine with a subnet": mended(ATTACHED, "properties.properties.subnet.id", "/subnets/training", "AZR-000405"),
}
"""What no stack file can say: the component writes it, and would have to write otherwise."""
CHANGES = {**STACKS, **BODIES}
