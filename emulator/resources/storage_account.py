"""Plays Microsoft.Storage/storageAccounts and blob containers (StorageAccounts_*, BlobContainers_*; 2024-01-01).

The keys and the bytes are `emulator.accounts` and `emulator.blobstore`; this is the control plane.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from emulator import accounts, ml
from emulator.resources import private_endpoint
from emulator.resources.base import Name, Type, choice, invalid
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.Storage/storageAccounts"
ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.Storage/storageAccounts/{name}"
SKUS = (
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Premium_LRS",
    "Premium_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
)
KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")


def _shape(write: Write) -> Document:
    given = write.properties
    sku = ml.obj(write.body.get("sku"))
    if not sku.get("name") or not write.body.get("kind"):
        raise invalid("Required properties 'sku.name' and 'kind' must be in the request body.")
    choice(sku["name"], "sku.name", SKUS)
    choice(write.body["kind"], "kind", KINDS)
    choice(given.get("minimumTlsVersion"), "minimumTlsVersion", ("TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"))
    choice(given.get("publicNetworkAccess"), "publicNetworkAccess", ("Enabled", "Disabled", "SecuredByPerimeter"))
    if write.old is None:
        _global_name(write)
    hierarchical = write.old_properties.get("isHnsEnabled", False)
    if write.old is not None and given.get("isHnsEnabled", hierarchical) != hierarchical:
        raise Refusal(400, "AccountPropertyCannotBeUpdated", "The property 'isHnsEnabled' was specified in the input, "
                      "but it cannot be updated.")  # fmt: skip
    return {
        "minimumTlsVersion": "TLS1_0",
        "allowBlobPublicAccess": False,
        "supportsHttpsTrafficOnly": True,
        "encryption": {"keySource": "Microsoft.Storage"},
        "accessTier": "Hot",
        **given,
        "primaryEndpoints": {"blob": f"{write.cloud.origin}/{write.name}.blob/"},
        "primaryLocation": write.body.get("location") or (write.old or {}).get("location"),
        "statusOfPrimary": "available",
        "creationTime": write.kept("creationTime", lambda: ml.stamp(write.cloud.now())),
    }


def _global_name(write: Write) -> None:
    """Refuse a name that another group's account has: account names are host names."""
    end = f"/{KIND.lower()}/{write.name.lower()}"
    if any(key.endswith(end) for key, _ in write.cloud.state.all("arm", "/subscriptions/")):
        raise Refusal(409, "StorageAccountAlreadyTaken", f"The storage account named {write.name} is already taken.")


def _account_outputs(write: Write) -> Document:
    sku = ml.obj(write.body.get("sku"))
    return {"sku": {**sku, "tier": ml.text(sku.get("name")).partition("_")[0]}}


def _list_keys(call: Call) -> Answer:
    """Play StorageAccounts_ListKeys."""
    account = accounts.by_id(call.cloud, ONE.format(**{name: call.args[name] for name in ("sub", "rg", "name")}))
    if account is None:
        message = f"The Resource '{KIND}/{call.args['name']}' under resource group '{call.args['rg']}' was not found."
        raise Refusal(404, "ResourceNotFound", message)
    if not account.shared_key:
        raise Refusal(
            403,
            "KeyBasedAuthenticationNotPermitted",
            "Key based authentication is not permitted on this storage account.",
        )
    found = zip(("key1", "key2"), accounts.keys(call.cloud, account), strict=True)
    return Answer(200, {"keys": [{"keyName": name, "value": value, "permissions": "FULL"} for name, value in found]})


def _container(write: Write) -> Document:
    given = write.properties
    choice(given.get("publicAccess"), "publicAccess", ("None", "Blob", "Container"))
    account = write.cloud.state.get(write.id.partition("/blobServices/")[0]) or {}
    allowed = ml.obj(account.get("properties")).get("allowBlobPublicAccess") is True
    if given.get("publicAccess", "None") != "None" and not allowed:
        raise Refusal(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
    return {
        "publicAccess": "None",
        **given,
        "lastModifiedTime": ml.stamp(write.cloud.now()),
        **accounts.NEW_CONTAINER,
    }


def _etag(write: Write) -> Document:
    seen = f"{write.id}{ml.stamp(write.cloud.now())}"
    return {"etag": f'"{hashlib.sha256(seen.encode()).hexdigest()[:15]}"'}


TYPE = Type(
    KIND,
    Name(r"[a-z0-9]{3,24}", "3-24 lower-case letters and digits"),
    _shape,
    outputs=_account_outputs,
    top=("location", "tags", "sku", "kind", "identity", "extendedLocation"),
    put="location",
    view=private_endpoint.with_connections,
    extra=lambda: [Route("POST", f"{ONE}/listKeys", _list_keys)],
)
CONTAINER = Type(
    f"{KIND}/blobServices/containers",
    Name(
        r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
        "3-63 lower-case letters, digits and single '-', with a letter or digit at both ends",
    ),
    _container,
    outputs=_etag,
    top=(),
    location="none",
)
