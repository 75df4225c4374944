"""Plays Microsoft.Network/privateEndpoints (PrivateEndpoints_*, 2024-05-01) and what their targets show of them.

An endpoint takes an address a member of its target's part, on an interface of its own; the connection is approved at
once, as for a caller who may do so on the target. Nothing is routed: what is private is unreachable from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid4, uuid5

from emulator import ml
from emulator.resources import addresses
from emulator.resources.base import Type, place, required
from emulator.resources.virtual_network import INTERFACE, NAME, etag
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Json

KIND = "Microsoft.Network/privateEndpoints"
STORAGE = ("blob", "file", "queue", "table", "dfs", "web")
PARTS: dict[str, tuple[str, ...]] = {
    "microsoft.machinelearningservices/workspaces": ("amlworkspace",),
    "microsoft.storage/storageaccounts": (*STORAGE, *(f"{part}_secondary" for part in STORAGE)),
    "microsoft.keyvault/vaults": ("vault",),
    "microsoft.containerregistry/registries": ("registry",),
}
"""The parts of each type (azure-docs private-endpoint-overview, "Private-link resource")."""
APPROVED: Document = {"status": "Approved", "description": "Auto-Approved", "actionsRequired": "None"}
DISCONNECTED: Document = {"status": "Disconnected", "description": "", "actionsRequired": "None"}
READ_ONLY = ("networkInterfaces", "customDnsConfigs", "provisioningState")
OF_CONNECTION = ("privateLinkServiceId", "groupIds", "requestMessage")


def connections(cloud: Cloud, target: Document) -> list[Document]:
    """List the `privateEndpointConnections` that a resource shows in its GET: one for each endpoint to it."""
    found: list[Document] = []
    for _, endpoint in cloud.state.all("arm"):
        if endpoint.get("type") != KIND:
            continue
        given = _connection(ml.obj(endpoint["properties"]))
        to = ml.text(given.get("privateLinkServiceId"))
        if to.lower() != str(target["id"]).lower() or not _linked(cloud, endpoint, target):
            continue
        name = f"{endpoint['name']}.{uuid5(NAMESPACE_URL, str(endpoint['id']).lower())}"
        shown: Document = {
            "privateEndpoint": {"id": endpoint["id"]},
            "groupIds": given["groupIds"],
            "privateLinkServiceConnectionState": APPROVED,
            "provisioningState": "Succeeded",
        }
        kind = f"{target['type']}/privateEndpointConnections"
        found.append(
            {"id": f"{target['id']}/privateEndpointConnections/{name}", "name": name, "type": kind, "properties": shown}
        )
    return found


def with_connections(cloud: Cloud, target: Document) -> Document:
    """Return a resource as its GET shows it: with its connections where it has some."""
    found = connections(cloud, target)
    return {**target, "properties": {**ml.obj(target["properties"]), "privateEndpointConnections": [*found]}} if found \
        else target  # fmt: skip


def _linked(cloud: Cloud, endpoint: Document, target: Document | None) -> bool:
    """Tell whether the target is still the one that was connected: an endpoint never finds its way to a new one."""
    made = ml.obj((target or {}).get("systemData")).get("createdAt")
    return target is not None and (cloud.state.get(f"{endpoint['id']}/__secret") or {}).get("made") == made


def _shape(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in READ_ONLY}
    required(given, "subnet")
    subnet = addresses.subnet(write, given["subnet"], f"resource {write.id}")
    if given.get("manualPrivateLinkServiceConnections"):
        message = "'manualPrivateLinkServiceConnections' are not played by this emulator: nobody here approves them."
        raise Refusal(501, "NotPlayedByThisEmulator", message)
    items = ml.items(given.get("privateLinkServiceConnections"))
    if len(items) != 1:  # the code is ours
        message = (
            f"Private endpoint {write.id} must have exactly one private link service connection; got {len(items)}."
        )
        raise Refusal(400, "PrivateEndpointMustHaveOneConnection", message)
    target, part = _target(write, ml.obj(items[0]))
    if write.old is not None:
        _refuse_changes(write, given)
    item = ml.obj(items[0])
    id_ = f"{write.id}/privateLinkServiceConnections/{item['name']}"
    inner: Document = {key: value for key, value in ml.obj(item.get("properties")).items() if key in OF_CONNECTION}
    connection: Document = {
        **item,
        "id": id_,
        "type": f"{KIND}/privateLinkServiceConnections",
        "properties": {**inner, "privateLinkServiceConnectionState": APPROVED, "provisioningState": "Succeeded"},
    }
    nic = ml.text(given.get("customNetworkInterfaceName")) or f"{write.name}.nic.{uuid4()}"
    group = write.id.partition("/providers/")[0]
    return {
        **given,
        "privateLinkServiceConnections": [connection],
        "networkInterfaces": write.kept("networkInterfaces", lambda: [{"id": f"{group}/providers/{INTERFACE}/{nic}"}]),
        "customDnsConfigs": write.kept("customDnsConfigs", lambda: _names(write, subnet, target, part)),
    }


def _target(write: Write, item: Document) -> tuple[Document, str]:
    """Return what a connection leads to, and the part. Raises `Refusal` 400.

    Messages: Azure/azure-cli#16750 and DFE-Digital/terraform-azurerm-container-apps-hosting#352.
    """
    given = ml.obj(item.get("properties"))
    required(item, "name")
    required(given, "privateLinkServiceId")
    to, parts = ml.text(given["privateLinkServiceId"]), [ml.text(part) for part in ml.items(given.get("groupIds"))]
    found = write.cloud.state.get(to)
    kind = ml.text((found or {}).get("type"))
    if found is None or kind.lower() not in PARTS:
        message = f"Resource {to} referenced by resource {write.id} was not found. Please make sure that it exists."
        raise Refusal(400, "InvalidResourceReference", message)
    if len(parts) > 1:
        message = (
            f"Private link service connection {write.id}/privateLinkServiceConnections/{item['name']} has the "
            f"following group Ids: {', '.join(parts)}. Only one group Id is permitted when connecting to a first-party "
            f"resource ({to})."
        )
        raise Refusal(400, "OnlyOneGroupIdPermitted", message)
    part = parts[0] if parts else ""
    if part not in PARTS[kind.lower()]:
        message = (
            f"Call to {kind} failed. Error message: Values for request parameters are invalid: GroupId: {part}. "
            f"Allowed values: {', '.join(PARTS[kind.lower()])}."
        )
        raise Refusal(400, "InvalidValuesForRequestParameters", message)
    sku = ml.text(ml.obj(found.get("sku")).get("name"))
    if part == "registry" and sku != "Premium":  # azure-docs container-registry-skus; the code is ours
        message = f"The registry '{found['name']}' has sku {sku}; private endpoints need sku Premium."
        raise Refusal(400, "FeatureNotSupportedForSku", message)
    return found, part


def _refuse_changes(write: Write, given: Document) -> None:
    """Refuse another subnet or target (the vendor's provider replaces for a subnet; the code is ours)."""
    was, now = write.old_properties, _connection(given)
    before = _connection(was)
    changed = [name for name in OF_CONNECTION[:2] if before.get(name) != now.get(name)]
    places = [ml.text(ml.obj(source.get("subnet")).get("id")).lower() for source in (was, given)]
    if places[0] != places[1]:
        changed.append("subnet")
    if changed:
        message = f"'{changed[0]}' of the private endpoint {write.id} cannot be changed. Delete it and make another."
        raise Refusal(400, "PrivateEndpointCannotBeUpdated", message)


def _connection(properties: Document) -> Document:
    items = ml.items(properties.get("privateLinkServiceConnections"))
    return ml.obj(ml.obj(items[0]).get("properties")) if items else {}


def _names(write: Write, subnet: Document, target: Document, part: str) -> Json:
    """Give every member an address of the subnet, and say under which name it is asked for."""
    mine: dict[str, str] = {}
    shown: list[Json] = []
    for member, name in _members(target, part):
        address = addresses.pick(write, subnet, mine, None, None)
        mine[address] = member
        shown.append({"fqdn": name, "ipAddresses": [address]})
    return shown


def _members(target: Document, part: str) -> Iterator[tuple[str, str]]:
    """Name the members of a part: those of a workspace are how-to-configure-private-link's, a registry's its own."""
    name, where = ml.text(target["name"]), place(target["location"])
    guid = ml.text(ml.obj(target["properties"]).get("workspaceId"))
    match part:
        case "amlworkspace":
            yield "default", f"{guid}.workspace.{where}.api.azureml.ms"
            yield "notebook", f"ml-{name}-{where}-{guid}.{where}.notebooks.azure.net"
            yield "inference", f"*.{guid}.inference.{where}.api.azureml.ms"
        case "registry":
            yield f"registry_data_{where}", f"{name}.{where}.data.azurecr.io"
            yield "registry", f"{name}.azurecr.io"
        case "vault":
            yield "default", f"{name}.vault.azure.net"
        case _:
            host = f"{name}-secondary" if part.endswith("_secondary") else name
            yield part, f"{host}.{part.removesuffix('_secondary')}.core.windows.net"


def _made(write: Write) -> Document:
    known = write.cloud.state.get(f"{write.id}/__secret")
    if write.old is not None and known is not None:
        return known
    target = write.cloud.state.get(ml.text(_connection(write.properties).get("privateLinkServiceId"))) or {}
    return {"made": ml.obj(target.get("systemData")).get("createdAt")}


def _written(write: Write) -> None:
    """Make the endpoint's interface, which has its addresses."""
    if write.old is not None:
        return
    endpoint = write.cloud.state.get(write.id) or {}
    properties = ml.obj(endpoint["properties"])
    id_ = ml.text(ml.obj(ml.items(properties["networkInterfaces"])[0]).get("id"))
    configurations: list[Json] = []
    for index, item in enumerate(map(ml.obj, ml.items(properties["customDnsConfigs"]))):
        settled: Document = {
            "primary": index == 0,
            "subnet": properties["subnet"],
            "privateIPAddress": ml.items(item["ipAddresses"])[0],
            "privateIPAllocationMethod": "Dynamic",
            "privateIPAddressVersion": "IPv4",
            "privateLinkConnectionProperties": {"fqdns": [item["fqdn"]]},
            "provisioningState": "Succeeded",
        }
        name = f"privateEndpointIpConfig.{index}"
        configurations.append({"id": f"{id_}/ipConfigurations/{name}", "name": name, "properties": settled})
    nic: Document = {
        "id": id_,
        "name": id_.rpartition("/")[2],
        "type": INTERFACE,
        "location": endpoint["location"],
        "properties": {
            "ipConfigurations": configurations,
            "privateEndpoint": {"id": write.id},
            "resourceGuid": str(uuid4()),
            "provisioningState": "Succeeded",
        },
        **etag(write),
    }
    write.cloud.state.put(id_, nic)


def _going(cloud: Cloud, endpoint: Document) -> None:
    for item in ml.items(ml.obj(endpoint["properties"]).get("networkInterfaces")):
        cloud.state.delete_tree(ml.text(ml.obj(item).get("id")))


def _view(cloud: Cloud, endpoint: Document) -> Document:
    """Say whether it still leads anywhere."""
    properties = ml.obj(endpoint["properties"])
    target = cloud.state.get(ml.text(_connection(properties).get("privateLinkServiceId")))
    if _linked(cloud, endpoint, target):
        return endpoint
    item = ml.obj(ml.items(properties["privateLinkServiceConnections"])[0])
    inner: Document = {**ml.obj(item["properties"]), "privateLinkServiceConnectionState": DISCONNECTED}
    return {
        **endpoint,
        "properties": {**properties, "privateLinkServiceConnections": [{**item, "properties": inner}]},
    }


TYPE = Type(
    KIND,
    NAME,
    _shape,
    outputs=etag,
    top=("location", "tags", "extendedLocation"),
    put="operation",
    delete="operation",
    secret=_made,
    written=_written,
    going=_going,
    view=_view,
)
