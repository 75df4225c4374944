"""Names, locations and the vendor's failures."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest

from emulator.provider.check import Naming, failures, with_defaults
from emulator.provider.table import load
from emulator.provider.values import UNKNOWN

if TYPE_CHECKING:
    from emulator.routing import Json

TYPES = load().types
COMPUTE = TYPES["azure-native:machinelearningservices:Compute"]
WORKSPACE = TYPES["azure-native:machinelearningservices:Workspace"]
STORAGE = TYPES["azure-native:storage:StorageAccount"]
ROLE = TYPES["azure-native:authorization:RoleAssignment"]
GROUP = TYPES["azure-native:resources:ResourceGroup"]
URN = "urn:pulumi:dev::p::azure-native:machinelearningservices:Workspace::ml"


def nowhere(group: str) -> None:
    raise AssertionError(group)


def europe(group: str) -> str:
    return f"{group}-location"


def test_a_workspace_gets_its_logical_name_with_eight_hex_digits_the_same_for_the_same_seed() -> None:
    made = with_defaults(WORKSPACE, {}, {"location": "x"}, Naming(URN, b"seed"), nowhere)
    assert re.fullmatch(r"ml[0-9a-f]{8}", str(made["workspaceName"]))
    assert made["__createBeforeDelete"] is True
    assert made["azureApiVersion"] == "2025-12-01"
    assert with_defaults(WORKSPACE, {}, {"location": "x"}, Naming(URN, b"seed"), nowhere) == made
    other = with_defaults(WORKSPACE, {}, {"location": "x"}, Naming(URN, b"other"), nowhere)
    assert other["workspaceName"] != made["workspaceName"]


def test_a_compute_copies_its_logical_name_and_a_role_assignment_gets_a_uuid() -> None:
    assert with_defaults(COMPUTE, {}, {"location": "x"}, Naming("a::b::c::cpu", b"s"), nowhere) == {
        "location": "x",
        "computeName": "cpu",
        "azureApiVersion": "2025-12-01",
    }
    role = with_defaults(ROLE, {}, {}, Naming("a::b::c::role", b"s"), nowhere)
    assert str(uuid.UUID(str(role["roleAssignmentName"]))) == role["roleAssignmentName"]


def test_a_name_once_given_is_kept() -> None:
    olds: dict[str, Json] = {"workspaceName": "ml1", "__createBeforeDelete": True, "location": "old"}
    assert with_defaults(WORKSPACE, olds, {}, Naming(URN, b"new"), nowhere) == {
        "workspaceName": "ml1",
        "__createBeforeDelete": True,
        "location": "old",
        "azureApiVersion": "2025-12-01",
    }


def test_the_users_autonaming_settings_are_followed() -> None:
    def name(mode: str) -> Json:
        naming = Naming(URN, b"s", mode, "given")  # type: ignore[arg-type] # a parameter of this test
        return with_defaults(WORKSPACE, {}, {"location": "x"}, naming, nowhere).get("workspaceName")

    assert (name("PROPOSE"), name("ENFORCE"), name("DISABLE")) == ("given", "given", None)
    role = with_defaults(ROLE, {}, {}, Naming(URN, b"s", "PROPOSE", "given"), nowhere)
    assert role["roleAssignmentName"] != "given"


def test_a_resource_goes_where_its_group_is_or_nobody_knows_yet() -> None:
    naming = Naming(URN, b"s")
    assert with_defaults(COMPUTE, {}, {"resourceGroupName": "rg"}, naming, europe)["location"] == "rg-location"
    assert with_defaults(COMPUTE, {}, {"resourceGroupName": UNKNOWN}, naming, nowhere)["location"] == UNKNOWN


def test_a_resource_group_without_a_location_is_told_how_to_set_one() -> None:
    hint = "Either set it explicitly or configure it with 'pulumi config set azure-native:location <value>'."
    assert failures(GROUP, {"resourceGroupName": "rg"}) == [f"missing required property 'location'. {hint}"]


def compute(**members: Json) -> dict[str, Json]:
    names: dict[str, Json] = {"resourceGroupName": "rg", "workspaceName": "ws1", "computeName": "cpu"}
    return {**names, **members}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (compute(), []),
        (compute(location=UNKNOWN, properties=UNKNOWN, computeName=UNKNOWN), []),
        (compute(properties={"properties": {}}), ["missing required property 'properties.computeType'"]),
        (
            compute(properties={"computeType": "AmlCompute", "properties": {"scaleSettings": {"minNodeCount": 0}}}),
            ["missing required property 'properties.properties.scaleSettings.maxNodeCount'"],
        ),
        (compute(computeName="c" * 33), ["'computeName' is too long (33): at most 32 characters allowed"]),
        (compute(computeName="c"), ["'computeName' is too short (1): at least 2 characters required"]),
        (compute(location=5), ["'location' should be of type 'string' but got a number"]),
        (compute(properties=["x"]), ["'properties' should be of type 'object' but got an array"]),
        (compute(tags="x"), ["'tags' should be of type 'object' but got a string"]),
        (
            compute(identity={"type": "UserAssigned", "userAssignedIdentities": {"/a": {}}}),
            ["'identity.userAssignedIdentities' should be of type 'array' but got an object"],
        ),
        ({"computeName": "cpu", "workspaceName": "ws1"}, ["missing required property 'resourceGroupName'"]),
    ],
)
def test_wrong_inputs_fail_in_the_vendors_words(inputs: dict[str, Json], expected: list[str]) -> None:
    assert failures(COMPUTE, inputs) == expected


def test_a_storage_accounts_name_is_checked_before_any_request() -> None:
    inputs: dict[str, Json] = {"resourceGroupName": "rg", "accountName": "My-Account", "kind": "StorageV2", "sku": {}}
    assert failures(STORAGE, inputs) == [
        "missing required property 'sku.name'",
        "'accountName' does not match expression '^[a-z0-9]+$'",
    ]
