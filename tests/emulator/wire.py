"""A small HTTPS client of a real emulator process: the standard library, the home's own certificate authority."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from emulator.launch import Endpoint
    from emulator.routing import Json


class Wire:
    """Signs in once; each call is a request of its own connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.host = endpoint.metadata_host
        self.context = ssl.create_default_context(cafile=endpoint.ca_file)
        form = {
            "grant_type": "client_credentials",
            "client_id": endpoint.client_id,
            "client_secret": endpoint.client_secret,
            "scope": f"{endpoint.resource_manager}/.default",
        }
        self.token = ""
        path = f"/{endpoint.tenant_id}/oauth2/v2.0/token"
        self.token = str(self.send("POST", path, urlencode(form))[1]["access_token"])

    def send(self, method: str, path: str, body: str = "") -> tuple[int, dict[str, Json]]:
        """Send one request; return status and JSON."""
        connection = http.client.HTTPSConnection(self.host, timeout=30, context=self.context)
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        finally:
            connection.close()

    def put(self, path: str, body: Json) -> None:
        """PUT what must be accepted."""
        status, answer = self.send("PUT", f"{path}?api-version=2025-12-01", json.dumps(body))
        assert status in {200, 201, 202}, answer

    def get(self, path: str) -> tuple[int, dict[str, Json]]:
        """GET an ARM resource."""
        return self.send("GET", f"{path}?api-version=2025-12-01")
