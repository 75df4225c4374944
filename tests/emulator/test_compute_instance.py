"""ComputeInstance in ARM: what is shown, what can be changed, power, names, cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import arm as engine
from emulator import operations
from emulator.constants import OBJECT_ID, TENANT_ID
from tests.emulator.arm_kit import CPU, ORIGIN, RG, SUBNET, USER, WS, Arm, cluster, mapping, workspace
from tests.emulator.compute_kit import CI, KEY, ON_ITS_OWN, inner, instance, message

if TYPE_CHECKING:
    from emulator.routing import Json

STAMP = "2026-11-21T12:00:00.0000000Z"


@pytest.fixture
def ready(arm: Arm) -> Arm:
    arm.seed()
    return arm


def operation(name: str, status: str = "Succeeded", trigger: str = "User", at: str = STAMP) -> dict[str, Json]:
    return {"operationName": name, "operationTime": at, "operationStatus": status, "operationTrigger": trigger}


def test_an_instance_is_shown_with_all_that_the_service_knows(ready: Arm) -> None:
    status, _ = ready.call("PUT", CI, instance(sshSettings={"sshPublicAccess": "Enabled", "adminPublicKey": KEY}))
    assert status == 201
    assert "Azure-AsyncOperation" in ready.headers
    found = mapping(ready.get(CI)["properties"])
    assert {key: value for key, value in found.items() if key != "properties"} == {
        "computeType": "ComputeInstance",
        "computeLocation": "westeurope",
        "disableLocalAuth": False,
        "createdOn": STAMP,
        "modifiedOn": STAMP,
        "resourceId": None,
        "provisioningErrors": None,
        "isAttachedCompute": False,
        "provisioningState": "Succeeded",
    }
    host = ORIGIN.removeprefix("https://")
    assert found["properties"] == {
        "vmSize": "Standard_D2_v3",
        "applicationSharingPolicy": "Shared",
        "computeInstanceAuthorizationType": "personal",
        "enableNodePublicIp": True,
        "enableSSO": True,
        "sshSettings": {
            "sshPublicAccess": "Enabled",
            "adminPublicKey": KEY,
            "adminUserName": "azureuser",
            "sshPort": 22,
        },
        "createdBy": {"userName": "trainyard", "userId": OBJECT_ID, "userOrgId": TENANT_ID},
        "state": "Running",
        "lastOperation": operation("Create"),
        "connectivityEndpoints": {"publicIpAddress": "127.0.0.1", "privateIpAddress": "10.0.0.4"},
        "applications": [
            {"displayName": "Jupyter", "endpointUri": f"https://anna-ci.westeurope.instances.{host}/tree"},
            {"displayName": "Jupyter Lab", "endpointUri": f"https://anna-ci.westeurope.instances.{host}/lab"},
        ],
        "osImageMetadata": {
            "currentImageVersion": "25.10.14",
            "latestImageVersion": "25.10.14",
            "isLatestOsImageVersion": True,
        },
        "errors": [],
        "containers": [],
        "dataDisks": [],
        "dataMounts": [],
        "versions": {"runtime": None},
    }


def test_what_is_sent_back_changes_nothing(ready: Arm) -> None:
    ready.put(CI, {**instance(idleTimeBeforeShutdown="PT30M"), "tags": {"a": "b"}}, 201)
    before = ready.get(CI)
    ready.put(CI, before, 200)
    assert ready.get(CI) == before


def test_idle_time_schedules_tags_identity_and_description_are_changed_in_place(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    entry: dict[str, Json] = {"action": "Stop", "status": "Enabled", **ON_ITS_OWN}
    body = instance(idleTimeBeforeShutdown="PT1800S", schedules={"computeStartStop": [entry]})
    mapping(body["properties"])["description"] = "Anna's"
    users = {"type": "UserAssigned", "userAssignedIdentities": {USER: {}}}
    ready.put(CI, {**body, "tags": {"team": "a"}, "identity": users}, 200)
    found = ready.get(CI)
    assert (found["tags"], mapping(found["properties"])["description"]) == ({"team": "a"}, "Anna's")
    assert list(mapping(mapping(found["identity"])["userAssignedIdentities"])) == [USER]
    assert inner(ready, CI)["idleTimeBeforeShutdown"] == "PT1800S"
    shown = mapping(inner(ready, CI)["schedules"])["computeStartStop"]
    assert isinstance(shown, list)
    assert len(str(mapping(shown[0])["id"])) == 36
    added: dict[str, Json] = {"id": mapping(shown[0])["id"], "provisioningStatus": "Completed"}
    assert shown == [{**entry, **added}]
    before = ready.get(CI)
    ready.put(CI, before, 200)
    assert ready.get(CI) == before
    ready.put(CI, instance(), 200)
    again = ready.get(CI)
    assert ("tags" in again, "identity" in again, "description" in mapping(again["properties"])) == (False,) * 3
    assert {"idleTimeBeforeShutdown", "schedules"} & inner(ready, CI).keys() == set()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"vmSize": "Standard_D4_v3"}, "vmSize"),
        ({"subnet": {"id": SUBNET}}, "subnet"),
        ({"applicationSharingPolicy": "Personal"}, "applicationSharingPolicy"),
        ({"enableSSO": False}, "enableSSO"),
        ({"sshSettings": {"sshPublicAccess": "Enabled", "adminPublicKey": KEY}}, "sshSettings"),
        (
            {"personalComputeInstanceSettings": {"assignedUser": {"objectId": OBJECT_ID, "tenantId": TENANT_ID}}},
            "personalComputeInstanceSettings",
        ),
        (
            {"setupScripts": {"scripts": {"startupScript": {"scriptSource": "inline", "scriptData": "bHM="}}}},
            "setupScripts",
        ),
        ({"enableNodePublicIp": False}, "enableNodePublicIp"),
    ],
)
def test_what_an_instance_is_made_of_cannot_change(ready: Arm, change: dict[str, Json], name: str) -> None:
    ready.put(CI, instance(), 201)
    before = ready.get(CI)
    assert ready.refused("PUT", CI, instance(**change)) == (400, "ImmutablePropertyChanged")
    assert message(ready, "PUT", CI, instance(**change)) == (
        f"The property '{name}' of the compute 'anna-ci' cannot be changed. Delete the compute and create it again; "
        "only idle time, schedules, identity and tags can be updated."
    )
    assert ready.get(CI) == before


def test_a_patch_is_for_clusters(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    patch = {"properties": {"properties": {"scaleSettings": {"maxNodeCount": 1}}}}
    assert ready.refused("PATCH", CI, patch) == (400, "BadRequest")


def test_the_idle_time_has_an_operation_of_its_own(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    ready.put(CPU, cluster(), 201)
    path = f"{CI}/updateIdleShutdownSetting"
    assert ready.call("POST", path, {"idleTimeBeforeShutdown": "PT120M"}) == (200, None)
    assert inner(ready, CI)["idleTimeBeforeShutdown"] == "PT120M"
    for value in ("PT14M", "P4D", "2h", 30):
        assert ready.refused("POST", path, {"idleTimeBeforeShutdown": value}) == (400, "InvalidPropertyValue")
    assert ready.call("POST", path, {}) == (200, None)
    assert "idleTimeBeforeShutdown" not in inner(ready, CI)
    assert ready.refused("POST", f"{CPU}/updateIdleShutdownSetting", {}) == (400, "BadRequest")


def test_single_sign_on_has_one_too(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    assert ready.call("POST", f"{CI}/enableSso", {"enableSSO": False}) == (200, None)
    assert inner(ready, CI)["enableSSO"] is False
    assert ready.refused("POST", f"{CI}/enableSso", {}) == (400, "InvalidRequestContent")


def test_an_instance_is_stopped_started_and_restarted(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    words = "Start Azure ML Compute Instance is only allowed when the instance anna-ci is in 'stopped' state"
    assert ready.refused("POST", f"{CI}/start") == (400, "StartComputeInstanceOnlyAllowedInStoppedState")
    assert message(ready, "POST", f"{CI}/start") == words
    assert ready.call("POST", f"{CI}/stop") == (202, None)
    assert sorted(ready.headers.keys() & {"Location", "Azure-AsyncOperation"}) == ["Location"]
    assert ready.call("GET", ready.headers["Location"])[0] == 200
    stopped = inner(ready, CI)
    assert (stopped["state"], stopped["connectivityEndpoints"]) == ("Stopped", None)
    assert stopped["lastOperation"] == operation("Stop")
    assert ready.refused("POST", f"{CI}/stop") == (400, "StopComputeInstanceOnlyAllowedInRunningState")
    assert ready.refused("POST", f"{CI}/restart") == (400, "RestartComputeInstanceOnlyAllowedInRunningState")
    ready.clock.forward(minutes=1)
    assert ready.call("POST", f"{CI}/start")[0] == 202
    assert inner(ready, CI)["lastOperation"] == operation("Start", at="2026-11-21T12:01:00.0000000Z")
    assert ready.call("POST", f"{CI}/restart")[0] == 202
    assert (inner(ready, CI)["state"], ready.refused("POST", f"{CI}x/stop")) == ("Running", (404, "ResourceNotFound"))


def test_the_first_api_versions_switch_at_once(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    assert ready.call("POST", f"{CI}/stop", **{"api-version": "2020-08-01"}) == (200, None)
    assert inner(ready, CI)["state"] == "Stopped"


def test_power_takes_its_time_and_survives_a_kill(slow: Arm) -> None:
    slow.seed()
    operations.advance(slow.cloud)
    slow.put(WS, workspace())
    operations.advance(slow.cloud)
    slow.put(CI, instance(), 201)
    assert inner(slow, CI)["state"] == "Creating"
    assert slow.refused("POST", f"{CI}/stop") == (409, "Conflict")
    operations.advance(slow.cloud)
    assert slow.call("POST", f"{CI}/stop")[0] == 202
    location = slow.headers["Location"]
    assert (inner(slow, CI)["state"], inner(slow, CI)["lastOperation"]) == ("Stopping", operation("Stop", "InProgress"))
    assert slow.refused("POST", f"{CI}/start") == (409, "Conflict")
    assert slow.call("GET", location)[0] == 202
    assert engine.resume(slow.cloud) == 1
    assert slow.call("GET", location)[0] == 200
    assert (inner(slow, CI)["state"], inner(slow, CI)["lastOperation"]) == ("Stopped", operation("Stop"))
    slow.call("DELETE", CI, underlyingResourceAction="Delete")
    assert inner(slow, CI)["state"] == "Deleting"


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_only_instances_have_power(ready: Arm, verb: str) -> None:
    ready.put(CPU, cluster(), 201)
    wanted = f"The operation '{verb}' is not supported for computes of type AmlCompute."
    assert message(ready, "POST", f"{CPU}/{verb}") == wanted
    assert ready.refused("POST", f"{CPU}/{verb}") == (400, "BadRequest")


def test_the_service_lists_no_nodes_of_an_instance(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    assert ready.refused("POST", f"{CI}/listNodes") == (400, "UserError")
    assert message(ready, "POST", f"{CI}/listNodes") == (
        "ComputeListNodes with computeType ComputeInstance is not supported."
    )
    assert ready.call("POST", f"{CI}/listKeys") == (200, {"computeType": "ComputeInstance"})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (instance(vmSize=None), "InvalidRequestContent"),
        (instance(vmSize="Standard_Nope"), "InvalidPropertyValue"),
        (instance(vmSize="Standard_D1_v2"), "InvalidPropertyValue"),
        (instance(vmSize="Standard_NC6s_v3"), "InvalidPropertyValue"),
        (instance(vmSize="Standard_NC4as_T4_v3"), "ClusterMinNodesExceedCoreQuota"),
        (instance(sshSettings={"sshPublicAccess": "Enabled"}), "InvalidRequestContent"),
        (instance(sshSettings={"sshPublicAccess": "Yes"}), "InvalidRequestContent"),
        (instance(applicationSharingPolicy="Public"), "InvalidRequestContent"),
        (instance(computeInstanceAuthorizationType="shared"), "InvalidRequestContent"),
        (instance(enableNodePublicIp=False), "InvalidPropertyValue"),
        (instance(idleTimeBeforeShutdown="PT5M"), "InvalidPropertyValue"),
        (instance(idleTimeBeforeShutdown="P3DT1S"), "InvalidPropertyValue"),
        (instance(schedules={"computeStartStop": [{"action": "Stop"}]}), "InvalidPropertyValue"),
        (instance(schedules={"computeStartStop": [{"action": "Nap", **ON_ITS_OWN}]}), "InvalidPropertyValue"),
        (instance(subnet={"id": f"{SUBNET}2"}), "InvalidResourceReference"),
        ({**instance(), "location": "eastus"}, "InvalidPropertyValue"),
    ],
)
def test_an_instance_that_azure_would_not_make_is_refused(ready: Arm, body: dict[str, Json], code: str) -> None:
    assert ready.refused("PUT", CI, body) == (400, code)
    assert ready.get(f"{WS}/computes") == {"value": []}


@pytest.mark.parametrize("name", ["ab", "1abc", "a_b_c", "abc-", "ann-1", "ann-1-2", "a" * 25])
def test_an_instances_name_follows_the_rule(ready: Arm, name: str) -> None:
    assert ready.refused("PUT", f"{WS}/computes/{name}", instance()) == (400, "InvalidResourceName")


@pytest.mark.parametrize("name", ["abc", "a-1b", "ann--x", "a" * 24])
def test_other_names_are_fine(ready: Arm, name: str) -> None:
    ready.put(f"{WS}/computes/{name}", instance(), 201)


def test_an_instances_name_is_taken_in_the_whole_region(ready: Arm) -> None:
    ready.put(f"{WS}2", workspace(), 202)
    ready.put(f"{WS}3", {**workspace(), "location": "eastus"}, 202)
    ready.put(CI, instance(), 201)
    taken = f"{WS}2/computes/ANNA-CI"
    assert ready.refused("PUT", taken, instance()) == (409, "Conflict")
    assert message(ready, "PUT", taken, instance()) == (
        "The name 'ANNA-CI' is taken by a compute instance in westeurope. Choose another."
    )
    ready.put(f"{WS}3/computes/anna-ci", {**instance(), "location": "eastus"}, 201)
    ready.put(f"{WS}2/computes/anna-ci", cluster(), 201)


def test_an_instance_uses_the_cores_of_one_node_even_when_it_is_stopped(ready: Arm) -> None:
    big = instance(vmSize="Standard_D32_v3")
    for number in ("a", "b", "c"):
        ready.put(f"{CI}{number}", big, 201)
    ready.call("POST", f"{CI}a/stop")
    assert ready.refused("PUT", f"{CI}d", big) == (400, "ClusterMinNodesExceedCoreQuota")
    assert message(ready, "PUT", f"{CI}d", big) == (
        "The 32 vCPUs of Standard_D32_v3 exceed the quota of the family 'standardDv3Family' in westeurope."
    )
    ready.put(f"{CI}d", instance(vmSize="Standard_D4_v3"), 201)
    two = cluster(scaleSettings={"minNodeCount": 1, "maxNodeCount": 2})
    assert ready.refused("PUT", CPU, two) == (400, "ClusterMinNodesExceedCoreQuota")
    ready.call("DELETE", f"{CI}a", underlyingResourceAction="Delete")
    ready.put(CPU, two, 201)


def test_an_instance_is_deleted_and_not_detached(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    words = "Detach is not supported for ComputeInstance; use underlyingResourceAction=Delete."
    assert message(ready, "DELETE", CI, underlyingResourceAction="Detach") == words
    assert ready.call("DELETE", CI, underlyingResourceAction="Delete")[0] == 202
    assert ready.refused("GET", CI) == (404, "ResourceNotFound")
    assert ready.cloud.state.all("instance") == []
    ready.put(CI, instance(), 201)
    assert inner(ready, CI)["lastOperation"] == operation("Create")


def test_an_instance_keeps_an_address_of_its_subnet(ready: Arm) -> None:
    small = SUBNET.replace("train", "small")
    ready.put(small, {"properties": {"addressPrefix": "10.0.2.0/29"}}, 201)
    for number in ("a", "b", "c"):
        ready.put(f"{CI}{number}", instance(subnet={"id": small}), 201)
    assert ready.refused("PUT", f"{CI}d", instance(subnet={"id": small})) == (400, "SubnetIsFull")
    assert ready.refused("DELETE", small) == (400, "InUseSubnetCannotBeDeleted")
    ready.call("DELETE", RG)
