"""What codes, environments, models and data assets have in common: containers with immutable versions.

Each kind is a few words of data (`Kind`) and gets the same handlers. A version's content can't change once it is there;
tags, description and the like can.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from emulator import accounts, blob, ml, shared_access
from emulator.blobstore import Where
from emulator.routing import Answer, Refusal, Route
from emulator.shared_access import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Call, Json

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}")
CONTAINER_FIELDS = ("description", "tags", "properties", "isArchived")
UPLOAD_LIFETIME = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of asset."""

    collection: str
    """The path segment, `codes`."""
    word: str
    """As in messages, `Code`."""
    fixed: tuple[str, ...]
    """Properties of a version that can't change."""
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Json] = field(default_factory=dict)


def routes(kind: Kind) -> list[Route]:
    """Return the rows of one kind."""
    root = f"{ml.WORKSPACE}/{kind.collection}"
    one, versions = f"{root}/{{name}}", f"{root}/{{name}}/versions"
    return [
        Route("GET", root, partial(_list_containers, kind)),
        Route("GET", one, partial(_get_container, kind)),
        Route("PUT", one, partial(_put_container, kind)),
        Route("DELETE", one, partial(_delete, kind)),
        Route("GET", versions, partial(_list_versions, kind)),
        Route("GET", f"{versions}/{{version}}", partial(_get_version, kind)),
        Route("PUT", f"{versions}/{{version}}", partial(_put_version, kind)),
        Route("DELETE", f"{versions}/{{version}}", partial(_delete, kind)),
        Route("POST", f"{versions}/{{version}}/startPendingUpload", partial(_start_upload, kind)),
    ]


def latest(cloud: Cloud, workspace: Workspace, kind: Kind, name: str) -> dict[str, Json] | None:
    """Return the version that was made last (the label `latest`), or None."""
    found = cloud.state.children(f"{workspace.id}/{kind.collection}/{name}/versions")
    shown = [version for version in found if not ml.obj(version["properties"]).get("isArchived")]
    return shown[-1] if shown else None


def _container_id(call: Call, workspace: Workspace, kind: Kind) -> str:
    return f"{workspace.id}/{kind.collection}/{call.args['name']}"


def _version_id(call: Call, workspace: Workspace, kind: Kind) -> str:
    return f"{_container_id(call, workspace, kind)}/versions/{call.args['version']}"


def _list_containers(kind: Kind, call: Call) -> Answer:
    """Play {Code,Environment,Model,Data}Containers_List, api-version 2025-12-01 and the clients' older ones."""
    workspace = ml.workspace(call)
    found = call.cloud.state.children(f"{workspace.id}/{kind.collection}")
    return _page(call, [_with_versions(call.cloud, document) for document in found])


def _get_container(kind: Kind, call: Call) -> Answer:
    """Play …Containers_Get."""
    id_ = _container_id(call, ml.workspace(call), kind)
    document = call.cloud.state.get(id_)
    if document is None:
        raise ml.missing(f"{kind.word} container", id_)
    return Answer(200, _with_versions(call.cloud, document))


def _put_container(kind: Kind, call: Call) -> Answer:
    """Play …Containers_CreateOrUpdate: 201, or 200 for one that is there."""
    id_ = _container_id(call, ml.workspace(call), kind)
    _check_name(call.args["name"])
    given = ml.obj(call.json().get("properties"))
    with call.cloud.state.transaction():
        known = call.cloud.state.get(id_)
        document = keep_container(
            call.cloud, id_, kind, {name: given[name] for name in CONTAINER_FIELDS if name in given}
        )
    return Answer(200 if known else 201, _with_versions(call.cloud, document))


def keep_container(cloud: Cloud, id_: str, kind: Kind, given: Mapping[str, Json]) -> dict[str, Json]:
    """Write a container's document and return it."""
    base: dict[str, Json] = {
        "description": None,
        "tags": {},
        "properties": {},
        "isArchived": False,
        "provisioningState": "Succeeded",
    }
    document = ml.entity(cloud, id_, kind.collection, base | dict(given))
    cloud.state.put(id_, document, "asset")
    return document


def _with_versions(cloud: Cloud, document: dict[str, Json]) -> dict[str, Json]:
    names = [ml.text(version["name"]) for version in cloud.state.children(f"{document['id']}/versions")]
    numbers = [int(name) for name in names if name.isdigit()]
    added: dict[str, Json] = {
        "latestVersion": names[-1] if names else None,
        "nextVersion": str(max(numbers, default=0) + 1),
    }
    return {**document, "properties": ml.obj(document["properties"]) | added}


def _list_versions(kind: Kind, call: Call) -> Answer:
    """Play …Versions_List: `$orderBy`, `$top`, `hash` with `hashVersion`, `listViewType`."""
    workspace = ml.workspace(call)
    wanted = call.query.get("hash")
    if wanted is None:
        return _page(call, call.cloud.state.children(f"{_container_id(call, workspace, kind)}/versions"))
    # azure-ai-ml 1.35.2 asks below a fresh GUID each time, so content is looked for in all names.
    below = [version for _, version in call.cloud.state.all("asset", f"{workspace.id}/{kind.collection}/")]
    fits = (wanted, call.query.get("hashVersion", ""))
    return _page(call, [version for version in below if "/versions/" in str(version["id"]) and _hash(version) == fits])


