"""What single resource types add to ARM's rules: networks, vaults, identities, storage, roles."""

from __future__ import annotations

import pytest

from emulator.constants import LOCATIONS, OBJECT_ID, TENANT_ID
from tests.emulator.arm_kit import (
    CPU,
    INSIGHTS,
    LOGS,
    NSG,
    RG,
    STORAGE,
    SUB,
    SUBNET,
    USER,
    VAULT,
    VNET,
    Arm,
    cluster,
    mapping,
    vault,
)

NETWORK = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
NO_SUBNETS = {
    "location": "westeurope",
    "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": []},
}
ROLE = f"{SUB}/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"
ASSIGNMENT = "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-3333-4444-555555555555"


@pytest.fixture
def group(arm: Arm) -> Arm:
    """Make one empty group."""
    arm.put(RG, {"location": "westeurope"})
    return arm


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.1.0.0/24", "NetcfgInvalidSubnet"),
        ("10.0.0.0/30", "NetcfgInvalidSubnet"),
        ("10.0.1.0/25", "NetcfgSubnetRangesOverlap"),
        ("10.0.1.7/24", "InvalidAddressPrefixFormat"),
        ("ten", "InvalidAddressPrefixFormat"),
    ],
)
def test_a_subnet_must_fit_its_network(group: Arm, prefix: str, code: str) -> None:
    group.put(VNET, NETWORK, 201)
    group.put(SUBNET, {"properties": {"addressPrefix": "10.0.1.0/24"}}, 201)
    other = SUBNET.replace("train", "other")
    assert group.refused("PUT", other, {"properties": {"addressPrefix": prefix}}) == (400, code)
    group.put(other, {"properties": {"addressPrefix": "10.0.2.0/29"}}, 201)


def test_subnets_in_the_networks_body_are_made_kept_and_removed(group: Arm) -> None:
    inline = {"name": "inline", "properties": {"addressPrefix": "10.0.3.0/24"}}
    body = {
        "location": "westeurope",
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [inline]},
    }

    def names() -> list[object]:
        shown = mapping(group.get(VNET)["properties"])["subnets"]
        return [mapping(item)["name"] for item in shown]  # type: ignore[union-attr]

    group.put(VNET, body, 201)
    group.put(SUBNET, {"properties": {"addressPrefix": "10.0.1.0/24"}}, 201)
    assert names() == ["inline", "train"]
    group.put(VNET, NETWORK, 200)
    assert names() == ["inline", "train"]
    group.put(VNET, body, 200)
    assert names() == ["inline"]
    assert group.refused("GET", SUBNET) == (404, "ResourceNotFound")


def test_a_subnet_in_use_stays_and_so_do_its_network_and_group(arm: Arm) -> None:
    arm.seed()
    other = CPU.replace("/resourceGroups/rg/", "/resourceGroups/rg2/")
    assert arm.call("DELETE", SUBNET)[0] == 202
    arm.put(SUBNET, {"properties": {"addressPrefix": "10.0.1.0/24"}}, 201)
    arm.put(CPU, cluster(subnet={"id": SUBNET}), 201)
    assert arm.refused("DELETE", SUBNET) == (400, "InUseSubnetCannotBeDeleted")
    assert arm.refused("DELETE", VNET) == (400, "InUseSubnetCannotBeDeleted")
    assert arm.refused("PUT", VNET, NO_SUBNETS) == (400, "InUseSubnetCannotBeDeleted")
    moved = {"properties": {"addressPrefix": "10.0.9.0/24"}}
    assert arm.refused("PUT", SUBNET, moved) == (400, "InUseSubnetCannotBeUpdated")
    assert arm.refused("GET", other) == (404, "ResourceGroupNotFound")
    assert arm.call("DELETE", CPU, underlyingResourceAction="Delete")[0] == 202
    assert arm.call("DELETE", VNET)[0] == 202
    assert arm.refused("GET", SUBNET) == (404, "ParentResourceNotFound")


