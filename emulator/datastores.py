"""Datastores. The workspace's own two come into being when somebody first asks for them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from emulator import accounts, ml, shared_access, uris
from emulator.routing import Answer, Refusal, Route
from emulator.shared_access import Target

if TYPE_CHECKING:
    from emulator.ml import Workspace
    from emulator.routing import Call, Json

NAME = re.compile(r"[a-z0-9_]{1,255}")
ENDPOINT = "core.localhost"
"""With the port: the account's own host is then `{account}.blob.core.localhost:PORT`."""


def routes() -> list[Route]:
    """Return the rows of the table."""
    root = f"{ml.WORKSPACE}/datastores"
    return [
        Route("GET", root, _list),
        Route("GET", f"{root}/{{name}}", _get),
        Route("PUT", f"{root}/{{name}}", _put),
        Route("DELETE", f"{root}/{{name}}", _delete),
        Route("POST", f"{root}/{{name}}/listSecrets", _secrets),
    ]


def _own(call: Call, workspace: Workspace) -> None:
    """Make the workspace's own datastores when they are missing."""
    identity_based = workspace.properties.get("systemDatastoresAuthMode") in {"Identity", "UserDelegationSAS"}
    for name in (uris.BLOBSTORE, uris.ARTIFACTS):
        id_ = f"{workspace.id}/datastores/{name}"
        if call.cloud.state.get(id_) is not None:
            continue
        where = uris.datastore(call.cloud, workspace, name)
        properties: dict[str, Json] = {
            "description": None,
            "tags": {},
            "properties": {},
            "datastoreType": "AzureBlob",
            "accountName": where.account.name,
            "containerName": where.container,
            "endpoint": ENDPOINT + ":" + call.cloud.origin.rpartition(":")[2],
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity" if identity_based else "None",
            "credentials": {"credentialsType": "None" if identity_based else "AccountKey"},
            "isDefault": name == uris.BLOBSTORE,
            "subscriptionId": workspace.id.split("/")[2],
            "resourceGroup": where.account.id.split("/")[4],
        }
        call.cloud.state.put(id_, ml.entity(call.cloud, id_, "datastores", properties), "datastore")


def _list(call: Call) -> Answer:
    """Play Datastores_List, api-version 2025-12-01: `isDefault`, `count`, `orderByAsc`."""
    workspace = ml.workspace(call)
    _own(call, workspace)
    found = call.cloud.state.children(f"{workspace.id}/datastores")
    if call.query.get("isDefault", "").lower() == "true":
        found = [document for document in found if ml.obj(document["properties"]).get("isDefault")]
    count = call.query.get("count", "")
    values: list[Json] = list(found[: int(count)] if count.isdigit() else found)
    return Answer(200, {"value": values, "nextLink": None})


def _find(call: Call) -> dict[str, Json]:
    workspace = ml.workspace(call)
    if call.args["name"].lower() in {uris.BLOBSTORE, uris.ARTIFACTS}:
        _own(call, workspace)
    id_ = f"{workspace.id}/datastores/{call.args['name']}"
    document = call.cloud.state.get(id_)
    if document is None:
        raise ml.missing("Datastore", id_)
    return document


def _get(call: Call) -> Answer:
    """Play Datastores_Get."""
    return Answer(200, _find(call))


def _put(call: Call) -> Answer:
    """Play Datastores_CreateOrUpdate for AzureBlob; secrets are kept beside the document, never in it."""
    workspace = ml.workspace(call)
    name = call.args["name"]
    if not NAME.fullmatch(name):
        text = f"The datastore name '{name}' is invalid: 1 to 255 lower-case letters, digits and underscores."
        raise Refusal(400, "UserError", text)
    given = ml.obj(call.json().get("properties"))
    if given.get("datastoreType") != "AzureBlob":
        raise Refusal(
            501, "NotImplemented", f"datastoreType '{given.get('datastoreType')}' is not played here: only AzureBlob."
        )
    for required in ("accountName", "containerName"):
        if not given.get(required):
            raise Refusal(400, "UserError", f"The property '{required}' of the datastore is required.")
    if accounts.named(call.cloud, ml.text(given["accountName"])) is None:
        raise Refusal(400, "UserError", f"The storage account '{given['accountName']}' does not exist.")
    id_ = f"{workspace.id}/datastores/{name}"
    credentials = ml.obj(given.get("credentials"))
    base: dict[str, Json] = {"description": None, "tags": {}, "properties": {}, "isDefault": False, "protocol": "https"}
    base |= {"endpoint": ENDPOINT + ":" + call.cloud.origin.rpartition(":")[2], "serviceDataAccessAuthIdentity": "None"}
    shown = {key: value for key, value in credentials.items() if key != "secrets"} or {"credentialsType": "None"}
    with call.cloud.state.transaction():
        known = call.cloud.state.get(id_)
        document = ml.entity(call.cloud, id_, "datastores", base | given | {"credentials": shown})
        call.cloud.state.put(id_, document, "datastore")
        if credentials.get("secrets"):
            call.cloud.state.put(f"{id_}/__secret", ml.obj(credentials["secrets"]), "secret")
    return Answer(200 if known else 201, document)


def _delete(call: Call) -> Answer:
    """Play Datastores_Delete: 200, or 204 when there is none. The workspace's own can't be deleted."""
    if call.args["name"].lower() in {uris.BLOBSTORE, uris.ARTIFACTS}:
        raise Refusal(400, "UserError", f"The datastore '{call.args['name']}' belongs to the workspace.")
    return Answer(
        200 if call.cloud.state.delete_tree(f"{ml.workspace(call).id}/datastores/{call.args['name']}") else 204
    )


def _secrets(call: Call) -> Answer:
    """Play Datastores_ListSecrets.

    A key-based datastore answers with the account's key also when the caller would take one that expires:
    azure-ai-ml 1.35.2 (`jobs.stream`) signs each log's address with what it gets.
    """
    document = _find(call)
    properties = ml.obj(document["properties"])
    sort = ml.text(ml.obj(properties.get("credentials")).get("credentialsType"))
    kept = call.cloud.state.get(f"{document['id']}/__secret")
    account = accounts.named(call.cloud, ml.text(properties.get("accountName")))
    if sort == "AccountKey" and kept:
        return Answer(200, {"secretsType": "AccountKey", "key": kept.get("key")})
    if account is None or not account.shared_key or sort not in {"AccountKey", "Sas"}:
        raise Refusal(400, "UserError", f"The datastore '{call.args['name']}' has no secrets: it uses identities.")
    if sort == "Sas":
        target = Target(account, ml.text(properties["containerName"]))
        hours = cast("int", call.json().get("expireAfterHours") or 1)
        made = shared_access.sign(call.cloud, target, "racwdl", timedelta(hours=hours))
        return Answer(200, {"secretsType": "Sas", "sasToken": kept["sasToken"] if kept else made})
    return Answer(200, {"secretsType": "AccountKey", "key": accounts.keys(call.cloud, account)[0]})
