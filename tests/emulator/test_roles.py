"""Role assignments: who may be given what, and once."""

from __future__ import annotations

import pytest

from emulator.constants import CLIENT_ID, OBJECT_ID, TENANT_ID
from emulator.resources import role_definitions
from tests.emulator.arm_kit import RG, STORAGE, SUB, USER, WS, Arm, mapping

CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
ONE = "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-3333-4444-555555555555"
TWO = ONE.replace("1111", "2222")
STRANGER = "99999999-2222-3333-4444-555555555555"


@pytest.fixture
def ready(arm: Arm) -> Arm:
    """Make a workspace, its parts and an identity."""
    arm.seed()
    return arm


def role(guid: str = CONTRIBUTOR) -> str:
    return f"{SUB}/providers/Microsoft.Authorization/roleDefinitions/{guid}"


def given(principal: str, guid: str = CONTRIBUTOR) -> dict[str, dict[str, str]]:
    return {"properties": {"principalId": principal, "roleDefinitionId": role(guid)}}


def principal_of(arm: Arm, id_: str) -> str:
    found = arm.get(id_)
    holder = "properties" if id_ == USER else "identity"
    return str(mapping(found[holder])["principalId"])


@pytest.mark.parametrize("who", [USER, WS])
def test_identities_that_were_made_can_have_a_role(ready: Arm, who: str) -> None:
    principal = principal_of(ready, who)
    assert ready.call("PUT", STORAGE + ONE, given(principal))[0] == 201
    assert mapping(ready.get(STORAGE + ONE)["properties"])["principalId"] == principal


@pytest.mark.parametrize("who", [STRANGER, CLIENT_ID])
def test_a_principal_that_the_directory_lacks_is_refused(ready: Arm, who: str) -> None:
    status, answer = ready.call("PUT", RG + ONE, given(who))
    error = mapping(mapping(answer)["error"])
    start = f"Principal {who.replace('-', '')} does not exist in the directory {TENANT_ID}. "
    assert (status, error["code"], str(error["message"])[: len(start)]) == (400, "PrincipalNotFound", start)


def test_a_deleted_identity_is_not_known_any_more(ready: Arm) -> None:
    principal = principal_of(ready, USER)
    ready.call("DELETE", USER)
    assert ready.refused("PUT", RG + ONE, given(principal)) == (400, "PrincipalNotFound")


def test_a_role_that_nobody_knows_is_refused(ready: Arm) -> None:
    status, answer = ready.call("PUT", RG + ONE, given(OBJECT_ID, STRANGER))
    text = f"The specified role definition with ID '{STRANGER.replace('-', '')}' does not exist."
    assert (status, answer) == (404, {"error": {"code": "RoleDefinitionDoesNotExist", "message": text}})
    crooked = {"properties": {"principalId": OBJECT_ID, "roleDefinitionId": "Contributor"}}
    assert ready.refused("PUT", RG + ONE, crooked) == (400, "InvalidRoleDefinitionId")


def test_an_assignment_exists_once_whatever_its_name(ready: Arm) -> None:
    assert ready.call("PUT", RG + ONE, given(OBJECT_ID))[0] == 201
    status, answer = ready.call("PUT", RG + TWO, given(OBJECT_ID))
    name = ONE.rpartition("/")[2]
    text = f"The role assignment already exists. The ID of the existing role assignment is {name}."
    assert (status, answer) == (409, {"error": {"code": "RoleAssignmentExists", "message": text}})
    assert ready.call("PUT", STORAGE + TWO, given(OBJECT_ID))[0] == 201
    assert ready.call("DELETE", RG + ONE)[0] == 200
    assert ready.refused("GET", RG + ONE) == (404, "RoleAssignmentNotFound")
    assert ready.call("PUT", RG + TWO, given(OBJECT_ID))[0] == 201


def test_an_assignment_goes_with_its_scope(ready: Arm) -> None:
    ready.put(WS + ONE, given(OBJECT_ID), 201)
    ready.call("DELETE", WS)
    assert ready.cloud.state.get(WS + ONE) is None


def test_a_role_is_found_by_its_name_or_id(ready: Arm) -> None:
    collection = f"{SUB}/providers/Microsoft.Authorization/roleDefinitions"
    named = ready.get(collection, **{"$filter": "roleName eq 'Storage Blob Data Contributor'"})
    assert named == {"value": [role_definitions.definition(CONTRIBUTOR)]}
    assert ready.get(role()) == role_definitions.definition(CONTRIBUTOR)
    assert len(ready.get(collection)["value"]) == len(role_definitions.BUILT_IN)  # type: ignore[arg-type]
    assert ready.refused("GET", role(STRANGER)) == (404, "RoleDefinitionDoesNotExist")
    assert ready.refused("GET", collection, **{"$filter": "type eq 'x'"}) == (501, "NotImplemented")
