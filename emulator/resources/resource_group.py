"""Plays Microsoft.Resources: resource groups and a subscription's lists (ResourceGroups_*, Resources_List, 2024-03)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from emulator import arm_common, ml, operations
from emulator.constants import LOCATIONS, SUBSCRIPTION_ID, TENANT_ID
from emulator.resources import virtual_network
from emulator.resources.base import Name, Type, same_place
from emulator.routing import Answer, Refusal, Route
from emulator.types_table import PROVIDERS

if TYPE_CHECKING:
    from emulator.resources.base import Document
    from emulator.routing import Call, Json

ONE = "/subscriptions/{sub}/resourceGroups/{rg}"
RULE = Name(r"[-\w._()]{0,89}[-\w_()]", "1-90 letters, digits, '_', '-', '.', '(' and ')', with no dot at the end")
SHOWN = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "managedBy")


def routes() -> list[Route]:
    """Return the rows of the table."""
    return [
        Route("GET", "/subscriptions", _subscriptions),
        Route(
            "GET",
            "/tenants",
            lambda _call: Answer(200, {"value": [{"id": f"/tenants/{TENANT_ID}", "tenantId": TENANT_ID}]}),
        ),
        Route("GET", "/subscriptions/{sub}", lambda _call: Answer(200, _subscription())),
        Route("GET", "/subscriptions/{sub}/locations", _locations),
        Route("GET", "/subscriptions/{sub}/providers/{provider}", _provider),
        Route("GET", "/subscriptions/{sub}/resources", _resources),
        Route("GET", "/subscriptions/{sub}/resourceGroups", _list),
        Route("GET", f"{ONE}/resources", _resources),
        Route("GET", ONE, _get),
        Route("HEAD", ONE, _head),
        Route("PUT", ONE, _put),
        Route("PATCH", ONE, _patch),
        Route("DELETE", ONE, _delete),
    ]


def _find(call: Call) -> Document:
    found = call.cloud.state.get(ONE.format(sub=call.args["sub"], rg=call.args["rg"]))
    if found is None:
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{call.args['rg']}' could not be found.")
    return found


def _get(call: Call) -> Answer:
    """Play ResourceGroups_Get."""
    return Answer(200, _find(call))


def _head(call: Call) -> Answer:
    """Play ResourceGroups_CheckExistence."""
    return Answer(204 if call.cloud.state.get(ONE.format(sub=call.args["sub"], rg=call.args["rg"])) else 404)


def _list(call: Call) -> Answer:
    """Play ResourceGroups_List."""
    found = call.cloud.state.children(f"/subscriptions/{call.args['sub']}/resourceGroups")
    return Answer(200, {"value": [*found]})


def _put(call: Call) -> Answer:
    """Play ResourceGroups_CreateOrUpdate."""
    body = call.json()
    arm_common.check_body(body)
    arm_common.tags(body)
    with call.cloud.state.transaction():
        old = call.cloud.state.get(ONE.format(sub=call.args["sub"], rg=call.args["rg"]))
        if old is None and not RULE.fits(call.args["rg"]):
            raise Refusal(400, "InvalidResourceGroup", f"The provided resource group name is invalid: {RULE.words}.")
        if not body.get("location"):
            raise Refusal(400, "LocationRequired", "The location property is required for this definition.")
        arm_common.known_location(body["location"], "Microsoft.Resources/resourceGroups")
        if old is not None and not same_place(body["location"], old["location"]):
            message = (
                f"Invalid resource group location '{body['location']}'. The Resource group already exists in location "
                f"'{old['location']}'."
            )
            raise Refusal(409, "InvalidResourceGroupLocation", message)
        if old is not None:
            arm_common.refuse_busy(old)
        document = _document(call, old, body)
        call.cloud.state.put(str(document["id"]), document)
    return Answer(200 if old else 201, document)


def _document(call: Call, old: Document | None, body: Document) -> Document:
    id_ = str(old["id"]) if old else f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/{call.args['rg']}"
    document: Document = {"id": id_, "name": id_.rpartition("/")[2], "type": "Microsoft.Resources/resourceGroups"}
    document |= {key: body[key] for key in ("location", "tags", "managedBy") if body.get(key) is not None}
    document["properties"] = {"provisioningState": "Succeeded"}
    return document


def _patch(call: Call) -> Answer:
    """Play ResourceGroups_Update: tags and managedBy."""
    body = call.json()
    arm_common.tags(body)
    with call.cloud.state.transaction():
        old = _find(call)
        arm_common.refuse_busy(old)
        changed: Document = {key: body[key] for key in ("tags", "managedBy") if key in body}
        document = {**old, **changed}
        call.cloud.state.put(str(old["id"]), document)
    return Answer(200, document)


def _delete(call: Call) -> Answer:
    """Play ResourceGroups_Delete: everything below goes; refused when something outside uses a subnet inside."""
    cloud = call.cloud
    with cloud.state.transaction():
        group = _find(call)
        id_ = str(group["id"])
        arm_common.refuse_busy(group)
        outside = [user for user in virtual_network.users(cloud, id_) if not user.lower().startswith(f"{id_}/".lower())]
        if outside:
            message = f"Deletion of resource group '{group['name']}' failed as resources inside are used by {outside}."
            raise Refusal(409, "ResourceGroupDeletionBlocked", message)
        cloud.state.put(id_, arm_common.with_state(group, "Deleting"))
    headers = operations.begin(call, id_, "delete", partial(_erase, call, id_))
    del headers["Azure-AsyncOperation"]
    name = headers["Location"].partition("?")[0].rpartition("/")[2]
    place = f"/subscriptions/{SUBSCRIPTION_ID}/operationresults/{name}"
    return Answer(202, None, {**headers, "Location": operations.headers(call, place, place)["Location"]})


def _erase(call: Call, id_: str) -> None:
    group = call.cloud.state.get(id_)
    if group is not None:
        arm_common.erase(call.cloud, group, purge=False)


def _resources(call: Call) -> Answer:
    """Play Resources_List and Resources_ListByResourceGroup: the tracked (top-level) resources."""
    below = f"/subscriptions/{call.args['sub']}/resourceGroups/"
    if "rg" in call.args:
        below = f"{_find(call)['id']}/"
    value: list[Json] = []
    for _, document in call.cloud.state.all("arm", below):
        kind = arm_common.type_of(document)
        if kind is not None and document.get("location") and _tracked(kind):
            value.append({key: document[key] for key in SHOWN if key in document})
    return Answer(200, {"value": value})


def _tracked(kind: Type) -> bool:
    return len(kind.segments) == 1


def _subscription() -> Document:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION_ID}",
        "subscriptionId": SUBSCRIPTION_ID,
        "tenantId": TENANT_ID,
        "displayName": "Trainyard emulator",
        "state": "Enabled",
    }


def _subscriptions(_call: Call) -> Answer:
    """Play Subscriptions_List."""
    return Answer(200, {"value": [_subscription()]})


def _locations(_call: Call) -> Answer:
    """Play Subscriptions_ListLocations."""
    base = f"/subscriptions/{SUBSCRIPTION_ID}/locations"
    return Answer(200, {"value": [{"id": f"{base}/{name}", "name": name, "displayName": name} for name in LOCATIONS]})


def _provider(call: Call) -> Answer:
    """Play Providers_Get: every namespace that is played here is registered."""
    found = next((name for name in PROVIDERS if name.lower() == call.args["provider"].lower()), None)
    if found is None:
        message = f"The resource namespace '{call.args['provider']}' is invalid, or not played by this emulator."
        raise Refusal(404, "InvalidResourceNamespace", ml.text(message))
    id_ = f"/subscriptions/{SUBSCRIPTION_ID}/providers/{found}"
    types: list[Json] = [{"resourceType": name, "locations": list(LOCATIONS)} for name in PROVIDERS[found]]
    return Answer(200, {"id": id_, "namespace": found, "registrationState": "Registered", "resourceTypes": types})
