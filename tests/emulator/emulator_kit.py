"""A real emulator process with a workspace, a cluster and an instance; it can be killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import endpoint, login
from emulator.cloud import Cloud
from emulator.constants import TENANT_ID

if TYPE_CHECKING:
    from emulator.endpoint import Endpoint
    from emulator.routing import Json

ROOT = Path(__file__).parents[2]
FOREIGN = ("ARM_", "AZURE", "MLFLOW_", "PULUMI_", "TRAINYARD_", "REQUESTS_", "SSL_")


class Emulator:
    """A real emulator process that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.plain = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.plain["TRAINYARD_CACHE"] = str(home.parent / "cache")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.home.parent / "emulator.log").open("ab") as log:
            line = [sys.executable, "-m", "emulator", "--home", str(self.home)]
            self.process = subprocess.Popen(line, cwd=ROOT, env=self.plain, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.request("GET", "/discovery")
            except OSError:
                assert time.monotonic() < deadline, (self.home.parent / "emulator.log").read_text()
                time.sleep(0.05)
            else:
                return

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    @property
    def endpoint(self) -> Endpoint:
        return endpoint.current(self.home)

    def request(self, method: str, path: str, body: Json = None) -> tuple[int, Json]:
        port = self.endpoint.metadata_host.rpartition(":")[2]
        context = ssl.create_default_context(cafile=self.endpoint.ca_file)
        connection = http.client.HTTPSConnection("localhost", int(port), context=context, timeout=30)
        headers = {"Authorization": f"Bearer {self.token()}"} if body is not None or "/subscriptions" in path else {}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            read = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(read) if read else None

    def token(self) -> str:
        origin = self.endpoint.resource_manager.rstrip("/")
        secret = (self.home / "secret").read_bytes()
        made = Cloud(self.home, None, origin, secret, self.home, now=lambda: datetime.now(UTC))  # type: ignore[arg-type]
        return login.mint(made, origin)

    @property
    def workspace(self) -> str:
        group = f"/subscriptions/{self.endpoint.subscription_id}/resourceGroups/rg"
        return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/client-ws"

    def fill(self) -> None:
        """Make the workspace and all that it needs."""
        group = f"/subscriptions/{self.endpoint.subscription_id}/resourceGroups/rg"
        for path, version, body in _resources(group):
            status, answer = self.request("PUT", f"{path}?api-version={version}", body)
            assert status in {200, 201, 202}, answer

    def end_all(self) -> None:
        """End the emulator and all that runs in it."""
        self.request("DELETE", f"{self.workspace}?api-version=2025-12-01&forceToPurge=true")
        self.end(signal.SIGTERM)


def _resources(group: str) -> list[tuple[str, str, Json]]:
    place, tenant = "westeurope", TENANT_ID
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/clientstore"
    vault = f"{group}/providers/Microsoft.KeyVault/vaults/client-vault"
    insights = f"{group}/providers/microsoft.insights/components/insights"
    workspace = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/client-ws"
    inner: Json = {"storageAccount": account, "keyVault": vault, "applicationInsights": insights}
    scale: Json = {"maxNodeCount": 2, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2S"}
    cluster: Json = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2", "scaleSettings": scale}}
    instance: Json = {"computeType": "ComputeInstance", "properties": {"vmSize": "Standard_DS3_v2"}}
    access: Json = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []}
    return [
        (group, "2024-03-01", {"location": place}),
        (account, "2024-01-01", {"location": place, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}),
        (vault, "2024-11-01", {"location": place, "properties": access}),
        (insights, "2020-02-02", {"location": place, "kind": "web", "properties": {"Application_Type": "web"}}),
        (workspace, "2025-12-01", {"location": place, "identity": {"type": "SystemAssigned"}, "properties": inner}),
        (f"{workspace}/computes/cpu", "2025-12-01", {"location": place, "properties": cluster}),
        (f"{workspace}/computes/client-ci", "2025-12-01", {"location": place, "properties": instance}),
    ]
