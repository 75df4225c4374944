"""The HTTP side: from a request to its handler and back, with every check that holds for all routes.

In this order: exact Host (DNS rebinding), no Origin (a browser's page has no business here), the route, the bearer
token, the api-version, the subscription, the throttle. Handlers run in worker threads.
"""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from emulator import arm, health, login, operations, prices
from emulator.blob import path_for
from emulator.constants import SUBSCRIPTION_ID
from emulator.resources import resource_group, role_assignment
from emulator.routing import Answer, Call, Refusal, Routes
from emulator.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from emulator.cloud import Cloud
    from emulator.routing import Route

CHUNK = 1024 * 1024
LARGEST_BODY = 512 * 1024 * 1024
"""A block blob is sent in parts well below this; anything larger is a mistake."""
log = logging.getLogger("emulator")


def all_routes() -> list[Route]:
    """Return the whole table, more exact rows first."""
    rows = [*health.routes(), *prices.routes(), *login.routes(), *operations.routes(), *resource_group.routes()]
    rows += _data_plane()
    return [*rows, *role_assignment.routes(), *arm.routes()]


def _data_plane() -> list[Route]:
    from emulator import dataplane

    return dataplane.routes()


class App:
    """The ASGI application of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.routes = Routes(all_routes())
        self.throttle = Throttle()
        port = cloud.origin.rpartition(":")[2]
        self.hosts = {f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"}
        self.account_suffix = f".blob.core.localhost:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; websockets and lifespan events are nothing to us."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            await _response(_envelope(refusal), "GET")(scope, receive, send)
            return
        answer = await anyio.to_thread.run_sync(self.answer, request, body)
        try:
            await _response(answer, request.method)(scope, receive, send)
        except (OSError, ClientDisconnect):
            log.info("client went away: %s %s", request.method, request.url.path)

    async def _body(self, request: Request) -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > LARGEST_BODY:
                raise Refusal(413, "RequestBodyTooLarge", f"The request body is larger than {LARGEST_BODY} bytes.")
            parts.append(part)
        return b"".join(parts)

    def answer(self, request: Request, body: bytes) -> Answer:
        """Check the request, run its handler, turn refusals and defects into Azure's envelope."""
        try:
            return self._handled(request, body)
        except Refusal as refusal:
            return _envelope(refusal)
        except Exception:
            log.exception("%s %s", request.method, request.url.path)
            text = "The server encountered an internal error; the emulator's log has the details."
            return _envelope(Refusal(500, "InternalServerError", text))

    def _handled(self, request: Request, body: bytes) -> Answer:
        path = self._path(request)
        if "origin" in request.headers:
            raise Refusal(403, "CrossOriginRequestNotAllowed", "Requests from web pages (with an Origin) are refused.")
        found = self.routes.find(request.method, path)
        if found is None:
            raise self._unknown(request.method, path)
        route, args = found
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        claims = self._claims(request, path) if route.auth else {}
        if route.auth and route.api_version:
            _require_version(query)
        left = self._admit(request.method, path, claims) if route.auth else {}
        operations.settle(self.cloud)
        headers = dict(request.headers)
        call = Call(self.cloud, request.method, path, args, query, headers, body, self.cloud.origin, claims)
        answer = route.handler(call)
        return Answer(answer.status, answer.body, {**left, **answer.headers})

    def _path(self, request: Request) -> str:
        """Return the path as sent, or, for an account's own host, the routed one. Raises `Refusal` 403."""
        host = request.headers.get("host", "").lower()
        raw: bytes = request.scope["raw_path"]
        path = raw.decode("latin-1").partition("?")[0]
        if host in self.hosts:
            return path
        mapped = path_for(host, path) if host.endswith(self.account_suffix) else None
        if mapped is None:
            raise Refusal(403, "HostNotAllowed", f"The host '{host}' is not one of this emulator's.")
        return mapped

    def _unknown(self, method: str, path: str) -> Refusal:
        methods = self.routes.methods(path)
        if methods:
            text = f"{method} {path} is not played by this emulator; played here: {', '.join(methods)}."
        else:
            text = f"{method} {path} is not played by this emulator."
        return Refusal(501, "NotPlayedByThisEmulator", text)

    def _claims(self, request: Request, path: str) -> dict[str, str]:
        audiences = list(login.arm_audiences(self.cloud))
        if not path.lower().startswith("/subscriptions"):
            audiences += login.ML_AUDIENCES
        return login.verify(self.cloud, request.headers.get("authorization", ""), audiences)

    def _admit(self, method: str, path: str, claims: dict[str, str]) -> dict[str, str]:
        """Check the subscription and take a token of the throttle; only ARM's own paths are throttled."""
        parts = path.split("/")
        if parts[1].lower() != "subscriptions" or len(parts) < 3 or not parts[2]:  # noqa: PLR2004 - /subscriptions/{id}
            return {}
        subscription = parts[2].lower()
        if subscription != SUBSCRIPTION_ID.lower():
            raise Refusal(404, "SubscriptionNotFound", f"The subscription '{parts[2]}' could not be found.")
        return self.throttle.take(subscription, claims.get("oid", ""), method, self.cloud.now())


def _require_version(query: dict[str, str]) -> None:
    if not query.get("api-version"):
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal(400, "MissingApiVersionParameter", message)


def _envelope(refusal: Refusal) -> Answer:
    headers = {"x-ms-error-code": refusal.code, **refusal.headers}
    return Answer(refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}, headers)


def _response(answer: Answer, method: str) -> Response:
    headers = {"x-ms-request-id": str(uuid.uuid4()), **answer.headers}
    if isinstance(answer.body, Path):
        length = answer.body.stat().st_size
        headers.setdefault("Content-Length", str(length))
        return StreamingResponse(_chunks(answer.body, int(headers["Content-Length"])), answer.status, headers)
    if isinstance(answer.body, bytes):
        data = answer.body
    elif answer.body is None:
        data = b""
    else:
        data = json.dumps(answer.body).encode()
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
    return Response(b"" if method == "HEAD" else data, answer.status, headers)


async def _chunks(path: Path, length: int) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        left = length
        while left > 0:
            chunk = await file.read(min(CHUNK, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk
