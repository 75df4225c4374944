"""Computes of every kind through Microsoft's own clients, unchanged, against a real emulator process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator import launch
from emulator.constants import TENANT_ID
from tests.emulator import arm_kit as kit
from tests.emulator.compute_kit import KEY
from tests.emulator.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json

pytestmark = pytest.mark.clients

SIGN_IN = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

credential = ClientSecretCredential(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"],
    authority=os.environ["AZURE_AUTHORITY_HOST"], disable_instance_discovery=True,
)
answer = {}

def refused(call):
    try:
        call()
    except HttpResponseError as error:
        return error.error.code if error.error else error.message
"""

AI_ML = (
    SIGN_IN
    + """
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AmlCompute, AmlComputeSshSettings, AssignedUserConfiguration, ComputeInstance, ComputeInstanceSshSettings,
    ComputeSchedules, ComputeStartStopSchedule, CronTrigger, IdentityConfiguration, VirtualMachineCompute,
    VirtualMachineSshSettings,
)

key = os.environ["PUBLIC_KEY"]
client = MLClient(credential, os.environ["AZURE_SUBSCRIPTION_ID"], "rg", "mlw")
computes = client.compute
made = computes.begin_create_or_update(AmlCompute(
    name="cpu", size="Standard_D2_v3", min_instances=0, max_instances=2, idle_time_before_scale_down=300,
    ssh_public_access_enabled=True, ssh_settings=AmlComputeSshSettings(admin_username="ops", ssh_key_value=key),
    tags={"a": "b"},
)).result()
answer["cluster"] = [made.size, made.max_instances, made.idle_time_before_scale_down, made.ssh_public_access_enabled]
made = computes.get("cpu")
made.min_instances, made.max_instances, made.tags = 1, 3, {"a": "c"}
computes.begin_update(made).result()
again = computes.get("cpu")
answer["scaled"] = [again.min_instances, again.max_instances, again.tags]

cron = CronTrigger(expression="30 18 * * *", time_zone="UTC")
made = computes.begin_create_or_update(ComputeInstance(
    name="anna-ci", size="Standard_D2_v3", ssh_public_access_enabled=True, idle_time_before_shutdown_minutes=30,
    ssh_settings=ComputeInstanceSshSettings(ssh_key_value=key), description="Anna's",
    create_on_behalf_of=AssignedUserConfiguration(user_tenant_id=os.environ["AZURE_TENANT_ID"],
                                                  user_object_id="11111111-2222-3333-4444-555555555555"),
    schedules=ComputeSchedules(compute_start_stop=[ComputeStartStopSchedule(trigger=cron, action="stop")]),
)).result()
found = computes.get("anna-ci")
answer["instance"] = [
    found.state, found.size, found.idle_time_before_shutdown_minutes, found.ssh_settings.admin_username,
    int(found.ssh_settings.ssh_port) >= 50000, found.network_settings.public_ip_address,
    [service["displayName"] for service in found.services], found.schedules.compute_start_stop[0].action,
    found.last_operation["operationName"], found.create_on_behalf_of.user_tenant_id, found.created_on[:2],
]
found.idle_time_before_shutdown_minutes = 60
computes.begin_update(found).result()
answer["idle"] = computes.get("anna-ci").idle_time_before_shutdown_minutes
computes.enable_sso(name="anna-ci", enable_sso=False)
answer["sso"] = computes.get("anna-ci").enable_sso
power = []
for call in (computes.begin_stop, computes.begin_start, computes.begin_restart):
    call("anna-ci").result()
    power.append(computes.get("anna-ci").state)
answer["power"] = power
answer["start again"] = refused(lambda: computes.begin_start("anna-ci").result())

machine = VirtualMachineCompute(
    name="lab-vm", resource_id=os.environ["MACHINE"],
    ssh_settings=VirtualMachineSshSettings(admin_username="ops", admin_password="canary-word", ssh_port=2222),
)
computes.begin_attach(machine).result()
found = computes.get("lab-vm")
answer["machine"] = [
    found.type, found.resource_id == os.environ["MACHINE"], found.ssh_settings.admin_username,
    found.ssh_settings.admin_password, found.ssh_settings.ssh_port, found.provisioning_state,
]
answer["list"] = [[item.name, item.type] for item in computes.list()]
answer["instances"] = [item.name for item in computes.list(compute_type="computeinstance")]
# 1.35.2 keeps the service's own spelling in these three: vars() is how one reads them.
nodes = [vars(node) for node in computes.list_nodes("cpu")]
answer["nodes"] = [[node["nodeState"], node["publicIpAddress"], node["port"] >= 50000] for node in nodes]
answer["no nodes"] = refused(lambda: list(computes.list_nodes("anna-ci")))
sizes = {size.name: vars(size) for size in computes.list_sizes()}
small = sizes["Standard_D2_v3"]
answer["sizes"] = [len(sizes) > 200, small["vCPUs"], small["supportedComputeTypes"]]
for_instances = [size.name for size in computes.list_sizes(compute_type="ComputeInstance")]
answer["for instances"] = "Standard_D1_v2" in for_instances
usage = {row["name"]["value"]: row["currentValue"] for row in map(vars, computes.list_usage())}
answer["usage"] = [usage["TotalClusters"], usage["TotalDedicatedCores"]]
answer["deleted machine"] = refused(lambda: computes.begin_delete("lab-vm").result())
computes.begin_delete("lab-vm", action="Detach").result()
answer["detached instance"] = refused(lambda: computes.begin_delete("anna-ci", action="Detach").result())
computes.begin_delete("anna-ci").result()
computes.begin_delete("cpu").result()
answer["left"] = [item.name for item in computes.list()]
print(json.dumps(answer))
"""
)

