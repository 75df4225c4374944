"""The `identity` of a resource: a system-assigned principal, user-assigned ones that must exist, or both.

Plays the managed-identity part of ARM's resource-provider contract: principals are made once and kept, those of
user-assigned identities are copied from their resources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.constants import TENANT_ID
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write

KIND = "Microsoft.ManagedIdentity/userAssignedIdentities"
WORDS = {"none": "None", "systemassigned": "SystemAssigned", "userassigned": "UserAssigned"}


def resolve(write: Write) -> Document:
    """Return the identity as GET shows it. Raises `Refusal` 400."""
    given = ml.obj(write.body.get("identity"))
    kinds = [part.strip().lower() for part in ml.text(given.get("type")).split(",")]
    if not kinds or any(kind not in WORDS for kind in kinds) or ("none" in kinds and len(kinds) > 1):
        message = (
            f"The identity type '{given.get('type')}' is not valid. Allowed values: "
            "None, SystemAssigned, UserAssigned, 'SystemAssigned,UserAssigned'."
        )
        raise Refusal(400, "InvalidIdentityType", message)
    old = ml.obj(write.old.get("identity")) if write.old else {}
    shown: Document = {"type": given["type"]}
    if "systemassigned" in kinds:
        shown["principalId"] = old.get("principalId") or str(uuid4())
        shown["tenantId"] = TENANT_ID
    users = ml.obj(given.get("userAssignedIdentities"))
    wanted = {id_ for id_, value in users.items() if value is not None}
    if ("userassigned" in kinds) != bool(wanted):
        message = "userAssignedIdentities must name at least one identity exactly when the type has 'UserAssigned'."
        raise Refusal(400, "InvalidIdentityType", message)
    if wanted:
        shown["userAssignedIdentities"] = {id_: _principal(write, id_) for id_ in users if id_ in wanted}
    return shown


def _principal(write: Write, id_: str) -> Document:
    found = write.cloud.state.get(id_)
    if found is None or ml.text(found.get("type")).lower() != KIND.lower():
        message = (
            f"Identity operation for resource '{write.id}' failed with error 'Failed to perform resource identity "
            f"operation. Status: 'BadRequest'. Response: The user assigned identity '{id_}' was not found.'"
        )
        raise Refusal(400, "FailedIdentityOperation", message)
    properties = ml.obj(found.get("properties"))
    return {"principalId": properties["principalId"], "clientId": properties["clientId"]}
