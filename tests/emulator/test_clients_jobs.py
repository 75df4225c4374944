"""The official clients run a job on a real emulator: azure-ai-ml, azure-storage-blob and MLflow, unchanged."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import endpoint, login
from emulator.constants import TENANT_ID
from tests.emulator.dataplane_kit import command_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.endpoint import Endpoint
    from emulator.routing import Json

pytestmark = pytest.mark.clients
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
        from datetime import UTC, datetime

        from emulator.cloud import Cloud

        origin = self.endpoint.resource_manager.rstrip("/")
        secret = (self.home / "secret").read_bytes()
        made = Cloud(self.home, None, origin, secret, self.home, now=lambda: datetime.now(UTC))  # type: ignore[arg-type]
        return login.mint(made, origin)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    made = Emulator(tmp_path / "home")
    try:
        group = f"/subscriptions/{made.endpoint.subscription_id}/resourceGroups/rg"
        for path, version, body in _resources(group):
            status, answer = made.request("PUT", f"{path}?api-version={version}", body)
            assert status in {200, 201, 202}, answer
        yield made
    finally:
        made.request("DELETE", f"{_workspace(made)}?api-version=2025-12-01&forceToPurge=true")
        made.end(signal.SIGTERM)


def _workspace(emulator: Emulator) -> str:
    group = f"/subscriptions/{emulator.endpoint.subscription_id}/resourceGroups/rg"
    return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/client-ws"


def _resources(group: str) -> list[tuple[str, str, Json]]:
    place, tenant = "westeurope", TENANT_ID
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/clientstore"
    vault = f"{group}/providers/Microsoft.KeyVault/vaults/client-vault"
    insights = f"{group}/providers/microsoft.insights/components/insights"
    workspace = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/client-ws"
    inner: Json = {"storageAccount": account, "keyVault": vault, "applicationInsights": insights}
    scale: Json = {"maxNodeCount": 2, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2S"}
    cluster: Json = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2", "scaleSettings": scale}}
    access: Json = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []}
    return [
        (group, "2024-03-01", {"location": place}),
        (account, "2024-01-01", {"location": place, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}),
        (vault, "2024-11-01", {"location": place, "properties": access}),
        (insights, "2020-02-02", {"location": place, "kind": "web", "properties": {"Application_Type": "web"}}),
        (workspace, "2025-12-01", {"location": place, "identity": {"type": "SystemAssigned"}, "properties": inner}),
        (f"{workspace}/computes/cpu", "2025-12-01", {"location": place, "properties": cluster}),
    ]


def test_the_official_clients_submit_stream_download_store_and_track(emulator: Emulator, tmp_path: Path) -> None:
    variables = {**emulator.plain, **emulator.endpoint.environment(), "AZUREML_RUN_POLLING_INTERVAL_MIN": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).parent / "clients" / "azure_ml.py"), str(tmp_path)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["jobs"] == {
        "submitted": "NotStarted",
        "ended": "Completed",
        "streamed": ["word a b", "bye"],
        "files": [
            "artifacts/azureml-logs/20_image_build_log.txt",
            "artifacts/named-outputs/out/named.txt",
            "artifacts/outputs/model.txt",
            "artifacts/user_logs/std_log.txt",
            "named-outputs/out/named.txt",
        ],
        "model": ["digits", "1"],
        "canceled": "Canceled",
        "listed": ["sdk-again", "sdk-canceled", "sdk-job"],
        "code is reused": True,
    }
    ways = ("signature, path style", "key, path style", "key, own host", "token, own host")
    expected = {way: [True, True, 300_000, {"way": str(number)}] for number, way in enumerate(ways)}
    assert seen["blobs"] == {**expected, "blocks": True}
    assert seen["tracking"] == {
        "metrics": {"m": 0.75},
        "params": {"p": "1"},
        "status": "FINISHED",
        "history": [0.5, 0.75],
        "job": "FINISHED",
        "found": 1,
    }


def test_a_job_outlives_kill_9_of_the_emulator_and_is_settled_with_its_own_times(emulator: Emulator) -> None:
    workspace, version = _workspace(emulator), "api-version=2025-01-01-preview"
    environment = f"{workspace}/environments/bare/versions/1"
    emulator.request("PUT", f"{environment}?{version}", {"properties": {"image": "x"}})
    body = command_job(
        "echo begun; sleep 3; echo done", computeId=f"{workspace}/computes/cpu", environmentId=environment
    )
    status, answer = emulator.request("PUT", f"{workspace}/jobs/k?{version}", body)
    assert status == 201, answer
    _until(emulator, "Running")
    emulator.end(signal.SIGKILL)
    time.sleep(3)
    emulator.start()
    details = _until(emulator, "Completed")
    started, ended = (str(details[name])[:19] for name in ("startTimeUtc", "endTimeUtc"))
    assert (
        3
        <= time.mktime(time.strptime(ended, "%Y-%m-%dT%H:%M:%S"))
        - time.mktime(time.strptime(started, "%Y-%m-%dT%H:%M:%S"))
        <= 4
    )
    logs = details["logFiles"]
    assert isinstance(logs, dict)
    assert sorted(logs) == ["azureml-logs/20_image_build_log.txt", "user_logs/std_log.txt"]


def _until(emulator: Emulator, wanted: str) -> dict[str, Json]:
    deadline = time.monotonic() + 60
    while True:
        _, details = emulator.request("GET", f"/history/v1.0{_workspace(emulator)}/runs/k/details")
        assert isinstance(details, dict)
        if details["status"] == wanted:
            return details
        assert time.monotonic() < deadline, details
        assert details["status"] not in {"Failed", "Canceled"}, details
        time.sleep(0.1)
