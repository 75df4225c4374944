"""A workspace's managed network: isolation, its status, and which computes it shuts out (2025-12-01).

The rules are in azure-docs "Workspace managed virtual network isolation" (how-to-managed-network): it is never turned
off, never loosened, and takes no workspace that has computes already. The codes of the refusals are ours: the page
names none. The rules that the service adds by itself are not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.resources.base import choice
from emulator.routing import Answer, Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

MODES = ("Disabled", "AllowInternetOutbound", "AllowOnlyApprovedOutbound")
"""From open to closed: a workspace goes to the right, never to the left."""
MANAGED = ("amlcompute", "computeinstance")
"""The compute types whose nodes are placed in the managed network."""
INACTIVE: Document = {"status": "Inactive", "sparkReady": False}


def mode(workspace: Document) -> str:
    """Return the isolation mode of a workspace's document."""
    settings = ml.obj(ml.obj(workspace.get("properties")).get("managedNetwork"))
    return ml.text(settings.get("isolationMode")) or MODES[0]


def refuse_own_subnet(workspace: Document, what: str) -> None:
    """Refuse a subnet of one's own in a workspace with a managed network. Raises `Refusal` 400."""
    if mode(workspace) != MODES[0]:
        raise _refused(
            f"{what}: a subnet can't be given in the workspace '{workspace.get('name')}', whose managed network has "
            f"isolationMode {mode(workspace)}. Its computes are placed in that network."
        )


def shape(write: Write) -> Document:
    """Return `properties.managedNetwork` as it is kept: without the rules, which are resources. Raises `Refusal` 400.

    A body without it leaves it as it is.
    """
    old = ml.obj(write.old_properties.get("managedNetwork"))
    sent = {**old, **ml.obj(write.properties.get("managedNetwork"))}
    sent.pop("outboundRules", None)
    wanted = ml.text(sent.setdefault("isolationMode", MODES[0]))
    choice(sent["isolationMode"], "managedNetwork.isolationMode", MODES)
    choice(sent.get("firewallSku"), "managedNetwork.firewallSku", ("Standard", "Basic"))
    choice(sent.get("managedNetworkKind"), "managedNetwork.managedNetworkKind", ("V1", "V2"))
    before = ml.text(old.get("isolationMode")) or MODES[0]
    if MODES.index(wanted) < MODES.index(before):
        raise _refused(
            f"The managed network of the workspace '{write.name}' can't be changed from {before} to {wanted}: it can't "
            "be disabled, nor opened again, once it is set."
        )
    _shut_out(write, before, wanted)
    if wanted == MODES[0]:
        return {key: value for key, value in sent.items() if key not in {"status", "networkId"}}
    now = write.properties.get("provisionNetworkNow") is True
    sent["status"] = _active(spark=False) if now and write.old is None else old.get("status", INACTIVE)
    sent["networkId"] = old.get("networkId") or str(uuid4())
    return sent


def _shut_out(write: Write, before: str, wanted: str) -> None:
    """Refuse to switch isolation on beside computes and subnets that it can't take."""
    subnet = ml.obj(write.properties.get("serverlessComputeSettings")).get("serverlessComputeCustomSubnet")
    if wanted != MODES[0] and subnet:
        raise _refused("serverlessComputeCustomSubnet can't be given together with a managed network.")
    there = [ml.text(found["name"]) for found in computes(write.cloud, write.id)]
    if before == MODES[0] != wanted and there:
        raise _refused(
            f"The managed network of the workspace '{write.name}' can't be enabled while it has computes: "
            f"{', '.join(there)}. Delete them first."
        )


def computes(cloud: Cloud, id_: str) -> list[Document]:
    """List the computes of a workspace whose nodes the service manages."""
    found = cloud.state.children(f"{id_}/computes")
    return [item for item in found if ml.text(ml.obj(item["properties"]).get("computeType")).lower() in MANAGED]


def view(cloud: Cloud, workspace: Document) -> Document:
    """Return `properties.managedNetwork` as GET shows it: with its rules, Active once a compute needed it."""
    settings = {**ml.obj(ml.obj(workspace["properties"]).get("managedNetwork"))}
    if settings.get("isolationMode", MODES[0]) == MODES[0]:
        return settings
    from emulator.resources import outbound_rule  # that module asks this one for the mode

    id_ = str(workspace["id"])
    rules = outbound_rule.shown(cloud, id_)
    if rules:
        settings["outboundRules"] = rules
    if ml.obj(settings.get("status")).get("status") != "Active" and computes(cloud, id_):
        settings["status"] = _active(spark=False)
    return settings


def provision(call: Call, workspace: Document) -> Answer:
    """Play ManagedNetworkProvisions_ProvisionManagedNetwork: 200, done at once."""
    if mode(workspace) == MODES[0]:
        raise _refused(f"The workspace '{workspace['name']}' has no managed network: its isolationMode is Disabled.")
    properties = ml.obj(workspace["properties"])
    settings = ml.obj(properties["managedNetwork"])
    spark = call.json().get("includeSpark") is True or ml.obj(settings.get("status")).get("sparkReady") is True
    done = _active(spark=spark)
    changed: Document = {**workspace, "properties": {**properties, "managedNetwork": {**settings, "status": done}}}
    call.cloud.state.put(str(workspace["id"]), changed)
    return Answer(200, done)


def _active(*, spark: bool) -> Document:
    return {"status": "Active", "sparkReady": spark}


def _refused(message: str) -> Refusal:
    return Refusal(400, "ValidationError", message)
