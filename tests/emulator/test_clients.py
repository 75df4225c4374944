"""Microsoft's own clients against a real emulator process: nothing in its answers may make them fail."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator import launch, login
from emulator.constants import SUBSCRIPTION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.clients

SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from azure.ai.ml import MLClient
from azure.ai.ml.entities import AmlCompute
from azure.identity import ClientSecretCredential
from azure.mgmt.core.tools import resource_id

credential = ClientSecretCredential(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"],
    authority=os.environ["AZURE_AUTHORITY_HOST"], disable_instance_discovery=True,
)
client = MLClient(credential, os.environ["AZURE_SUBSCRIPTION_ID"], "rg", "mlw")
found = client.workspaces.get("mlw")
made = client.compute.begin_create_or_update(
    AmlCompute(name="spot", size="Standard_D2_v3", tier="low_priority", min_instances=0, max_instances=2)
).result()
updated = client.compute.get("spot")
updated.max_instances = 1
client.compute.begin_update(updated).result()
answer = {
    "workspace": [found.name, found.location, found.identity.type],
    "workspaces": [item.name for item in client.workspaces.list()],
    "made": [made.name, made.size, made.tier, made.max_instances],
    "computes": [[item.name, item.type, item.max_instances] for item in client.compute.list()],
    "compute": [client.compute.get("cpu-cluster").size, client.compute.get("cpu-cluster").idle_time_before_scale_down],
    "sizes": "STANDARD_D2_V3" in [size.name.upper() for size in client.compute.list_sizes()],
    "usage": len(list(client.compute.list_usage())) > 3,
    "nodes": list(client.compute.list_nodes("cpu-cluster")),
    "keys": client.workspaces.get_keys("mlw").user_storage_key is not None,
}
client.compute.begin_delete("spot").result()
answer["left"] = [item.name for item in client.compute.list()]
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Endpoint]:
    """Run an emulator with a workspace and a cluster."""
    home = tmp_path_factory.mktemp("home")
    endpoint = launch.ensure(home)
    try:
        _seed(endpoint)
        yield endpoint
    finally:
        launch.stop(home)


def _seed(endpoint: launch.Endpoint) -> None:
    from tests.emulator import arm_kit as kit
    from tests.emulator.wire import Wire

    wire = Wire(endpoint)
    wire.put(kit.RG, {"location": "westeurope"})
    wire.put(kit.STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    wire.put(kit.VAULT, kit.vault())
    wire.put(kit.WS, kit.workspace(applicationInsights=None))
    wire.put(kit.CPU, kit.cluster())


def test_azure_ai_ml_reads_and_writes_a_workspaces_computes(running: launch.Endpoint, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AZUREML_ENABLE_TELEMETRY": "false"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment | running.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "workspace": ["mlw", "westeurope", "system_assigned"],
        "workspaces": ["mlw"],
        "made": ["spot", "Standard_D2_v3", "low_priority", 2],
        "computes": [["cpu-cluster", "amlcompute", 4], ["spot", "amlcompute", 1]],
        "compute": ["Standard_D2_v3", 120],
        "sizes": True,
        "usage": True,
        "nodes": [],
        "keys": True,
        "left": ["cpu-cluster"],
    }


def test_the_metadata_names_this_cloud(running: launch.Endpoint) -> None:
    from tests.emulator.wire import Wire

    status, cloud = Wire(running).send("GET", "/metadata/endpoints?api-version=2022-09-01")
    assert status == 200
    assert cloud["resourceManager"] == running.resource_manager
    assert running.subscription_id == SUBSCRIPTION_ID
    assert login.LIFETIME_S == 3600
