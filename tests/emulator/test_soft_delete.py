"""Deleted workspaces and vaults: the name that they block, what comes back, what is gone for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.arm_kit import CPU, RG, STORAGE, SUB, USER, VAULT, WS, Arm, cluster, mapping, vault, workspace

if TYPE_CHECKING:
    from emulator.routing import Json

PORTAL = "https://localhost:21000/emulator/portal/deletedWorkspaces"
BLOCKED = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
MODEL = f"{WS}/models/digits/versions/1"
DELETED_VAULT = f"{SUB}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/kv-one"


@pytest.fixture
def ready(arm: Arm) -> Arm:
    """Make a workspace with a cluster and a model."""
    arm.seed()
    arm.put(CPU, cluster(), 201)
    arm.cloud.state.put(MODEL, {"id": MODEL, "name": "1"}, "asset")
    arm.cloud.state.put(f"{WS}/jobs/over", {"id": f"{WS}/jobs/over", "properties": {"status": "Completed"}}, "job")
    arm.cloud.state.put(f"{WS}/jobs/queued", {"id": f"{WS}/jobs/queued", "properties": {"status": "Queued"}}, "job")
    return arm


def recover(arm: Arm, id_: str = WS) -> tuple[int, Json]:
    return arm.call("POST", f"{PORTAL}/recover", {"id": id_})


def refusal(answer: tuple[int, Json]) -> tuple[int, str]:
    return answer[0], str(mapping(mapping(answer[1])["error"])["code"])


def test_a_deleted_workspaces_name_is_refused_as_the_service_does(ready: Arm) -> None:
    assert ready.call("DELETE", WS)[0] == 202
    status, answer = ready.call("PUT", WS, workspace())
    assert (status, answer) == (400, {"error": {"code": "BadRequest", "message": BLOCKED}})
    assert ready.refused("GET", WS) == (404, "ResourceNotFound")
    assert ready.refused("GET", f"{WS}/computes") == (404, "ParentResourceNotFound")


def test_deleted_workspaces_are_listed_until_their_retention_ends(ready: Arm) -> None:
    assert ready.call("GET", PORTAL) == (200, {"value": []})
    ready.call("DELETE", WS)
    shown = {
        "id": WS,
        "name": "mlw",
        "location": "westeurope",
        "deletionDate": "2026-11-21T12:00:00.0000000Z",
        "scheduledPurgeDate": "2026-12-05T12:00:00.0000000Z",
    }
    assert ready.call("GET", PORTAL) == (200, {"value": [shown]})
    ready.clock.forward(days=14)
    assert ready.call("GET", PORTAL) == (200, {"value": []})
    assert refusal(recover(ready)) == (404, "ResourceNotFound")


def test_a_recovered_workspace_is_the_old_one_without_its_computes(ready: Arm) -> None:
    before = ready.get(WS)
    ready.call("DELETE", WS)
    assert recover(ready)[0] == 200
    after = ready.get(WS)
    assert after == before
    assert ready.get(f"{WS}/computes") == {"value": []}
    state = ready.cloud.state
    assert state.get(MODEL) == {"id": MODEL, "name": "1"}
    assert (state.get(f"{WS}/jobs/over") is None, state.get(f"{WS}/jobs/queued")) == (False, None)
    assert ready.call("GET", PORTAL) == (200, {"value": []})
    ready.put(WS, workspace(description="again"), 200)


def test_a_workspace_without_its_storage_cant_be_recovered(ready: Arm) -> None:
    ready.call("DELETE", WS)
    ready.call("DELETE", STORAGE)
    assert refusal(recover(ready)) == (400, "InvalidResourceReference")
    ready.put(STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    ready.call("DELETE", VAULT)
    assert refusal(recover(ready)) == (400, "InvalidResourceReference")
    body = vault()
    mapping(body["properties"])["createMode"] = "recover"
    ready.put(VAULT, body, 201)
    assert recover(ready)[0] == 200


def test_a_workspace_that_went_with_its_group_needs_the_group(ready: Arm) -> None:
    assert ready.call("DELETE", RG)[0] == 202
    assert refusal(recover(ready)) == (404, "ResourceGroupNotFound")
    ready.put(RG, {"location": "westeurope"})
    assert ready.refused("PUT", WS, workspace()) == (400, "BadRequest")


def test_a_workspace_with_user_assigned_identities_alone_cant_be_recovered(ready: Arm) -> None:
    users = {"type": "UserAssigned", "userAssignedIdentities": {USER: {}}}
    other = f"{WS}2"
    ready.put(other, {**workspace(primaryUserAssignedIdentity=USER), "identity": users}, 202)
    ready.call("DELETE", other)
    assert refusal(recover(ready, other)) == (400, "BadRequest")


def test_a_workspace_is_purged_at_once_or_afterwards(ready: Arm) -> None:
    assert ready.call("DELETE", WS, forceToPurge="true")[0] == 202
    assert refusal(recover(ready)) == (404, "ResourceNotFound")
    ready.put(WS, workspace(), 202)
    assert ready.cloud.state.get(MODEL) is None
    ready.call("DELETE", WS)
    assert ready.call("DELETE", WS, forceToPurge="true") == (200, None)
    assert ready.refused("DELETE", WS, forceToPurge="true") == (404, "ResourceNotFound")
    assert refusal(recover(ready)) == (404, "ResourceNotFound")
    ready.put(WS, workspace(), 202)
    assert ready.cloud.state.get(MODEL) is None


def test_a_recovered_vault_is_the_old_one(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    body = vault()
    mapping(body["properties"]).update(enableRbacAuthorization=True, softDeleteRetentionInDays=7)
    arm.put(VAULT, body, 201)
    before = mapping(arm.get(VAULT)["properties"])
    arm.call("DELETE", VAULT)
    assert arm.refused("PUT", VAULT, vault()) == (409, "ConflictError")
    again = vault()
    mapping(again["properties"])["createMode"] = "recover"
    arm.put(VAULT, again, 201)
    assert mapping(arm.get(VAULT)["properties"]) == before
    assert arm.get(f"{SUB}/providers/Microsoft.KeyVault/deletedVaults") == {"value": []}


def test_a_vault_is_recovered_only_where_it_was(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    arm.put(f"{RG}2", {"location": "westeurope"})
    body = vault()
    mapping(body["properties"])["createMode"] = "recover"
    assert arm.refused("PUT", VAULT, body) == (404, "DeletedVaultNotFound")
    arm.put(VAULT, vault(), 201)
    arm.call("DELETE", VAULT)
    assert arm.refused("PUT", VAULT.replace("/rg/", "/rg2/"), body) == (409, "ConflictError")


def test_a_protected_vault_is_not_purged(arm: Arm) -> None:
    arm.put(RG, {"location": "westeurope"})
    body = vault()
    mapping(body["properties"])["enablePurgeProtection"] = True
    arm.put(VAULT, body, 201)
    arm.call("DELETE", VAULT)
    assert arm.refused("POST", f"{DELETED_VAULT}/purge") == (400, "MethodNotAllowed")


@pytest.mark.parametrize("exists", [False, True])
def test_purge_protection_is_never_false(arm: Arm, *, exists: bool) -> None:
    arm.put(RG, {"location": "westeurope"})
    if exists:
        arm.put(VAULT, vault(), 201)
    body = vault()
    mapping(body["properties"])["enablePurgeProtection"] = False
    text = (
        'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is an '
        "irreversible action."
    )
    assert arm.call("PUT", VAULT, body) == (400, {"error": {"code": "BadRequest", "message": text}})
