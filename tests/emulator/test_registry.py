"""Container registries: what each tier has, the admin user, and what Read says of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.provider import diff, table, wire
from tests.emulator.arm_kit import RG, WS, Arm, mapping, workspace

if TYPE_CHECKING:
    from emulator.routing import Json

REGISTRY = f"{RG}/providers/Microsoft.ContainerRegistry/registries/trainimages"
TOKEN = "azure-native:containerregistry:Registry"


@pytest.fixture
def group(arm: Arm) -> Arm:
    """Make one empty group."""
    arm.put(RG, {"location": "westeurope"})
    return arm


def registry(sku: str = "Premium", **properties: Json) -> dict[str, Json]:
    return {"location": "westeurope", "sku": {"name": sku}, "properties": properties}


def test_a_registry_is_made_with_the_services_defaults(group: Arm) -> None:
    group.put(REGISTRY, registry("Basic"), 201)
    found = group.get(REGISTRY)
    properties = mapping(found["properties"])
    assert found["sku"] == {"name": "Basic", "tier": "Basic"}
    assert properties["loginServer"] == "trainimages.azurecr.localhost:21000"
    assert (properties["adminUserEnabled"], properties["publicNetworkAccess"]) == (False, "Enabled")
    assert mapping(properties["policies"])["retentionPolicy"] == {"days": 7, "status": "disabled"}
    assert group.call("DELETE", REGISTRY)[0] == 202
    assert group.refused("GET", REGISTRY) == (404, "ResourceNotFound")


@pytest.mark.parametrize("name", ["four", "with-dash", "a" * 51])
def test_a_registrys_name_is_letters_and_digits(group: Arm, name: str) -> None:
    path = f"{REGISTRY.rpartition('/')[0]}/{name}"
    assert group.refused("PUT", path, registry()) == (400, "InvalidResourceName")


def test_a_registrys_name_is_global(group: Arm) -> None:
    group.put(REGISTRY, registry("Basic"), 201)
    group.put(f"{RG}2", {"location": "westeurope"})
    other = REGISTRY.replace("/rg/", "/rg2/")
    assert group.refused("PUT", other, registry("Basic")) == (409, "AlreadyInUse")


@pytest.mark.parametrize(
    "properties",
    [
        {"publicNetworkAccess": "Disabled"},
        {"networkRuleSet": {"defaultAction": "Deny"}},
        {"zoneRedundancy": "Enabled"},
        {"dataEndpointEnabled": True},
        {"policies": {"retentionPolicy": {"days": 3, "status": "enabled"}}},
        {"policies": {"trustPolicy": {"type": "Notary", "status": "enabled"}}},
        {"encryption": {"status": "enabled"}},
    ],
)
def test_only_the_premium_tier_has_this(group: Arm, properties: dict[str, Json]) -> None:
    for sku in ("Basic", "Standard"):
        assert group.refused("PUT", REGISTRY, registry(sku, **properties)) == (400, "FeatureNotSupportedForSku")
    group.put(REGISTRY, registry("Premium", **properties), 201)


def test_anonymous_pull_needs_the_standard_tier(group: Arm) -> None:
    assert group.refused("PUT", REGISTRY, registry("Basic", anonymousPullEnabled=True))[0] == 400
    group.put(REGISTRY, registry("Standard", anonymousPullEnabled=True), 201)


def test_exports_are_shut_only_in_a_private_registry(group: Arm) -> None:
    shut: dict[str, Json] = {"exportPolicy": {"status": "disabled"}}
    assert group.refused("PUT", REGISTRY, registry(policies=shut)) == (400, "FeatureNotSupportedForSku")
    group.put(REGISTRY, registry(policies=shut, publicNetworkAccess="Disabled"), 201)


def test_the_admin_users_password_is_listed_only_when_there_is_one(group: Arm) -> None:
    group.put(REGISTRY, registry(), 201)
    closed = group.refused("POST", f"{REGISTRY}/listCredentials")
    assert closed == (400, "UnAuthorizedForCredentialOperations")
    group.put(REGISTRY, registry(adminUserEnabled=True), 200)
    first = mapping(group.call("POST", f"{REGISTRY}/listCredentials")[1])
    assert first["username"] == "trainimages"
    passwords = [mapping(item) for item in first["passwords"]]  # type: ignore[union-attr]
    assert [item["name"] for item in passwords] == ["password", "password2"]
    assert len({str(item["value"]) for item in passwords}) == 2
    assert group.call("POST", f"{REGISTRY}/listCredentials") == (200, first)
    assert group.refused("POST", f"{REGISTRY}x/listCredentials") == (404, "ResourceNotFound")


def test_a_workspace_lists_its_registrys_credentials(arm: Arm) -> None:
    arm.seed()
    assert mapping(arm.call("POST", f"{WS}/listKeys")[1])["containerRegistryCredentials"] is None
    arm.put(REGISTRY, registry(adminUserEnabled=True), 201)
    arm.put(WS, workspace(containerRegistry=REGISTRY), 200)
    listed = mapping(mapping(arm.call("POST", f"{WS}/listKeys")[1])["containerRegistryCredentials"])
    assert (listed["location"], listed["username"]) == ("westeurope", "trainimages")


def test_read_finds_what_others_changed_and_nothing_else(group: Arm) -> None:
    row = table.load().types[TOKEN]
    inputs: dict[str, Json] = {
        "resourceGroupName": "rg",
        "registryName": "trainimages",
        "location": "westeurope",
        "sku": {"name": "Premium"},
        "adminUserEnabled": False,
        "policies": {"retentionPolicy": {"days": 30, "status": "enabled"}},
    }
    group.put(REGISTRY, wire.body(row, inputs), 201)
    state = wire.outputs(row, group.get(REGISTRY))

    def read() -> Json:
        after = wire.outputs(row, group.get(REGISTRY))
        return diff.patch(inputs, wire.projection(row, state), wire.projection(row, after))

    assert read() == inputs
    assert group.call("PATCH", REGISTRY, {"properties": {"adminUserEnabled": True}})[0] == 200
    assert read() == {**inputs, "adminUserEnabled": True}
    made = wire.imported(row, REGISTRY, wire.outputs(row, group.get(REGISTRY)))
    assert set(made) <= set(row.inputs)
