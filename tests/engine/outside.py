"""Changes behind everybody's back: one of every field that can change in place, of every kind."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from tests.engine.shared_things import PROVIDERS, SUBSCRIPTION

if TYPE_CHECKING:
    from tests.engine.conftest import Site

OWN = "/resourceGroups/everything"
ML = f"{OWN}/providers/Microsoft.MachineLearningServices/workspaces"
VNET = f"{OWN}/providers/Microsoft.Network/virtualNetworks/everything-vnet"
IDENTITY = f"{OWN}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
SPARE, TRAINING, OWNER = (f"{SUBSCRIPTION}{IDENTITY}/{name}" for name in ("spare", "training", "workspace"))
INSIGHTS = f"{SUBSCRIPTION}{PROVIDERS}/microsoft.insights/components/shared-insights"
REGISTRY = f"{SUBSCRIPTION}{PROVIDERS}/Microsoft.ContainerRegistry/registries/sharedimages"
RULES = f"{SUBSCRIPTION}{PROVIDERS}/Microsoft.Network/networkSecurityGroups/company-rules"
KEY = "https://shared-vault.vault.azure.net/keys/workspace/fedcba9876543210fedcba9876543210"
GUARDED = f"{SUBSCRIPTION}{VNET}/subnets/guarded"
TIMETABLE = [{
    "action": "Stop", "triggerType": "Cron", "status": "Enabled",
    "cron": {"expression": "15 19 * * *", "timeZone": "UTC"},
}]  # fmt: skip
OTHER = {"description": "Changed by hand.", "tags": {"owner": "somebody"}}

CHANGES: list[tuple[str, str, dict[str, object]]] = [
    (OWN, "2024-03-01", {"tags": {"owner": "somebody"}}),
    (VNET, "2024-05-01", {"properties": {"addressSpace": {"addressPrefixes": ["10.60.0.0/16", "10.61.0.0/16"]}}}),
    (f"{VNET}/subnets/guarded", "2024-05-01", {"properties": {
        "addressPrefix": "10.60.5.0/24", "networkSecurityGroup": None,
        "serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}}),
    (f"{IDENTITY}/spare", "2023-01-31", {"tags": {"owner": "somebody"}}),
    (f"{ML}/research", "2025-12-01", {
        "tags": {"owner": "somebody"}, "sku": {"name": "Standard"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {OWNER: {}, TRAINING: {}}},
        "properties": {
            "friendlyName": "Other", "description": "Changed by hand.", "primaryUserAssignedIdentity": TRAINING,
            "publicNetworkAccess": "Enabled", "v1LegacyMode": True, "systemDatastoresAuthMode": "AccessKey",
            "encryption": {"keyVaultProperties": {"keyIdentifier": KEY}},
            "serverlessComputeSettings": {
                "serverlessComputeCustomSubnet": GUARDED, "serverlessComputeNoPublicIP": False},
            "applicationInsights": INSIGHTS, "containerRegistry": REGISTRY, "imageBuildCompute": None}}),
    (f"{ML}/managed", "2025-12-01", {
        "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {SPARE: {}}},
        "properties": {"managedNetwork": {"firewallSku": "Standard"}}}),
    (f"{ML}/managed/outboundRules/packages", "2025-12-01", {
        "properties": {"destination": "files.example.com"}}),
    (f"{ML}/managed/outboundRules/factory", "2025-12-01", {
        "properties": {"destination": {"serviceTag": "DataFactory", "protocol": "UDP", "portRanges": "53"}}}),
    (f"{ML}/managed/outboundRules/data", "2025-12-01", {"properties": {"destination": {"sparkEnabled": False}}}),
    (f"{ML}/research/computes/cpu-cluster", "2025-12-01", {
        **OTHER, "identity": {"type": "SystemAssigned"},
        "properties": {"description": "Changed by hand.", "properties": {"scaleSettings": {
            "minNodeCount": 1, "maxNodeCount": 3, "nodeIdleTimeBeforeScaleDown": "PT9M"}}}}),
    (f"{ML}/research/computes/workstation", "2025-12-01", {
        **OTHER, "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {SPARE: {}}},
        "properties": {"description": "Changed by hand.", "properties": {
            "idleTimeBeforeShutdown": "PT45M", "schedules": {"computeStartStop": TIMETABLE}}}}),
    (f"{ML}/managed/computes/spot-cluster", "2025-12-01", {"properties": {"disableLocalAuth": False}}),
    (f"{ML}/managed/computes/desk", "2025-12-01", {"properties": {"disableLocalAuth": False}}),
    (f"{ML}/research/computes/gpu-box", "2025-12-01", {**OTHER, "properties": {"description": "Changed by hand."}}),
    (f"{ML}/research/computes/old-box", "2025-12-01", {**OTHER, "properties": {"description": "Changed by hand."}}),
]  # fmt: skip


def merged(body: object, change: object) -> object:
    """Lay a change over a body; None takes a key away."""
    if not isinstance(change, dict) or not isinstance(body, dict):
        return change
    result = copy.deepcopy(body)
    for key, item in change.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), item)
    return result


def change_everything(site: Site) -> None:
    """Put every change over what stands now."""
    for path, version, change in CHANGES:
        now = site.arm(f"{path}?api-version={version}")
        if "identity" in change:
            now.pop("identity", None)  # a map of identities is replaced whole
        site.put(f"{path}?api-version={version}", merged(now, change))
