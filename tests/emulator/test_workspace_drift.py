"""What Pulumi's Read finds of a workspace: what others changed, nothing that nobody did, inputs for an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.provider import diff, table, wire
from tests.emulator.arm_kit import CPU, INSIGHTS, RG, STORAGE, USER, VAULT, WS, Arm, cluster, mapping, vault

if TYPE_CHECKING:
    from emulator.routing import Json

CMK = f"{RG}/providers/Microsoft.KeyVault/vaults/cmk-vault"
KEYS = "https://cmk-vault.vault.localhost:21000/keys/"
NEW = f"{WS}2"
RULE = f"{NEW}/outboundRules/pypi"
TOKEN = "azure-native:machinelearningservices:Workspace"
ALL: dict[str, Json] = {
    "friendlyName": "Research",
    "description": "for all",
    "hbiWorkspace": True,
    "v1LegacyMode": True,
    "systemDatastoresAuthMode": "Identity",
    "imageBuildCompute": "cpu-cluster",
    "provisionNetworkNow": True,
    "managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound", "firewallSku": "Basic"},
    "primaryUserAssignedIdentity": USER,
}


def key(version: int) -> dict[str, Json]:
    named = f"{KEYS}train/{str(version) * 32}"
    return {"status": "Enabled", "keyVaultProperties": {"keyVaultArmId": CMK, "keyIdentifier": named}}


@pytest.fixture
def ready(arm: Arm) -> Arm:
    """Make what a workspace stands on."""
    arm.seed()
    body = vault()
    mapping(body["properties"])["enablePurgeProtection"] = True
    arm.put(CMK, body)
    return arm


def inputs_of(**more: Json) -> dict[str, Json]:
    """Return the inputs of a program for a workspace with all that can be changed later."""
    return {
        "resourceGroupName": "rg",
        "workspaceName": "mlw2",
        "location": "westeurope",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [USER]},
        "storageAccount": STORAGE,
        "keyVault": VAULT,
        "applicationInsights": INSIGHTS,
        "encryption": key(0),
        "serverlessComputeSettings": {"serverlessComputeNoPublicIP": False},
        "sku": {"name": "Basic"},
        "tags": {"a": "b"},
        "kind": "Default",
        **ALL,
        "publicNetworkAccess": "Enabled",
        **more,
    }


def read(arm: Arm, inputs: dict[str, Json], state: dict[str, Json]) -> tuple[Json, dict[str, Json]]:
    """Do what Read does with a GET."""
    row = table.load().types[TOKEN]
    found = wire.outputs(row, arm.get(NEW))
    before, after = (wire.projection(row, wire.unowned(row, inputs, values)) for values in (state, found))
    return diff.patch(inputs, before, after), found


def deploy(arm: Arm) -> tuple[dict[str, Json], dict[str, Json]]:
    row = table.load().types[TOKEN]
    inputs = inputs_of()
    arm.put(NEW, wire.body(row, inputs), 202)
    return inputs, wire.outputs(row, arm.get(NEW))


def test_a_refresh_finds_no_difference_where_nobody_changed_anything(ready: Arm) -> None:
    inputs, state = deploy(ready)
    ready.put(CPU.replace("/mlw/", "/mlw2/"), cluster(), 201)
    ready.call("POST", f"{NEW}/provisionManagedNetwork", {"includeSpark": True})
    assert read(ready, inputs, state)[0] == inputs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("friendlyName", "Other"),
        ("description", "other"),
        ("publicNetworkAccess", "Disabled"),
        ("v1LegacyMode", False),
        ("systemDatastoresAuthMode", "AccessKey"),
        ("imageBuildCompute", "other"),
        ("encryption", key(1)),
        ("serverlessComputeSettings", {"serverlessComputeNoPublicIP": True}),
    ],
)
def test_a_change_by_others_is_found(ready: Arm, name: str, value: Json) -> None:
    inputs, state = deploy(ready)
    assert ready.call("PATCH", NEW, {"properties": {name: value}})[0] == 200
    assert read(ready, inputs, state)[0] == {**inputs, name: value}


def test_other_tags_by_others_are_found(ready: Arm) -> None:
    inputs, state = deploy(ready)
    assert ready.call("PATCH", NEW, {"tags": {"c": "d"}})[0] == 200
    assert read(ready, inputs, state)[0] == {**inputs, "tags": {"c": "d"}}


def test_an_import_makes_inputs_that_can_be_given(ready: Arm) -> None:
    row = table.load().types[TOKEN]
    deploy(ready)
    made = wire.imported(row, NEW, wire.outputs(row, ready.get(NEW)))
    assert set(made) <= set(row.inputs)
    more: dict[str, Json] = {
        "allowPublicAccessWhenBehindVnet": False,
        "discoveryUrl": "https://localhost:21000/discovery",
        "enableDataIsolation": False,
        "sku": {"name": "Basic", "tier": "Basic"},
    }
    assert made == {**inputs_of(), **more}


def test_a_rules_own_refresh_finds_what_others_changed_and_no_status(ready: Arm) -> None:
    deploy(ready)
    row = table.load().types["azure-native:machinelearningservices:ManagedNetworkSettingsRule"]
    rule: dict[str, Json] = {"type": "FQDN", "destination": "packages.example.com"}
    inputs: dict[str, Json] = {
        "resourceGroupName": "rg",
        "workspaceName": "mlw2",
        "ruleName": "pypi",
        "properties": rule,
    }
    ready.put(RULE, wire.body(row, inputs), 202)
    state = wire.projection(row, wire.outputs(row, ready.get(RULE)))

    def found() -> Json:
        return diff.patch(inputs, state, wire.projection(row, wire.outputs(row, ready.get(RULE))))

    ready.call("POST", f"{NEW}/provisionManagedNetwork", {})
    assert found() == inputs
    ready.put(RULE, {"properties": {**rule, "destination": "conda.org"}}, 200)
    assert found() == {**inputs, "properties": {**rule, "destination": "conda.org"}}
    made = wire.imported(row, RULE, wire.outputs(row, ready.get(RULE)))
    assert made == {**inputs, "properties": {**rule, "destination": "conda.org", "category": "UserDefined"}}
