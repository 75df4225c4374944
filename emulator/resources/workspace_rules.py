"""What a workspace's body must be: its parts exist, its identities fit, what is fixed stays. Data and pure checks.

Sources: the descriptions in azure-rest-api-specs (machinelearningservices, 2025-12-01) of what "cannot be changed once
the workspace has been created"; azure-docs concept-customer-managed-keys and how-to-setup-customer-managed-keys. Where
a comment names no code of the service, `ValidationError` is ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import ml
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources import (
    app_insights,
    container_registry,
    identities,
    key_vault,
    storage_account,
    user_assigned_identity,
)
from emulator.resources.base import choice, exists, invalid
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write
    from emulator.routing import Json

FLAGS = (
    "allowPublicAccessWhenBehindVnet",
    "enableDataIsolation",
    "enableServiceSideCMKEncryption",
    "hbiWorkspace",
    "provisionNetworkNow",
    "v1LegacyMode",
)
WORDS = (
    "description",
    "friendlyName",
    "imageBuildCompute",
    "primaryUserAssignedIdentity",
    "discoveryUrl",
    "hubResourceId",
)
FIXED = ("storageAccount", "keyVault", "hbiWorkspace")
GENERAL_PURPOSE = ("Storage", "StorageV2")
SUBNET = "Microsoft.Network/virtualNetworks/subnets"
KEY = re.compile(r"keys/[A-Za-z0-9-]{1,127}/[0-9a-f]{32}")


def refused(message: str) -> Refusal:
    """Return the 400 of a workspace that can't be accepted."""
    return Refusal(400, "ValidationError", message)


def check(write: Write) -> None:
    """Judge a whole body. Raises `Refusal` 400."""
    given = write.properties
    _types(given)
    _words(write)
    _identity(write)
    _parts(write)
    _encryption(write)
    _serverless(write)
    for name in FIXED if write.old else ():
        was = write.old_properties.get(name)
        if str(given.get(name, was)).lower() != str(was).lower():
            raise refused(f"'{name}' of the workspace '{write.name}' cannot be changed after it was created.")


def _types(given: Document) -> None:
    for names, kind, word in ((FLAGS, bool, "a boolean"), (WORDS, str, "a string")):
        for name in names:
            if given.get(name) is not None and not isinstance(given[name], kind):
                raise invalid(f"The value of 'properties.{name}' must be {word}; got {given[name]!r}.")


def _words(write: Write) -> None:
    given = write.properties
    choice(given.get("publicNetworkAccess"), "publicNetworkAccess", ("Enabled", "Disabled"))
    # Templates of Microsoft's own write these in lower case too ("identity", "accessKey").
    how = given.get("systemDatastoresAuthMode")
    allowed = ("AccessKey", "Identity", "UserDelegationSAS")
    if how is not None and ml.text(how).lower() not in {word.lower() for word in allowed}:
        choice(how, "systemDatastoresAuthMode", allowed)
    choice(write.body.get("kind"), "kind", ("Default", "Hub", "Project", "FeatureStore"))
    choice(ml.obj(write.body.get("sku")).get("name"), "sku.name", ("Basic", "Free", "Standard", "Premium"))


def _identity(write: Write) -> None:
    """Check who the workspace is.

    `primaryUserAssignedIdentity` is required with user-assigned identities alone and may not be used beside a
    system-assigned one (Azure Verified Modules, machine-learning-services/workspace, its parameter's description).
    """
    identity = ml.obj(write.body.get("identity"))
    kinds = {part.strip().lower() for part in ml.text(identity.get("type")).split(",")} - {"", "none"}
    if not kinds:
        raise refused("Missing identity: a workspace needs a system-assigned or user-assigned identity.")
    identities.resolve(write)  # its own refusals come first
    primary = write.properties.get("primaryUserAssignedIdentity")
    if not primary:
        if kinds == {"userassigned"}:
            raise refused(
                "Missing primaryUserAssignedIdentity: a workspace with user-assigned identities alone needs it."
            )
        return
    if "systemassigned" in kinds:
        raise refused("primaryUserAssignedIdentity can't be given when the identity's type has SystemAssigned.")
    exists(write.cloud, primary, user_assigned_identity.TYPE.name, "primaryUserAssignedIdentity")
    if ml.text(primary).lower() not in _users(identity):
        raise refused(f"primaryUserAssignedIdentity '{primary}' is not among the workspace's userAssignedIdentities.")


def _users(identity: Document) -> set[str]:
    return {id_.lower() for id_, value in ml.obj(identity.get("userAssignedIdentities")).items() if value is not None}


