"""Run Azure ML's inference server for this machine only; executed by the service's own Python, inside its environment.

`azmlinfsrv` itself listens on every address of the machine, at once, with a control socket in the home folder. Here
it binds loopback only, and listens when the scoring script's `init()` is through: until then another server of the
same endpoint goes on answering on the same port (SO_REUSEPORT), so that a new deployment takes over without a gap.
Requests that a web page could have sent (an Origin, a foreign Host) are refused.
gunicorn reads this file a second time, as its configuration. Standard library only, nothing of ours.
"""

from __future__ import annotations

import importlib
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, object]
    Start = Callable[..., object]

PORT, ENTRY, READY = "TRAINYARD_SERVE_PORT", "TRAINYARD_SERVE_ENTRY", "TRAINYARD_SERVE_READY"
_BACKLOG = 2048

# --- gunicorn's settings (docs.gunicorn.org, Settings); unknown ones are ignored by older versions ---
reuse_port = True
control_socket_disable = True


class _Worker(Protocol):
    sockets: list[socket.socket]


def post_worker_init(worker: _Worker) -> None:
    """Begin to listen, now that the scoring script is loaded, and say so. Called by gunicorn in the worker."""
    for listener in worker.sockets:
        listener.listen(_BACKLOG)
    Path(os.environ[READY]).touch()


def main() -> None:
    """Start the server in this process and stay."""
    port, entry = os.environ[PORT], os.environ[ENTRY]
    _defer_listening()
    _refuse_web_pages(port)
    os.environ["GUNICORN_CMD_ARGS"] = shlex.join(["--config", f"file:{Path(__file__).resolve()}"])
    constants = importlib.import_module("azureml_inference_server_http.constants")
    constants.DEFAULT_HOST = "127.0.0.1"  # type: ignore[attr-defined]
    server = importlib.import_module("azureml_inference_server_http.amlserver")
    sys.argv = ["azmlinfsrv", "--entry_script", entry, "--port", port]
    server.run()


def _defer_listening() -> None:
    """Leave the arbiter's sockets bound but closed to connections; its workers may listen."""
    arbiter, listen = os.getpid(), socket.socket.listen

    def deferred(self: socket.socket, backlog: int = _BACKLOG) -> None:
        if os.getpid() != arbiter:
            listen(self, backlog)

    socket.socket.listen = deferred  # type: ignore[method-assign, assignment]


def _refuse_web_pages(port: str) -> None:
    """Answer 403 to requests that did not come from a program on this machine."""
    flask = importlib.import_module("flask").Flask
    answer = flask.wsgi_app
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    def guarded(self: object, environ: Environ, start_response: Start) -> Iterable[bytes]:
        foreign = "HTTP_ORIGIN" in environ and "AML_CORS_ORIGINS" not in os.environ
        if foreign or environ.get("HTTP_HOST") not in hosts:
            start_response("403 Forbidden", [("Content-Type", "application/json")])
            return [b'{"message": "this service answers programs on its own machine only"}']
        result: Iterable[bytes] = answer(self, environ, start_response)
        return result

    flask.wsgi_app = guarded


if __name__ == "__main__":
    main()
