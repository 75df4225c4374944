"""Machine Learning's rules in ARM: workspaces, AmlCompute, cores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator.ml import obj
from emulator.resources import ml_compute, ml_workspace
from emulator.routing import Call, Refusal
from tests.emulator.arm_kit import CPU, ORIGIN, RG, SUB, SUBNET, USER, VNET, WS, Arm, Nodes, cluster, mapping, workspace

if TYPE_CHECKING:
    from emulator.routing import Json

LOCATION = f"{SUB}/providers/Microsoft.MachineLearningServices/locations/westeurope"


@pytest.fixture
def ready(arm: Arm) -> Arm:
    """Make a workspace, a subnet and a user-assigned identity."""
    arm.seed()
    return arm


def settings(arm: Arm, path: str = CPU) -> dict[str, Json]:
    """Return `properties.properties` of a compute."""
    return mapping(mapping(arm.get(path)["properties"])["properties"])


def scaled(low: Json, high: Json, **more: Json) -> dict[str, Json]:
    """Return a cluster's body with this range."""
    return cluster(scaleSettings={"minNodeCount": low, "maxNodeCount": high}, **more)


def test_a_workspace_gets_its_identity_and_addresses(ready: Arm) -> None:
    found = ready.get(WS)
    properties = mapping(found["properties"])
    assert mapping(found["identity"])["type"] == "SystemAssigned"
    assert len(str(mapping(found["identity"])["principalId"])) == 36
    assert properties["discoveryUrl"] == f"{ORIGIN}/discovery"
    assert properties["mlFlowTrackingUri"] == f"azureml://localhost:21000/mlflow/v2.0{WS}"
    ready.put(WS, workspace(description="again"), 200)
    again = ready.get(WS)
    assert again["identity"] == found["identity"]
    assert mapping(again["properties"]) == properties | {"description": "again"}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"identity": None}, (400, "ValidationError")),
        ({"identity": {"type": "Royal"}}, (400, "InvalidIdentityType")),
        ({"identity": {"type": "UserAssigned"}}, (400, "InvalidIdentityType")),
        (
            {"identity": {"type": "UserAssigned", "userAssignedIdentities": {USER + "2": {}}}},
            (400, "FailedIdentityOperation"),
        ),
        ({"properties": {}}, (400, "ValidationError")),
        ({"location": None}, (400, "LocationRequired")),
    ],
)
def test_a_workspace_needs_its_parts(ready: Arm, change: dict[str, Json], answer: object) -> None:
    assert ready.refused("PUT", WS + "2", workspace() | change) == answer
    assert ready.refused("GET", WS + "2") == (404, "ResourceNotFound")


def test_a_workspace_needs_a_storage_account_that_exists(ready: Arm) -> None:
    missing = workspace(storageAccount=f"{RG}/providers/Microsoft.Storage/storageAccounts/none")
    assert ready.refused("PUT", WS + "2", missing) == (400, "InvalidResourceReference")
    assert ready.refused("PUT", WS, workspace(hbiWorkspace=True)) == (400, "ValidationError")


