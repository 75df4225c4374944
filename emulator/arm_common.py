"""The steps of ARM's verbs, one function each: find, judge, write, erase. `arm` and `resource_group` put them together.

Every function here expects the caller to hold the state's transaction where it reads before it writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import ml
from emulator.constants import LOCATIONS, OBJECT_ID
from emulator.resources import identities
from emulator.resources.base import place, same_place
from emulator.routing import Answer, Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Type, Write
    from emulator.routing import Call, Json

MOST_TAGS = 50
FINAL = {"Succeeded", "Failed", "Canceled"}


def type_of(document: Document) -> Type | None:
    """Return the type of a document, or None when it is not ARM's."""
    from emulator.types_table import BY_NAME

    return BY_NAME.get(ml.text(document.get("type")).lower())


def locate(kind: Type, call: Call, action: str, name: str | None = None) -> tuple[str, Document | None]:
    """Return the id that the path means and its document. Raises `Refusal` 404 when a parent is missing.

    The id is spelt as the parents' documents spell theirs, whatever the caller wrote.
    """
    state = call.cloud.state
    group = state.get(f"/subscriptions/{call.args['sub']}/resourceGroups/{call.args['rg']}")
    if group is None:
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{call.args['rg']}' could not be found.")
    if action == "write" and ml.obj(group.get("properties")).get("provisioningState") == "Deleting":
        message = (
            f"The resource group '{call.args['rg']}' is in deprovisioning state and cannot perform this operation."
        )
        raise Refusal(409, "ResourceGroupBeingDeleted", message)
    id_ = f"{group['id']}/providers/{kind.provider}"
    for level, segment in enumerate(kind.segments[:-1]):
        parent = state.get(f"{id_}/{segment}/{call.args[f'n{level}']}")
        if parent is None:
            if segment == "blobServices":  # a singleton that is always there
                id_ = f"{id_}/{segment}/default"
                continue
            raise _orphan(kind, action, "/".join([*kind.segments[: level + 1]]), call.args[f"n{level}"])
        id_ = str(parent["id"])
    id_ = f"{id_}/{kind.segments[-1]}/{name or call.args['name']}"
    document = state.get(id_)
    return (id_ if document is None else str(document["id"])), document


