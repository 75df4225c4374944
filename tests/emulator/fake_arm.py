"""A very small ARM for the provider's tests, in process: documents by id, and answers that a test can put in line."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from emulator.constants import CLIENT_ID, OBJECT_ID, SUBSCRIPTION_ID, TENANT_ID
from emulator.provider.arm_client import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.routing import Json

ORIGIN = "https://localhost:8443"
GROUP = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/rg"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
HIDDEN = ("adminUserPassword", "password", "privateKeyData", "databricksAccessToken")


@dataclass
class FakeArm:
    """The transport of an `ArmClient`."""

    documents: dict[str, dict[str, Json]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    bodies: list[dict[str, Json]] = field(default_factory=list)
    queued: list[Response | OSError] = field(default_factory=list)
    """Answered first, one a request of ARM, instead of what the documents say."""

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        parts = urlsplit(url)
        if parts.path == "/metadata/endpoints":
            return answer(200, METADATA)
        if parts.path == f"/{TENANT_ID}/oauth2/v2.0/token":
            return answer(200, {"access_token": token(), "expires_in": 3600, "token_type": "Bearer"})
        self.requests.append((method, parts.path))
        self.queries.append(parts.query)
        assert headers["Authorization"] == f"Bearer {token()}"
        assert parse_qs(parts.query)["api-version"]
        if self.queued:
            queued = self.queued.pop(0)
            if isinstance(queued, OSError):
                raise queued
            return queued
        return self.play(method, parts.path, json.loads(body or b"{}"))

    def play(self, method: str, path: str, body: dict[str, Json]) -> Response:
        key = path.lower()
        if method == "PUT":
            return self._put(path, body)
        if method == "POST":
            self.bodies.append(body)
            return answer(200, {"keys": [{"keyName": "key1", "value": "shown"}]})
        if key not in self.documents:
            return answer(404, {"error": {"code": "ResourceNotFound", "message": f"'{path}' was not found."}})
        if method == "DELETE":
            for below in [other for other in self.documents if other == key or other.startswith(f"{key}/")]:
                del self.documents[below]
            return answer(200)
        return answer(200, self._shown(key))

    def _put(self, path: str, body: dict[str, Json]) -> Response:
        key = path.lower()
        status = 200 if key in self.documents else 201
        self.bodies.append(deepcopy(body))
        properties = body.get("properties")
        settled = {**(properties if isinstance(properties, dict) else {}), "provisioningState": "Succeeded"}
        name = path.rpartition("/")[2]
        self.documents[key] = {"id": path, "name": name, "type": "Fake/type", **body, "properties": settled}
        return answer(status, self._shown(key))

    def _shown(self, key: str) -> dict[str, Json]:
        document = hidden(deepcopy(self.documents[key]))
        assert isinstance(document, dict)
        subnets: list[Json] = [self.documents[other] for other in self.documents if other.startswith(f"{key}/subnets/")]
        properties = document["properties"]
        if "/virtualnetworks/" in key and "/subnets/" not in key and isinstance(properties, dict):
            properties["subnets"] = subnets
        return document


def answer(status: int, body: Json = None, **headers: str) -> Response:
    """Make an answer; header names with `_` for `-`."""
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Response(status, names, b"" if body is None else json.dumps(body).encode())


def hidden(value: Json) -> Json:
    """Copy what GET shows of a document: no secrets."""
    if isinstance(value, dict):
        return {name: hidden(item) for name, item in value.items() if name not in HIDDEN}
    return [hidden(item) for item in value] if isinstance(value, list) else value


def token() -> str:
    """Make a token whose claims can be read."""
    claims = json.dumps({"appid": CLIENT_ID, "oid": OBJECT_ID, "tid": TENANT_ID}).encode()
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", claims, b"signature"))


METADATA: dict[str, Json] = {
    "name": "TrainyardEmulator",
    "resourceManager": f"{ORIGIN}/",
    "authentication": {"loginEndpoint": f"{ORIGIN}/", "audiences": [f"{ORIGIN}/"]},
    "microsoftGraphResourceId": f"{ORIGIN}/graph/",
}
