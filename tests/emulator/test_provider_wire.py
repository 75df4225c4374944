"""SDK values to and from ARM: the shapes that the table promises, by example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.constants import SUBSCRIPTION_ID
from emulator.provider import wire
from emulator.provider.table import load
from emulator.provider.values import UNKNOWN, from_struct, has_unknowns, to_struct
from tests.emulator.fake_arm import GROUP, WORKSPACE

if TYPE_CHECKING:
    from emulator.provider.table import ResourceType
    from emulator.routing import Json

IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"


def row(token: str) -> ResourceType:
    return load().types[f"azure-native:{token}"]


COMPUTE = row("machinelearningservices:Compute")
VNET = row("network:VirtualNetwork")


def test_a_flattened_type_has_its_inputs_in_properties_under_the_wires_names() -> None:
    inputs: dict[str, Json] = {
        "resourceGroupName": "rg",
        "accountName": "st",
        "azureApiVersion": "2024-01-01",
        "__createBeforeDelete": True,
        "location": "westeurope",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "enableHttpsTrafficOnly": True,
        "networkRuleSet": {"defaultAction": "Deny", "ipRules": [{"iPAddressOrRange": "1.2.3.4", "action": "Allow"}]},
        "misspelt": 1,
    }
    assert wire.body(row("storage:StorageAccount"), inputs) == {
        "location": "westeurope",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {
            "supportsHttpsTrafficOnly": True,
            "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4", "action": "Allow"}]},
        },
    }


def test_a_type_that_keeps_properties_is_sent_as_it_is_and_identities_become_a_map() -> None:
    properties: dict[str, Json] = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2"}}
    inputs: dict[str, Json] = {
        "computeName": "c",
        "location": "westeurope",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]},
        "properties": properties,
    }
    assert wire.body(COMPUTE, inputs) == {
        "location": "westeurope",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
        "properties": properties,
    }


def test_a_flattened_type_without_inputs_still_sends_properties_and_one_that_has_none_does_not() -> None:
    assert wire.body(VNET, {"location": "x"}) == {"location": "x", "properties": {}}
    assert wire.body(row("managedidentity:UserAssignedIdentity"), {"location": "x"}) == {"location": "x"}


def test_subnets_inside_a_network_are_flattened_too() -> None:
    subnet: dict[str, Json] = {
        "name": "s",
        "addressPrefix": "10.0.0.0/24",
        "delegations": [{"name": "d", "serviceName": "Microsoft.Web/serverFarms"}],
    }
    sent = wire.body(VNET, {"subnets": [subnet]})
    assert sent["properties"] == {
        "subnets": [
            {
                "name": "s",
                "properties": {
                    "addressPrefix": "10.0.0.0/24",
                    "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}],
                },
            }
        ]
    }
    assert wire.outputs(VNET, sent)["subnets"] == [subnet]


def test_outputs_are_flattened_without_nulls_ids_and_unknown_members() -> None:
    document: dict[str, Json] = {
        "id": "x",
        "name": "ai",
        "type": "microsoft.insights/components",
        "kind": "web",
        "etag": None,
        "properties": {"Application_Type": "web", "InstrumentationKey": "k", "Name": "ai", "RetentionInDays": 30},
    }
    assert wire.outputs(row("applicationinsights:Component"), document) == {
        "name": "ai",
        "type": "microsoft.insights/components",
        "kind": "web",
        "applicationType": "web",
        "instrumentationKey": "k",
        "retentionInDays": 30,
        "azureApiVersion": "2020-02-02",
    }


def test_the_projection_to_inputs_drops_what_only_the_service_sets() -> None:
    outputs: dict[str, Json] = {
        "name": "c",
        "identity": {
            "type": "UserAssigned",
            "principalId": "p",
            "userAssignedIdentities": {IDENTITY: {"clientId": "q"}},
        },
        "properties": {
            "computeType": "AmlCompute",
            "provisioningState": "Succeeded",
            "properties": {"vmSize": "S", "currentNodeCount": 3, "nodeStateCounts": {"idleNodeCount": 3}},
        },
    }
    assert wire.projection(COMPUTE, outputs) == {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]},
        "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "S"}},
    }


def test_an_import_takes_its_inputs_from_the_id_and_the_state_but_not_the_subnets_of_others() -> None:
    outputs: dict[str, Json] = {"location": "x", "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{}]}
    id_ = f"{GROUP}/providers/microsoft.network/VIRTUALNETWORKS/v".replace("resourceGroups", "resourcegroups")
    assert wire.imported(VNET, id_, outputs) == {
        "resourceGroupName": "rg",
        "virtualNetworkName": "v",
        "location": "x",
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
    }


def test_the_id_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is not the id of a azure-native:machinelearningservices:Compute: expected"):
        wire.parse_id(COMPUTE, WORKSPACE)


def test_a_role_assignments_scope_goes_into_the_path_and_comes_back_from_it() -> None:
    role = row("authorization:RoleAssignment")
    path = wire.resource_path(role.path, SUBSCRIPTION_ID, {"scope": WORKSPACE, "roleAssignmentName": "n"})
    assert path == f"{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/n"
    assert wire.parse_id(role, path) == {"scope": WORKSPACE, "roleAssignmentName": "n"}


def test_a_path_without_a_value_is_refused_and_odd_names_are_encoded() -> None:
    with pytest.raises(ValueError, match=r"^the path parameter 'computeName' has no value$"):
        wire.resource_path(COMPUTE.path, SUBSCRIPTION_ID, {"resourceGroupName": "rg", "workspaceName": "ws"})
    path = wire.resource_path(
        COMPUTE.path, SUBSCRIPTION_ID, {"resourceGroupName": "rg", "workspaceName": "ws", "computeName": "../x y"}
    )
    assert path == f"{WORKSPACE}/computes/..%2Fx%20y"


def test_a_preview_promises_inputs_and_leaves_the_rest_unknown() -> None:
    promise = wire.promised(COMPUTE, {"computeName": "c", "identity": {"type": "SystemAssigned"}, "tags": {"a": "b"}})
    assert promise == {
        "identity": {"type": "SystemAssigned", "principalId": UNKNOWN, "tenantId": UNKNOWN},
        "tags": {"a": "b"},
        "location": UNKNOWN,
        "properties": UNKNOWN,
        "sku": UNKNOWN,
        "name": UNKNOWN,
        "systemData": UNKNOWN,
        "type": UNKNOWN,
        "azureApiVersion": "2025-12-01",
    }


def test_the_preview_of_an_update_keeps_the_name_and_the_location() -> None:
    old: dict[str, Json] = {"name": "c", "location": "westeurope", "type": "t"}
    promise = wire.promised(COMPUTE, {"location": "westeurope"}, old)
    assert (promise["name"], promise["location"], promise["type"]) == ("c", "westeurope", UNKNOWN)


def test_lists_of_sub_resources_are_empty_at_creation_and_kept_in_an_update() -> None:
    remote: dict[str, Json] = {"properties": {"subnets": [{"name": "s"}]}}
    assert wire.maintained(VNET, {"properties": {}}, None) == {
        "properties": {"subnets": [], "virtualNetworkPeerings": []}
    }
    assert wire.maintained(VNET, {"properties": {}}, remote) == remote
    given: dict[str, Json] = {"properties": {"subnets": [], "virtualNetworkPeerings": []}}
    assert wire.maintained(VNET, given, remote) == given


def test_values_survive_the_protocol_and_nulls_do_not() -> None:
    values: dict[str, Json] = {"a": 1, "b": 1.5, "c": True, "d": ["x", {"e": "f"}], "g": None}
    back = from_struct(to_struct(values))
    assert back == {"a": 1, "b": 1.5, "c": True, "d": ["x", {"e": "f"}]}
    assert isinstance(back["a"], int)


def test_an_unknown_is_found_anywhere_inside() -> None:
    assert has_unknowns({"a": [{"b": UNKNOWN}]})
    assert not has_unknowns({"a": [{"b": "c"}]})
