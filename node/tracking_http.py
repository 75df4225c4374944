"""The HTTP half of a job's tracking server: who may call, and that whatever is sent the supervisor lives.

Imported when the first call comes: an HTTP server takes longer to import than a short job takes to run.
"""

from __future__ import annotations

import json
import sys
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from node import layout

if TYPE_CHECKING:
    import socket

    from node.layout import Json
    from node.tracking_api import Api

_BODY_LIMIT = 32 * 1024 * 1024
_IDLE_S = 60.0


def refusal(headers: dict[str, str], host: str, token: str) -> str | None:
    """Return why a request is refused; None when it comes from the job."""
    given = {name.lower(): value for name, value in headers.items()}
    if given.get("host") != host:
        return "this server answers under its own address only"
    if "origin" in given:
        return "this server answers no browser"
    said = given.get("authorization", "").encode("utf-8", "surrogatepass")
    if not compare_digest(said, f"Bearer {token}".encode()):
        return "the token of this run is needed (MLFLOW_TRACKING_TOKEN)"
    return None


class Server(ThreadingHTTPServer):
    """Serves on a socket that already listens."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, host: str, token: str, api: Api) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.host, self.token, self.api = host, token, api

    def service_actions(self) -> None:
        """End the loop once the socket is closed: polling a closed one returns at once, for ever."""
        if self.socket.fileno() < 0:
            raise OSError("closed")

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Name the kind of trouble, and live on."""
        layout.note(f"tracking: a connection ended with {type(sys.exc_info()[1]).__name__}")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "trainyard"
    sys_version = ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True

    def answer(self) -> None:
        problem = refusal(dict(self.headers.items()), self.server.host, self.server.token)
        if problem is not None:
            self.refuse(403, "PERMISSION_DENIED", problem)
            return
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _BODY_LIMIT or self.headers.get("Transfer-Encoding"):
            self.refuse(413, "INVALID_PARAMETER_VALUE", "the body is too large, or of unknown length")
            return
        self.reply(*self.server.api.handle(self.command, self.path, self.rfile.read(int(length))))

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer  # noqa: N815

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer without having read the body, so that the connection can't be used again."""
        self.close_connection = True
        self.reply(status, {"error_code": code, "message": message})

    def reply(self, status: int, answer: Json) -> None:
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: requests hold what the user logs."""
