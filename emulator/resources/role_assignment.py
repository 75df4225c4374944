"""Plays Microsoft.Authorization/roleAssignments on any scope (RoleAssignments_*, 2022-04-01). Not enforced on calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import arm_common, ml
from emulator.constants import OBJECT_ID, SUBSCRIPTION_ID, TENANT_ID
from emulator.resources import role_definitions, user_assigned_identity
from emulator.resources.base import choice, required
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document
    from emulator.routing import Call, Json

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
        Route("GET", f"/{{scope*}}/providers/{role_definitions.KIND}/{{name}}", _role),
        Route("GET", f"/{{scope*}}/providers/{role_definitions.KIND}", _roles),
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
    given = ml.obj(call.json().get("properties"))
    _check(call, given)
    with call.cloud.state.transaction():
        scope = _scope(call)
        _refuse_stranger(call.cloud, ml.text(given["principalId"]))
        id_ = f"{scope}/providers/{KIND}/{call.args['name']}"
        old = call.cloud.state.get(id_)
        _refuse_change(call, scope, id_, given, old)
        document = _document(call, id_, {**given, "scope": scope}, old)
        call.cloud.state.put(id_, document)
    return Answer(201, document)


def _check(call: Call, given: Document) -> None:
    """Judge a body by itself. Raises `Refusal` 400, or 404 for a role that is not known."""
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
    guid = role.rpartition("/")[2].lower()
    if guid not in role_definitions.BUILT_IN:
        raise _no_role(guid)


def _no_role(guid: str) -> Refusal:
    message = f"The specified role definition with ID '{guid.replace('-', '')}' does not exist."
    return Refusal(404, "RoleDefinitionDoesNotExist", message)


def _refuse_stranger(cloud: Cloud, principal: str) -> None:
    """Refuse a principal that the directory lacks: it has the caller's and those of the identities that were made.

    The text is the service's (hashicorp/terraform-provider-azurerm#17357: 400 PrincipalNotFound).
    """
    if principal.lower() not in {known.lower() for known in _principals(cloud)}:
        message = (
            f"Principal {principal.replace('-', '')} does not exist in the directory {TENANT_ID}. Check that you have "
            "the correct principal ID. If you are creating this principal and then immediately assigning a role, this "
            "error might be related to a replication delay. In this case, set the role assignment principalType "
            "property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
        )
        raise Refusal(400, "PrincipalNotFound", message)


def _principals(cloud: Cloud) -> set[str]:
    """Return the object ids of the emulated directory."""
    known = {OBJECT_ID}
    for _, document in cloud.state.all("arm"):
        own = ml.obj(document.get("identity")).get("principalId")
        if document.get("type") == user_assigned_identity.TYPE.name:
            own = ml.obj(document["properties"]).get("principalId")
        if own:
            known.add(ml.text(own))
    return known


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


def _role(call: Call) -> Answer:
    """Play RoleDefinitions_Get."""
    guid = call.args["name"].lower()
    if guid not in role_definitions.BUILT_IN:
        raise _no_role(guid)
    return Answer(200, role_definitions.definition(guid))


def _roles(call: Call) -> Answer:
    """Play RoleDefinitions_List with `$filter=roleName eq '…'` or none."""
    asked = call.query.get("$filter", "")
    named = re.fullmatch(r"roleName eq '([^']*)'", asked)
    if asked and not named:
        raise Refusal(501, "NotImplemented", "Only $filter=roleName eq 'NAME' is played by this emulator.")
    value: list[Json] = [
        role_definitions.definition(guid)
        for guid, name in role_definitions.BUILT_IN.items()
        if named is None or name == named[1]
    ]
    return Answer(200, {"value": value})
