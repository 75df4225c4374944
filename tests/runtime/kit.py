"""Fixtures' parts: a project, a fake clock, fake control planes, and a workspace in a real emulator process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.access import Access
from runtime.control_plane import ControlPlane
from runtime.project import Project
from runtime.transport import Request, Response
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.outputs import StackOutputs, WorkspaceOutput
from specs.targets import AmlComputeTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.wire import Json, Object


RG = f"/subscriptions/{EMULATOR_SUBSCRIPTION_ID}/resourceGroups/trainyard-local"
WORKSPACE = f"{RG}/providers/Microsoft.MachineLearningServices/workspaces/research"
STORAGE = f"{RG}/providers/Microsoft.Storage/storageAccounts/researchstore"
CPU = f"{WORKSPACE}/computes/cpu-cluster"
START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass
class HeldClock:
    """Time that moves only when somebody sleeps, or a test says so."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.seconds += seconds


Reply = tuple[int, object] | Exception


@dataclass
class FakeTransport:
    """Answers by method and path, in the order given; remembers what was asked."""

    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Object] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    on: Callable[[Request], Reply | None] | None = None

    def send(self, request: Request) -> Response:
        key = (request.method, urlsplit(request.url).path)
        self.asked.append(key)
        if request.body and request.body.startswith(b"{"):
            self.bodies.append(json.loads(request.body))
        reply = self.on(request) if self.on else None
        if reply is None:
            queue = self.replies[key]
            reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(reply, Exception):
            raise reply
        return Response(reply[0], self.headers, b"" if reply[1] is None else json.dumps(reply[1]).encode())


class FakeAccess(Access):
    """An access whose tokens are made up."""

    def token(self, scope: str, *, renew: bool = False) -> str:
        return "token"


def fake_plane(transport: FakeTransport, clock: HeldClock) -> ControlPlane:
    access = FakeAccess("emulator", "https://localhost:1/", EMULATOR_SUBSCRIPTION_ID)
    return ControlPlane(access, clock=clock, transport=transport)  # type: ignore[arg-type]  # the one method used


def a_project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Pulumi.yaml").write_text("name: trainyard\n")
    return Project(folder)


def some_outputs() -> StackOutputs:
    return StackOutputs(
        stack="local",
        cloud="emulator",
        subscription_id=EMULATOR_SUBSCRIPTION_ID,
        tenant_id="t",
        resource_group="trainyard-local",
        location="westeurope",
        workspaces={
            "research": WorkspaceOutput(id=WORKSPACE, name="research", location="westeurope", storage_account=STORAGE)
        },
        targets={
            "cpu-cluster": AmlComputeTarget(
                name="cpu-cluster",
                id=CPU,
                workspace="research",
                vm_size="Standard_D2_v2",
                vm_priority="Dedicated",
                min_node_count=0,
                max_node_count=2,
            )
        },
        default_target="cpu-cluster",
    )


def a_job(folder: Path, **changes: Json) -> Path:
    """Write a job folder: a script that logs, writes an output and a metric, and a job file without packages."""
    code = folder / "src"
    code.mkdir(parents=True, exist_ok=True)
    (code / "train.py").write_text(
        "import sys, pathlib\nprint('hello', *sys.argv[1:], flush=True)\n"
        "pathlib.Path('outputs/model.txt').write_text('weights')\n"
    )
    document: Object = {
        "command": "python train.py ${{inputs.x}}",
        "code": "src",
        "environment": {"image": "python:3.11-slim", "conda_file": {"dependencies": ["python=3.11"]}},
        "inputs": {"x": "one two"},
        "experiment_name": "digits",
        **changes,
    }
    path = folder / "job.yml"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return path


def make_workspace(plane: ControlPlane, name: str = "research", *, keyless: bool = False) -> str:
    """Bring up a resource group, a storage account, a workspace and a cluster, by ARM; return the workspace's id."""
    west: Object = {"location": "westeurope"}
    workspace = f"{RG}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
    storage = f"{RG}/providers/Microsoft.Storage/storageAccounts/{name}store"
    plane.put(RG, west, "2024-03-01")
    rules: Object = {"allowSharedKeyAccess": not keyless}
    account: Object = {**west, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": rules}
    plane.put(storage, account, "2024-01-01")
    vault = f"{RG}/providers/Microsoft.KeyVault/vaults/{name}vault"
    tenant = plane.access.secret.tenant_id if plane.access.secret else ""
    kept: Object = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []}
    plane.put(vault, {**west, "properties": kept}, "2024-11-01")
    insights = f"{RG}/providers/microsoft.insights/components/{name}insights"
    plane.put(insights, {**west, "kind": "web", "properties": {"Application_Type": "web"}}, "2020-02-02")
    properties: Object = {
        "storageAccount": storage,
        "keyVault": vault,
        "applicationInsights": insights,
        "publicNetworkAccess": "Enabled",
        "systemDatastoresAuthMode": "Identity" if keyless else "AccessKey",
    }
    plane.put(workspace, {**west, "identity": {"type": "SystemAssigned"}, "properties": properties}, "2025-12-01")
    scale: Object = {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    cluster: Object = {"vmSize": "Standard_D2_v2", "vmPriority": "Dedicated", "scaleSettings": scale}
    compute: Object = {**west, "properties": {"computeType": "AmlCompute", "properties": cluster}}
    plane.put(f"{workspace}/computes/cpu-cluster", compute, "2025-12-01")
    return workspace