def not_found(kind: Type, call: Call) -> Refusal:
    """Return ARM's 404 of a resource."""
    names = [call.args[f"n{level}"] for level in range(len(kind.segments) - 1)] + [call.args["name"]]
    path = "/".join(f"{segment}/{name}" for segment, name in zip(kind.segments, names, strict=True))
    message = (
        f"The Resource '{kind.provider}/{path}' under resource group '{call.args['rg']}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return Refusal(404, "ResourceNotFound", message)


def _orphan(kind: Type, action: str, parent: str, name: str) -> Refusal:
    message = (
        f"Failed to perform '{action}' on resource(s) of type '{'/'.join(kind.segments)}', because the parent resource "
        f"'{kind.provider}/{parent}/{name}' could not be found."
    )
    return Refusal(404, "ParentResourceNotFound", message)


def apply(kind: Type, write: Write) -> Document:
    """Judge a write and put the document; returns it as it is stored, not settled yet when the type is asynchronous."""
    old, body = write.old, write.body
    if old is None and not kind.rule.fits(write.name):
        raise Refusal(
            400,
            "InvalidResourceName",
            f"The resource name '{write.name}' of type '{kind.name}' is not valid: {kind.rule.words}.",
        )
    check_body(body)
    if old is not None:
        refuse_busy(old)
    location = _location(kind, write)
    tags(body)
    properties = kind.shape(write)
    document: Document = {"id": write.id, "name": write.name, "type": kind.name}
    document |= {key: body[key] for key in kind.top if key in body and body[key] is not None}
    if "identity" in document:
        document["identity"] = identities.resolve(write)
    if location is not None:
        document["location"] = location
    document["properties"] = properties
    document["systemData"] = system_data(write.call, old)
    state = "Succeeded" if kind.put == "sync" else "Creating" if old is None else "Updating"
    document = with_state(document, state)
    document |= kind.outputs(write)
    write.cloud.state.put(write.id, document)
    secret = kind.secret(write)
    if secret:
        write.cloud.state.put(f"{write.id}/__secret", secret, "secret")
    else:
        write.cloud.state.delete(f"{write.id}/__secret")
    kind.written(write)
    return document


def check_body(body: Document) -> None:
    """Refuse members of the wrong JSON type. Raises `Refusal` 400."""
    for name in ("properties", "tags", "sku", "identity"):
        if not isinstance(body.get(name, {}), dict | None):
            raise Refusal(400, "InvalidRequestContent", f"The request content was invalid: '{name}' must be an object.")


def tags(body: Document) -> None:
    """Check `tags` by ARM's limits ("Use tags to organize your Azure resources"). Raises `Refusal` 400."""
    given = ml.obj(body.get("tags"))
    if len(given) > MOST_TAGS:
        raise Refusal(400, "InvalidTagCount", f"A resource can have at most {MOST_TAGS} tags; {len(given)} were given.")
    for key, value in given.items():
        if len(key) > 512 or any(char in key for char in "<>%&\\?/"):  # noqa: PLR2004 - ARM's limit
            raise Refusal(400, "InvalidTagNameCharacters", f"The tag name '{key}' is not valid.")
        if not isinstance(value, str) or len(value) > 256:  # noqa: PLR2004 - ARM's limit
            raise Refusal(
                400, "InvalidTagValue", f"The value of tag '{key}' must be a string of at most 256 characters."
            )


def _location(kind: Type, write: Write) -> Json:
    given = write.body.get("location")
    old = write.old.get("location") if write.old else None
    if kind.location == "none":
        return None
    if given in (None, ""):
        if kind.location == "optional" or old is not None:
            return old
        raise Refusal(400, "LocationRequired", "The location property is required for this definition.")
    known_location(given, kind.name)
    if old is not None and not same_place(given, old):
        group = write.id.split("/")[4]
        message = (
            f"The resource '{write.name}' already exists in location '{old}' in resource group '{group}'. A resource "
            f"with the same name cannot be created in location '{given}'. Please select a new resource name."
        )
        raise Refusal(409, "InvalidResourceLocation", message)
    return given


def known_location(location: Json, kind: str) -> None:
    """Check that this cloud has the region. Raises `Refusal` 400."""
    if place(location) not in LOCATIONS:
        message = (
            f"The provided location '{location}' is not available for resource type '{kind}'. "
            f"List of available regions for the resource type is '{','.join(LOCATIONS)}'."
        )
        raise Refusal(400, "LocationNotAvailableForResourceType", message)


def refuse_busy(document: Document) -> None:
    """Refuse a write while another one is under way. Raises `Refusal` 409."""
    state = ml.obj(document.get("properties")).get("provisioningState", "Succeeded")
    if state not in FINAL:
        message = f"Another operation is in progress on the resource '{document['id']}' (provisioningState: {state})."
        raise Refusal(409, "Conflict", message)


def with_state(document: Document, state: str) -> Document:
    """Return the document with this provisioning state."""
    return {**document, "properties": {**ml.obj(document.get("properties")), "provisioningState": state}}


def system_data(call: Call, old: Document | None) -> Document:
    """Return who made and who changed the resource, and when."""
    now = ml.stamp(call.cloud.now())
    who = call.claims.get("oid", OBJECT_ID)
    known = ml.obj(old.get("systemData")) if old else {}
    made: Document = {key: known[key] for key in ("createdBy", "createdByType", "createdAt") if key in known}
    first: Document = {"createdBy": who, "createdByType": "Application", "createdAt": now}
    last: Document = {"lastModifiedBy": who, "lastModifiedByType": "Application", "lastModifiedAt": now}
    return {**(made or first), **last}


def erase(cloud: Cloud, document: Document, *, purge: bool) -> None:
    """Delete a resource and all below it, in one transaction; then tell the types what is gone. Safe to repeat."""
    id_ = str(document["id"])
    with cloud.state.transaction():
        below = [found for _, found in cloud.state.all("arm", f"{id_}/")]
        going = [(kind, found) for found in [*below, document] if (kind := type_of(found)) is not None]
        for kind, found in going:
            if not (purge and found is document):
                kind.going(cloud, found)
        cloud.state.delete_tree(id_)
    for kind, found in going:
        kind.gone(cloud, found)


def deleted_key(id_: str) -> str:
    """Return where a soft-deleted resource is remembered."""
    return f"/deleted{id_}"


def purged(kind: Type, call: Call, id_: str) -> Answer:
    """Forget a soft-deleted resource for good. Raises `Refusal` 404 when there is none."""
    if not call.cloud.state.delete(deleted_key(id_)):
        raise not_found(kind, call)
    return Answer(200)
