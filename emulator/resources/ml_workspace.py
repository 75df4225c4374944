"""Plays Microsoft.MachineLearningServices/workspaces (Workspaces_*, 2025-12-01).

What a body must be is in `workspace_rules`, its network in `managed_network` and `outbound_rule`, what a DELETE leaves
in `deleted_workspaces`. The data plane is in other modules; they ask `require_reachable` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import accounts, ml
from emulator.constants import TENANT_ID
from emulator.resources import (
    container_registry,
    deleted_workspaces,
    managed_network,
    outbound_rule,
    private_endpoint,
    workspace_rules,
)
from emulator.resources.base import Name, Type, merged
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.MachineLearningServices/workspaces"
ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
OUTPUTS = (
    "workspaceId",
    "tenantId",
    "mlFlowTrackingUri",
    "notebookInfo",
    "storageHnsEnabled",
    "privateLinkCount",
    "privateEndpointConnections",
    "serviceProvisionedResourceGroup",
    "provisioningState",
    "creationTime",
)
"""The read-only members of WorkspaceProperties: what a client sends back of them is not heard."""
DEEP = ("encryption", "managedNetwork", "serverlessComputeSettings")
"""The members of which a PATCH may name a part (EncryptionUpdateProperties has the key's identifier alone)."""


def require_reachable(_call: Call, workspace: Document) -> None:
    """Refuse the data plane of a workspace without public access: this machine is not in its network.

    ARM's own reads and writes stay allowed, as in Azure. Raises `Refusal` 403.
    """
    if ml.obj(workspace.get("properties")).get("publicNetworkAccess") == "Disabled":
        message = (
            f"Public network access is disabled for the workspace '{workspace.get('name')}'. Use a private endpoint of "
            "the workspace, or set publicNetworkAccess to Enabled."
        )
        raise Refusal(403, "PublicNetworkAccessDisabled", message)


def _shape(write: Write) -> Document:
    if write.old is None:
        deleted_workspaces.refuse(write)
    workspace_rules.check(write)
    given = {name: value for name, value in write.properties.items() if name not in OUTPUTS}
    origin = write.cloud.origin
    host = origin.removeprefix("https://")
    guid = write.kept("workspaceId", lambda: str(uuid4()))
    shaped: Document = {
        "friendlyName": write.name,
        "hbiWorkspace": write.old_properties.get("hbiWorkspace", False),
        "publicNetworkAccess": "Enabled",
        "v1LegacyMode": False,
        "allowPublicAccessWhenBehindVnet": False,
        "enableDataIsolation": False,
        "discoveryUrl": f"{origin}/discovery",
        **given,
        "managedNetwork": managed_network.shape(write),
        "workspaceId": guid,
        "tenantId": TENANT_ID,
        "mlFlowTrackingUri": f"azureml://{host}/mlflow/v2.0{write.id}",
        "notebookInfo": {"resourceId": guid, "fqdn": host, "isPrivateLinkEnabled": False},
        "storageHnsEnabled": False,
        "privateLinkCount": 0,
        "creationTime": write.kept("creationTime", lambda: ml.stamp(write.cloud.now())),
    }
    if workspace_rules.encrypted(ml.obj(given.get("encryption"))):
        shaped["serviceProvisionedResourceGroup"] = f"azureml-rg-{write.name}_{guid}"
    return shaped


def _outputs(write: Write) -> Document:
    sku = ml.obj(write.body.get("sku"))
    name = sku.get("name", "Basic")
    return {"sku": {"name": name, "tier": name, **sku}, "kind": write.body.get("kind") or "Default"}


def _patch(call: Call, old: Document, patch: Document) -> Document:
    """Apply a PATCH (WorkspaceUpdateParameters), some members part by part."""
    body = merged(call, old, patch)
    before, sent = (ml.obj(source.get("properties")) for source in (old, patch))
    deep: Document = {
        name: {**ml.obj(before.get(name)), **ml.obj(sent[name])}
        for name in DEEP
        if isinstance(sent.get(name), dict) and before.get(name)
    }
    if "encryption" in deep:
        parts = (ml.obj(ml.obj(source["encryption"]).get("keyVaultProperties")) for source in (before, sent))
        first, last = parts
        deep["encryption"] = {**ml.obj(deep["encryption"]), "keyVaultProperties": {**first, **last}}
    return {**body, "properties": {**ml.obj(body["properties"]), **deep}}


def _view(cloud: Cloud, document: Document) -> Document:
    """Add what other resources say: the rules of the managed network, the private endpoints."""
    properties = ml.obj(document["properties"])
    connections = private_endpoint.connections(cloud, document)
    shown: Document = {**properties, "managedNetwork": managed_network.view(cloud, document)}
    if connections:
        shown["privateEndpointConnections"] = [*connections]
        shown["privateLinkCount"] = len(connections)
        shown["notebookInfo"] = {**ml.obj(properties["notebookInfo"]), "isPrivateLinkEnabled": True}
    return {**document, "properties": shown}


def _find(call: Call) -> Document:
    found = call.cloud.state.get(ONE.format(**{name: call.args[name] for name in ("sub", "rg", "name")}))
    if found is None:
        message = f"The Resource '{KIND}/{call.args['name']}' under resource group '{call.args['rg']}' was not found."
        raise Refusal(404, "ResourceNotFound", message)
    return found


def _provision(call: Call) -> Answer:
    """Play ManagedNetworkProvisions_ProvisionManagedNetwork."""
    with call.cloud.state.transaction():
        return managed_network.provision(call, _find(call))


def _list_keys(call: Call) -> Answer:
    """Play Workspaces_ListKeys."""
    properties = ml.obj(_find(call)["properties"])
    account = accounts.by_id(call.cloud, ml.text(properties["storageAccount"]))
    insights = call.cloud.state.get(ml.text(properties.get("applicationInsights"))) or {}
    key = ml.obj(insights.get("properties")).get("InstrumentationKey")
    return Answer(
        200,
        {
            "userStorageKey": accounts.keys(call.cloud, account)[0] if account and account.shared_key else None,
            "userStorageArmId": properties["storageAccount"],
            "userStorageResourceId": properties["storageAccount"],
            "appInsightsInstrumentationKey": key,
            "containerRegistryCredentials": container_registry.credentials(
                call.cloud, ml.text(properties.get("containerRegistry"))
            ),
            "notebookAccessKeys": None,
        },
    )


def _extra() -> list[Route]:
    return [
        Route("POST", f"{ONE}/listKeys", _list_keys),
        Route("POST", f"{ONE}/provisionManagedNetwork", _provision),
        *deleted_workspaces.routes(),
    ]


TYPE = Type(
    KIND,
    Name(r"[A-Za-z0-9][A-Za-z0-9-]{2,32}", "3-33 letters, digits and '-', starting with a letter or digit"),
    _shape,
    outputs=_outputs,
    top=("location", "tags", "sku", "kind", "identity"),
    put="location",
    delete="operation",
    going=deleted_workspaces.keep,
    written=outbound_rule.write_inline,
    view=_view,
    patch=_patch,
    extra=_extra,
)
