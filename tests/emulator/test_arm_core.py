"""ARM's own rules: parents, names, locations, 201 or 200, operations, the checks that hold for every call."""

from __future__ import annotations

import asyncio
import json

import pytest

from emulator import arm as arm_module
from emulator import operations
from emulator.constants import SUBSCRIPTION_ID
from tests.emulator.arm_kit import (
    CPU,
    LOGS,
    ORIGIN,
    RG,
    STORAGE,
    SUB,
    SUBNET,
    USER,
    VAULT,
    VNET,
    WS,
    Arm,
    cluster,
    mapping,
)

ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
NETWORK = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}


def test_a_group_is_created_with_201_and_repeated_with_200(arm: Arm) -> None:
    body = {"location": "westeurope", "tags": {"team": "vision"}}
    created = {
        "id": RG,
        "name": "rg",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "tags": {"team": "vision"},
        "properties": {"provisioningState": "Succeeded"},
    }
    assert arm.call("PUT", RG, body) == (201, created)
    assert arm.call("PUT", RG, body) == (200, created)
    assert arm.get(RG.upper().replace("SUBSCRIPTIONS", "subscriptions")) == created
    assert arm.call("HEAD", RG)[0] == 204
    assert arm.call("HEAD", RG + "2")[0] == 404


def test_a_group_does_not_move(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    assert arm.call("PUT", RG, {"location": "West Europe"})[0] == 200
    assert arm.refused("PUT", RG, {"location": "eastus"}) == (409, "InvalidResourceGroupLocation")


def test_parents_must_exist(arm: Arm) -> None:
    assert arm.refused("PUT", STORAGE, ACCOUNT) == (404, "ResourceGroupNotFound")
    arm.put(RG, {"location": "westeurope"})
    assert arm.refused("PUT", SUBNET, {"properties": {"addressPrefix": "10.0.1.0/24"}}) == (
        404,
        "ParentResourceNotFound",
    )
    assert arm.refused("GET", STORAGE) == (404, "ResourceNotFound")
    assert arm.refused("PUT", CPU, cluster()) == (404, "ParentResourceNotFound")


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (STORAGE.replace("acct", "Has-Dash"), ACCOUNT, (400, "InvalidResourceName")),
        (STORAGE, {**ACCOUNT, "location": "atlantis"}, (400, "LocationNotAvailableForResourceType")),
        (STORAGE, {key: value for key, value in ACCOUNT.items() if key != "location"}, (400, "LocationRequired")),
        (STORAGE, {**ACCOUNT, "sku": {"name": "Cheap"}}, (400, "InvalidRequestContent")),
        (STORAGE, {**ACCOUNT, "properties": 1}, (400, "InvalidRequestContent")),
        (STORAGE, {**ACCOUNT, "tags": {"a": 1}}, (400, "InvalidTagValue")),
        (STORAGE, {**ACCOUNT, "tags": {f"t{n}": "" for n in range(51)}}, (400, "InvalidTagCount")),
        (VAULT, {"location": "westeurope", "properties": {}}, (400, "InvalidRequestContent")),
        (VNET, {"location": "westeurope", "properties": {}}, (400, "InvalidRequestFormat")),
        (RG + "/providers/Microsoft.Foo/bars/x", {}, (501, "NotPlayedByThisEmulator")),
    ],
)
def test_a_bad_body_is_refused_and_nothing_is_made(
    arm: Arm, path: str, body: dict[str, object], answer: object
) -> None:
    arm.put(RG, {"location": "westeurope"})
    assert arm.refused("PUT", path, body) == answer
    assert arm.get(f"{SUB}/resources") == {"value": []}


