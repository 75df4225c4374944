"""Plays Microsoft.Network/networkSecurityGroups (NetworkSecurityGroups_CreateOrUpdate, 2024-05-01); filters nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.resources.base import Name, Type, choice, invalid, required
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

NAME = Name(
    r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?",
    "1-80 letters, digits, '_', '.', '-', starting with a letter or digit and ending with one or '_'",
)
PRIORITIES = (100, 4096)


def _shape(write: Write) -> Document:
    rules = [ml.obj(item) for item in ml.items(write.properties.get("securityRules"))]
    shown = []
    taken = set()
    for rule in rules:
        properties = ml.obj(rule.get("properties"))
        required(properties, "access", "direction", "protocol", "priority")
        choice(properties["access"], "access", ("Allow", "Deny"))
        choice(properties["direction"], "direction", ("Inbound", "Outbound"))
        priority = properties["priority"]
        if not isinstance(priority, int) or not PRIORITIES[0] <= priority <= PRIORITIES[1]:
            raise invalid(f"The priority of rule '{rule.get('name')}' must be between 100 and 4096; got {priority}.")
        if (priority, properties["direction"]) in taken:
            message = f"Security rules of one direction can't share the priority {priority}."
            raise Refusal(400, "SecurityRuleConflict", message)
        taken.add((priority, properties["direction"]))
        id_ = f"{write.id}/securityRules/{rule.get('name')}"
        shown.append({**rule, "id": id_, "properties": {**properties, "provisioningState": "Succeeded"}})
    return {
        **write.properties,
        "securityRules": [*shown],
        "resourceGuid": write.kept("resourceGuid", lambda: str(uuid4())),
    }


def _etag(write: Write) -> Document:
    seen = f"{write.id}{ml.stamp(write.cloud.now())}"
    return {"etag": f'W/"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'}


def _may_go(call: Call, group: Document) -> None:
    """Refuse to delete a group that a subnet uses. Raises `Refusal` 400."""
    wanted = ml.text(group["id"]).lower()
    used = []
    for _, document in call.cloud.state.all("arm"):
        reference = ml.obj(ml.obj(document.get("properties")).get("networkSecurityGroup"))
        if ml.text(reference.get("id")).lower() == wanted:
            used.append(str(document["id"]))
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
)