def _hash(version: Mapping[str, Json]) -> tuple[str, str]:
    tagged = ml.texts(ml.obj(version["properties"]).get("properties"))
    return tagged.get("hash_sha256", ""), tagged.get("hash_version", "")


def _page(call: Call, found: Sequence[dict[str, Json]]) -> Answer:
    view = call.query.get("listViewType", "ActiveOnly")
    archived = {"ActiveOnly": {False}, "ArchivedOnly": {True}}.get(view, {True, False})
    shown = [document for document in found if bool(ml.obj(document["properties"]).get("isArchived")) in archived]
    if "desc" in call.query.get("$orderBy", "createdtime desc"):
        shown.reverse()
    top = call.query.get("$top", "")
    values: list[Json] = list(shown[: int(top)] if top.isdigit() else shown)
    return Answer(200, {"value": values, "nextLink": None})


def _get_version(kind: Kind, call: Call) -> Answer:
    """Play …Versions_Get."""
    id_ = _version_id(call, ml.workspace(call), kind)
    document = call.cloud.state.get(id_)
    if document is None:
        raise ml.missing(f"{kind.word} version", id_)
    return Answer(200, document)


def _put_version(kind: Kind, call: Call) -> Answer:
    """Play …Versions_CreateOrUpdate: 201, or 200 when nothing of the content changes; 409 when it would."""
    workspace = ml.workspace(call)
    id_ = _version_id(call, workspace, kind)
    _check_name(call.args["name"])
    _check_name(call.args["version"])
    given = {name: value for name, value in ml.obj(call.json().get("properties")).items() if value is not None}
    for name in ("tags", "properties"):
        if name in given:  # both are maps of strings to the service; azure-ai-ml 1.35.2 sends a number
            given[name] = dict(ml.texts(given[name]))
    absent = [name for name in kind.required if not given.get(name)]
    if absent:
        raise Refusal(400, "UserError", f"{kind.word} version: the property '{absent[0]}' is required.")
    common: dict[str, Json] = {
        "description": None,
        "tags": {},
        "properties": {},
        "isArchived": False,
        "isAnonymous": False,
    }
    properties = common | dict(kind.defaults) | given | {"provisioningState": "Succeeded"}
    with call.cloud.state.transaction():
        known = call.cloud.state.get(id_)
        if known is not None:
            _check_same(kind, id_, ml.obj(known["properties"]), properties)
        container = _container_id(call, workspace, kind)
        if call.cloud.state.get(container) is None:
            anonymous = {"isArchived": True} if properties["isAnonymous"] else {}
            keep_container(call.cloud, container, kind, cast("dict[str, Json]", anonymous))
        document = ml.entity(call.cloud, id_, f"{kind.collection}/versions", properties)
        call.cloud.state.put(id_, document, "asset")
    return Answer(200 if known else 201, document)


def _check_same(kind: Kind, id_: str, known: Mapping[str, Json], given: Mapping[str, Json]) -> None:
    changed = [name for name in kind.fixed if known.get(name) != given.get(name)]
    if changed:
        text = (
            f"{kind.word} version '{id_}' exists and is immutable: '{changed[0]}' can't be changed. Use a new version."
        )
        raise Refusal(409, "Conflict", text)


def _delete(kind: Kind, call: Call) -> Answer:
    """Play …Versions_Delete and …Containers_Delete: 200, or 204 when there is none."""
    workspace = ml.workspace(call)
    versioned = "version" in call.args
    id_ = _version_id(call, workspace, kind) if versioned else _container_id(call, workspace, kind)
    return Answer(200 if call.cloud.state.delete_tree(id_) else 204)


def _start_upload(kind: Kind, call: Call) -> Answer:
    """Play …Versions_CreateOrGetStartPendingUpload: a container of its own for each version, and a signature for it."""
    workspace = ml.workspace(call)
    _check_name(call.args["name"])
    sort = ml.text(call.json().get("pendingUploadType")) or "TemporaryBlobReference"
    if sort != "TemporaryBlobReference":
        raise Refusal(501, "NotImplemented", f"pendingUploadType '{sort}' is not played by this emulator.")
    account = accounts.by_id(call.cloud, workspace.storage_id)
    if account is None:
        raise Refusal(400, "UserError", f"The workspace's storage account '{workspace.storage_id}' does not exist.")
    id_ = _version_id(call, workspace, kind).lower()
    where = Where(account, f"{workspace.guid}-{hashlib.sha256(id_.encode()).hexdigest()[:24]}")
    accounts.ensure_container(call.cloud, account, where.container)
    token = shared_access.sign(call.cloud, Target(account, where.container), "racwdl", UPLOAD_LIFETIME)
    uri = blob.url(call.cloud, where)
    reference: dict[str, Json] = {
        "blobUri": uri,
        "storageAccountArmId": account.id,
        "credential": {"credentialType": "SAS", "sasUri": f"{uri}?{token}"},
    }
    answer: dict[str, Json] = {
        "pendingUploadId": hashlib.sha256(id_.encode()).hexdigest()[:32],
        "pendingUploadType": sort,
        "blobReferenceForConsumption": reference,
    }
    return Answer(200, answer)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        rule = "1 to 255 of letters, digits, '-', '_', '.', the first a letter or digit"
        text = f"'{name}' is not a valid name or version: {rule}."
        raise Refusal(400, "UserError", text)
