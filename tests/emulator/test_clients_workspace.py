"""azure-ai-ml changes, shields and deletes a workspace of a real emulator process, unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator import launch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.clients

SCRIPT = """
import json, os, warnings
warnings.simplefilter("ignore")
from azure.ai.ml import MLClient
from azure.ai.ml.entities import FqdnDestination, IsolationMode, ManagedNetwork, PrivateEndpointDestination
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import ClientSecretCredential

credential = ClientSecretCredential(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"],
    authority=os.environ["AZURE_AUTHORITY_HOST"], disable_instance_discovery=True,
)
client = MLClient(credential, os.environ["AZURE_SUBSCRIPTION_ID"], "rg", "mlw")
workspace = client.workspaces.get("mlw")
workspace.description, workspace.tags = "by the client", {"team": "vision"}
storage = workspace.storage_account
workspace.managed_network = ManagedNetwork(isolation_mode=IsolationMode.ALLOW_ONLY_APPROVED_OUTBOUND, outbound_rules=[
    PrivateEndpointDestination(
        name="blob", service_resource_id=storage, subresource_target="blob", spark_enabled=False
    ),
])
client.workspaces.begin_update(workspace, update_dependent_resources=False).result()
rules = client.workspace_outbound_rules
rules.begin_create("mlw", FqdnDestination(name="pypi", destination="packages.example.com")).result()
updated = client.workspaces.get("mlw")
answer = {
    "updated": [updated.description, updated.tags["team"], updated.managed_network.isolation_mode],
    "inline": sorted(rule.name for rule in updated.managed_network.outbound_rules),
    "rules": sorted([rule.name, rule.type] for rule in rules.list("mlw")),
    "provisioned": client.workspaces.begin_provision_network(workspace_name="mlw", include_spark=False).result().status,
}
rules.begin_remove("mlw", "pypi").result()
answer["left"] = [rule.name for rule in rules.list("mlw")]
answer["status"] = client.workspaces.get("mlw").managed_network.status.status
answer["keys"] = client.workspaces.get_keys("mlw").user_storage_key is not None
client.workspaces.begin_delete("mlw", delete_dependent_resources=False).result()
try:
    client.workspaces.get("mlw")
except ResourceNotFoundError as error:
    answer["gone"] = error.status_code
print(json.dumps(answer))
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[launch.Endpoint]:
    """Run an emulator with a workspace."""
    from tests.emulator import arm_kit as kit
    from tests.emulator.wire import Wire

    home = tmp_path / "home"
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


def test_azure_ai_ml_updates_shields_and_deletes_a_workspace(running: launch.Endpoint, tmp_path: Path) -> None:
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
        "updated": ["by the client", "vision", "AllowOnlyApprovedOutbound"],
        "inline": ["blob", "pypi"],
        "rules": [["blob", "PrivateEndpoint"], ["pypi", "FQDN"]],
        "provisioned": "Active",
        "left": ["blob"],
        "status": "Active",
        "keys": True,
        "gone": 404,
    }
