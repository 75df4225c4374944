"""Plays Microsoft.Network/privateDnsZones, their links to networks (2024-06-01), and the zone groups of endpoints.

Zones hold no records of their own here: a group shows those that Azure would write. Nothing is resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from emulator import ml
from emulator.resources import network_security_group, private_endpoint, virtual_network
from emulator.resources.base import Name, Type, exists, invalid, place, required
from emulator.resources.virtual_network import etag
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

KIND = "Microsoft.Network/privateDnsZones"
LINK = f"{KIND}/virtualNetworkLinks"
GROUP = f"{private_endpoint.KIND}/privateDnsZoneGroups"
MOST_ZONES = 5
"""Of one group (azure-docs private-endpoint-dns, "Private DNS zone group")."""
RECORDS, LINKS, LINKS_WITH_REGISTRATION = 25000, 1000, 100
"""What a zone may have (azure-docs, "Azure DNS limits")."""


def _global(write: Write) -> None:
    """Zones and links are nowhere. Raises `Refusal` 400."""
    location = write.body.get("location")
    if place(location) != "global":
        message = (
            f"The provided location '{location}' is not available for resource type '{KIND}'. "
            "List of available regions for the resource type is 'global'."
        )
        raise Refusal(400, "LocationNotAvailableForResourceType", message)


def _zone(write: Write) -> Document:
    _global(write)
    return {
        "internalId": str(uuid5(NAMESPACE_URL, write.id.lower())),
        "maxNumberOfRecordSets": RECORDS,
        "maxNumberOfVirtualNetworkLinks": LINKS,
        "maxNumberOfVirtualNetworkLinksWithRegistration": LINKS_WITH_REGISTRATION,
    }


def _zone_view(cloud: Cloud, zone: Document) -> Document:
    links = [ml.obj(link["properties"]) for link in cloud.state.children(f"{zone['id']}/virtualNetworkLinks")]
    records = sum(
        len(ml.items(ml.obj(item["properties"]).get("recordSets")))
        for _, group in cloud.state.all("arm")
        if group.get("type") == GROUP
        for item in map(ml.obj, ml.items(ml.obj(group["properties"]).get("privateDnsZoneConfigs")))
        if ml.text(ml.obj(item["properties"]).get("privateDnsZoneId")).lower() == str(zone["id"]).lower()
    )
    counted: Document = {
        "numberOfRecordSets": records + 1,  # its own SOA
        "numberOfVirtualNetworkLinks": len(links),
        "numberOfVirtualNetworkLinksWithRegistration": sum(link.get("registrationEnabled") is True for link in links),
    }
    return {**zone, "properties": {**ml.obj(zone["properties"]), **counted}}


def _zone_may_go(call: Call, zone: Document) -> None:
    """Refuse to delete a linked zone (learntocloud/networking-lab#8). Raises `Refusal` 409."""
    links = call.cloud.state.children(f"{zone['id']}/virtualNetworkLinks")
    if links:
        nested = ", ".join(f"'{KIND}/{zone['name']}/virtualNetworkLinks/{link['name']}'" for link in links)
        message = (
            "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
            f"{nested}. Please delete all nested resources before deleting this resource."
        )
        raise Refusal(409, "CannotDeleteResource", message)


def _link(write: Write) -> Document:
    _global(write)
    given = {name: value for name, value in write.properties.items() if name != "virtualNetworkLinkState"}
    required(given, "virtualNetwork")
    to = ml.obj(given["virtualNetwork"]).get("id")
    exists(write.cloud, to, virtual_network.KIND, f"resource {write.id}")
    was = ml.text(ml.obj(write.old_properties.get("virtualNetwork")).get("id"))
    if was and was.lower() != ml.text(to).lower():  # the code is ours
        raise Refusal(
            400, "VirtualNetworkOfLinkCannotBeChanged", f"The virtual network of {write.id} can't be changed."
        )
    zone = _zone_name(write.id)
    for key, other in write.cloud.state.all("arm"):
        if other.get("type") != LINK or key == write.id.lower() or _zone_name(key) != zone:
            continue
        linked = ml.text(ml.obj(ml.obj(other["properties"]).get("virtualNetwork")).get("id"))
        if linked.lower() == ml.text(to).lower():  # MicrosoftDocs/azure-aks-docs#212
            message = (
                "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link "
                f"virtual network with '{zone}' and '{zone}' zones."
            )
            raise Refusal(400, "BadRequest", message)
    return {"registrationEnabled": False, **given, "virtualNetworkLinkState": "Completed"}


def _zone_name(id_: str) -> str:
    return id_.lower().split("/privatednszones/")[1].partition("/")[0]


def _group(write: Write) -> Document:
    given = write.properties
    endpoint = write.parent()
    others = [item for item in write.cloud.state.children(write.id.rpartition("/")[0]) if item["name"] != write.name]
    if others:  # words: pulumi/pulumi-azure-native#2179
        message = f"Cannot create more than one private dns zone groups in the private endpoint {endpoint['id']}."
        raise Refusal(400, "MoreThanOnePrivateDnsZoneGroupPerPrivateEndpointNotAllowed", message)
    items = [ml.obj(item) for item in ml.items(given.get("privateDnsZoneConfigs"))]
    if len(items) > MOST_ZONES:
        raise invalid(f"A private DNS zone group can have at most {MOST_ZONES} zones; {len(items)} were given.")
    names = [ml.text(item.get("name")) for item in items]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:  # hashicorp/terraform-provider-azurerm#28966
        message = f"Resource {write.id} has two child resources with the same name ({twice})."
        raise Refusal(400, "DuplicateResourceName", message)
    return {**given, "privateDnsZoneConfigs": [_config(write, endpoint, item) for item in items]}


def _config(write: Write, endpoint: Document, item: Document) -> Document:
    given = ml.obj(item.get("properties"))
    required(item, "name")
    required(given, "privateDnsZoneId")
    zone = exists(write.cloud, given["privateDnsZoneId"], KIND, f"resource {write.id}")
    # A zone is named after the public one; that of vaults otherwise (azure-docs private-endpoint-dns).
    public = ml.text(zone["name"]).lower().removeprefix("privatelink.").replace("vaultcore.", "vault.")
    records: list[Json] = []
    for name in map(ml.obj, ml.items(ml.obj(endpoint["properties"]).get("customDnsConfigs"))):
        fqdn = ml.text(name["fqdn"]).lower()
        if fqdn.endswith(f".{public}"):
            records.append(
                {
                    "recordType": "A",
                    "recordSetName": fqdn.removesuffix(f".{public}"),
                    "fqdn": f"{fqdn.removesuffix(f'.{public}')}.{zone['name']}",
                    "ttl": 10,
                    "ipAddresses": name["ipAddresses"],
                    "provisioningState": "Succeeded",
                }
            )
    return {**item, "id": f"{write.id}/privateDnsZoneConfigs/{item['name']}",
            "properties": {**given, "recordSets": records}}  # fmt: skip


TYPE = Type(
    KIND,
    Name(
        r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?){1,33}",
        "2-34 labels of 1-63 letters, digits, '_' and '-', with '.' between them",
    ),
    _zone,
    outputs=etag,
    top=("location", "tags"),
    location="none",
    put="location",
    delete="operation",
    may_go=_zone_may_go,
    view=_zone_view,
)
LINKS_TYPE = Type(
    LINK,
    network_security_group.NAME,
    _link,
    outputs=etag,
    top=("location", "tags"),
    location="none",
    put="location",
    delete="operation",
)
GROUP_TYPE = Type(
    GROUP,
    network_security_group.NAME,
    _group,
    outputs=etag,
    top=(),
    location="none",
    put="operation",
    delete="operation",
)