def test_a_deleted_workspace_blocks_its_name_for_fourteen_days(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    assert ready.call("DELETE", WS)[0] == 202
    assert ready.refused("GET", CPU) == (404, "ParentResourceNotFound")
    status, body = ready.call("PUT", WS, workspace())
    message = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
    assert (status, mapping(mapping(body)["error"])["message"]) == (400, message)
    ready.clock.forward(days=14)
    ready.put(WS, workspace(), 202)
    assert ready.get(f"{WS}/computes") == {"value": []}


def test_a_purged_workspace_leaves_its_name_free(ready: Arm) -> None:
    assert ready.call("DELETE", WS, forceToPurge="true")[0] == 202
    ready.put(WS, workspace(), 202)
    ready.call("DELETE", WS)
    assert ready.call("DELETE", WS, forceToPurge="true") == (200, None)
    ready.put(WS, workspace(), 202)


def test_a_private_workspace_is_closed_to_this_machine_but_not_to_arm(ready: Arm) -> None:
    ready.put(WS, workspace(publicNetworkAccess="Disabled"), 200)
    ready.put(CPU, cluster(), 201)
    call = Call(ready.cloud, "GET", WS, {}, {}, {}, b"", ORIGIN, {})
    with pytest.raises(Refusal, match="Public network access is disabled for the workspace 'mlw'"):
        ml_workspace.require_reachable(call, ready.get(WS))
    ml_workspace.require_reachable(call, workspace())


def test_the_workspaces_keys_are_listed(ready: Arm) -> None:
    keys = mapping(ready.call("POST", f"{WS}/listKeys")[1])
    assert len(str(keys["userStorageKey"])) == 88
    assert keys["userStorageArmId"] == mapping(ready.get(WS)["properties"])["storageAccount"]


def test_a_cluster_is_created_overwritten_and_echoed_as_sent(ready: Arm) -> None:
    users = {"type": "UserAssigned", "userAssignedIdentities": {USER: {}}}
    body = {**cluster(subnet={"id": SUBNET}), "identity": users, "tags": {"a": "b"}}
    status, answer = ready.call("PUT", CPU, body)
    assert (status, mapping(mapping(answer)["properties"])["provisioningState"]) == (201, "Creating")
    found = ready.get(CPU)
    principal = mapping(ready.get(USER)["properties"])
    identity = {USER: {"principalId": principal["principalId"], "clientId": principal["clientId"]}}
    assert mapping(found["identity"])["userAssignedIdentities"] == identity
    assert settings(ready)["scaleSettings"] == {
        "minNodeCount": 0,
        "maxNodeCount": 4,
        "nodeIdleTimeBeforeScaleDown": "PT120S",
    }
    assert settings(ready)["subnet"] == {"id": SUBNET}
    ready.put(CPU, scaled(0, 2, subnet={"id": SUBNET}), 200)
    again = ready.get(CPU)
    assert settings(ready)["scaleSettings"] == {"minNodeCount": 0, "maxNodeCount": 2}
    assert ("identity" in again, "tags" in again) == (False, False)
    assert ready.refused(
        "PUT", CPU, body | {"identity": {"type": "UserAssigned", "userAssignedIdentities": {WS: {}}}}
    ) == (
        400,
        "FailedIdentityOperation",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"vmSize": "Standard_D4_v3"},
        {"vmPriority": "LowPriority"},
        {"osType": "Windows"},
        {"subnet": {"id": SUBNET}},
        {"enableNodePublicIp": False, "subnet": {"id": SUBNET}},
        {"isolatedNetwork": True},
        {"userAccountCredentials": {"adminUserName": "ops", "adminUserSshPublicKey": "ssh-rsa A"}},
    ],
)
def test_what_a_cluster_is_made_of_cannot_change(ready: Arm, change: dict[str, Json]) -> None:
    ready.put(CPU, cluster(), 201)
    before = ready.get(CPU)
    assert ready.refused("PUT", CPU, cluster(**change)) == (400, "ImmutablePropertyChanged")
    assert ready.get(CPU) == before


