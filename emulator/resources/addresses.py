"""Who has which address of a subnet: network interfaces one each by name, computes as many as they may need.

The lowest free address is given, as Azure does ("Private IP addresses", azure-docs); four at the start of a subnet and
its last are Azure's own ("Azure Virtual Network FAQ").
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from emulator import ml
from emulator.resources import virtual_network
from emulator.resources.base import Write, exists, same_place
from emulator.resources.computes.common import inner, most_nodes
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.cloud import Cloud
    from emulator.resources.base import Document
    from emulator.routing import Json

FIRST = 4
"""The network's own address, the gateway and two of DNS come before."""


def subnet(write: Write, reference: Json, what: str) -> Document:
    """Return the subnet that a body names, in the resource's region. Raises `Refusal` 400."""
    found = exists(write.cloud, ml.obj(reference).get("id"), virtual_network.SUBNET.name, what)
    network = write.cloud.state.get(str(found["id"]).rpartition("/subnets/")[0]) or {}
    in_region(write, network, str(found["id"]))
    return found


def in_region(write: Write, other: Document, id_: str) -> None:
    """Refuse to join what is in different regions. Raises `Refusal` 400, as for what is not there at all."""
    location = write.body.get("location") or (write.old or {}).get("location")
    if not same_place(other.get("location"), location):
        message = (
            f"Resource {id_} referenced by resource {write.id} was not found. Please make sure that the referenced "
            "resource exists, and that both resources are in the same region."
        )
        raise Refusal(400, "InvalidResourceReference", message)


def taken(cloud: Cloud, subnet_id: str, apart: str = "") -> dict[str, str]:
    """Map the addresses that interfaces have in a subnet to their configurations, but for one interface."""
    wanted = subnet_id.lower()
    found = {}
    for id_, configuration in _configurations(cloud):
        properties = ml.obj(configuration.get("properties"))
        place = ml.text(ml.obj(properties.get("subnet")).get("id")).lower()
        if place == wanted and id_.lower() != apart.lower():
            found[ml.text(properties.get("privateIPAddress"))] = ml.text(configuration.get("id"))
    return found


def pick(write: Write, place: Document, mine: dict[str, str], wanted: Json, kept: Json) -> str:
    """Choose an address: the one asked for, the one that the configuration had, or the lowest free one.

    `mine` are the addresses that this same write has already given. Raises `Refusal` 400.
    """
    id_ = str(place["id"])
    others = {**taken(write.cloud, id_, write.id), **mine}
    if wanted is not None:
        return _checked(write, place, others, ml.text(wanted))
    if kept in _Range(place) and kept not in others:
        return ml.text(kept)
    free = next((address for address in _Range(place) if address not in others), None)
    if free is None or virtual_network.addresses(place) - _computes(write.cloud, id_) - len(others) < 1:
        prefix = ml.text(virtual_network.prefixes(place)[0])
        message = (
            f"Subnet {place['name']} with address prefix {prefix} does not have enough capacity for 1 IP addresses."
        )
        raise Refusal(400, "SubnetIsFull", message)
    return free


def _checked(write: Write, place: Document, others: dict[str, str], wanted: str) -> str:
    """Accept a static address. Codes as in Azure/terraform-provider-azurerm#4225 and acs-engine-terraform#10."""
    prefix = ml.text(virtual_network.prefixes(place)[0])
    try:
        inside = IPv4Address(wanted) in IPv4Network(prefix)
    except ValueError:
        inside = False
    if not inside:
        message = f"Private static IP address {wanted} does not belong to the range of subnet prefix {prefix}."
        raise Refusal(400, "PrivateIPAddressNotInSubnet", message)
    if wanted not in _Range(place):
        message = f"Private static IP address {wanted} falls within reserved IP range of subnet prefix {prefix}."
        raise Refusal(400, "PrivateIPAddressInReservedRange", message)
    if wanted in others:
        message = (
            f"IP configuration of {write.id} is using the private IP address {wanted} which is already allocated to "
            f"resource {others[wanted]}."
        )
        raise Refusal(400, "PrivateIPAddressIsAllocated", message)
    return wanted


class _Range:
    """The addresses of a subnet that machines can have, lowest first."""

    def __init__(self, place: Document) -> None:
        self._networks = [IPv4Network(ml.text(prefix)) for prefix in virtual_network.prefixes(place)]

    def __iter__(self) -> Iterator[str]:
        for network in self._networks:
            for index in range(FIRST, network.num_addresses - 1):
                yield str(network[index])

    def __contains__(self, address: object) -> bool:
        try:
            found = IPv4Address(str(address))
        except ValueError:
            return False
        return any(network[FIRST] <= found < network[-1] for network in self._networks)


def _computes(cloud: Cloud, subnet_id: str) -> int:
    found = (cloud.state.get(user) or {} for user in virtual_network.users(cloud, subnet_id))
    return sum(most_nodes(inner(document)) for document in found if ml.text(document.get("type")).endswith("/computes"))


def _configurations(cloud: Cloud) -> Iterator[tuple[str, Document]]:
    for _, document in cloud.state.all("arm"):
        if ml.text(document.get("type")) == virtual_network.INTERFACE:
            for item in ml.items(ml.obj(document["properties"]).get("ipConfigurations")):
                yield str(document["id"]), ml.obj(item)