def test_a_security_group_in_use_stays(group: Arm) -> None:
    rule = {"access": "Deny", "direction": "Inbound", "protocol": "*", "priority": 200, "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}  # fmt: skip
    body = {"location": "westeurope", "properties": {"securityRules": [{"name": "no", "properties": rule}]}}
    assert group.refused("PUT", SUBNET.replace("subnets/train", "x"), {})[0] == 501
    group.put(NSG, body, 201)
    group.put(VNET, NETWORK, 201)
    subnet = {"properties": {"addressPrefix": "10.0.1.0/24", "networkSecurityGroup": {"id": NSG}}}
    missing = {"properties": {"addressPrefix": "10.0.1.0/24", "networkSecurityGroup": {"id": NSG + "2"}}}
    assert group.refused("PUT", SUBNET, missing) == (400, "InvalidResourceReference")
    group.put(SUBNET, subnet, 201)
    assert group.refused("DELETE", NSG) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")
    group.call("DELETE", SUBNET)
    assert group.call("DELETE", NSG)[0] == 202


def test_a_deleted_vault_blocks_its_name_until_it_is_purged(group: Arm) -> None:
    group.put(VAULT, vault(), 201)
    assert group.call("DELETE", VAULT) == (200, None)
    assert group.refused("PUT", VAULT, vault()) == (409, "ConflictError")
    gone = group.get(f"{SUB}/providers/Microsoft.KeyVault/deletedVaults")["value"]
    assert [mapping(item)["name"] for item in gone] == ["kv-one"]  # type: ignore[union-attr]
    deleted = f"{SUB}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/kv-one"
    properties = mapping(group.get(deleted)["properties"])
    assert properties["scheduledPurgeDate"] == "2027-02-19T12:00:00.0000000Z"
    assert group.call("POST", f"{deleted}/purge") == (200, None)
    assert group.refused("POST", f"{deleted}/purge") == (404, "DeletedVaultNotFound")
    group.put(VAULT, vault(), 201)


def test_a_deleted_vault_comes_back_or_ends_with_its_retention(group: Arm) -> None:
    body = vault()
    mapping(body["properties"])["softDeleteRetentionInDays"] = 7
    group.put(VAULT, body, 201)
    group.call("DELETE", VAULT)
    mapping(body["properties"])["createMode"] = "recover"
    group.put(VAULT, body, 201)
    group.call("DELETE", VAULT)
    group.clock.forward(days=6)
    assert group.refused("PUT", VAULT, vault()) == (409, "ConflictError")
    group.clock.forward(days=1)
    group.put(VAULT, vault(), 201)


def test_a_user_assigned_identity_keeps_its_principal(group: Arm) -> None:
    first = mapping(group.put(USER, {"location": "westeurope"}, 201)["properties"])
    again = mapping(group.put(USER, {"location": "westeurope", "tags": {"a": "b"}}, 200)["properties"])
    assert first == again
    assert first["tenantId"] == TENANT_ID
    assert first["principalId"] != first["clientId"]


def test_insights_needs_its_logs(group: Arm) -> None:
    body = {"location": "westeurope", "kind": "web", "properties": {"WorkspaceResourceId": LOGS}}
    assert group.refused("PUT", INSIGHTS, body) == (400, "InvalidResourceReference")
    group.put(LOGS, {"location": "westeurope"}, 201)
    made = mapping(group.put(INSIGHTS, body, 200)["properties"])
    assert str(made["ConnectionString"]).startswith(f"InstrumentationKey={made['InstrumentationKey']};")
    keys = mapping(group.call("POST", f"{LOGS}/sharedKeys")[1])
    assert sorted(keys) == ["primarySharedKey", "secondarySharedKey"]


def test_containers_live_in_their_account(group: Arm) -> None:
    container = f"{STORAGE}/blobServices/default/containers/data"
    assert group.refused("PUT", container, {}) == (404, "ParentResourceNotFound")
    group.put(STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    group.put(container, {}, 201)
    assert group.refused("PUT", container + "--x", {}) == (400, "InvalidResourceName")
    public = {"properties": {"publicAccess": "Blob"}}
    assert group.refused("PUT", container, public) == (409, "PublicAccessNotPermitted")
    group.call("DELETE", STORAGE)
    assert group.cloud.state.get(container) is None


def test_an_account_without_shared_keys_lists_none(group: Arm) -> None:
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {"allowSharedKeyAccess": False},
    }
    group.put(STORAGE, body)
    assert group.refused("POST", f"{STORAGE}/listKeys") == (403, "KeyBasedAuthenticationNotPermitted")
    assert mapping(group.get(STORAGE)["properties"])["primaryEndpoints"] == {
        "blob": "https://localhost:21000/acct.blob/"
    }


def test_a_role_assignment_is_made_once(group: Arm) -> None:
    body = {"properties": {"principalId": OBJECT_ID, "roleDefinitionId": ROLE}}
    assert group.call("PUT", RG + ASSIGNMENT, body)[0] == 201
    assert group.call("PUT", RG + ASSIGNMENT, body)[0] == 201
    shown = mapping(group.get(RG + ASSIGNMENT)["properties"])
    assert (shown["scope"], shown["principalType"], shown["createdBy"]) == (RG, "ServicePrincipal", OBJECT_ID)
    other = ASSIGNMENT.replace("1111", "2222")
    assert group.refused("PUT", RG + other, body) == (409, "RoleAssignmentExists")
    other_role = ROLE.replace("b24988ac-6180-42a0-ab88-20f7382dd24c", "acdd72a7-3385-48ef-bd42-f606fba81ae7")
    changed = {"properties": {"principalId": OBJECT_ID, "roleDefinitionId": other_role}}
    assert group.refused("PUT", RG + ASSIGNMENT, changed) == (400, "RoleAssignmentUpdateNotPermitted")
    assert group.refused("PUT", STORAGE + ASSIGNMENT, body) == (404, "ResourceNotFound")
    assert group.call("DELETE", RG + ASSIGNMENT)[0] == 200
    assert group.call("DELETE", RG + ASSIGNMENT) == (204, None)


def test_the_subscription_describes_itself(arm: Arm) -> None:
    assert arm.get(SUB)["tenantId"] == TENANT_ID
    listed = arm.get(f"{SUB}/locations")["value"]
    assert [mapping(item)["name"] for item in listed] == list(LOCATIONS)  # type: ignore[union-attr]
    assert arm.get(f"{SUB}/providers/microsoft.keyvault")["registrationState"] == "Registered"
    assert arm.refused("GET", f"{SUB}/providers/Microsoft.Nothing") == (404, "InvalidResourceNamespace")


def test_a_group_whose_subnet_is_used_from_outside_stays(arm: Arm) -> None:
    arm.seed()
    away = f"{RG}-net"
    network = VNET.replace(RG, away)
    arm.put(away, {"location": "westeurope"})
    arm.put(network, NETWORK, 201)
    arm.put(f"{network}/subnets/train", {"properties": {"addressPrefix": "10.0.1.0/24"}}, 201)
    arm.put(CPU, cluster(subnet={"id": f"{network}/subnets/train"}), 201)
    assert arm.refused("DELETE", away) == (409, "ResourceGroupDeletionBlocked")
    assert arm.call("DELETE", RG)[0] == 202
    assert arm.call("DELETE", away)[0] == 202