def test_a_resource_does_not_move(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    arm.put(USER, {"location": "westeurope"})
    assert arm.refused("PUT", USER, {"location": "northeurope"}) == (409, "InvalidResourceLocation")


def test_a_storage_account_is_accepted_with_202_and_its_name_is_global(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    arm.put(RG + "2", {"location": "westeurope"})
    assert arm.call("PUT", STORAGE, ACCOUNT) == (202, None)
    assert sorted(set(arm.headers) & {"Location", "Azure-AsyncOperation", "Retry-After"}) == ["Location", "Retry-After"]
    status, found = arm.call("GET", arm.headers["Location"])
    assert (status, mapping(found)["id"]) == (200, STORAGE)
    assert arm.call("PUT", STORAGE, ACCOUNT)[0] == 200
    assert arm.refused("PUT", STORAGE.replace("/rg/", "/rg2/"), ACCOUNT) == (409, "StorageAccountAlreadyTaken")
    keys = mapping(arm.call("POST", f"{STORAGE}/listKeys")[1])["keys"]
    assert [mapping(key)["keyName"] for key in keys] == ["key1", "key2"]  # type: ignore[union-attr]


def test_an_operation_is_polled_until_it_ends(slow: Arm) -> None:
    slow.put(RG, {"location": "westeurope"})
    status, body = slow.call("PUT", VNET, NETWORK)
    assert (status, mapping(mapping(body)["properties"])["provisioningState"]) == (201, "Creating")
    poll, result = slow.headers["Azure-AsyncOperation"], slow.headers["Location"]
    assert poll.startswith(f"{ORIGIN}{SUB}/providers/Microsoft.Network/locations/westeurope/operationStatuses/")
    assert mapping(slow.call("GET", poll)[1])["status"] == "InProgress"
    assert slow.call("GET", result)[0] == 202
    assert slow.refused("PUT", VNET, NETWORK) == (409, "Conflict")
    assert operations.advance(slow.cloud) == 1
    assert mapping(slow.call("GET", poll)[1])["status"] == "Succeeded"
    assert mapping(slow.call("GET", result)[1])["id"] == VNET
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Succeeded"
    assert slow.call("DELETE", VNET)[0] == 202
    gone = slow.headers["Location"]
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Deleting"
    operations.advance(slow.cloud)
    assert slow.call("GET", gone) == (204, None)
    assert slow.refused("GET", VNET) == (404, "ResourceNotFound")


def test_an_operation_that_takes_time_is_due_by_the_clock(slow: Arm) -> None:
    slow.cloud.transitions = "time"
    slow.put(RG, {"location": "westeurope"})
    slow.put(VNET, NETWORK, 201)
    assert slow.headers["Retry-After"] == "1"
    slow.clock.forward(seconds=operations.DELAY_S - 0.1)
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Creating"
    slow.clock.forward(seconds=0.1)
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Succeeded"


def test_what_was_accepted_before_a_crash_is_finished_after_it(slow: Arm) -> None:
    slow.put(RG, {"location": "westeurope"})
    slow.put(VNET, NETWORK, 201)
    poll = slow.headers["Azure-AsyncOperation"]
    slow.put(RG + "2", {"location": "westeurope"})
    assert slow.call("DELETE", RG + "2")[0] == 202
    operations._FINISH.clear()  # what a dead process forgets
    assert arm_module.resume(slow.cloud) == 2
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Succeeded"
    assert mapping(slow.call("GET", poll)[1])["status"] == "Succeeded"
    assert slow.refused("GET", RG + "2") == (404, "ResourceGroupNotFound")
    slow.clock.forward(days=2)
    assert arm_module.resume(slow.cloud) == 0
    assert slow.call("GET", poll)[0] == 404


def test_deleting_nothing_is_204_and_a_missing_group_404(arm: Arm) -> None:
    assert arm.refused("DELETE", STORAGE) == (404, "ResourceGroupNotFound")
    assert arm.refused("DELETE", RG) == (404, "ResourceGroupNotFound")
    arm.put(RG, {"location": "westeurope"})
    assert arm.call("DELETE", STORAGE) == (204, None)
    arm.put(STORAGE, ACCOUNT)
    assert arm.call("DELETE", STORAGE) == (200, None)


def test_deleting_a_group_takes_everything_along(arm: Arm) -> None:
    arm.seed()
    arm.put(CPU, cluster(), 201)
    assert arm.call("DELETE", RG) == (202, None)
    assert arm.headers["Location"].startswith(f"{ORIGIN}{SUB}/operationresults/")
    assert arm.call("GET", arm.headers["Location"]) == (204, None)
    assert arm.get(f"{SUB}/resources") == {"value": []}
    assert arm.get(f"{SUB}/resourceGroups") == {"value": []}
    assert [key for key, _ in arm.cloud.state.all("arm")] == []


def test_the_inventory_lists_top_level_resources(arm: Arm) -> None:
    arm.seed()
    names = [mapping(item)["name"] for item in arm.get(f"{SUB}/resources")["value"]]  # type: ignore[union-attr]
    assert names == ["acct", "kv-one", "logs", "insights", "trainer", "vnet", "mlw"]
    assert arm.get(f"{RG}/resources") == arm.get(f"{SUB}/resources")
    vaults = arm.get(f"{SUB}/providers/Microsoft.KeyVault/vaults")["value"]
    assert [mapping(item)["id"] for item in vaults] == [VAULT]  # type: ignore[union-attr]


def test_a_patch_changes_what_it_names(arm: Arm) -> None:
    arm.seed()
    before = arm.get(STORAGE)
    status, after = arm.call("PATCH", STORAGE, {"tags": {"a": "b"}, "properties": {"accessTier": "Cool"}})
    assert (status, mapping(after)["tags"]) == (200, {"a": "b"})
    properties = mapping(before["properties"]) | {"accessTier": "Cool", "provisioningState": "Succeeded"}
    assert mapping(arm.get(STORAGE)["properties"]) == properties
    assert arm.call("PATCH", RG, {"tags": {"x": "y"}})[0] == 200
    assert arm.get(RG)["tags"] == {"x": "y"}


def test_who_changed_what_when_is_told(arm: Arm) -> None:
    arm.seed()
    made = mapping(arm.get(LOGS)["systemData"])
    arm.clock.forward(hours=1)
    arm.put(LOGS, {"location": "westeurope"}, 200)
    changed = mapping(arm.get(LOGS)["systemData"])
    assert made["createdAt"] == changed["createdAt"] == "2026-11-21T12:00:00.0000000Z"
    assert changed["lastModifiedAt"] == "2026-11-21T13:00:00.0000000Z"


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"host": "evil.example"}, (403, "HostNotAllowed")),
        ({"host": "localhost:21001"}, (403, "HostNotAllowed")),
        ({"host": "localhost"}, (403, "HostNotAllowed")),
        ({"origin": ORIGIN}, (403, "CrossOriginRequestNotAllowed")),
        ({"origin": "null"}, (403, "CrossOriginRequestNotAllowed")),
        ({}, (401, "AuthenticationFailed")),
        ({"host": "127.0.0.1:21000"}, (401, "AuthenticationFailed")),
    ],
)
def test_strangers_are_turned_away(arm: Arm, headers: dict[str, str], answer: object) -> None:
    got = arm.send("GET", f"{RG}?api-version=2024-03-01", headers=headers)
    assert (got.status, mapping(mapping(got.body)["error"])["code"]) == answer  # type: ignore[arg-type]


