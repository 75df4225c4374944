"""ARM in process, with a held clock: every request passes the whole application, no socket, no sleep."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request

from emulator import login
from emulator.app import App
from emulator.cloud import Cloud
from emulator.constants import SUBSCRIPTION_ID, TENANT_ID
from emulator.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.cloud import Transitions
    from emulator.routing import Answer, Json

ORIGIN = "https://localhost:21000"
SUB = f"/subscriptions/{SUBSCRIPTION_ID}"
RG = f"{SUB}/resourceGroups/rg"
STORAGE = f"{RG}/providers/Microsoft.Storage/storageAccounts/acct"
VAULT = f"{RG}/providers/Microsoft.KeyVault/vaults/kv-one"
LOGS = f"{RG}/providers/Microsoft.OperationalInsights/workspaces/logs"
INSIGHTS = f"{RG}/providers/microsoft.insights/components/insights"
USER = f"{RG}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/trainer"
VNET = f"{RG}/providers/Microsoft.Network/virtualNetworks/vnet"
SUBNET = f"{VNET}/subnets/train"
NSG = f"{RG}/providers/Microsoft.Network/networkSecurityGroups/nsg"
WS = f"{RG}/providers/Microsoft.MachineLearningServices/workspaces/mlw"
CPU = f"{WS}/computes/cpu-cluster"
START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def forward(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@dataclass
class Nodes:
    """Stands for the clusters' machinery: says what it was told, and one busy node."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def counts(self, _id: str) -> dict[str, Json]:
        return {"currentNodeCount": 1, "targetNodeCount": 1, "allocationState": "Steady"}

    def nodes(self, _id: str) -> list[Json]:
        return [{"nodeId": "tvm-1", "nodeState": "running", "port": 50000}]

    def compute_changed(self, id_: str) -> None:
        self.told.append(("changed", id_))

    def compute_deleted(self, id_: str) -> None:
        self.told.append(("deleted", id_))


class Arm:
    """A caller with a token. Answers are `(status, JSON)`; the last answer's headers are kept."""

    def __init__(self, home: Path, transitions: Transitions = "immediate") -> None:
        self.clock = Clock()
        self.cloud = Cloud(home, State(home / "state.db"), ORIGIN, b"s" * 32, home / "cache", transitions)
        self.cloud.now = self.clock.now
        self.cloud.state._db.execute("pragma synchronous = off")
        self.app = App(self.cloud)
        self.headers: Mapping[str, str] = {}
        self.token = login.mint(self.cloud, ORIGIN, 10**9)

    def send(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request as it stands: no token, no api-version."""
        parts = urlsplit(url)
        sent = {"host": ORIGIN.removeprefix("https://"), **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(key.lower().encode(), value.encode()) for key, value in sent.items()],
            "scheme": "https",
            "server": ("localhost", 21000),
        }
        answer = self.app.answer(Request(scope), body)
        self.headers = answer.headers
        return answer

    def call(self, method: str, path: str, body: object = None, /, **query: str) -> tuple[int, Json]:
        """Send one ARM request; a path that is a whole URL is sent as it is."""
        whole = path.startswith("https://")
        url = path if whole else f"{path}?{urlencode({'api-version': '2025-12-01', **query})}"
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.send(method, url, data, {"authorization": f"Bearer {self.token}"})
        assert not isinstance(answer.body, bytes | Path)
        return answer.status, answer.body

    def get(self, path: str, **query: str) -> dict[str, Json]:
        """GET what must be there."""
        status, body = self.call("GET", path, **query)
        assert status == 200, body
        return mapping(body)

    def put(self, path: str, body: object, *codes: int) -> dict[str, Json]:
        """PUT what must be accepted."""
        status, answer = self.call("PUT", path, body)
        assert status in (codes or (200, 201, 202)), answer
        return mapping(answer or {})

    def refused(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, str]:
        """Send what must be refused; return status and code."""
        status, answer = self.call(method, path, body, **query)
        return status, str(mapping(mapping(answer)["error"])["code"])

    def seed(self) -> None:
        """Make a group with everything that a workspace with clusters needs."""
        self.put(RG, {"location": "westeurope"})
        self.put(STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
        self.put(VAULT, vault())
        self.put(LOGS, {"location": "westeurope", "properties": {"sku": {"name": "PerGB2018"}}})
        self.put(INSIGHTS, {"location": "westeurope", "kind": "web", "properties": {"WorkspaceResourceId": LOGS}})
        self.put(USER, {"location": "westeurope"})
        self.put(VNET, {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}})
        self.put(SUBNET, {"properties": {"addressPrefix": "10.0.1.0/24"}})
        self.put(WS, workspace())


def mapping(value: Json) -> dict[str, Json]:
    """Return the JSON object that this must be."""
    assert isinstance(value, dict)
    return value


def vault() -> dict[str, Json]:
    """Return the body of a key vault."""
    properties: dict[str, Json] = {"tenantId": TENANT_ID, "sku": {"family": "A", "name": "standard"}}
    return {"location": "westeurope", "properties": properties}


def workspace(**properties: Json) -> dict[str, Json]:
    """Return the body of a workspace."""
    needed: dict[str, Json] = {"storageAccount": STORAGE, "keyVault": VAULT, "applicationInsights": INSIGHTS}
    return {"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {**needed, **properties}}


def cluster(**settings: Json) -> dict[str, Json]:
    """Return the body of an AmlCompute."""
    scale: dict[str, Json] = {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    inner: dict[str, Json] = {"vmSize": "Standard_D2_v3", "vmPriority": "Dedicated", "scaleSettings": scale, **settings}
    return {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": inner}}
