"""What changed, what replaces, and what a refresh carries over to the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.provider.diff import Change, compare, delete_first, patch
from emulator.provider.table import load
from emulator.provider.values import UNKNOWN

if TYPE_CHECKING:
    from emulator.routing import Json

TYPES = load().types
COMPUTE = TYPES["azure-native:machinelearningservices:Compute"]
GROUP = TYPES["azure-native:resources:ResourceGroup"]

BASE: dict[str, Json] = {
    "resourceGroupName": "rg",
    "workspaceName": "ws",
    "computeName": "c",
    "location": "westeurope",
    "azureApiVersion": "2025-12-01",
    "tags": {"a": "b"},
    "identity": {"type": "UserAssigned", "userAssignedIdentities": ["/one", "/two"]},
    "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "S", "scaleSettings": {"maxNodeCount": 4}}},
}


def aml(**members: Json) -> dict[str, Json]:
    inner: dict[str, Json] = {"vmSize": "S", "scaleSettings": {"maxNodeCount": 4}, **members}
    return {**BASE, "properties": {"computeType": "AmlCompute", "properties": inner}}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (BASE, {}),
        ({**BASE, "azureApiVersion": "2099-01-01", "__createBeforeDelete": True}, {}),
        ({**BASE, "location": "West Europe"}, {}),
        ({**BASE, "resourceGroupName": "RG"}, {}),
        ({**BASE, "identity": {"type": "UserAssigned", "userAssignedIdentities": ["/two", "/one"]}}, {}),
        (aml(scaleSettings={"maxNodeCount": 6}), {"properties.properties.scaleSettings.maxNodeCount": Change.UPDATE}),
        (aml(vmSize="T"), {"properties.properties.vmSize": Change.UPDATE}),
        (aml(vmPriority="Dedicated"), {"properties.properties.vmPriority": Change.ADD}),
        ({**BASE, "computeName": "d"}, {"computeName": Change.UPDATE_REPLACE}),
        ({**BASE, "workspaceName": UNKNOWN}, {"workspaceName": Change.UPDATE_REPLACE}),
        ({**BASE, "tags": {"a": "b", "x.y": "z"}}, {'tags["x.y"]': Change.ADD}),
        ({**BASE, "tags": {}}, {"tags.a": Change.DELETE}),
        ({key: value for key, value in BASE.items() if key != "tags"}, {"tags": Change.DELETE}),
        (
            {**BASE, "identity": {"type": "UserAssigned", "userAssignedIdentities": ["/one", "/three", "/four"]}},
            {
                "identity.userAssignedIdentities[1]": Change.UPDATE,
                "identity.userAssignedIdentities[2]": Change.ADD,
            },
        ),
    ],
)
def test_inputs_are_compared_member_by_member(new: dict[str, Json], expected: dict[str, Change]) -> None:
    assert compare(COMPUTE, BASE, new, {}) == expected


def test_true_is_not_one() -> None:
    assert compare(COMPUTE, aml(x=True), aml(x=1), {}) == {"properties.properties.x": Change.UPDATE}


def test_another_location_replaces_a_resource_group() -> None:
    changes = compare(GROUP, {"location": "westeurope"}, {"location": "eastus"}, {})
    assert changes == {"location": Change.UPDATE_REPLACE}


def test_adding_a_create_only_input_with_the_value_that_it_has_anyway_replaces_nothing() -> None:
    state: dict[str, Json] = {"location": "westeurope"}
    assert compare(GROUP, {}, {"location": "West Europe"}, state) == {"location": Change.ADD}
    assert compare(GROUP, {}, {"location": "eastus"}, state) == {"location": Change.ADD_REPLACE}


def test_a_random_name_is_created_before_the_old_one_is_deleted_and_a_fixed_one_after() -> None:
    replacing = {"location": Change.UPDATE_REPLACE}
    assert delete_first(replacing, {})
    assert not delete_first(replacing, {"__createBeforeDelete": True})
    assert not delete_first({"tags": Change.UPDATE}, {})


@pytest.mark.parametrize(
    ("base", "old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1, "default": 2}, {"a": 1, "default": 2}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {"a": 3}, {"a": 3}),
        ({"a": 1}, {"a": 1, "default": 2}, {"a": 1, "default": 5}, {"a": 1, "default": 5}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}),
        ({"a": 1, "secret": "s"}, {"a": 1}, {"a": 2}, {"a": 2, "secret": "s"}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 9, "c": 2}}, {"a": {"b": 9}}),
        (
            {"a": [{"b": 1}]},
            {"a": [{"b": 1, "c": 2}]},
            {"a": [{"b": 2, "c": 2}, {"b": 3}]},
            {"a": [{"b": 2}, {"b": 3}]},
        ),
        (
            {"userAssignedIdentities": ["/b", "/a"]},
            {"userAssignedIdentities": ["/a", "/b"], "x": 1},
            {"userAssignedIdentities": ["/b", "/a"], "x": 2},
            {"userAssignedIdentities": ["/b", "/a"], "x": 2},
        ),
    ],
)
def test_only_what_changed_in_the_cloud_becomes_an_input(base: Json, old: Json, new: Json, expected: Json) -> None:
    assert patch(base, old, new) == expected
