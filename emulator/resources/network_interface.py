"""Plays Microsoft.Network/networkInterfaces (NetworkInterfaces_*, 2024-05-01): who has which address of a subnet.

The interface of a private endpoint is made and deleted with it (`private_endpoint`), that of a machine stays when the
machine goes, unless the machine says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml, virtual_machines
from emulator.resources import addresses, network_security_group, public_ip_address
from emulator.resources.base import Type, choice, exists, invalid, required
from emulator.resources.virtual_network import INTERFACE, etag
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

READ_ONLY = (
    "privateEndpoint",
    "virtualMachine",
    "macAddress",
    "primary",
    "hostedWorkloads",
    "tapConfigurations",
    "resourceGuid",
    "provisioningState",
)


def _shape(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in READ_ONLY}
    if "privateEndpoint" in write.old_properties:  # the code is ours
        owner = ml.obj(write.old_properties["privateEndpoint"]).get("id")
        message = f"Network interface {write.id} belongs to the private endpoint {owner} and cannot be changed."
        raise Refusal(400, "CannotModifyNicOfPrivateEndpoint", message)
    items = [ml.obj(item) for item in ml.items(given.get("ipConfigurations"))]
    if not items:  # the code is ours
        message = f"Network interface {write.id} must have one or more IP configurations."
        raise Refusal(400, "NetworkInterfaceMustHaveAtLeastOneIpConfiguration", message)
    group = ml.obj(given.get("networkSecurityGroup")).get("id")
    if group is not None:
        found = exists(write.cloud, group, network_security_group.TYPE.name, f"resource {write.id}")
        addresses.in_region(write, found, str(group))
    mine: dict[str, str] = {}
    shown = [_configuration(write, item, mine) for item in items]
    if not any(ml.obj(item["properties"]).get("primary") for item in shown):
        first = ml.obj(shown[0]["properties"])
        shown[0]["properties"] = {**first, "primary": True}
    return {
        "enableAcceleratedNetworking": False,
        "enableIPForwarding": False,
        "nicType": "Standard",
        **given,
        "ipConfigurations": [*shown],
        "resourceGuid": write.kept("resourceGuid", lambda: str(uuid4())),
    }


def _configuration(write: Write, item: Document, mine: dict[str, str]) -> Document:
    """Check one configuration and give it its address, which goes to `mine`. Raises `Refusal` 400."""
    given = ml.obj(item.get("properties"))
    required(item, "name")
    required(given, "subnet")
    method = given.get("privateIPAllocationMethod") or "Dynamic"
    choice(method, "privateIPAllocationMethod", ("Dynamic", "Static"))
    place = addresses.subnet(write, given["subnet"], f"resource {write.id}")
    id_ = f"{write.id}/ipConfigurations/{item['name']}"
    if id_ in mine.values():
        raise invalid(f"The IP configurations of {write.id} can't share the name '{item['name']}'.")
    if method == "Static" and not given.get("privateIPAddress"):
        raise invalid(f"The IP configuration {id_} has the method Static, so it needs 'privateIPAddress'.")
    _public(write, given, id_)
    wanted = given["privateIPAddress"] if method == "Static" else None
    address = addresses.pick(write, place, mine, wanted, _kept(write, ml.text(item["name"]), str(place["id"])))
    mine[address] = id_
    settled: Document = {
        "primary": False,
        "privateIPAddressVersion": "IPv4",
        **given,
        "privateIPAddress": address,
        "privateIPAllocationMethod": method,
        "provisioningState": "Succeeded",
    }
    return {**item, "id": id_, "type": f"{INTERFACE}/ipConfigurations", "properties": settled}


def _kept(write: Write, name: str, subnet_id: str) -> Json:
    """Return the address that this configuration had in this subnet."""
    for item in map(ml.obj, ml.items(write.old_properties.get("ipConfigurations"))):
        had = ml.obj(item["properties"])
        if item["name"] == name and ml.text(ml.obj(had["subnet"]).get("id")).lower() == subnet_id.lower():
            return had["privateIPAddress"]
    return None


def _public(write: Write, given: Document, id_: str) -> None:
    """Check the public address: there, in the region, nobody else's. Raises `Refusal` 400; the last code is ours."""
    reference = ml.obj(given.get("publicIPAddress")).get("id")
    if reference is None:
        return
    found = exists(write.cloud, reference, public_ip_address.KIND, f"resource {write.id}")
    addresses.in_region(write, found, str(reference))
    other = public_ip_address.user(write.cloud, str(found["id"]))
    if other is not None and other.lower() != id_.lower():
        message = f"Resource {id_} is referencing public IP address {reference} that is already allocated to {other}."
        raise Refusal(400, "PublicIPAddressInUse", message)


def _may_go(call: Call, document: Document) -> None:
    """Refuse to delete an interface in use (hashicorp/terraform-provider-azurerm#8105). Raises `Refusal` 400."""
    id_ = str(document["id"])
    machine = virtual_machines.of_interface(call.cloud, id_)
    owner = ml.obj(ml.obj(document["properties"]).get("privateEndpoint")).get("id")
    used = machine["id"] if machine is not None else owner
    if used is not None:
        message = (
            f"Network Interface {id_} is used by existing resource {used}. In order to delete the network interface, "
            "it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
        )
        raise Refusal(400, "NicInUse", message)


def _settled(cloud: Cloud, document: Document) -> None:
    """Another public address is another door."""
    machine = virtual_machines.of_interface(cloud, str(document["id"]))
    if machine is not None:
        virtual_machines.open_door(cloud, machine)


def _view(cloud: Cloud, document: Document) -> Document:
    machine = virtual_machines.of_interface(cloud, str(document["id"]))
    if machine is None:
        return document
    guid = ml.text(ml.obj(document["properties"])["resourceGuid"]).replace("-", "").upper()
    attached: Document = {
        "primary": True,
        "virtualMachine": {"id": machine["id"]},
        # Azure's machines have addresses of Microsoft's: 00-0D-3A is one of its prefixes.
        "macAddress": f"00-0D-3A-{guid[:2]}-{guid[2:4]}-{guid[4:6]}",
    }
    return {**document, "properties": {**ml.obj(document["properties"]), **attached}}


TYPE = Type(
    INTERFACE,
    network_security_group.NAME,
    _shape,
    outputs=etag,
    top=("location", "tags", "extendedLocation"),
    put="operation",
    delete="operation",
    may_go=_may_go,
    settled=_settled,
    view=_view,
)
