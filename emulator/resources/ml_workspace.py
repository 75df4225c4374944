"""Plays Microsoft.MachineLearningServices/workspaces (Workspaces_CreateOrUpdate, _Delete, _ListKeys; 2025-12-01).

A deleted workspace stays 14 days and blocks its name, unless it was deleted with `forceToPurge=true` ("Recover
workspace data while soft deleted"). Its data plane is in other modules; they ask `require_reachable` first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import accounts, arm_common, ml
from emulator.constants import TENANT_ID
from emulator.resources import app_insights, key_vault, storage_account
from emulator.resources.base import Name, Type, choice, exists
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.MachineLearningServices/workspaces"
ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
RETENTION = timedelta(days=14)
FIXED = ("storageAccount", "keyVault", "hbiWorkspace")


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
    given = write.properties
    if write.old is None:
        _refuse_soft_deleted(write)
    _check(write)
    origin = write.cloud.origin
    host = origin.removeprefix("https://")
    guid = write.kept("workspaceId", lambda: str(uuid4()))
    return {
        "friendlyName": write.name,
        "hbiWorkspace": False,
        "publicNetworkAccess": "Enabled",
        "v1LegacyMode": False,
        "allowPublicAccessWhenBehindVnet": False,
        "enableDataIsolation": False,
        "managedNetwork": {"isolationMode": "Disabled"},
        **given,
        "workspaceId": guid,
        "tenantId": TENANT_ID,
        "discoveryUrl": f"{origin}/discovery",
        "mlFlowTrackingUri": f"azureml://{host}/mlflow/v2.0{write.id}",
        "notebookInfo": {"resourceId": guid, "fqdn": host, "isPrivateLinkEnabled": False},
        "storageHnsEnabled": False,
        "privateLinkCount": 0,
        "creationTime": write.kept("creationTime", lambda: ml.stamp(write.cloud.now())),
    }


def _check(write: Write) -> None:
    given = write.properties
    identity = ml.text(ml.obj(write.body.get("identity")).get("type")) or "None"
    if identity == "None":
        raise _refused("Missing identity: a workspace needs a system-assigned or user-assigned identity.")
    for name in ("storageAccount", "keyVault"):
        if not given.get(name):
            raise _refused(f"Missing dependent resources in workspace json: {name}.")
    account = exists(write.cloud, given["storageAccount"], storage_account.KIND, "properties.storageAccount")
    exists(write.cloud, given["keyVault"], key_vault.KIND, "properties.keyVault")
    if given.get("applicationInsights"):
        exists(write.cloud, given["applicationInsights"], app_insights.TYPE.name, "properties.applicationInsights")
    if ml.text(ml.obj(account.get("sku")).get("name")).startswith("Premium"):
        raise _refused("A premium storage account can't be a workspace's default storage account.")
    if ml.obj(account["properties"]).get("isHnsEnabled") is True:
        raise _refused("A storage account with hierarchical namespace can't be a workspace's default storage account.")
    choice(given.get("publicNetworkAccess"), "publicNetworkAccess", ("Enabled", "Disabled"))
    choice(
        given.get("systemDatastoresAuthMode"),
        "systemDatastoresAuthMode",
        ("AccessKey", "Identity", "UserDelegationSAS"),
    )
    mode = ml.obj(given.get("managedNetwork")).get("isolationMode")
    choice(mode, "managedNetwork.isolationMode", ("Disabled", "AllowInternetOutbound", "AllowOnlyApprovedOutbound"))
    choice(write.body.get("kind"), "kind", ("Default", "Hub", "Project", "FeatureStore"))
    primary = given.get("primaryUserAssignedIdentity")
    if primary:
        exists(write.cloud, primary, "Microsoft.ManagedIdentity/userAssignedIdentities", "primaryUserAssignedIdentity")
    for name in FIXED if write.old else ():
        was = write.old_properties.get(name)
        if str(given.get(name, was)).lower() != str(was).lower():
            raise _refused(f"'{name}' of the workspace '{write.name}' cannot be changed after it was created.")


def _refused(message: str) -> Refusal:
    return Refusal(400, "ValidationError", message)


def _refuse_soft_deleted(write: Write) -> None:
    found = write.cloud.state.get(arm_common.deleted_key(write.id))
    if found is None:
        return
    if ml.moment(ml.text(found["deletedAt"])) + RETENTION <= write.cloud.now():
        write.cloud.state.delete(arm_common.deleted_key(write.id))
        return
    message = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
    raise Refusal(409, "Conflict", message)


def _going(cloud: Cloud, workspace: Document) -> None:
    gone: Document = {"deletedAt": ml.stamp(cloud.now()), "resource": workspace}
    cloud.state.put(arm_common.deleted_key(str(workspace["id"])), gone, "deleted-workspace")


def _list_keys(call: Call) -> Answer:
    """Play Workspaces_ListKeys."""
    id_ = ONE.format(**{name: call.args[name] for name in ("sub", "rg", "name")})
    found = call.cloud.state.get(id_)
    if found is None:
        message = f"The Resource '{KIND}/{call.args['name']}' under resource group '{call.args['rg']}' was not found."
        raise Refusal(404, "ResourceNotFound", message)
    properties = ml.obj(found["properties"])
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
            "containerRegistryCredentials": None,
            "notebookAccessKeys": None,
        },
    )


TYPE = Type(
    KIND,
    Name(r"[A-Za-z0-9][A-Za-z0-9-]{2,32}", "3-33 letters, digits and '-', starting with a letter or digit"),
    _shape,
    top=("location", "tags", "sku", "kind", "identity"),
    put="location",
    delete="operation",
    going=_going,
    extra=lambda: [Route("POST", f"{ONE}/listKeys", _list_keys)],
)
