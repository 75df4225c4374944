"""A deleted workspace: what is kept for 14 days, the name that it blocks, recovering it and deleting it for good.

azure-docs "Recover workspace data while soft deleted" (concept-soft-delete): run history, models, data, environments,
components and datastores are kept; computes, endpoints, queued jobs and role assignments are not. Recovering is a
button of Azure's portal ("Recently deleted"): azure-rest-api-specs, az ml and azure-ai-ml have no such operation, and
none that lists deleted workspaces. So the two routes here are the emulator's own, under a path that ARM does not have.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from emulator import arm_common, ml
from emulator.resources import key_vault, storage_account
from emulator.resources.base import exists
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

PORTAL = "/emulator/portal/deletedWorkspaces"
RETENTION = timedelta(days=14)
KEPT = ("asset", "datastore", "experiment", "run", "metrics", "job", "secret")
"""The state's kinds that stay; `arm` is computes, rules and role assignments, which do not."""
OVER = ("Completed", "Failed", "Canceled")


def routes() -> list[Route]:
    """Return what Azure's portal does by its own means."""
    return [
        Route("GET", PORTAL, _list, api_version=False),
        Route("POST", f"{PORTAL}/recover", _recover, api_version=False),
    ]


def refuse(write: Write) -> None:
    """Refuse a new workspace whose name a deleted one has.

    400 BadRequest with this text: the deployment log in Azure/ResourceModules#3596. Raises `Refusal`.
    """
    if _find(write.cloud, write.id) is not None:
        message = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
        raise Refusal(400, "BadRequest", message)


def keep(cloud: Cloud, workspace: Document) -> None:
    """Remember a workspace that is being deleted, with what is kept of it."""
    id_ = str(workspace["id"])
    below: list[Json] = [
        {"key": key, "kind": kind, "body": body}
        for kind in KEPT
        for key, body in cloud.state.all(kind, f"{id_}/")
        if not _lost(kind, key, body)
    ]
    gone: Document = {"deletedAt": ml.stamp(cloud.now()), "resource": workspace, "kept": below}
    cloud.state.put(arm_common.deleted_key(id_), gone, "deleted-workspace")


def _lost(kind: str, key: str, body: Document) -> bool:
    """Say whether a document goes for good: a compute's secret, a job that was not over."""
    if kind == "secret":
        return "/computes/" in key
    return kind == "job" and ml.obj(body.get("properties")).get("status") not in OVER


def _find(cloud: Cloud, id_: str) -> Document | None:
    """Return the deleted workspace of an id; one whose retention is over is forgotten."""
    found = cloud.state.get(arm_common.deleted_key(id_))
    if found is None or ml.moment(ml.text(found["deletedAt"])) + RETENTION > cloud.now():
        return found
    cloud.state.delete(arm_common.deleted_key(id_))
    return None


def _list(call: Call) -> Answer:
    """Play the portal's "Recently deleted"."""
    shown: list[Json] = []
    for _, gone in call.cloud.state.all("deleted-workspace"):
        workspace = ml.obj(gone["resource"])
        if _find(call.cloud, str(workspace["id"])) is None:
            continue
        until = ml.moment(ml.text(gone["deletedAt"])) + RETENTION
        facts: Document = {"deletionDate": gone["deletedAt"], "scheduledPurgeDate": ml.stamp(until)}
        shown.append({**{key: workspace.get(key) for key in ("id", "name", "location")}, **facts})
    return Answer(200, {"value": shown})


def _recover(call: Call) -> Answer:
    """Play the portal's "Recover": `{"id": ARM id}`; 200 with the workspace. Raises `Refusal` 404 or 400."""
    id_ = ml.text(call.json().get("id"))
    cloud = call.cloud
    with cloud.state.transaction():
        gone = _find(cloud, id_)
        if gone is None:
            raise Refusal(404, "ResourceNotFound", f"No deleted workspace '{id_}' was found.")
        workspace = ml.obj(gone["resource"])
        _refuse_recovery(cloud, workspace)
        cloud.state.delete(arm_common.deleted_key(id_))
        found = arm_common.with_state(workspace, "Succeeded")
        cloud.state.put(str(found["id"]), found)
        for item in map(ml.obj, ml.items(gone.get("kept"))):
            cloud.state.put(ml.text(item["key"]), ml.obj(item["body"]), ml.text(item["kind"]))
    return Answer(200, found)


def _refuse_recovery(cloud: Cloud, workspace: Document) -> None:
    """Refuse when what the workspace stands on is gone ("restore dependent Azure resources first")."""
    identity = ml.text(ml.obj(workspace.get("identity")).get("type")).lower()
    if "systemassigned" not in identity:
        message = (
            f"The workspace '{workspace['name']}' can't be recovered: with user-assigned identities alone, soft delete "
            "and recovery are not supported."
        )
        raise Refusal(400, "BadRequest", message)
    group = str(workspace["id"]).partition("/providers/")[0]
    if cloud.state.get(group) is None:
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{group.rpartition('/')[2]}' could not be found.")
    properties = ml.obj(workspace["properties"])
    exists(cloud, properties["storageAccount"], storage_account.KIND, "properties.storageAccount")
    exists(cloud, properties["keyVault"], key_vault.KIND, "properties.keyVault")
