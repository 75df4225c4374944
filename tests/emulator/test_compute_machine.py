"""VirtualMachine in ARM: attached by id or address, its secrets, detached and never deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.emulator.arm_kit import CPU, VNET, WS, Arm, cluster, mapping
from tests.emulator.compute_kit import CI, MACHINE, VM, inner, instance, machine, message

if TYPE_CHECKING:
    from emulator.routing import Json

ELSEWHERE = MACHINE.replace(MACHINE.split("/")[2], "11111111-2222-3333-4444-555555555555")
WORD: dict[str, Json] = {"username": "ops", "password": "canary-word"}


@pytest.fixture
def ready(arm: Arm) -> Arm:
    arm.seed()
    document: dict[str, Json] = {"id": MACHINE, "name": "lab", "type": "Microsoft.Compute/virtualMachines"}
    arm.cloud.state.put(MACHINE, {**document, "properties": {"provisioningState": "Succeeded"}})
    return arm


def test_a_machine_is_attached_by_id_and_address(ready: Arm) -> None:
    assert ready.call("PUT", VM, {**machine(MACHINE), "tags": {"a": "b"}})[0] == 201
    found = mapping(ready.get(VM)["properties"])
    assert (found["isAttachedCompute"], found["resourceId"], found["computeLocation"]) == (True, MACHINE, "westeurope")
    assert found["properties"] == {
        "address": "10.1.2.3",
        "sshPort": 2222,
        "administratorAccount": {"username": "ops"},
    }


@pytest.mark.parametrize("body", [machine(), machine(MACHINE, address=None), machine(ELSEWHERE)])
def test_either_will_do_and_another_subscription_is_not_looked_at(ready: Arm, body: dict[str, Json]) -> None:
    ready.put(VM, body, 201)


def test_secrets_are_listed_and_never_shown(ready: Arm) -> None:
    account: dict[str, Json] = {**WORD, "privateKeyData": "canary-key", "publicKeyData": "ssh-ed25519 AAAA"}
    ready.put(VM, machine(administratorAccount=account), 201)
    shown = {"username": "ops", "publicKeyData": "ssh-ed25519 AAAA"}
    assert inner(ready, VM)["administratorAccount"] == shown
    seen = [ready.get(f"{WS}/computes"), [found for _, found in ready.cloud.state.all("arm")]]
    assert "canary" not in json.dumps(seen)
    assert ready.call("POST", f"{VM}/listKeys") == (
        200,
        {"computeType": "VirtualMachine", "administratorAccount": account},
    )
    ready.put(VM, ready.get(VM), 200)
    assert mapping(ready.call("POST", f"{VM}/listKeys")[1])["administratorAccount"] == account
    assert ready.refused("POST", f"{VM}/listNodes") == (400, "UserError")


def test_tags_and_description_are_changed_in_place(ready: Arm) -> None:
    ready.put(VM, machine(), 201)
    body = machine()
    mapping(body["properties"])["description"] = "under the desk"
    ready.put(VM, {**body, "tags": {"a": "b"}}, 200)
    found = ready.get(VM)
    assert (found["tags"], mapping(found["properties"])["description"]) == ({"a": "b"}, "under the desk")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"address": "10.1.2.4"}, "address"),
        ({"sshPort": 22}, "sshPort"),
        ({"sshPort": None}, "sshPort"),
        ({"isNotebookInstanceCompute": True}, "isNotebookInstanceCompute"),
        ({"administratorAccount": {"username": "root", "privateKeyData": "canary-key"}}, "administratorAccount"),
        ({"administratorAccount": WORD}, "administratorAccount"),
        ({"resource": MACHINE}, "resourceId"),
    ],
)
def test_another_machine_is_another_compute(ready: Arm, change: dict[str, Json], name: str) -> None:
    ready.put(VM, machine(), 201)
    before = ready.get(VM)
    assert message(ready, "PUT", VM, machine(**change)) == (
        f"The property '{name}' of the compute 'lab-vm' cannot be changed. Delete the compute and create it again; "
        "only description, tags and identity can be updated."
    )
    assert ready.get(VM) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (machine(address=None), "InvalidRequestContent"),
        (machine(MACHINE + "2"), "InvalidResourceReference"),
        (machine(VNET), "InvalidPropertyValue"),
        (machine("lab"), "InvalidPropertyValue"),
        (machine(sshPort=0), "InvalidPropertyValue"),
        (machine(sshPort="22"), "InvalidPropertyValue"),
        (machine(administratorAccount=None), "InvalidRequestContent"),
        (machine(administratorAccount={"username": "ops"}), "InvalidRequestContent"),
        (machine(administratorAccount={"password": "canary-word"}), "InvalidRequestContent"),
    ],
)
def test_a_machine_that_cannot_be_reached_is_refused(ready: Arm, body: dict[str, Json], code: str) -> None:
    assert ready.refused("PUT", VM, body) == (400, code)
    assert ready.get(f"{WS}/computes") == {"value": []}


@pytest.mark.parametrize("name", ["a", "1ab", "vm-1", "ab-", "a" * 17])
def test_a_machines_name_follows_the_rule(ready: Arm, name: str) -> None:
    path = f"{WS}/computes/{name}"
    assert ready.refused("PUT", path, machine()) == (400, "InvalidResourceName")
    assert message(ready, "PUT", path, machine()).endswith(
        "is not valid: 2-16 letters, digits and '-', starting with a letter, a '-' only where a letter still follows."
    )


def test_a_machine_is_detached_and_stays(ready: Arm) -> None:
    ready.put(VM, machine(MACHINE), 201)
    words = "Delete is not supported for VirtualMachine; use underlyingResourceAction=Detach."
    assert message(ready, "DELETE", VM, underlyingResourceAction="Delete") == words
    assert ready.call("DELETE", VM, underlyingResourceAction="Detach")[0] == 202
    assert ready.refused("GET", VM) == (404, "ResourceNotFound")
    assert ready.cloud.state.all("secret") == []
    assert ready.cloud.state.get(MACHINE) is not None


def test_a_compute_does_not_become_another_type(ready: Arm) -> None:
    ready.put(VM, machine(), 201)
    for body in (cluster(), instance()):
        assert ready.refused("PUT", VM, body) == (400, "ImmutablePropertyChanged")
    assert ready.refused("POST", f"{VM}/stop") == (400, "BadRequest")


@pytest.mark.parametrize("kind", ["AKS", "Kubernetes", "HDInsight", "Databricks", "DataLakeAnalytics", "SynapseSpark"])
def test_other_types_are_refused_by_name(ready: Arm, kind: str) -> None:
    body: dict[str, Json] = {"location": "westeurope", "properties": {"computeType": kind, "properties": {}}}
    assert ready.refused("PUT", CPU, body) == (501, "NotImplemented")
    assert message(ready, "PUT", CPU, body) == (
        f"Computes of type '{kind}' are not played by this emulator yet; AmlCompute, ComputeInstance, VirtualMachine "
        "are."
    )


def test_all_types_are_in_one_list(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    ready.put(CI, instance(), 201)
    ready.put(VM, machine(), 201)
    found = ready.get(f"{WS}/computes")["value"]
    assert isinstance(found, list)
    assert [mapping(mapping(item)["properties"])["computeType"] for item in found] == [
        "AmlCompute",
        "ComputeInstance",
        "VirtualMachine",
    ]
