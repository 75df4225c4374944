"""ARM ids in a stack file: whether each leads to a resource of the type that its field wants. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from specs.base import Fault
from specs.virtual_machine import VirtualMachineSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.stack import StackSpec

Place: TypeAlias = tuple[str | int, ...]
SUBNET = "Microsoft.Network/virtualNetworks/subnets"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
PARTS = {
    "storage_account": "Microsoft.Storage/storageAccounts",
    "key_vault": "Microsoft.KeyVault/vaults",
    "application_insights": "Microsoft.Insights/components",
    "container_registry": "Microsoft.ContainerRegistry/registries",
}


def resource_type(arm_id: str) -> str:
    """Read the type out of an ARM id: `Microsoft.Network/virtualNetworks/subnets`; empty where it has none."""
    parts = re.split(r"/providers/", arm_id, flags=re.IGNORECASE)[-1].strip("/").split("/")
    complete = len(parts) > 2 and len(parts) % 2 == 1 and all(parts)  # noqa: PLR2004 - provider, type, name
    return "/".join([parts[0], *parts[1::2]]) if complete else ""


def id_faults(spec: StackSpec) -> list[Fault]:
    """List the ARM ids that lead elsewhere than their fields want, and keys that are not of their vault."""
    faults = []
    for at, given, wanted in _ids(spec):
        found = resource_type(given)
        if found.lower() != wanted.lower():
            says = f"is the id of a {found}" if found else "is not a whole ARM id"
            provider, *types = wanted.split("/")
            shape = "/".join([provider, *(part for word in types for part in (word, "NAME"))])
            message = f"{says}. It must end in /providers/{shape}."
            faults.append(Fault(at=at, message=message, rule="arm-id-type"))
    for name, workspace in spec.workspaces.items():
        sealed = workspace.encryption
        vault = sealed.key_vault_arm_id.rpartition("/")[2] if sealed else ""
        if sealed and sealed.key_identifier.removeprefix("https://").partition(".")[0].lower() != vault.lower():
            at = ("workspaces", name, "encryption", "key_identifier")
            message = f"is not a key of the vault of key_vault_arm_id ({vault}). Give a key of that vault, or its id."
            faults.append(Fault(at=at, message=message, rule="key-vault"))
    return faults


def _ids(spec: StackSpec) -> Iterator[tuple[Place, str, str]]:
    """Yield every ARM id that must be of one type: where it stands, the id, the type."""
    from specs.references import references

    types = {"subnet": SUBNET, "identity": IDENTITY, "workspace": WORKSPACE}
    for kind, at, name in references(spec):
        if name.startswith("/"):
            yield at, name, types[kind]
    if network := spec.network:
        if network.id:
            yield ("network", "id"), network.id, "Microsoft.Network/virtualNetworks"
        for zone, given in network.private_dns_zones.items():
            yield ("network", "private_dns_zones", zone), given, "Microsoft.Network/privateDnsZones"
        for name, subnet in network.subnets.items():
            if subnet.network_security_group.startswith("/"):
                at = ("network", "subnets", name, "network_security_group")
                yield at, subnet.network_security_group, "Microsoft.Network/networkSecurityGroups"
    for name, workspace in spec.workspaces.items():
        for field, wanted in PARTS.items():
            given = getattr(workspace, field)
            if given and given != "new":
                yield ("workspaces", name, field), given, wanted
        if workspace.encryption:
            at = ("workspaces", name, "encryption", "key_vault_arm_id")
            yield at, workspace.encryption.key_vault_arm_id, PARTS["key_vault"]
    for at, compute in spec.computes():
        if isinstance(compute, VirtualMachineSpec) and compute.resource_id:
            yield (*at, "resource_id"), compute.resource_id, "Microsoft.Compute/virtualMachines"
