"""A workspace's fields likewise: what its model says of a change is what is sent, replaced, taken and refused."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pulumi
import pytest
from pulumi.runtime import settings

from components.base import Place
from components.workspace import Workspace, WorkspaceDependencies
from emulator.provider import wire
from emulator.provider.table import load
from specs.base import replacing, wires
from specs.workspace import WorkspaceSpec
from tests.components.compute_kit import Cloud
from tests.components.field_kit import changed, replaces, whole, within
from tests.components.field_values import NETWORK, NODES, OTHERS, TESTER, TRAINER, Fields
from tests.emulator.arm_kit import INSIGHTS, RG, STORAGE, VAULT, Arm, vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.routing import Json

TYPE = "azure-native:machinelearningservices:Workspace"
ROW = load().types[TYPE]
NAME = "research"
SENT = {name: found for name, found in wires(WorkspaceSpec).items() if found.path}
KEY, NEWER = (f"https://kv-one.vault.azure.net/keys/k/{digit * 32}" for digit in "12")
REGISTRIES = tuple(f"{RG}/providers/Microsoft.ContainerRegistry/registries/images{index}" for index in (1, 2))
BASE: Fields = {"storage_account": STORAGE, "key_vault": VAULT, "application_insights": INSIGHTS}


def users(*ids: str, type_: str = "UserAssigned", **more: object) -> Fields:
    return {"identity": {"type": type_, "user_assigned_identities": list(ids)}, **more}


def key(**fields: str) -> Fields:
    encryption = {"key_vault_arm_id": VAULT, "key_identifier": KEY, **fields}
    return users(TRAINER, TESTER, primary_user_assigned_identity=TRAINER, encryption=encryption)


def managed(mode: str = "AllowOnlyApprovedOutbound", **fields: object) -> Fields:
    return {"managed_network": {"isolation_mode": mode, **fields}}


def other(id_: str) -> str:
    return f"{id_}2"


VALUES: dict[str, tuple[Fields, Fields]] = {
    "friendly_name": ({"friendly_name": "One"}, {"friendly_name": "Two"}),
    "description": ({"description": "one"}, {"description": "two"}),
    "tags": ({"tags": {"use": "one"}}, {"tags": {"use": "two"}}),
    "sku": ({}, {"sku": "Standard"}),
    "identity": ({}, users(TRAINER, TESTER, type_="SystemAssigned,UserAssigned")),
    "identity.type": (
        users(TRAINER, TESTER, type_="SystemAssigned,UserAssigned"),
        {"identity": {"type": "SystemAssigned"}},
    ),
    "identity.user_assigned_identities": (
        users(TRAINER, TESTER, primary_user_assigned_identity=TRAINER),
        users(TRAINER, primary_user_assigned_identity=TRAINER),
    ),
    "primary_user_assigned_identity": (
        users(TRAINER, TESTER, primary_user_assigned_identity=TRAINER),
        users(TRAINER, TESTER, primary_user_assigned_identity=TESTER),
    ),
    "public_network_access": ({}, {"public_network_access": "Enabled"}),
    "v1_legacy_mode": ({}, {"v1_legacy_mode": True}),
    "system_datastores_auth_mode": ({}, {"system_datastores_auth_mode": "AccessKey"}),
    "hbi_workspace": ({}, {"hbi_workspace": True}),
    "encryption": ({k: v for k, v in key().items() if k != "encryption"}, key()),
    "encryption.key_vault_arm_id": (key(), key(key_vault_arm_id=other(VAULT))),
    "encryption.key_identifier": (key(), key(key_identifier=NEWER)),
    "encryption.user_assigned_identity": (key(user_assigned_identity=TRAINER), key(user_assigned_identity=TESTER)),
    "managed_network": ({}, managed()),
    "managed_network.isolation_mode": (managed("AllowInternetOutbound"), managed()),
    "managed_network.firewall_sku": (managed(firewall_sku="Basic"), managed(firewall_sku="Standard")),
    "serverless_compute": ({}, {"serverless_compute": {"subnet": NODES}}),
    "serverless_compute.subnet": (
        {"serverless_compute": {"subnet": NODES}},
        {"serverless_compute": {"subnet": OTHERS}},
    ),
    "serverless_compute.no_public_ip": (
        {"serverless_compute": {"subnet": NODES}},
        {"serverless_compute": {"subnet": NODES, "no_public_ip": False}},
    ),
    "storage_account": ({}, {"storage_account": other(STORAGE)}),
    "key_vault": ({}, {"key_vault": other(VAULT)}),
    "application_insights": ({}, {"application_insights": other(INSIGHTS)}),
    "container_registry": ({"container_registry": REGISTRIES[0]}, {"container_registry": REGISTRIES[1]}),
    "image_build_compute": ({}, {"image_build_compute": "builder"}),
}


def declared(fields: Fields) -> tuple[dict[str, Json], pulumi.ResourceOptions]:
    """Declare a workspace by itself against the mocks."""
    cloud, options = Cloud(), dict[str, pulumi.ResourceOptions]()
    settings.reset_options()
    pulumi.runtime.set_mocks(cloud, project="trainyard", stack="test", preview=False)

    def record(args: pulumi.ResourceTransformationArgs) -> None:
        options[args.type_] = args.opts

    @pulumi.runtime.test
    def run() -> pulumi.Output[str]:
        spec = WorkspaceSpec.model_validate({**BASE, **fields})
        place = Place(resource_group="rg", location="westeurope", tags={}, scope="s")
        made = Workspace(
            NAME, spec, place, WorkspaceDependencies("tenant", {}), pulumi.ResourceOptions(transformations=[record])
        )
        return made.id

    run()
    return whole(cloud.inputs[NAME][1]), options[TYPE]


@cache
def inputs(field: str, place: int) -> dict[str, Json]:
    return declared(VALUES[field][place])[0]


def test_every_field_that_reaches_azure_has_two_values_here() -> None:
    assert sorted(VALUES) == sorted(SENT)


def test_the_engine_is_told_to_replace_what_the_model_says() -> None:
    _, options = declared({})
    assert options.replace_on_changes == sorted({"location", *replacing(WorkspaceSpec)})
    assert options.delete_before_replace is True


@pytest.mark.parametrize("field", list(SENT))
def test_a_changed_field_changes_the_inputs_at_its_path_and_nowhere_else(field: str) -> None:
    found = changed(ROW, inputs(field, 0), inputs(field, 1))
    beside = {"identity.userAssignedIdentities"} if field == "identity.type" else set()
    assert found
    assert {item for item in found if not within(item, str(SENT[field].path))} == beside


@pytest.mark.parametrize("field", list(SENT))
def test_a_change_replaces_exactly_where_the_model_says_so(field: str) -> None:
    found = changed(ROW, inputs(field, 0), inputs(field, 1))
    assert replaces(found, replacing(WorkspaceSpec)) == (SENT[field].on_change == "replace")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm]:
    made = Arm(tmp_path_factory.mktemp("arm"))
    made.seed()
    made.put(TESTER, {"location": "westeurope"})
    account: Json = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    made.put(other(STORAGE), account)
    guarded = vault()
    guarded["properties"] = {**whole(guarded["properties"]), "enablePurgeProtection": True}
    for id_ in (VAULT, other(VAULT)):
        made.put(id_, guarded)
    made.put(other(INSIGHTS), {"location": "westeurope", "kind": "web", "properties": {}})
    for registry in REGISTRIES:
        made.put(registry, {"location": "westeurope", "sku": {"name": "Premium"}, "properties": {}})
    made.put(NETWORK, {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
    for index, subnet in enumerate((NODES, OTHERS)):
        made.put(subnet, {"properties": {"addressPrefix": f"10.9.{index}.0/24"}})
    yield made
    made.cloud.state.close()


@pytest.mark.parametrize("field", list(SENT))
def test_the_service_takes_a_change_in_place_and_refuses_the_others(field: str, arm: Arm) -> None:
    path = f"{RG}/providers/Microsoft.MachineLearningServices/workspaces/w{list(SENT).index(field)}xx"
    arm.put(path, wire.body(ROW, inputs(field, 0)))
    after = wire.body(ROW, inputs(field, 1))
    if SENT[field].on_change == "in place":
        arm.put(path, after)
    else:
        assert arm.refused("PUT", path, after) == (400, "ValidationError")