def test_a_cluster_does_not_move_or_change_its_kind(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    assert ready.refused("PUT", CPU, cluster() | {"location": "eastus"}) == (409, "InvalidResourceLocation")
    other: dict[str, Json] = {"location": "westeurope", "properties": {"computeType": "ComputeInstance"}}
    assert ready.refused("PUT", CPU, other) == (400, "ImmutablePropertyChanged")
    no_place = {key: value for key, value in cluster().items() if key != "location"}
    assert ready.call("PUT", CPU, no_place)[0] == 200
    assert ready.get(CPU)["location"] == "westeurope"


def test_a_patch_takes_scale_settings_and_nothing_else(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    patch: dict[str, Json] = {"properties": {"properties": {"scaleSettings": {"maxNodeCount": 1}}}}
    assert ready.call("PATCH", CPU, patch)[0] == 200
    assert obj(settings(ready)["scaleSettings"]) == {
        "minNodeCount": 0,
        "maxNodeCount": 1,
        "nodeIdleTimeBeforeScaleDown": "PT120S",
    }
    bad: list[dict[str, Json]] = [
        {"tags": {"a": "b"}},
        {"properties": {"properties": {"vmSize": "Standard_D4_v3"}}},
        {**patch, "tags": {}},
        {},
    ]
    assert [ready.refused("PATCH", CPU, body) for body in bad] == [(400, "InvalidRequestContent")] * 4
    assert ready.refused("PATCH", CPU + "x", patch) == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (scaled(3, 2), "InvalidPropertyValue"),
        (scaled(-1, 2), "InvalidPropertyValue"),
        (scaled(0, 101), "InvalidPropertyValue"),
        (scaled(0, None), "InvalidRequestContent"),
        (scaled(0, "2"), "InvalidRequestContent"),
        (cluster(scaleSettings={"maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "2m"}), "InvalidPropertyValue"),
        (cluster(vmSize="Standard_Nope"), "InvalidPropertyValue"),
        (cluster(vmSize="Standard_NC6"), "InvalidPropertyValue"),
        (cluster(vmSize="Standard_NV6ads_A10_v5"), "InvalidPropertyValue"),
        (cluster(vmSize=None), "InvalidRequestContent"),
        (cluster(vmSize="Standard_NC64as_T4_v3", vmPriority="LowPriority"), "InvalidPropertyValue"),
        (cluster(vmPriority="Cheap"), "InvalidRequestContent"),
        (cluster(subnet={"id": SUBNET + "2"}), "InvalidResourceReference"),
        (cluster(subnet={"id": VNET}), "InvalidResourceReference"),
        (cluster(enableNodePublicIp=False), "InvalidPropertyValue"),
        (cluster(userAccountCredentials={"adminUserName": "ops"}), "InvalidRequestContent"),
        (scaled(51, 60), "ClusterMinNodesExceedCoreQuota"),
        (scaled(1, 2, vmSize="Standard_NC4as_T4_v3"), "ClusterMinNodesExceedCoreQuota"),
        ({"location": "westeurope", "properties": {"computeType": "Toaster"}}, "InvalidRequestContent"),
    ],
)
def test_a_cluster_that_azure_would_not_make_is_refused(ready: Arm, body: dict[str, Json], code: str) -> None:
    assert ready.refused("PUT", CPU, body) == (400, code)
    assert ready.get(f"{WS}/computes") == {"value": []}


@pytest.mark.parametrize("name", ["ab", "1abc", "a_b_c", "abc-", "gpu-1", "a" * 33])
def test_a_clusters_name_follows_the_rule(ready: Arm, name: str) -> None:
    assert ready.refused("PUT", f"{WS}/computes/{name}", cluster()) == (400, "InvalidResourceName")


def test_a_subnet_must_be_near_and_large_enough(ready: Arm) -> None:
    small = SUBNET.replace("train", "small")
    ready.put(small, {"properties": {"addressPrefix": "10.0.2.0/29"}}, 201)
    assert ready.refused("PUT", CPU, scaled(0, 4, subnet={"id": small})) == (400, "SubnetIsFull")
    ready.put(CPU, scaled(0, 2, subnet={"id": small}), 201)
    assert ready.refused("PUT", CPU + "b", scaled(0, 2, subnet={"id": small})) == (400, "SubnetIsFull")
    ready.put(CPU + "b", scaled(0, 1, subnet={"id": small}), 201)
    far = {**cluster(subnet={"id": SUBNET}), "location": "eastus"}
    assert ready.refused("PUT", CPU + "c", far) == (400, "InvalidPropertyValue")


def test_a_password_is_never_shown_and_never_asked_again(ready: Arm) -> None:
    account: dict[str, Json] = {"adminUserName": "ops", "adminUserPassword": "canary-4711"}
    ready.put(CPU, cluster(userAccountCredentials=account), 201)
    assert settings(ready)["userAccountCredentials"] == {"adminUserName": "ops"}
    assert "canary" not in json.dumps(
        [ready.get(f"{WS}/computes"), [found for _, found in ready.cloud.state.all("arm")]]
    )
    assert [found for _, found in ready.cloud.state.all("secret")] == [{"adminUserPassword": "canary-4711"}]
    ready.put(CPU, cluster(userAccountCredentials={"adminUserName": "ops"}), 200)
    changed = {**account, "adminUserPassword": "other"}
    assert ready.refused("PUT", CPU, cluster(userAccountCredentials=changed)) == (400, "ImmutablePropertyChanged")
    patch: dict[str, Json] = {"properties": {"properties": {"scaleSettings": {"maxNodeCount": 1}}}}
    assert ready.call("PATCH", CPU, patch)[0] == 200
    assert len(ready.cloud.state.all("secret")) == 1
    ready.call("DELETE", CPU, underlyingResourceAction="Delete")
    assert ready.cloud.state.all("secret") == []


def test_deleting_a_cluster_names_the_action(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    assert ready.refused("DELETE", CPU) == (400, "InvalidParameter")
    assert ready.refused("DELETE", CPU, underlyingResourceAction="Detach") == (400, "BadRequest")
    assert ready.call("DELETE", CPU, underlyingResourceAction="Delete")[0] == 202
    assert ready.refused("GET", CPU) == (404, "ResourceNotFound")


def test_the_nodes_are_told_and_shown(ready: Arm) -> None:
    nodes = Nodes()
    ready.cloud.clusters = nodes  # type: ignore[assignment]
    ready.put(CPU, cluster(), 201)
    assert settings(ready)["currentNodeCount"] == 1
    assert ready.call("POST", f"{CPU}/listNodes") == (
        200,
        {"nodes": [{"nodeId": "tvm-1", "nodeState": "running", "port": 50000}], "nextLink": None},
    )
    assert ready.call("POST", f"{CPU}/listKeys") == (200, {"computeType": "AmlCompute"})
    assert ready.refused("POST", f"{CPU}/start") == (400, "BadRequest")
    ready.call("DELETE", RG)
    assert nodes.told == [("changed", CPU), ("deleted", CPU)]


def test_cores_are_counted_by_family_and_low_priority_in_one_pool(ready: Arm) -> None:
    state = ready.cloud.state
    spot = CPU.replace("cpu", "spot")
    ready.put(CPU, scaled(10, 100), 201)
    ready.put(CPU + "b", scaled(0, 100, vmSize="Standard_D4_v3"), 201)
    ready.put(CPU + "c", scaled(0, 100, vmSize="Standard_E4_v3"), 201)
    ready.put(spot, scaled(0, 100, vmPriority="LowPriority"), 201)
    ready.put(spot + "b", scaled(0, 100, vmPriority="LowPriority", vmSize="Standard_NC4as_T4_v3"), 201)
    busy = {CPU: 20, CPU + "b": 5, spot: 10}
    running = {key.lower(): count for key, count in busy.items()}
    allowed = {
        path.rpartition("/")[2]: ml_compute.quota(state, state.get(path) or {}, running)
        for path in (CPU, CPU + "b", CPU + "c", spot, spot + "b")
    }
    assert allowed == {
        "cpu-cluster": (100 - 5 * 4) // 2,
        "cpu-clusterb": (100 - 20 * 2) // 4,
        "cpu-clusterc": 25,
        "spot-cluster": 50,
        "spot-clusterb": (100 - 10 * 2) // 4,
    }
    assert ml_compute.quota(state, state.get(CPU + "b") or {}) == (100 - 10 * 2) // 4


def test_sizes_usages_and_quotas_are_listed(ready: Arm) -> None:
    nodes = Nodes()
    ready.put(CPU, cluster(), 201)
    ready.cloud.clusters = nodes  # type: ignore[assignment]
    sizes = {mapping(item)["name"]: mapping(item) for item in ready.get(f"{LOCATION}/vmSizes")["value"]}  # type: ignore[union-attr]
    assert (sizes["Standard_D2_v3"]["vCPUs"], sizes["Standard_D2_v3"]["memoryGB"]) == (2, 8.0)
    assert "Standard_NC6" not in sizes
    usages = [mapping(item) for item in ready.get(f"{LOCATION}/usages")["value"]]  # type: ignore[union-attr]
    assert [(mapping(row["name"])["value"], row["currentValue"], row["limit"]) for row in usages[:3]] == [
        ("TotalClusters", 1, 500),
        ("TotalDedicatedCores", 2, 300),
        ("TotalLowPriorityCores", 0, 100),
    ]
    quotas = [mapping(item) for item in ready.get(f"{LOCATION}/quotas")["value"]]  # type: ignore[union-attr]
    family = next(row for row in quotas if mapping(row["name"])["value"] == "standardDSv2Family")
    assert mapping(family["name"])["localizedValue"] == "Standard DSv2 Family Cluster Dedicated vCPUs"
    assert ready.refused("GET", LOCATION.replace("westeurope", "mars") + "/usages") == (
        400,
        "LocationNotAvailableForResourceType",
    )
