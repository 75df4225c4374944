"""Plays Microsoft.Network/virtualNetworks and their subnets (VirtualNetworks_CreateOrUpdate, Subnets_*; 2024-05-01).

A subnet is a document of its own; the network's `properties.subnets` is made of them. A subnet that a compute is
placed in can't be deleted, nor can its network or its group.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from emulator import ml
from emulator.arm_common import apply, with_state
from emulator.resources import network_security_group
from emulator.resources.base import Name, Type, Write, choice, exists
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.cloud import Cloud
    from emulator.resources.base import Document
    from emulator.routing import Call, Json

KIND = "Microsoft.Network/virtualNetworks"
INTERFACE = "Microsoft.Network/networkInterfaces"
SUBNET_READ_ONLY = ("ipConfigurations", "ipConfigurationProfiles", "privateEndpoints", "purpose", "provisioningState")
POLICIES = ("Enabled", "Disabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled")
SERVICES = (
    "Microsoft.AzureActiveDirectory",
    "Microsoft.AzureCosmosDB",
    "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry",
    "Microsoft.EventHub",
    "Microsoft.KeyVault",
    "Microsoft.ServiceBus",
    "Microsoft.Sql",
    "Microsoft.Storage",
    "Microsoft.Storage.Global",
    "Microsoft.Web",
)
"""Virtual network service endpoints (azure-docs virtual-network-service-endpoints-overview)."""
RESERVED = 5
"""Azure keeps the first four addresses of a subnet and the last ("Azure Virtual Network FAQ")."""
Network: TypeAlias = IPv4Network | IPv6Network


def prefixes(subnet: Document) -> list[Json]:
    """Return a subnet's address prefixes."""
    properties = ml.obj(subnet.get("properties"))
    return ml.items(properties.get("addressPrefixes")) or [properties.get("addressPrefix")]


def addresses(subnet: Document) -> int:
    """Count the addresses of a subnet that machines can have."""
    return sum(_parse(prefix).num_addresses - RESERVED for prefix in prefixes(subnet))


def users(cloud: Cloud, id_: str) -> list[str]:
    """List the ids of the computes and interfaces that are placed in this subnet, or below this network or group."""
    wanted = id_.lower()
    found = []
    for _, document in cloud.state.all("arm"):
        used = [subnet.lower() for subnet in _places(document)]
        if any(subnet == wanted or subnet.startswith(f"{wanted}/") for subnet in used):
            found.append(str(document["id"]))
    return found


def _places(document: Document) -> list[str]:
    """Return the subnets that a compute or an interface is in."""
    kind, properties = ml.text(document.get("type")).lower(), ml.obj(document.get("properties"))
    if kind.endswith("/workspaces/computes"):
        return [ml.text(ml.obj(ml.obj(properties.get("properties")).get("subnet")).get("id"))]
    if kind == INTERFACE.lower():
        inner = [ml.obj(ml.obj(item).get("properties")) for item in ml.items(properties.get("ipConfigurations"))]
        return [ml.text(ml.obj(item.get("subnet")).get("id")) for item in inner]
    return []


def _shape(write: Write) -> Document:
    given = write.properties
    space = ml.items(ml.obj(given.get("addressSpace")).get("addressPrefixes"))
    if not space:
        message = f"Virtual network '{write.name}' must have at least one address prefix in 'addressSpace'."
        raise Refusal(400, "InvalidRequestFormat", message)
    networks = [_parse(prefix) for prefix in space]
    for found in write.cloud.state.children(f"{write.id}/subnets"):
        if not _kept(given, found):
            continue
        for prefix in prefixes(found):
            _within(prefix, networks, ml.text(found["name"]), write.name)
    return {
        "enableDdosProtection": False,
        "virtualNetworkPeerings": [],
        **{key: value for key, value in given.items() if key != "subnets"},
        "resourceGuid": write.kept("resourceGuid", lambda: str(uuid4())),
    }


def _kept(given: Document, subnet: Document) -> bool:
    """Say whether a subnet stays: without `subnets` in the body all do, with it the named ones."""
    if given.get("subnets") is None:
        return True
    names = [ml.text(ml.obj(item).get("name")).lower() for item in ml.items(given["subnets"])]
    return ml.text(subnet["name"]).lower() in names


def _written(write: Write) -> None:
    """Write the subnets that came in the network's body, delete those that it leaves out."""
    given = write.properties.get("subnets")
    state = write.cloud.state
    if given is None:
        return
    for found in state.children(f"{write.id}/subnets"):
        if not _kept(write.properties, found):
            _subnet_may_go(write.call, found)
            state.delete_tree(str(found["id"]))
    for item in map(ml.obj, ml.items(given)):
        name = ml.text(item.get("name"))
        id_ = f"{write.id}/subnets/{name}"
        done = apply(SUBNET, Write(write.call, id_, name, item, state.get(id_)))
        state.put(id_, with_state(done, "Succeeded"))


def _view(cloud: Cloud, document: Document) -> Document:
    subnets: list[Json] = [_subnet_view(cloud, found) for found in cloud.state.children(f"{document['id']}/subnets")]
    return {**document, "properties": {**ml.obj(document["properties"]), "subnets": subnets}}


