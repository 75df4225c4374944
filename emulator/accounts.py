"""Storage accounts as the blob service sees them: found by their name, their keys, their containers' ids.

The documents are ARM's; a container is ARM's `blobServices/default/containers/{name}` and the blobs lie below it, so
that deleting the account, its group or the container takes the blobs along.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator import ml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.routing import Json

_KNOWN: dict[tuple[Path, str], str] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """One storage account."""

    id: str
    name: str
    shared_key: bool
    """False when `allowSharedKeyAccess` is: keys and what they signed are refused then."""
    public: bool = True
    """False when the account's network lets nobody in from here."""

    def container_id(self, container: str) -> str:
        """Return the ARM id of one of its containers."""
        return f"{self.id}/blobServices/default/containers/{container}"


def named(cloud: Cloud, name: str) -> Account | None:
    """Find an account by its name, which is global in Azure."""
    key = (cloud.home, name.lower())
    id_ = _KNOWN.get(key)
    if id_ is None or cloud.state.get(id_) is None:
        end = f"/providers/microsoft.storage/storageaccounts/{name.lower()}"
        id_ = next((found for found, _ in cloud.state.all("arm") if found.endswith(end)), None)
        if id_ is None:
            return None
        _KNOWN[key] = id_
    return by_id(cloud, id_)


def by_id(cloud: Cloud, id_: str) -> Account | None:
    """Return the account with this ARM id, or None."""
    document = cloud.state.get(id_)
    if document is None:
        return None
    properties = ml.obj(document.get("properties"))
    allowed = properties.get("allowSharedKeyAccess") is not False
    closed = properties.get("publicNetworkAccess") in {"Disabled", "SecuredByPerimeter"}
    denied = ml.obj(properties.get("networkAcls")).get("defaultAction") == "Deny"
    return Account(ml.text(document["id"]), ml.text(document["name"]), allowed, public=not closed and not denied)


def keys(cloud: Cloud, account: Account) -> tuple[str, str]:
    """Return the account's two keys (base64 of 64 bytes), derived from the cloud's secret: nothing to store or leak."""
    first, second = (
        hmac.new(cloud.secret, f"storage-key:{account.id.lower()}:{which}".encode(), hashlib.sha512).digest()
        for which in ("key1", "key2")
    )
    return base64.b64encode(first).decode(), base64.b64encode(second).decode()


NEW_CONTAINER: Mapping[str, Json] = {
    "leaseStatus": "Unlocked",
    "leaseState": "Available",
    "hasImmutabilityPolicy": False,
    "hasLegalHold": False,
    "deleted": False,
    "defaultEncryptionScope": "$account-encryption-key",
    "denyEncryptionScopeOverride": False,
    "remainingRetentionDays": 0,
}
"""What the service itself says of a container that nobody has done anything to."""


def ensure_container(cloud: Cloud, account: Account, container: str) -> bool:
    """Create the container when it is missing; True when it was."""
    id_ = account.container_id(container)
    if cloud.state.get(id_) is not None:
        return False
    with cloud.state.transaction():
        if cloud.state.get(id_) is not None:
            return False
        now = ml.stamp(cloud.now())
        document: dict[str, Json] = {
            "id": id_,
            "name": container,
            "type": "Microsoft.Storage/storageAccounts/blobServices/containers",
            "etag": f'"{hashlib.sha256(f"{id_}{now}".encode()).hexdigest()[:15]}"',
            "properties": {
                "publicAccess": "None",
                "lastModifiedTime": now,
                **NEW_CONTAINER,
            },
        }
        cloud.state.put(id_, document)
    return True
