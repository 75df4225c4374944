"""Plays Microsoft.KeyVault/vaults (Vaults_*, also of deleted ones; 2024-11-01).

A deleted vault stays, and blocks its name, until it is recovered, purged or its retention ends. Secrets themselves are
another service, not played.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from emulator import ml
from emulator.constants import SUBSCRIPTION_ID, TENANT_ID
from emulator.resources import private_endpoint
from emulator.resources.base import Name, Type, choice, invalid, place, required
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.KeyVault/vaults"
DELETED = "/subscriptions/{sub}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults"
RETENTION_DAYS = (7, 90)


def _shape(write: Write) -> Document:
    given = write.properties
    required(given, "tenantId", "sku")
    sku = ml.obj(given["sku"])
    if ml.text(sku.get("name")).lower() not in {"standard", "premium"} or sku.get("family", "A") != "A":
        raise invalid(f"The vault's sku must be family 'A' and name 'standard' or 'premium'; got {sku}.")
    if given["tenantId"] != TENANT_ID:
        raise Refusal(400, "BadRequest", f"Invalid value found at properties.tenantId: {given['tenantId']}.")
    if given.get("enableSoftDelete") is False:
        raise Refusal(400, "BadRequest", 'The property "enableSoftDelete" can be set to true only.')
    days = given.get("softDeleteRetentionInDays", RETENTION_DAYS[1])
    if not isinstance(days, int) or not RETENTION_DAYS[0] <= days <= RETENTION_DAYS[1]:
        raise Refusal(400, "BadRequest", f"'softDeleteRetentionInDays' must be between 7 and 90; got {days}.")
    _purge_protection(write)
    choice(given.get("publicNetworkAccess"), "publicNetworkAccess", ("Enabled", "Disabled", "enabled", "disabled"))
    choice(given.get("createMode"), "createMode", ("default", "recover"))
    recovered = _free_name(write) if write.old is None else None
    if recovered is not None:
        return recovered
    return {
        "accessPolicies": [],
        "enabledForDeployment": False,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": RETENTION_DAYS[1],
        "publicNetworkAccess": "Enabled",
        **{key: value for key, value in given.items() if key != "createMode"},
        "vaultUri": f"https://{write.name}.vault.{write.cloud.origin.removeprefix('https://')}/",
    }


def _purge_protection(write: Write) -> None:
    """Purge protection is turned on, never off; `false` is refused even at creation (Azure/azure-cli#29115)."""
    wanted = write.properties.get("enablePurgeProtection")
    if wanted is False or (write.old_properties.get("enablePurgeProtection") is True and wanted is not True):
        message = (
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is '
            "an irreversible action."
        )
        raise Refusal(400, "BadRequest", message)


def _free_name(write: Write) -> Document | None:
    """Vault names are global; a deleted vault keeps its name. `createMode: recover` takes the vault back as it was.

    A recovery does not hear the body's other properties (VaultProperties.createMode in azure-rest-api-specs, keyvault).
    """
    name = write.name.lower()
    recover = write.properties.get("createMode") == "recover"
    for key, found in deleted(write.cloud):
        if ml.text(found["name"]).lower() == name:
            was = write.cloud.state.get(f"{key}/__vault")
            same = ml.text(ml.obj(found["properties"])["vaultId"]).lower() == write.id.lower()
            if recover and same and was is not None:
                write.cloud.state.delete_tree(key)
                return was
            message = (
                f"A vault with the same name already exists in deleted state. You need to either recover or purge "
                f"existing key vault '{write.name}'. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 "
                "for more information on soft delete."
            )
            raise Refusal(409, "ConflictError", message)
    if recover:  # the code is ours: no page names it
        raise Refusal(404, "DeletedVaultNotFound", f"The specified deleted vault '{write.name}' does not exist.")
    end = f"/{KIND.lower()}/{name}"
    if any(key.endswith(end) for key, _ in write.cloud.state.all("arm", "/subscriptions/")):
        raise Refusal(409, "VaultAlreadyExists", f"The vault name '{write.name}' is already in use.")
    return None


def deleted(cloud: Cloud) -> list[tuple[str, Document]]:
    """List the soft-deleted vaults; those whose retention is over are forgotten."""
    kept = []
    for key, found in cloud.state.all("deleted-vault"):
        if ml.moment(ml.text(ml.obj(found["properties"])["scheduledPurgeDate"])) <= cloud.now():
            cloud.state.delete_tree(key)
        else:
            kept.append((key, found))
    return kept


def _going(cloud: Cloud, vault: Document) -> None:
    properties = ml.obj(vault["properties"])
    days = properties["softDeleteRetentionInDays"]
    base = DELETED.format(sub=SUBSCRIPTION_ID, location=place(vault["location"]))
    now = cloud.now()
    gone: Document = {
        "id": f"{base}/{vault['name']}",
        "name": vault["name"],
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": vault["id"],
            "location": vault["location"],
            "tags": vault.get("tags", {}),
            "deletionDate": ml.stamp(now),
            "scheduledPurgeDate": ml.stamp(now + timedelta(days=days if isinstance(days, int) else RETENTION_DAYS[1])),
            "purgeProtectionEnabled": properties.get("enablePurgeProtection", False),
        },
    }
    cloud.state.put(f"{base}/{vault['name']}", gone, "deleted-vault")
    cloud.state.put(f"{base}/{vault['name']}/__vault", properties, "secret")


def _list_deleted(call: Call) -> Answer:
    """Play Vaults_ListDeleted."""
    return Answer(200, {"value": [found for _, found in deleted(call.cloud)]})


def _find(call: Call) -> tuple[str, Document]:
    wanted = (
        f"{DELETED.format(sub=call.args['sub'], location=place(call.args['location']))}/{call.args['name']}".lower()
    )
    for key, found in deleted(call.cloud):
        if key == wanted:
            return key, found
    raise Refusal(404, "DeletedVaultNotFound", f"The specified deleted vault '{call.args['name']}' does not exist.")


def _get_deleted(call: Call) -> Answer:
    """Play Vaults_GetDeleted."""
    return Answer(200, _find(call)[1])


def _purge(call: Call) -> Answer:
    """Play Vaults_PurgeDeleted; done at once."""
    with call.cloud.state.transaction():
        key, found = _find(call)
        if ml.obj(found["properties"])["purgeProtectionEnabled"] is True:
            message = 'Operation "purge" is not allowed because purge protection is enabled for this vault.'
            raise Refusal(400, "MethodNotAllowed", message)
        call.cloud.state.delete_tree(key)
    return Answer(200)


def _extra() -> list[Route]:
    return [
        Route("GET", "/subscriptions/{sub}/providers/Microsoft.KeyVault/deletedVaults", _list_deleted),
        Route("GET", DELETED + "/{name}", _get_deleted),
        Route("POST", DELETED + "/{name}/purge", _purge),
    ]


TYPE = Type(
    KIND,
    Name(
        r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
        "3-24 letters, digits and single '-', starting with a letter and ending with a letter or digit",
    ),
    _shape,
    created=201,
    view=private_endpoint.with_connections,
    going=_going,
    extra=_extra,
)
