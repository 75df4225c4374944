"""HTTPS to the emulator on kept-alive connections, trusted by the emulator's own CA. Thread-safe."""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from emulator.provider.arm_client import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 60.0


class Https:
    """One trust, many connections. No proxy is ever asked: the other side is this machine."""

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context(cafile=ca_file or None)
        self._idle: dict[str, queue.LifoQueue[http.client.HTTPSConnection]] = {}

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Send one request. Raises `OSError` where no answer came."""
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        idle = self._idle.setdefault(parts.netloc, queue.LifoQueue())
        while True:
            try:
                connection, kept = idle.get_nowait(), True
            except queue.Empty:
                connection, kept = self._connect(parts.netloc), False
            try:
                return self._send(connection, idle, (method, target, body, headers))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if not kept:
                    raise error if isinstance(error, OSError) else OSError(repr(error)) from error
                # The emulator may have closed a kept connection, or restarted: ask again on another one.

    def _connect(self, netloc: str) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(netloc, timeout=TIMEOUT_S, context=self._context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def _send(
        connection: http.client.HTTPSConnection,
        idle: queue.LifoQueue[http.client.HTTPSConnection],
        request: tuple[str, str, bytes | None, Mapping[str, str]],
    ) -> Response:
        method, target, body, headers = request
        connection.request(method, target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        response = Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        if answer.will_close:
            connection.close()
        else:
            idle.put(connection)
        return response
