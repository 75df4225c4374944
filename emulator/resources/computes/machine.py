"""Plays VirtualMachine: a machine attached by its ARM id or its address (VirtualMachineSchema, api-version 2025-12-01).

The machine is not the workspace's: attaching never reaches it, and detaching leaves it as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import ml
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources.base import exists, invalid
from emulator.resources.computes import common
from emulator.resources.computes.common import bad_value

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Json

ARM_TYPE = "Microsoft.Compute/virtualMachines"
ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/[^/]+/providers/Microsoft\.Compute/virtualMachines/[^/]+", re.IGNORECASE
)
FIXED = ("address", "sshPort", "notebookServerPort", "virtualMachineSize", "isNotebookInstanceCompute")
"""VirtualMachineSchemaProperties, without the account."""
ACCOUNT = ("username", "publicKeyData")
SECRETS = ("password", "privateKeyData")
MUTABLE = "description, tags and identity"
"""Ours: no page says what of an attached machine can be changed; the SDKs detach and attach again."""
HIGHEST_PORT = 65535
SSH_PORT = 22


def _shape(write: Write, settings: Document) -> Document:
    _check(write, settings)
    if write.old is not None:
        _refuse_changes(write, settings)
    account = ml.obj(settings.get("administratorAccount"))
    shown: Document = {key: settings[key] for key in FIXED if settings.get(key) is not None}
    shown["administratorAccount"] = {key: account[key] for key in ACCOUNT if account.get(key) is not None}
    return shown


def _check(write: Write, settings: Document) -> None:
    resource, address = ml.text(write.properties.get("resourceId")), ml.text(settings.get("address"))
    if not resource and not address:
        raise invalid("A compute of type 'VirtualMachine' needs 'resourceId' or 'properties.address'.")
    if resource:
        found = ID.fullmatch(resource)
        if found is None:
            raise bad_value(f"'resourceId' must be the ARM id of a virtual machine; got {resource}.")
        if found[1].lower() == SUBSCRIPTION_ID:
            exists(write.cloud, resource, ARM_TYPE, "properties.resourceId")
    port = settings.get("sshPort")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= HIGHEST_PORT):
        raise bad_value(f"'sshPort' must be a whole number from 1 to {HIGHEST_PORT}; got {port}.")
    account = ml.obj(settings.get("administratorAccount"))
    if not ml.text(account.get("username")):
        raise invalid("Required property 'administratorAccount.username' is missing from the request body.")
    if not _given(account) and not common.kept_secret(write):
        raise invalid("'administratorAccount' needs 'password' or 'privateKeyData'.")


def _refuse_changes(write: Write, settings: Document) -> None:
    """Refuse to make another machine of it. Raises `Refusal` 400."""
    old = ml.obj(write.old_properties.get("properties"))
    was: Document = {key: old.get(key) for key in FIXED}
    now: Document = {key: settings.get(key) for key in FIXED}
    was["resourceId"], now["resourceId"] = write.old_properties.get("resourceId"), write.properties.get("resourceId")
    for name in ("computeLocation", "disableLocalAuth"):
        was[name], now[name] = write.old_properties.get(name), write.properties.get(name)
    now["computeLocation"] = now["computeLocation"] or was["computeLocation"]
    now["disableLocalAuth"] = now["disableLocalAuth"] or False
    for ports in (was, now):
        ports["sshPort"] = ports["sshPort"] or SSH_PORT
    for name in now:
        if common.plain(was[name]) != common.plain(now[name]):
            raise common.fixed(write, name, MUTABLE)
    account, kept = ml.obj(settings.get("administratorAccount")), common.kept_secret(write)
    given = _given(account)
    known = ml.obj(old.get("administratorAccount"))
    if account.get("username") != known.get("username") or (given and given != kept):
        raise common.fixed(write, "administratorAccount", MUTABLE)


def _given(account: Document) -> Document:
    return {name: account[name] for name in SECRETS if account.get(name)}


def _secret(write: Write) -> Document:
    account = ml.obj(ml.obj(write.properties.get("properties")).get("administratorAccount"))
    return _given(account) or common.kept_secret(write)


def _view(_cloud: Cloud, compute: Document) -> Document:
    return common.inner(compute)


def _keys(cloud: Cloud, compute: Document) -> Document:
    """Play Compute_ListKeys: VirtualMachineSecrets, the account with its secrets."""
    account: dict[str, Json] = ml.obj(common.inner(compute).get("administratorAccount"))
    return {"administratorAccount": {**account, **(cloud.state.get(f"{compute['id']}/__secret") or {})}}


COMPUTE = common.Compute(
    "VirtualMachine",
    common.name_rule(2, 16),
    attached=True,
    shape=_shape,
    view=_view,
    keys=_keys,
    secret=_secret,
)