MGMT = (
    SIGN_IN
    + """
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient, models

resource_manager = os.environ["RESOURCE_MANAGER"]
client = MachineLearningServicesMgmtClient(
    credential, os.environ["AZURE_SUBSCRIPTION_ID"], base_url=resource_manager.rstrip("/"),
    credential_scopes=[resource_manager.rstrip("/") + "/.default"],
)
computes, place = client.machine_learning_compute, ("rg", "mlw")

def put(name, properties):
    resource = models.ComputeResource(location="westeurope", properties=properties)
    return computes.begin_create_or_update(*place, name, resource).result()

scale = models.ScaleSettings(max_node_count=2, min_node_count=0, node_idle_time_before_scale_down="PT120S")
inner = models.AmlComputeProperties(vm_size="Standard_D2_v3", scale_settings=scale)
made = put("cpu", models.AmlCompute(properties=inner))
answer["cluster"] = [made.properties.provisioning_state, made.properties.properties.vm_size]
change = models.ClusterUpdateParameters(scale_settings=models.ScaleSettings(max_node_count=3, min_node_count=1))
updated = computes.begin_update(*place, "cpu", change).result()
answer["scaled"] = computes.get(*place, "cpu").properties.properties.scale_settings.max_node_count
ssh = models.ComputeInstanceSshSettings(ssh_public_access="Enabled", admin_public_key=os.environ["PUBLIC_KEY"])
inner = models.ComputeInstanceProperties(vm_size="Standard_D2_v3", ssh_settings=ssh)
put("anna-ci", models.ComputeInstance(properties=inner))
found = computes.get(*place, "anna-ci").properties.properties
answer["instance"] = [found.state, found.ssh_settings.admin_user_name, found.connectivity_endpoints.public_ip_address,
                      found.last_operation.operation_name, found.created_by.user_org_id]
power = []
for call in (computes.stop, computes.start, computes.restart):
    call(*place, "anna-ci")
    power.append(computes.get(*place, "anna-ci").properties.properties.state)
answer["power"] = power
account = models.VirtualMachineSshCredentials(username="ops", private_key_data="canary-key")
put("lab-vm", models.VirtualMachine(
    resource_id=os.environ["MACHINE"],
    properties=models.VirtualMachineProperties(address="10.1.2.3", ssh_port=22, administrator_account=account),
))
shown = computes.get(*place, "lab-vm").properties
secret = shown.properties.administrator_account.private_key_data
answer["machine"] = [shown.is_attached_compute, shown.properties.address, secret]
answer["keys"] = computes.list_keys(*place, "lab-vm").administrator_account.private_key_data
answer["list"] = [[item.name, item.properties.compute_type] for item in computes.list_by_workspace(*place)]
answer["nodes"] = [node.node_state for node in computes.list_nodes(*place, "cpu")]
sizes = client.virtual_machine_sizes.list("westeurope").aml_compute
answer["sizes"] = [len(sizes) > 200, [size.v_cp_us for size in sizes if size.name == "Standard_D2_v3"]]
answer["usages"] = [[row.name.value, row.current_value, row.limit] for row in client.usages.list("westeurope")][:2]
quota = models.QuotaBaseProperties(
    id=os.environ["WORKSPACE"] + "/quotas/Standard_Dv3_Family_Cluster_Dedicated_vCPUs",
    type="Microsoft.MachineLearningServices/workspaces/quotas", limit=12, unit="Count",
)
divided = client.quotas.update("westeurope", models.QuotaUpdateParameters(value=[quota]))
answer["divided"] = [row.status for row in divided.value]
answer["quotas"] = [row.limit for row in client.quotas.list("westeurope") if "workspaces/" in row.type]
computes.begin_delete(*place, "lab-vm", "Detach").result()
for name in ("anna-ci", "cpu"):
    computes.begin_delete(*place, name, "Delete").result()
answer["left"] = [item.name for item in computes.list_by_workspace(*place)]
print(json.dumps(answer))
"""
)
MACHINE = kit.RG.replace(kit.RG.split("/")[2], "22222222-0000-0000-0000-000000000000")
MACHINE += "/providers/Microsoft.Compute/virtualMachines/lab"


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Endpoint]:
    """Run an emulator with a workspace."""
    home = tmp_path_factory.mktemp("home")
    endpoint = launch.ensure(home)
    try:
        wire = Wire(endpoint)
        wire.put(kit.RG, {"location": "westeurope"})
        wire.put(kit.STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
        wire.put(kit.VAULT, kit.vault())
        wire.put(kit.WS, kit.workspace(applicationInsights=None))
        yield endpoint
    finally:
        launch.stop(home)


def run(endpoint: launch.Endpoint, folder: Path, text: str) -> dict[str, Json]:
    """Run a script of a client's user; return what it printed last."""
    script = folder / "script.py"
    script.write_text(text)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "AZUREML_ENABLE_TELEMETRY": "false"}
    environment |= {"PUBLIC_KEY": KEY, "MACHINE": MACHINE, "WORKSPACE": kit.WS}
    environment |= {"RESOURCE_MANAGER": endpoint.resource_manager}
    argv = [sys.executable, str(script)]
    done = subprocess.run(
        argv, env=environment | endpoint.environment(), capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return kit.mapping(json.loads(done.stdout.splitlines()[-1]))


def test_azure_ai_ml_does_all_that_it_knows_of_computes(running: launch.Endpoint, tmp_path: Path) -> None:
    assert run(running, tmp_path, AI_ML) == {
        "cluster": ["Standard_D2_v3", 2, 300, True],
        "scaled": [1, 3, {"a": "c"}],
        "instance": [
            "Running",
            "Standard_D2_v3",
            30,
            "azureuser",
            True,
            "127.0.0.1",
            ["Jupyter", "Jupyter Lab"],
            "stop",
            "Create",
            TENANT_ID,
            "20",
        ],
        "idle": 60,
        "sso": False,
        "power": ["Stopped", "Running", "Running"],
        "start again": "StartComputeInstanceOnlyAllowedInStoppedState",
        "machine": ["virtualmachine", True, "ops", None, 2222, "Succeeded"],
        "list": [["cpu", "amlcompute"], ["anna-ci", "computeinstance"], ["lab-vm", "virtualmachine"]],
        "instances": ["anna-ci"],
        "nodes": [["idle", "127.0.0.1", True]],
        "no nodes": "UserError",
        "sizes": [True, 2, ["AmlCompute", "ComputeInstance"]],
        "for instances": False,
        "usage": [2, 4],
        "deleted machine": "BadRequest",
        "detached instance": "BadRequest",
        "left": [],
    }


def test_azure_mgmt_does_all_that_it_knows_of_computes(running: launch.Endpoint, tmp_path: Path) -> None:
    assert run(running, tmp_path, MGMT) == {
        "cluster": ["Succeeded", "Standard_D2_v3"],
        "scaled": 3,
        "instance": ["Running", "azureuser", "127.0.0.1", "Create", TENANT_ID],
        "power": ["Stopped", "Running", "Running"],
        "machine": [True, "10.1.2.3", None],
        "keys": "canary-key",
        "list": [["cpu", "AmlCompute"], ["anna-ci", "ComputeInstance"], ["lab-vm", "VirtualMachine"]],
        "nodes": ["idle"],
        "sizes": [True, [2]],
        "usages": [["TotalClusters", 2, 500], ["TotalDedicatedCores", 4, 300]],
        "divided": ["Success"],
        "quotas": [12],
        "left": [],
    }
