from __future__ import annotations

from components import compute
from specs.aml_compute import AmlComputeSpec
from tests.components.compute_kit import COMPUTE, PUBLIC_KEY, SECRET_SIGNATURE, SECRET_VALUE, declare

CLUSTER = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 4}


def spec(**fields: object) -> AmlComputeSpec:
    return AmlComputeSpec.model_validate({**CLUSTER, **fields})


def test_a_cluster_lies_in_its_workspaces_group_and_region() -> None:
    made = declare("cpu-cluster", spec())
    assert made.inputs["cpu-cluster"] == (
        COMPUTE,
        {
            "resourceGroupName": "research-group",
            "workspaceName": "research",
            "computeName": "cpu-cluster",
            "location": "northeurope",
            "tags": {"owner": "ada"},
            "properties": {
                "computeType": "AmlCompute",
                "disableLocalAuth": True,
                "properties": {
                    "vmSize": "Standard_D2_v2",
                    "vmPriority": "Dedicated",
                    "osType": "Linux",
                    "scaleSettings": {
                        "minNodeCount": 0,
                        "maxNodeCount": 4,
                        "nodeIdleTimeBeforeScaleDown": "PT2M",
                    },
                    "enableNodePublicIp": True,
                    "remoteLoginPortPublicAccess": "Disabled",
                },
            },
        },
    )


def test_every_option_of_a_cluster_reaches_arm() -> None:
    made = declare(
        "cpu-cluster",
        spec(
            vm_priority="LowPriority",
            min_node_count=1,
            node_idle_time_before_scale_down="PT5M",
            subnet="nodes",
            enable_node_public_ip=False,
            identity={"type": "UserAssigned", "user_assigned_identities": ["training"]},
            remote_login_port_public_access="Enabled",
            user_account_credentials={"admin_user_name": "ada", "admin_user_ssh_public_key": PUBLIC_KEY},
            disable_local_auth=False,
            location="westus2",
            description="nights only",
            tags={"cost": "7"},
        ),
    )
    inputs = made.of("cpu-cluster")
    assert (inputs["location"], inputs["tags"]) == ("westus2", {"owner": "ada", "cost": "7"})
    assert inputs["identity"] == {"type": "UserAssigned", "userAssignedIdentities": ["/subscriptions/s/training"]}
    assert inputs["properties"] == {
        "computeType": "AmlCompute",
        "description": "nights only",
        "disableLocalAuth": False,
        "properties": {
            "vmSize": "Standard_D2_v2",
            "vmPriority": "LowPriority",
            "osType": "Linux",
            "scaleSettings": {"minNodeCount": 1, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT5M"},
            "subnet": {"id": "/subscriptions/s/nodes"},
            "enableNodePublicIp": False,
            "remoteLoginPortPublicAccess": "Enabled",
            "userAccountCredentials": {"adminUserName": "ada", "adminUserSshPublicKey": PUBLIC_KEY},
        },
    }


def test_a_clusters_password_is_a_secret() -> None:
    account = {"admin_user_name": "ada", "admin_user_password": "cluster-password"}
    made = declare("cpu-cluster", spec(user_account_credentials=account, disable_local_auth=False))
    properties = made.of("cpu-cluster")["properties"]
    assert isinstance(properties, dict)
    assert properties[SECRET_SIGNATURE] == SECRET_VALUE
    assert properties["value"]["properties"]["userAccountCredentials"]["adminUserPassword"] == "secret:cluster-password"


def test_what_the_service_fixes_replaces_the_cluster_and_the_old_one_goes_first() -> None:
    options = declare("cpu-cluster", spec()).options["cpu-cluster"]
    assert options.replace_on_changes == [
        "location",
        "properties.computeType",
        "properties.properties.enableNodePublicIp",
        "properties.properties.remoteLoginPortPublicAccess",
        "properties.properties.subnet",
        "properties.properties.userAccountCredentials",
        "properties.properties.vmPriority",
        "properties.properties.vmSize",
    ]
    assert options.delete_before_replace is True


def test_a_clusters_target_holds_its_fixed_fields_and_no_secret() -> None:
    account = {"admin_user_name": "ada", "admin_user_password": "cluster-password"}
    given = spec(user_account_credentials=account, disable_local_auth=False, subnet="nodes")
    target = compute.target("cpu-cluster", "research", given, "/id")
    assert target.model_dump() == {
        "kind": "AmlCompute",
        "name": "cpu-cluster",
        "id": "/id",
        "workspace": "research",
        "fixed": {
            "kind": '"AmlCompute"',
            "vm_size": '"Standard_D2_v2"',
            "vm_priority": '"Dedicated"',
            "subnet": '"nodes"',
            "remote_login_port_public_access": '"Disabled"',
            "user_account_credentials.admin_user_name": '"ada"',
            "user_account_credentials.admin_user_password": '"cluster-password"',
        },
        "vm_size": "Standard_D2_v2",
        "vm_priority": "Dedicated",
        "min_node_count": 0,
        "max_node_count": 4,
    }
