"""Plays Microsoft.Authorization/roleAssignments on any scope (RoleAssignments_*, 2022-04-01). Not enforced on calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import arm_common, ml
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources.base import choice, required
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.resources.base import Document
    from emulator.routing import Call

KIND = "Microsoft.Authorization/roleAssignments"
COLLECTION = f"/{{scope*}}/providers/{KIND}"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def routes() -> list[Route]:
    """Return the rows of the table."""
    one = COLLECTION + "/{name}"
    return [
        Route("GET", one, _get),
        Route("PUT", one, _put),
        Route("DELETE", one, _delete),
        Route("GET", COLLECTION, _list),
    ]


def _scope(call: Call) -> str:
    """Return the id that the path's scope means. Raises `Refusal` 404 when there is no such thing."""
    scope = f"/{call.args['scope']}"
    if scope.lower() == f"/subscriptions/{SUBSCRIPTION_ID}".lower():
        return f"/subscriptions/{SUBSCRIPTION_ID}"
    found = call.cloud.state.get(scope)
    if found is None:
        raise Refusal(404, "ResourceNotFound", f"The scope '{scope}' was not found.")
    return str(found["id"])


def _put(call: Call) -> Answer:
    """Play RoleAssignments_Create: 201; a repeated one is the same, a different one under that name is refused."""
    body = call.json()
    given = ml.obj(body.get("properties"))
    required(given, "principalId", "roleDefinitionId")
    kinds = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")
    choice(given.get("principalType"), "principalType", kinds)
    if not GUID.fullmatch(call.args["name"]):
        raise Refusal(
            400,
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{call.args['name']}' is not valid: it must be a GUID.",
        )
    if not GUID.fullmatch(ml.text(given["principalId"])):
        raise Refusal(
            400,
            "InvalidPrincipalId",
            f"A valid principal ID must be provided for role assignment; got '{given['principalId']}'.",
        )
    role = ml.text(given["roleDefinitionId"])
    if not re.search(r"/providers/Microsoft\.Authorization/roleDefinitions/[0-9a-f-]{36}$", role, re.IGNORECASE):
        raise Refusal(400, "InvalidRoleDefinitionId", f"The role definition ID '{role}' is not valid.")
    with call.cloud.state.transaction():
        scope = _scope(call)
        id_ = f"{scope}/providers/{KIND}/{call.args['name']}"
        old = call.cloud.state.get(id_)
        _refuse_change(call, scope, id_, given, old)
        document = _document(call, id_, {**given, "scope": scope}, old)
        call.cloud.state.put(id_, document)
    return Answer(201, document)


def _refuse_change(call: Call, scope: str, id_: str, given: Document, old: Document | None) -> None:
    what = ("principalId", "roleDefinitionId")
    if old is not None and any(not _same(ml.obj(old["properties"])[key], given[key]) for key in what):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise Refusal(400, "RoleAssignmentUpdateNotPermitted", message)
    for other in call.cloud.state.children(f"{scope}/providers/{KIND}"):
        found = ml.obj(other["properties"])
        if ml.text(other["id"]).lower() != id_.lower() and all(_same(found[key], given[key]) for key in what):
            message = f"The role assignment already exists. The ID of the existing role assignment is {other['name']}."
            raise Refusal(409, "RoleAssignmentExists", message)


def _same(left: object, right: object) -> bool:
    return str(left).lower() == str(right).lower()


def _document(call: Call, id_: str, properties: Document, old: Document | None) -> Document:
    system = arm_common.system_data(call, old)
    return {
        "id": id_,
        "name": id_.rpartition("/")[2],
        "type": KIND,
        "properties": {
            "principalType": "ServicePrincipal",
            "condition": None,
            **properties,
            "createdOn": system["createdAt"],
            "createdBy": system["createdBy"],
            "updatedOn": system["lastModifiedAt"],
            "updatedBy": system["lastModifiedBy"],
        },
    }


def _get(call: Call) -> Answer:
    """Play RoleAssignments_Get."""
    found = call.cloud.state.get(f"{_scope(call)}/providers/{KIND}/{call.args['name']}")
    if found is None:
        raise Refusal(404, "RoleAssignmentNotFound", f"The role assignment '{call.args['name']}' is not found.")
    return Answer(200, found)


def _list(call: Call) -> Answer:
    """Play RoleAssignments_ListForScope, at the scope itself; `$filter` is not played."""
    if "$filter" in call.query and call.query["$filter"] != "atScope()":
        raise Refusal(501, "NotImplemented", "Only $filter=atScope() is played by this emulator.")
    return Answer(200, {"value": [*call.cloud.state.children(f"{_scope(call)}/providers/{KIND}")]})


def _delete(call: Call) -> Answer:
    """Play RoleAssignments_Delete: 200 with what went, 204 when there was nothing."""
    with call.cloud.state.transaction():
        id_ = f"{_scope(call)}/providers/{KIND}/{call.args['name']}"
        old = call.cloud.state.get(id_)
        if old is None:
            return Answer(204)
        call.cloud.state.delete(id_)
    return Answer(200, old)
