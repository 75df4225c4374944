"""Plays …/workspaces/outboundRules (ManagedNetworkSettingsRule_CreateOrUpdate, _Get, _List, _Delete; 2025-12-01).

A rule in the workspace's own body is the same resource: it is written here. One that such a body leaves out stays, as
with the service's own tools, which take a rule away by its DELETE only (ours: no page says what a PUT does to it).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import ml
from emulator.arm_common import apply, with_state
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources import managed_network
from emulator.resources.base import Name, Type, Write, choice, required
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document

KIND = "Microsoft.MachineLearningServices/workspaces/outboundRules"
KINDS = ("FQDN", "PrivateEndpoint", "ServiceTag")
PORTS = re.compile(r"\*|\d+(-\d+)?(, ?\d+(-\d+)?)*")
HOST = re.compile(r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
RANGE = managed_network.MODES


def _shape(write: Write) -> Document:
    """Judge a rule. With AllowInternetOutbound only private endpoints make sense; the other kinds need the firewall."""
    given = write.properties
    required(given, "type", "destination")
    choice(given["type"], "type", KINDS)
    mode = managed_network.mode(write.parent())
    if mode == RANGE[0] or (mode == RANGE[1] and given["type"] != "PrivateEndpoint"):
        message = (
            f"An outbound rule of type {given['type']} can't be added to a managed network with isolationMode {mode}."
        )
        raise Refusal(400, "ValidationError", message)
    match given["type"]:
        case "FQDN":
            _host(given)
        case "PrivateEndpoint":
            _private_endpoint(write.cloud, ml.obj(given["destination"]))
        case _:
            _service_tag(ml.obj(given["destination"]))
    return {**_real(given), "category": given.get("category", "UserDefined")}


def _host(given: Document) -> None:
    if not HOST.fullmatch(ml.text(given["destination"])):
        raise _refused(f"The destination of an FQDN rule is a host name; got {given['destination']!r}.")


def _private_endpoint(cloud: Cloud, target: Document) -> None:
    required(target, "serviceResourceId", "subresourceTarget")
    id_ = ml.text(target["serviceResourceId"])
    if id_.lower().startswith(f"/subscriptions/{SUBSCRIPTION_ID}/".lower()) and cloud.state.get(id_) is None:
        raise _refused(f"The resource '{id_}' of a private endpoint rule was not found.")


def _service_tag(target: Document) -> None:
    if not target.get("addressPrefixes"):
        required(target, "serviceTag")
    required(target, "protocol", "portRanges")
    choice(target["protocol"], "destination.protocol", ("TCP", "UDP", "ICMP", "*"))
    choice(target.get("action"), "destination.action", ("Allow", "Deny"))
    if not PORTS.fullmatch(ml.text(target["portRanges"])):
        raise _refused(
            f"The portRanges of a service tag rule are ports like '80, 8080-8089'; got {target['portRanges']!r}."
        )


def _real(given: Document) -> Document:
    """Return the members that are the caller's to give."""
    return {
        key: value for key, value in given.items() if key not in {"status", "errorInformation", "provisioningState"}
    }


def _view(cloud: Cloud, document: Document) -> Document:
    """Add the status, which is the network's: a rule is Active once that is provisioned."""
    workspace = cloud.state.get("/".join(str(document["id"]).split("/")[:9])) or {}
    settings = managed_network.view(cloud, workspace) if workspace else {}
    properties = _real(ml.obj(document["properties"]))
    status = ml.obj(settings.get("status")).get("status", "Inactive")
    return {**document, "properties": {**properties, "status": status}}


def shown(cloud: Cloud, workspace: str) -> Document:
    """Return a workspace's rules as its own `managedNetwork.outboundRules` has them, without their status.

    The service shows a status there too; it would be a difference to a program's inputs at every refresh.
    """
    rules = cloud.state.children(f"{workspace}/outboundRules")
    return {str(rule["name"]): _real(ml.obj(rule["properties"])) for rule in rules}


def write_inline(write: Write) -> None:
    """Write the rules that came in a workspace's body. Raises `Refusal` 400."""
    state = write.cloud.state
    rules = ml.obj(ml.obj(write.properties.get("managedNetwork")).get("outboundRules"))
    for name, rule in rules.items():
        id_ = f"{write.id}/outboundRules/{name}"
        done = apply(TYPE, Write(write.call, id_, name, {"properties": rule}, state.get(id_)))
        state.put(id_, with_state(done, "Succeeded"))


def _refused(message: str) -> Refusal:
    return Refusal(400, "ValidationError", message)


TYPE = Type(
    KIND,
    Name(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "1-64 letters, digits, '-' and '_', starting with a letter or digit"),
    _shape,
    top=(),
    location="none",
    put="location",
    delete="operation",
    view=_view,
)
