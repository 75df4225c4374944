"""AmlCompute in ARM: what changes in place, the older shapes of its calls, who may log in to its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.resources.computes import aml
from tests.emulator.arm_kit import CPU, SUBNET, USER, Arm, Nodes, cluster, mapping
from tests.emulator.compute_kit import KEY, inner

if TYPE_CHECKING:
    from emulator.routing import Json

ACCOUNT: dict[str, Json] = {"adminUserName": "ops", "adminUserSshPublicKey": KEY}


@pytest.fixture
def ready(arm: Arm) -> Arm:
    arm.seed()
    return arm


@pytest.mark.parametrize(
    "scale",
    [
        {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT120S"},
        {"minNodeCount": 1, "maxNodeCount": 9, "nodeIdleTimeBeforeScaleDown": "PT2M"},
        {"maxNodeCount": 0},
    ],
)
def test_scale_settings_are_echoed_as_they_were_sent(ready: Arm, scale: dict[str, Json]) -> None:
    ready.put(CPU, cluster(), 201)
    ready.put(CPU, cluster(scaleSettings=scale), 200)
    assert inner(ready, CPU)["scaleSettings"] == scale


def test_tags_description_identity_and_local_accounts_are_changed_in_place(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    body = cluster()
    mapping(body["properties"]).update({"description": "nightly", "disableLocalAuth": True})
    users = {"type": "UserAssigned", "userAssignedIdentities": {USER: {}}}
    ready.put(CPU, {**body, "tags": {"team": "a"}, "identity": users}, 200)
    found = ready.get(CPU)
    outer = mapping(found["properties"])
    assert (found["tags"], outer["description"], outer["disableLocalAuth"]) == ({"team": "a"}, "nightly", True)
    assert list(mapping(mapping(found["identity"])["userAssignedIdentities"])) == [USER]
    ready.put(CPU, found, 200)
    assert ready.get(CPU) == found
    ready.put(CPU, {**body, "identity": {"type": "SystemAssigned"}}, 200)
    assert mapping(ready.get(CPU)["identity"])["type"] == "SystemAssigned"
    assert "tags" not in ready.get(CPU)


def test_a_patch_of_the_first_api_versions_is_one_level_higher(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    patch: dict[str, Json] = {"properties": {"scaleSettings": {"maxNodeCount": 3}}}
    assert ready.call("PATCH", CPU, patch, **{"api-version": "2020-08-01"})[0] == 200
    assert mapping(inner(ready, CPU)["scaleSettings"])["maxNodeCount"] == 3
    both: dict[str, Json] = {"properties": {"scaleSettings": {"maxNodeCount": 3}, "properties": {}}}
    assert ready.refused("PATCH", CPU, both) == (400, "InvalidRequestContent")


def test_nodes_of_the_first_api_versions_name_their_type(ready: Arm) -> None:
    ready.cloud.clusters = Nodes()  # type: ignore[assignment]
    ready.put(CPU, cluster(), 201)
    _, old = ready.call("POST", f"{CPU}/listNodes", **{"api-version": "2020-08-01"})
    _, new = ready.call("POST", f"{CPU}/listNodes")
    assert old == {"computeType": "AmlCompute", **mapping(new)}


@pytest.mark.parametrize(
    ("settings", "local", "open_"),
    [
        ({"remoteLoginPortPublicAccess": "Enabled"}, True, True),
        ({"remoteLoginPortPublicAccess": "Disabled"}, True, False),
        ({}, True, True),
        ({"subnet": {"id": SUBNET}}, True, False),
        ({"remoteLoginPortPublicAccess": "Enabled", "subnet": {"id": SUBNET}}, True, True),
        (
            {"remoteLoginPortPublicAccess": "Enabled", "subnet": {"id": SUBNET}, "enableNodePublicIp": False},
            True,
            False,
        ),
        ({"remoteLoginPortPublicAccess": "Enabled"}, False, False),
    ],
)
def test_a_cluster_says_whether_its_nodes_have_a_door(
    ready: Arm, settings: dict[str, Json], *, local: bool, open_: bool
) -> None:
    body = cluster(userAccountCredentials=ACCOUNT, **settings)
    mapping(body["properties"])["disableLocalAuth"] = not local
    ready.put(CPU, body, 201)
    assert aml.ssh_account(ready.cloud, ready.get(CPU)) == (("ops", (KEY,), "") if open_ else None)


def test_a_password_is_known_to_the_door_alone(ready: Arm) -> None:
    account: dict[str, Json] = {"adminUserName": "ops", "adminUserPassword": "canary-4711"}
    ready.put(CPU, cluster(remoteLoginPortPublicAccess="Enabled", userAccountCredentials=account), 201)
    assert aml.ssh_account(ready.cloud, ready.get(CPU)) == ("ops", (), "canary-4711")