def test_the_api_version_must_be_there_and_may_be_any(arm: Arm) -> None:
    bearer = {"authorization": f"Bearer {arm.token}"}
    answer = arm.send("GET", RG, headers=bearer)
    assert (answer.status, mapping(mapping(answer.body)["error"])["code"]) == (400, "MissingApiVersionParameter")  # type: ignore[arg-type]
    assert arm.send("GET", f"{SUB}/resourceGroups?api-version=1999-01-01", headers=bearer).status == 200


def test_another_subscription_is_not_found(arm: Arm) -> None:
    other = RG.replace(SUBSCRIPTION_ID, "11111111-1111-1111-1111-111111111111")
    assert arm.refused("PUT", other, {"location": "westeurope"}) == (404, "SubscriptionNotFound")


def test_an_unknown_verb_says_what_is_played(arm: Arm) -> None:
    status, body = arm.call("POST", RG)
    assert (status, mapping(mapping(body)["error"])["message"]) == (
        501,
        f"POST {RG} is not played by this emulator; played here: DELETE, GET, HEAD, PATCH, PUT.",
    )


def test_reads_are_throttled_and_come_back_with_time(arm: Arm) -> None:
    path = f"{SUB}/resourceGroups"
    assert [arm.call("GET", path)[0] for _ in range(250)] == [200] * 250
    assert arm.refused("GET", path) == (429, "SubscriptionRequestsThrottled")
    assert arm.headers["Retry-After"] == "1"
    assert arm.call("PUT", RG, {"location": "westeurope"})[0] == 201
    assert arm.headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    arm.clock.forward(seconds=1)
    assert [arm.call("GET", path)[0] for _ in range(26)] == [200] * 25 + [429]


def test_a_body_that_is_no_json_is_refused(arm: Arm) -> None:
    bearer = {"authorization": f"Bearer {arm.token}"}
    answer = arm.send("PUT", f"{RG}?api-version=2024-03-01", b"{", bearer)
    assert (answer.status, mapping(mapping(answer.body)["error"])["code"]) == (400, "InvalidRequestContent")  # type: ignore[arg-type]


def test_the_application_speaks_asgi(arm: Arm) -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health",
        "raw_path": b"/health",
        "query_string": b"",
        "headers": [(b"host", b"localhost:21000")],
    }
    asyncio.run(arm.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["service"] == "trainyard-emulator"  # type: ignore[arg-type]


def test_a_workspace_is_listed_in_its_group_and_everywhere(arm: Arm) -> None:
    arm.seed()
    for scope in (RG, SUB):
        listed = arm.get(f"{scope}/providers/Microsoft.MachineLearningServices/workspaces")["value"]
        assert [mapping(item)["id"] for item in listed] == [WS]  # type: ignore[union-attr]