def _may_go(call: Call, document: Document) -> None:
    """Refuse to delete a network with a subnet in use. Raises `Refusal` 400."""
    for subnet in call.cloud.state.children(f"{document['id']}/subnets"):
        _subnet_may_go(call, subnet)


def _subnet(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in SUBNET_READ_ONLY}
    network = write.parent()
    space = [
        _parse(item)
        for item in ml.items(ml.obj(ml.obj(network["properties"]).get("addressSpace")).get("addressPrefixes"))
    ]
    asked: Document = {"properties": given}
    if prefixes(asked) == [None]:
        raise _invalid(write.name, ml.text(network["name"]))
    for prefix in prefixes(asked):
        own = _within(prefix, space, write.name, ml.text(network["name"]))
        _refuse_overlap(write, own, ml.text(network["name"]))
    if write.old is not None and prefixes(write.old) != prefixes(asked) and users(write.cloud, write.id):
        raise Refusal(400, "InUseSubnetCannotBeUpdated", f"Subnet {write.name} is in use and cannot be updated.")
    group = ml.obj(given.get("networkSecurityGroup")).get("id")
    if group is not None:
        exists(write.cloud, group, network_security_group.TYPE.name, f"subnet {write.name}")
    choice(given.get("privateEndpointNetworkPolicies"), "privateEndpointNetworkPolicies", POLICIES)
    endpoints = [ml.obj(item) for item in ml.items(given.get("serviceEndpoints"))]
    for endpoint in endpoints:
        choice(endpoint.get("service") or "", "serviceEndpoints.service", SERVICES)
    if endpoints:
        given["serviceEndpoints"] = [{**endpoint, "provisioningState": "Succeeded"} for endpoint in endpoints]
    return {
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
        **given,
    }


def _subnet_view(cloud: Cloud, subnet: Document) -> Document:
    """Add whose addresses are in the subnet."""
    wanted = str(subnet["id"]).lower()
    configurations: list[Json] = []
    endpoints: list[Json] = []
    for _, document in cloud.state.all("arm"):
        if ml.text(document.get("type")) != INTERFACE or wanted not in [item.lower() for item in _places(document)]:
            continue
        properties = ml.obj(document["properties"])
        configurations += [{"id": ml.obj(item).get("id")} for item in ml.items(properties["ipConfigurations"])]
        if properties.get("privateEndpoint"):
            endpoints.append(properties["privateEndpoint"])
    seen = {"ipConfigurations": configurations, "privateEndpoints": endpoints}
    shown: Document = {name: [*found] for name, found in seen.items() if found}
    return {**subnet, "properties": {**ml.obj(subnet["properties"]), **shown}}


def _refuse_overlap(write: Write, own: Network, network: str) -> None:
    for other in write.cloud.state.children(write.id.rpartition("/")[0]):
        if ml.text(other["id"]).lower() == write.id.lower():
            continue
        for prefix in prefixes(other):
            found = _parse(prefix)
            if found.version == own.version and found.overlaps(own):
                message = (
                    f"Subnet '{write.name}' is not valid because its IP address range overlaps with that of an "
                    f"existing subnet in virtual network '{network}'."
                )
                raise Refusal(400, "NetcfgSubnetRangesOverlap", message)


def _within(prefix: Json, space: Sequence[Network], subnet: str, network: str) -> Network:
    own = _parse(prefix)
    inside = any(isinstance(own, type(outer)) and own.subnet_of(outer) for outer in space)  # type: ignore[arg-type]
    if not inside or own.num_addresses <= RESERVED:
        raise _invalid(subnet, network)
    return own


def _invalid(subnet: str, network: str) -> Refusal:
    message = f"Subnet '{subnet}' is not valid in virtual network '{network}'."
    return Refusal(400, "NetcfgInvalidSubnet", message)


def _parse(prefix: Json) -> Network:
    try:
        return ip_network(ml.text(prefix))
    except ValueError as error:
        message = f"The address prefix '{prefix}' is not valid: {error}."
        raise Refusal(400, "InvalidAddressPrefixFormat", message) from error


def _subnet_may_go(call: Call, subnet: Document) -> None:
    """Refuse to delete a subnet in use. Raises `Refusal` 400."""
    found = users(call.cloud, str(subnet["id"]))
    if found:
        message = (
            f"Subnet {subnet['name']} is in use by {', '.join(found)} and cannot be deleted. In order to delete the "
            "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
        )
        raise Refusal(400, "InUseSubnetCannotBeDeleted", message)


def etag(write: Write) -> Document:
    """Return the weak tag that Microsoft.Network puts on everything."""
    seen = f"{write.id}{ml.stamp(write.cloud.now())}"
    return {"etag": f'W/"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'}


NAME = Name(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]",
    "2-64 letters, digits, '_', '.', '-', starting with a letter or digit and ending with one or '_'",
)
"""Of networks and private endpoints (azure-docs resource-name-rules, Microsoft.Network)."""
TYPE = Type(
    KIND,
    NAME,
    _shape,
    outputs=etag,
    top=("location", "tags", "extendedLocation"),
    put="operation",
    delete="operation",
    may_go=_may_go,
    written=_written,
    view=_view,
)
SUBNET = Type(
    f"{KIND}/subnets",
    network_security_group.NAME,
    _subnet,
    outputs=etag,
    top=(),
    location="none",
    put="operation",
    delete="operation",
    may_go=_subnet_may_go,
    view=_subnet_view,
)
