"""HTTPS over the standard library: the seam where sockets, TLS and HTTP turn into our words.

Not azure-core: importing its clients costs more than a whole submission (azure-storage-blob 0.38 s, azure-identity
0.35 s, warm, on two cores), and it doesn't tell "was not sent" from "was sent, no answer", which a submission must.
Connections are kept and shared between threads; one that idled is never used for a request that must not run twice.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONNECT_S = 10.0
ANSWER_S = 60.0
IDLE_S = 20.0
"""Kept connections older than this are closed: a load balancer has forgotten them."""


class NotSentError(Exception):
    """No connection: the service certainly did not get the request."""


class UnansweredError(Exception):
    """The connection broke before the answer was complete: the service may have acted."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `once`: it must not run twice, so it goes over a new connection and is never repeated here."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    once: bool = False
    on_sent: Callable[[], None] | None = None
    """Called when the request is on the wire and nothing of the answer has been read."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """A pool of connections. Safe to share between threads."""

    def __init__(self, ca_file: str | None = None) -> None:
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, int], list[tuple[float, http.client.HTTPSConnection]]] = {}
        self._context: ssl.SSLContext | None = None

    def send(self, request: Request) -> Response:
        """Send and read the whole answer.

        Raises `NotSentError`, `UnansweredError`; `RefusedError` for a certificate that doesn't hold, or plain HTTP.
        """
        parts = urlsplit(request.url)
        if parts.scheme != "https" or not parts.hostname:
            raise RefusedError(f"{parts.scheme}://{parts.netloc} is not HTTPS: no token or data is sent there")
        key = (parts.hostname, parts.port or 443)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = None if request.once else self._take(key)
        if kept is not None:
            try:
                return self._exchange(kept, key, target, request)
            except UnansweredError:
                pass  # the other side had closed the kept connection; what is not `once` may be repeated
        return self._exchange(self._connect(key), key, target, request)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            kept = [connection for idle in self._idle.values() for _, connection in idle]
            self._idle.clear()
        for connection in kept:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _take(self, key: tuple[str, int]) -> http.client.HTTPSConnection | None:
        with self._lock:
            idle = self._idle.get(key, [])
            while idle:
                since, connection = idle.pop()
                if time.monotonic() - since < IDLE_S:
                    return connection
                connection.close()
        return None

    def _exchange(
        self, connection: http.client.HTTPSConnection, key: tuple[str, int], target: str, request: Request
    ) -> Response:
        try:
            connection.request(request.method, target, request.body, dict(request.headers))
            if request.on_sent:
                request.on_sent()
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnansweredError(f"{key[0]}: {_words(error)}") from None
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.setdefault(key, []).append((time.monotonic(), connection))
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def _connect(self, key: tuple[str, int]) -> http.client.HTTPSConnection:
        host, port = key
        context = self._trust()
        connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=context)
        try:
            proxy = _proxy(host)
            if proxy:
                connection = http.client.HTTPSConnection(proxy[0], proxy[1], timeout=CONNECT_S, context=context)
                connection.set_tunnel(host, port)
                connection.connect()
            else:
                # Names below localhost are this machine (RFC 6761), though glibc alone does not resolve them.
                plain = socket.create_connection((_resolved(host), port), CONNECT_S)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sock = _secured(context, plain, host)
        except ssl.SSLCertVerificationError as error:
            advice = "If a proxy or the emulator signs it, name its CA in REQUESTS_CA_BUNDLE."
            raise RefusedError(f"{host}:{port}: {error.verify_message}", code="certificate", advice=advice) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NotSentError(f"{host}:{port}: {_words(error)}") from None
        if connection.sock is not None:
            connection.sock.settimeout(ANSWER_S)
        return connection

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=self._ca_file)
                except (OSError, ssl.SSLError) as error:
                    raise RefusedError(f"the CA file {self._ca_file} can't be used: {_words(error)}") from None
                self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            return self._context


def _secured(context: ssl.SSLContext, plain: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        with contextlib.suppress(OSError):
            plain.close()
        raise


def _resolved(host: str) -> str:
    return "localhost" if host.endswith(".localhost") else host


def _proxy(host: str) -> tuple[str, int] | None:
    """Return the proxy that the user's environment names for this host."""
    if host == "localhost" or host.endswith(".localhost") or urllib.request.proxy_bypass(host):
        return None
    found = urlsplit(urllib.request.getproxies().get("https", ""))
    return (found.hostname, found.port or 3128) if found.hostname else None


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
