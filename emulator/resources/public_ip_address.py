"""Plays Microsoft.Network/publicIPAddresses (PublicIPAddresses_*, 2024-05-01).

An address is one of this machine's own, in 127.77.0.0/16: Linux answers on all of 127.0.0.0/8. It is taken at creation
and stays with the resource, so that two machines can both listen on port 22.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.resources.base import Type, choice
from emulator.resources.network_security_group import NAME
from emulator.resources.virtual_network import INTERFACE, etag
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.Network/publicIPAddresses"
FIRST, LAST = 1, 254
"""Of the third and fourth part of an address."""
READ_ONLY = ("ipConfiguration", "ipAddress", "resourceGuid", "provisioningState")
FIXED = ("publicIPAddressVersion", "publicIPPrefix")


def _shape(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in READ_ONLY}
    sku = ml.text(ml.obj(write.body.get("sku")).get("name")) or "Basic"
    choice(sku, "sku.name", ("Basic", "Standard", "StandardV2"))
    choice(given.get("publicIPAllocationMethod"), "publicIPAllocationMethod", ("Static", "Dynamic"))
    choice(given.get("publicIPAddressVersion"), "publicIPAddressVersion", ("IPv4", "IPv6"))
    if sku == "Basic":  # as in skypilot-org/skypilot#7977
        message = "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."
        raise Refusal(400, "IPv4BasicSkuPublicIpCountLimitReached", message)
    if given.get("publicIPAllocationMethod", "Dynamic") != "Static":  # the code is ours
        message = f"Standard sku publicIp {write.id} must have AllocationMethod set to Static."
        raise Refusal(400, "StandardSkuPublicIPAddressMustBeStatic", message)
    _refuse_changes(write, given, sku)
    return {
        "publicIPAddressVersion": "IPv4",
        "idleTimeoutInMinutes": 4,
        "ipTags": [],
        **given,
        "ipAddress": write.kept("ipAddress", lambda: _address(write)),
        "resourceGuid": write.kept("resourceGuid", lambda: str(uuid4())),
    }


def _refuse_changes(write: Write, given: Document, sku: str) -> None:
    """Refuse to make another address of it (codes ours: the vendor's provider replaces for them). Raises `Refusal`."""
    if write.old is None:
        return
    changed = [name for name in FIXED if name in given and given[name] != write.old_properties.get(name)]
    if ml.obj(write.old.get("sku")).get("name") != sku:
        changed.append("sku")
    if changed:
        raise Refusal(400, "PublicIPAddressPropertyCannotBeChanged", f"'{changed[0]}' of {write.id} cannot be changed.")


def _address(write: Write) -> str:
    """Return an address that no other of this cloud has; the search starts where no other cloud is likely to."""
    used = {
        ml.obj(document["properties"]).get("ipAddress")
        for _, document in write.cloud.state.all("arm")
        if document.get("type") == KIND
    }
    width = LAST - FIRST + 1
    start = int.from_bytes(hashlib.sha256(f"{write.cloud.home}{write.id}".encode()).digest()[:4])
    for step in range(width * width):
        third, fourth = divmod((start + step) % (width * width), width)
        found = f"127.77.{third + FIRST}.{fourth + FIRST}"
        if found not in used:
            return found
    raise Refusal(400, "PublicIPCountLimitReached", f"All {width * width} addresses of this emulator are taken.")


def _sku(write: Write) -> Document:
    return {**etag(write), "sku": {"tier": "Regional", **ml.obj(write.body.get("sku"))}}


def user(cloud: Cloud, id_: str) -> str | None:
    """Return the configuration of an interface that has this address, or None."""
    for _, document in cloud.state.all("arm"):
        if document.get("type") != INTERFACE:
            continue
        for item in map(ml.obj, ml.items(ml.obj(document["properties"])["ipConfigurations"])):
            reference = ml.obj(ml.obj(item["properties"]).get("publicIPAddress"))
            if ml.text(reference.get("id")).lower() == id_.lower():
                return ml.text(item["id"])
    return None


def _may_go(call: Call, document: Document) -> None:
    """Refuse to delete an address that an interface has (oap-project/cloudtik#158). Raises `Refusal` 400."""
    found = user(call.cloud, str(document["id"]))
    if found is not None:
        message = (
            f"Public IP address {document['id']} can not be deleted since it is still allocated to resource {found}. "
            "In order to delete the public IP, disassociate/detach the Public IP address from the resource.  To learn "
            "how to do this, see aka.ms/deletepublicip."
        )
        raise Refusal(400, "PublicIPAddressCannotBeDeleted", message)


def _view(cloud: Cloud, document: Document) -> Document:
    found = user(cloud, str(document["id"]))
    if found is None:
        return document
    return {**document, "properties": {**ml.obj(document["properties"]), "ipConfiguration": {"id": found}}}


TYPE = Type(
    KIND,
    NAME,
    _shape,
    outputs=_sku,
    top=("location", "tags", "extendedLocation", "sku", "zones"),
    put="operation",
    delete="operation",
    may_go=_may_go,
    view=_view,
)