def _parts(write: Write) -> None:
    given = write.properties
    for name in ("storageAccount", "keyVault"):
        if not given.get(name):
            raise refused(f"Missing dependent resources in workspace json: {name}.")
    account = _there(write, "storageAccount", storage_account.KIND)
    _there(write, "keyVault", key_vault.KIND)
    for name, kind in (("applicationInsights", app_insights.TYPE.name), ("containerRegistry", container_registry.KIND)):
        if given.get(name):
            _there(write, name, kind)
    if account and account.get("kind") not in GENERAL_PURPOSE:
        raise refused(
            f"A storage account of kind {account.get('kind')} can't be a workspace's default storage account."
        )
    if ml.text(ml.obj(account.get("sku")).get("name")).startswith("Premium"):
        raise refused("A premium storage account can't be a workspace's default storage account.")
    if ml.obj(account.get("properties")).get("isHnsEnabled") is True:
        raise refused("A storage account with hierarchical namespace can't be a workspace's default storage account.")


def _there(write: Write, name: str, kind: str) -> Document:
    """Return what a member refers to. Another subscription's can't be seen from here, so it is believed."""
    id_ = ml.text(write.properties[name])
    where = re.match(r"/subscriptions/([^/]+)/", id_, re.IGNORECASE)
    if where and where[1].lower() != SUBSCRIPTION_ID and f"/providers/{kind}/".lower() in id_.lower():
        return {}
    return exists(write.cloud, id_, kind, f"properties.{name}")


def _encryption(write: Write) -> None:
    """Check the customer's key: given at creation or never, then only another key of the same vault."""
    given, old = (ml.obj(source.get("encryption")) for source in (write.properties, write.old_properties))
    choice(given.get("status"), "encryption.status", ("Enabled", "Disabled"))
    if write.old is not None and encrypted(given) != encrypted(old):
        raise refused(f"The encryption of the workspace '{write.name}' can't be added or removed after it was created.")
    if not encrypted(given):
        return
    key = ml.obj(given.get("keyVaultProperties"))
    vault = exists(write.cloud, key.get("keyVaultArmId"), key_vault.KIND, "encryption.keyVaultProperties.keyVaultArmId")
    facts = ml.obj(vault["properties"])
    if facts.get("enablePurgeProtection") is not True:  # soft delete is always on; MicrosoftDocs/azure-docs#108584
        raise Refusal(400, "BadRequest", "CMK workspaces should have purge protection enabled on their CMK keyvault.")
    uri = ml.text(facts.get("vaultUri"))
    named = ml.text(key.get("keyIdentifier"))
    # A stack file names a key as Azure does, also here, where the vault's own host has this emulator's port in it.
    public = f"https://{vault['name']}.vault.azure.net/"
    path = named.removeprefix(uri) if named.startswith(uri) else named.removeprefix(public)
    if not KEY.fullmatch(path):
        raise refused(
            f"keyIdentifier must be a key with its version in the vault '{vault['name']}': {uri}keys/NAME/VERSION."
        )
    if write.old is not None:
        _same_key_owner(write, given, old)
    _key_reader(write, given)


def _same_key_owner(write: Write, given: Document, old: Document) -> None:
    before, after = (ml.obj(each.get("keyVaultProperties")).get("keyVaultArmId") for each in (old, given))
    if ml.text(before).lower() != ml.text(after).lower():
        raise refused(f"The key of the workspace '{write.name}' can only be changed to another of the same vault.")
    was, now = (ml.text(ml.obj(each.get("identity")).get("userAssignedIdentity")) for each in (old, given))
    if was.lower() != now.lower():
        raise refused(f"encryption.identity of the workspace '{write.name}' cannot be changed after it was created.")


def _key_reader(write: Write, given: Document) -> None:
    reader = ml.obj(given.get("identity")).get("userAssignedIdentity")
    if not reader:
        return
    exists(write.cloud, reader, user_assigned_identity.TYPE.name, "encryption.identity.userAssignedIdentity")
    if ml.text(reader).lower() not in _users(ml.obj(write.body.get("identity"))):
        raise refused(f"encryption.identity '{reader}' is not among the workspace's userAssignedIdentities.")


def encrypted(encryption: Document) -> bool:
    """Say whether this is encryption with the customer's key."""
    return encryption.get("status") == "Enabled"


def _serverless(write: Write) -> None:
    """Check serverless compute's network."""
    settings: Json = write.properties.get("serverlessComputeSettings")
    if settings is None:
        return
    subnet = ml.obj(settings).get("serverlessComputeCustomSubnet")
    if subnet:
        exists(write.cloud, subnet, SUBNET, "serverlessComputeSettings.serverlessComputeCustomSubnet")
    hidden = ml.obj(settings).get("serverlessComputeNoPublicIP")
    if hidden is not None and not isinstance(hidden, bool):
        raise invalid(f"The value of 'serverlessComputeNoPublicIP' must be a boolean; got {hidden!r}.")
    # The note at serverless_compute of terraform's azurerm_machine_learning_workspace; the code is ours.
    if hidden and not subnet and write.properties.get("publicNetworkAccess") == "Disabled":
        raise refused(
            "serverlessComputeNoPublicIP needs a serverlessComputeCustomSubnet where publicNetworkAccess is Disabled."
        )
