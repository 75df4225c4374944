"""Plays Microsoft.Network/networkSecurityGroups (NetworkSecurityGroups_CreateOrUpdate, 2024-05-01); filters nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.resources import security_rules
from emulator.resources.base import Name, Type
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

NAME = Name(
    r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?",
    "1-80 letters, digits, '_', '.', '-', starting with a letter or digit and ending with one or '_'",
)
READ_ONLY = (
    "subnets",
    "networkInterfaces",
    "defaultSecurityRules",
    "flowLogs",
    "resourceGuid",
    "provisioningState",
)
DEFAULTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("AllowVnetInBound", "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", "Inbound", "Allow", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", "Inbound", "Deny", "*", "*"),
    ("AllowVnetOutBound", "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", "Outbound", "Allow", "*", "Internet"),
    ("DenyAllOutBound", "Outbound", "Deny", "*", "*"),
)
"""Name, direction, access, source, destination; priorities 65000, 65001, 65500 (azure-docs)."""
DEFAULT_PRIORITIES = (65000, 65001, 65500)


def _shape(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in READ_ONLY}
    rules = [ml.obj(item) for item in ml.items(given.get("securityRules"))]
    security_rules.check(rules)
    return {
        **given,
        "securityRules": [_shown(write.id, "securityRules", rule) for rule in rules],
        "resourceGuid": write.kept("resourceGuid", lambda: str(uuid4())),
    }


def _shown(id_: str, collection: str, rule: Document) -> Document:
    settled = {**ml.obj(rule.get("properties")), "provisioningState": "Succeeded"}
    return {**rule, "id": f"{id_}/{collection}/{rule['name']}", "properties": settled}


def _view(cloud: Cloud, group: Document) -> Document:
    """Add Azure's own rules and who uses the group."""
    rules: list[Json] = []
    for index, (name, direction, access, source, destination) in enumerate(DEFAULTS):
        properties: Document = {
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": destination,
            "access": access,
            "priority": DEFAULT_PRIORITIES[index % 3],
            "direction": direction,
        }
        rules.append(_shown(str(group["id"]), "defaultSecurityRules", {"name": name, "properties": properties}))
    used = _users(cloud, group)
    shown: Document = {**ml.obj(group["properties"]), "defaultSecurityRules": rules}
    for name, word in (("subnets", "/subnets/"), ("networkInterfaces", "/networkInterfaces/")):
        found: list[Json] = [{"id": id_} for id_ in used if word in id_]
        if found:
            shown[name] = found
    return {**group, "properties": shown}


def _etag(write: Write) -> Document:
    seen = f"{write.id}{ml.stamp(write.cloud.now())}"
    return {"etag": f'W/"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'}


def _users(cloud: Cloud, group: Document) -> list[str]:
    wanted = ml.text(group["id"]).lower()
    used = []
    for _, document in cloud.state.all("arm"):
        reference = ml.obj(ml.obj(document.get("properties")).get("networkSecurityGroup"))
        if ml.text(reference.get("id")).lower() == wanted:
            used.append(str(document["id"]))
    return used


def _may_go(call: Call, group: Document) -> None:
    """Refuse to delete a group that a subnet or an interface uses. Raises `Refusal` 400."""
    used = _users(call.cloud, group)
    if used:
        message = (
            f"Network security group {group['id']} cannot be deleted because it is in use by the following resources: "
            f"{', '.join(used)}. In order to delete the network security group, remove the association."
        )
        raise Refusal(400, "InUseNetworkSecurityGroupCannotBeDeleted", message)


TYPE = Type(
    "Microsoft.Network/networkSecurityGroups",
    NAME,
    _shape,
    outputs=_etag,
    put="operation",
    delete="operation",
    may_go=_may_go,
    view=_view,
)
