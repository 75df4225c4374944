"""Azure Resource Manager's own rules, the same for every type: parents, names, locations, 201 or 200, the envelope.

What a type adds is in `emulator.resources`. Written for the common part of the resource-provider contract
("ARM RPC": github.com/cloud-and-ai-microsoft/resource-provider-contract), any api-version: clients mix nine of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from emulator import arm_common, ml, operations
from emulator.arm_common import apply, erase, locate
from emulator.resources.base import Write
from emulator.routing import Answer, Route
from emulator.types_table import TYPES

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Type
    from emulator.routing import Call, Json

BEGUN = {"Creating": "create", "Updating": "update", "Deleting": "delete"}
"""What a write or delete puts before it has recorded its operation, and that operation's verb."""
GROUP = "/subscriptions/{sub}/resourceGroups/{rg}"


def routes() -> list[Route]:
    """Return the rows of the table: the types' own actions first, then the five verbs of each type."""
    rows: list[Route] = []
    for kind in TYPES:
        rows += kind.extra()
    for kind in TYPES:
        rows += _rows(kind)
    return rows


def resume(cloud: Cloud) -> int:
    """Finish what a dead process had accepted, or was about to: no resource stays between two states for ever.

    Returns how many operations were finished.
    """
    finished = operations.resume(cloud, finish)
    for key, document in cloud.state.all("arm"):
        state = ml.text(ml.obj(document.get("properties")).get("provisioningState"))
        if state in BEGUN:
            finish(cloud, key, BEGUN[state])
    return finished


def finish(cloud: Cloud, id_: str, verb: str) -> None:
    """Bring an accepted write or delete to its end; safe to repeat."""
    document = cloud.state.get(id_)
    if document is None:
        return
    if verb in {"delete", "purge"}:
        erase(cloud, document, purge=verb == "purge")
        return
    kind = arm_common.type_of(document)
    settled = arm_common.with_state(document, "Succeeded")
    cloud.state.put(id_, settled)
    if kind is not None:
        kind.settled(cloud, settled)


def _rows(kind: Type) -> list[Route]:
    collection = f"/providers/{kind.provider}"
    for level, segment in enumerate(kind.segments):
        collection += f"/{segment}" if level == len(kind.segments) - 1 else f"/{segment}/{{n{level}}}"
    one = f"{GROUP}{collection}/{{name}}"
    rows = [
        Route("GET", one, partial(_get, kind)),
        Route("HEAD", one, partial(_get, kind)),
        Route("PUT", one, partial(_put, kind)),
        Route("PATCH", one, partial(_patch, kind)),
        Route("DELETE", one, partial(_delete, kind)),
        Route("GET", GROUP + collection, partial(_list, kind)),
    ]
    if len(kind.segments) == 1:
        rows.append(Route("GET", "/subscriptions/{sub}" + collection, partial(_list_everywhere, kind)))
    return rows


def _get(kind: Type, call: Call) -> Answer:
    """Play `GET {id}`."""
    _id, document = locate(kind, call, "read")
    if document is None:
        raise arm_common.not_found(kind, call)
    return Answer(200, kind.view(call.cloud, document))


def _list(kind: Type, call: Call) -> Answer:
    """Play `GET {collection}`: oldest first, one page."""
    id_, _ = locate(kind, call, "read", "-")
    found = call.cloud.state.children(id_.rpartition("/")[0])
    return Answer(200, {"value": [kind.view(call.cloud, document) for document in found]})


def _list_everywhere(kind: Type, call: Call) -> Answer:
    """Play `GET /subscriptions/{sub}/providers/{type}`."""
    found = [document for _, document in call.cloud.state.all("arm") if arm_common.type_of(document) is kind]
    return Answer(200, {"value": [kind.view(call.cloud, document) for document in found]})


def _put(kind: Type, call: Call) -> Answer:
    """Play `PUT {id}`: create or overwrite."""
    body = call.json()
    with call.cloud.state.transaction():
        id_, old = locate(kind, call, "write")
        document = apply(kind, Write(call, id_, call.args["name"] if old is None else str(old["name"]), body, old))
    return _accepted(kind, call, document, new=old is None)


def _patch(kind: Type, call: Call) -> Answer:
    """Play `PATCH {id}`: change what the body names."""
    patch = call.json()
    with call.cloud.state.transaction():
        id_, old = locate(kind, call, "write")
        if old is None:
            raise arm_common.not_found(kind, call)
        body = kind.patch(call, old, patch)
        document = apply(kind, Write(call, id_, str(old["name"]), body, old))
    return _accepted(kind, call, document, new=False)


def _accepted(kind: Type, call: Call, document: Document, *, new: bool) -> Answer:
    """Answer an accepted write: at once, or with the URLs of its operation."""
    id_ = str(document["id"])
    if kind.put == "sync":
        kind.settled(call.cloud, document)
        return Answer(kind.created if new else 200, kind.view(call.cloud, document))
    shown: Json = kind.view(call.cloud, document)
    verb = "create" if new else "update"
    headers = operations.begin(call, id_, verb, partial(finish, call.cloud, id_, verb))
    if kind.put == "location" and new:
        del headers["Azure-AsyncOperation"]
        return Answer(202, None, headers)
    if kind.put == "location":
        return Answer(200, kind.view(call.cloud, call.cloud.state.get(id_) or document))
    return Answer(201 if new else 200, shown, headers)


def _delete(kind: Type, call: Call) -> Answer:
    """Play `DELETE {id}`: 204 when there is nothing, 200 when done at once, 202 with the URLs to poll."""
    cloud = call.cloud
    verb = "purge" if call.query.get("forceToPurge", "").lower() == "true" else "delete"
    with cloud.state.transaction():
        id_, document = locate(kind, call, "delete")
        if document is None:
            return arm_common.purged(kind, call, id_) if verb == "purge" else Answer(204)
        arm_common.refuse_busy(document)
        kind.may_go(call, document)
        if kind.delete == "operation":
            cloud.state.put(id_, arm_common.with_state(document, "Deleting"))
    if kind.delete == "sync":
        erase(cloud, document, purge=False)
        return Answer(200)
    headers = operations.begin(call, id_, verb, partial(finish, cloud, id_, verb))
    return Answer(202, None, headers)
