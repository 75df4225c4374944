"""Inputs from the web: one file, over https from a server that is trusted, or a clear refusal."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from emulator import inputs, ml, tls
from emulator.routing import Refusal
from node import layout
from tests.emulator.dataplane_kit import WS, Clock, cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json


class Web:
    """A small https server whose certificate only this test trusts."""

    def __init__(self, folder: Path) -> None:
        files = tls.ensure(folder)
        self.authority = files.ca

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/down"):
                    self.send_response(302)
                    self.send_header("Location", "http://localhost/rows.csv")
                    self.end_headers()
                    return
                found = self.path.startswith("/data/rows.csv")
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(b"1,2\n" if found else b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that trusts us not
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.origin = f"https://localhost:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(layout.private_dir(tmp_path / "web"))
    yield made
    made.close()


def placed(folder: Path, kind: str, uri: str) -> dict[str, Json]:
    """Bring one input to one node."""
    made = cloud(layout.private_dir(folder / "cloud"), Clock())
    workspace = ml.by_id(made, WS)
    assert workspace is not None
    try:
        [found] = inputs.place(made, workspace, {"rows": {"jobInputType": kind, "uri": uri}}, [folder])
    finally:
        made.state.close()
    return found


def fault(folder: Path, uri: str, kind: str = "uri_file") -> str:
    with pytest.raises(Refusal) as caught:
        placed(folder, kind, uri)
    return caught.value.message


def test_a_file_of_the_web_is_fetched(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority))
    found = placed(tmp_path, "uri_file", f"{web.origin}/data/rows.csv?sig=secret")
    path = tmp_path / "inputs" / "rows" / "rows.csv"
    assert (found, path.read_bytes()) == ({"rows": {"path": str(path)}}, b"1,2\n")


def test_what_the_web_does_not_give_is_said_without_the_signature(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = f"The input 'rows' could not be fetched from '{web.origin}"
    assert fault(tmp_path, f"{web.origin}/data/rows.csv?sig=s").startswith(f"{start}/data/rows.csv': ")
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority))
    assert fault(tmp_path, f"{web.origin}/none.csv") == f"{start}/none.csv': 404 Not Found."
    assert fault(tmp_path, f"{web.origin}/down/x") == f"{start}/down/x': it redirects to http, not https."
    assert fault(tmp_path, f"{web.origin}/") == f"The input 'rows': '{web.origin}/' names no file."
    assert fault(tmp_path, f"{web.origin}/data", "uri_folder") == (
        f"The input 'rows' is a folder, and '{web.origin}/data' can only be fetched as one file: use type uri_file."
    )
