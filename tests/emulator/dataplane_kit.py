"""The data plane in process, with a held clock: one workspace with storage and clusters, and a caller of its routes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from emulator import dataplane
from emulator.cloud import Cloud
from emulator.constants import SUBSCRIPTION_ID
from emulator.routing import Answer, Call, Refusal, Routes
from emulator.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.routing import Json

ORIGIN = "https://localhost:4430"
GROUP = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/rg"
WS = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/acct"
GUID = "11111111-2222-3333-4444-555555555555"
START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
CPU, SPOT, INSTANCE = f"{WS}/computes/cpu", f"{WS}/computes/spot", f"{WS}/computes/anna-ci"
ENVIRONMENT = f"{WS}/environments/bare/versions/1"


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def forward(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


def cloud(home: Path, clock: Clock | None = None) -> Cloud:
    """Return a cloud with a group, a storage account, a workspace and two clusters; kept state is kept."""
    fresh = not (home / "state.db").exists()
    made = Cloud(
        home=home,
        state=State(home / "state.db"),
        origin=ORIGIN,
        secret=b"s" * 32,
        environments=home / "environments",
        now=clock.now if clock else lambda: datetime.now(UTC),
    )
    if fresh:
        _seed(made)
    return made


def _seed(made: Cloud) -> None:
    made.state.put(GROUP, {"id": GROUP, "name": "rg", "properties": {}})
    made.state.put(ACCOUNT, {"id": ACCOUNT, "name": "acct", "properties": {"allowSharedKeyAccess": True}})
    inside: dict[str, Json] = {
        "workspaceId": GUID,
        "storageAccount": ACCOUNT,
        "publicNetworkAccess": "Enabled",
        "provisioningState": "Succeeded",
    }
    made.state.put(WS, {"id": WS, "name": "ws", "location": "westeurope", "properties": inside})
    made.state.put(CPU, compute(CPU, most=2))
    made.state.put(SPOT, compute(SPOT, most=1, priority="LowPriority"))


def compute(id_: str, most: int, least: int = 0, idle: str = "PT120S", priority: str = "Dedicated") -> dict[str, Json]:
    scale: dict[str, Json] = {"maxNodeCount": most, "minNodeCount": least, "nodeIdleTimeBeforeScaleDown": idle}
    inner: dict[str, Json] = {"vmSize": "STANDARD_DS3_V2", "vmPriority": priority, "scaleSettings": scale}
    outer: dict[str, Json] = {
        "computeType": "AmlCompute",
        "computeLocation": "westeurope",
        "provisioningState": "Succeeded",
        "properties": inner,
    }
    return {"id": id_, "name": id_.rpartition("/")[2], "properties": outer}


@dataclass
class Caller:
    """Calls the routes as the server would, without one."""

    cloud: Cloud
    routes: Routes = field(default_factory=lambda: Routes(dataplane.routes()))

    def __call__(
        self, method: str, url: str, body: Json | bytes = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        parts = urlsplit(url)
        found = self.routes.find(method, parts.path)
        assert found is not None, f"nothing plays {method} {parts.path}"
        route, args = found
        call = Call(
            cloud=self.cloud,
            method=method,
            path=parts.path,
            args=args,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in (headers or {}).items()},
            body=body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
            origin=ORIGIN,
            claims={},
        )
        try:
            return route.handler(call)
        except Refusal as refusal:
            return Answer(
                refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}, refusal.headers
            )

    def ok(self, method: str, url: str, body: Json | bytes = None, status: int = 200) -> dict[str, Json]:
        answer = self(method, url, body)
        assert answer.status == status, answer
        assert isinstance(answer.body, dict)
        return answer.body


def command_job(line: str = "echo hello", /, **more: Json) -> dict[str, Json]:
    base: dict[str, Json] = {
        "jobType": "Command",
        "command": line,
        "computeId": CPU,
        "environmentId": ENVIRONMENT,
        "experimentName": "exp",
    }
    return {"properties": base | more}


def with_environment(caller: Caller) -> None:
    caller.ok("PUT", ENVIRONMENT, {"properties": {"image": "mcr.example/base:1"}}, 201)
