"""Remote inputs for targets that read files: a web server of our own, and blobs of an emulated workspace."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from emulator import tls
from runtime import blobs, inputs
from runtime.errors import ConnectionLostError, RefusedError, SpecError
from runtime.events import Event
from runtime.inputs import Home
from runtime.jobfile import open_job
from runtime.site import open_site
from runtime.transport import NotSentError
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.jobfile import JobFile
    from runtime.project import Project
    from runtime.wire import Json


@dataclass
class Web:
    """What a server answers, by path: status, headers, content; a content may be cut short."""

    url: str = ""
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    cut: int | None = None
    sent: list[str] = field(default_factory=list)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    found, answers = tls.ensure(tmp_path), Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = answers.pages[self.path.partition("?")[0]]
            answers.sent.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: answers.cut])

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found.certificate, found.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(found.ca))
    monkeypatch.setenv("no_proxy", "*")
    answers.url = f"https://localhost:{server.server_address[1]}"
    yield answers
    server.shutdown()
    server.server_close()
    thread.join()


def job(folder: Path, **given: Json) -> JobFile:
    return open_job(kit.a_job(folder, command="cat ${{inputs.data}}", inputs={"data": dict(given)}))


def said(events: list[Event]) -> list[str]:
    return [event.text for event in events if event.done is None]


def test_a_file_is_fetched_once_while_its_etag_holds(tmp_path: Path, web: Web) -> None:
    source, events = job(tmp_path / "job", path=f"{web.url}/sets/iris.csv?sig=secret"), list[Event]()
    web.pages["/sets/iris.csv"] = (200, {"ETag": '"1"'}, b"5.1,setosa\n")
    first = inputs.fetch(source, "data", None, tmp_path / "cache", events.append)
    again = inputs.fetch(source, "data", None, tmp_path / "cache", events.append)
    web.pages["/sets/iris.csv"] = (200, {"ETag": '"2"'}, b"6.0,virginica\n")
    changed = inputs.fetch(source, "data", None, tmp_path / "cache", events.append)
    assert (first.name, first.read_bytes(), again) == ("iris.csv", b"5.1,setosa\n", first)
    assert (changed.read_bytes(), changed != first) == (b"6.0,virginica\n", True)
    assert said(events) == ["data: 11 B fetched", "data: in the cache, nothing fetched", "data: 14 B fetched"]
    assert "secret" not in "".join(str(path) for path in (tmp_path / "cache").rglob("*"))


def test_a_file_without_validators_is_fetched_every_time(tmp_path: Path, web: Web) -> None:
    source = job(tmp_path / "job", path=f"{web.url}/x")
    web.pages["/x"] = (200, {}, b"one")
    assert inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None).read_bytes() == b"one"
    web.pages["/x"] = (200, {}, b"two")
    assert inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None).read_bytes() == b"two"


def test_a_file_cut_short_is_never_kept(tmp_path: Path, web: Web) -> None:
    source = job(tmp_path / "job", path=f"{web.url}/x")
    web.pages["/x"] = (200, {"ETag": '"1"', "Content-Length": "100", "Connection": "close"}, b"short")
    with pytest.raises(ConnectionLostError, match="ended 95 bytes early"):
        inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None)
    assert [path.name for path in (tmp_path / "cache" / "data").iterdir()] == []


def test_a_redirect_away_from_https_is_refused(tmp_path: Path, web: Web) -> None:
    source = job(tmp_path / "job", path=f"{web.url}/x?sig=secret")
    web.pages["/x"] = (302, {"Location": "http://localhost/y?sig=secret"}, b"")
    with pytest.raises(RefusedError) as refused:
        inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None)
    _, _, words = str(refused.value).partition("fetched: ")
    assert words == f"{web.url}/x leads to http://localhost/y, which is not HTTPS. [redirect]"


def test_a_file_that_is_not_there_says_so_without_its_signature(tmp_path: Path, web: Web) -> None:
    source = job(tmp_path / "job", path=f"{web.url}/x?sig=secret")
    web.pages["/x"] = (404, {}, b"")
    with pytest.raises(RefusedError) as refused:
        inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None)
    _, _, words = str(refused.value).partition(": ")
    assert words == f"inputs.data.path can't be fetched: {web.url}/x: Not Found. [HTTP 404]"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("azureml://datastores/workspaceblobstore/paths/x", "no stack is chosen that has one. Name one: --stack"),
        ("azureml:iris:1", "no stack is chosen that has one. Name one: --stack"),
        ("ftp://example.com/x", "Allowed: a local path, azureml:…, https://, wasbs://, abfss://."),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(tmp_path: Path, path: str, words: str) -> None:
    source = job(tmp_path / "job", path=path)
    with pytest.raises(SpecError) as refused:
        inputs.fetch(source, "data", None, tmp_path / "cache", lambda _: None)
    assert words in str(refused.value)
    assert "inputs.data.path" in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "kind", "path", "refused"),
    [
        ("ro_mount", "Local", "https://example.com/x", None),
        ("download", "VirtualMachine", "https://example.com/x", None),
        ("direct", "Local", "https://example.com/x", None),
        ("rw_mount", "Local", "src", None),
        ("rw_mount", "Local", "https://example.com/x", "it would have to write back to where it comes from."),
        ("rw_mount", "VirtualMachine", "src", "it would have to write back to where it comes from."),
        ("rw_mount", "AmlCompute", "src", None),
        ("eval_mount", "AmlCompute", "https://example.com/x", None),
        ("eval_mount", "Local", "https://example.com/x", "it is evaluated by the workspace's own targets only."),
        ("eval_download", "VirtualMachine", "src", "it is evaluated by the workspace's own targets only."),
        ("upload", "AmlCompute", "src", "it is a way for outputs."),
    ],
)
def test_a_mode_that_a_target_cannot_do_is_refused(
    tmp_path: Path, mode: str, kind: inputs.Kind, path: str, refused: str | None
) -> None:
    source = job(tmp_path / "job", path=path, mode=mode)
    if refused is None:
        inputs.check(source, kind)
        return
    with pytest.raises(SpecError) as error:
        inputs.check(source, kind)
    assert f"{mode} can't be done on this target: {refused}" in str(error.value)


def test_a_plain_http_address_is_refused_on_machines(tmp_path: Path) -> None:
    source = job(tmp_path / "job", path="http://example.com/x?sig=secret")
    with pytest.raises(SpecError) as error:
        inputs.check(source, "Local")
    assert "read over HTTPS or from blob storage only" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.processes
def test_blobs_of_a_workspace_are_fetched_once_per_content(line: Project, tmp_path: Path) -> None:
    plane, events = open_site(line).cloud("emulator"), list[Event]()
    home = Home(plane, kit.WORKSPACE)
    place = blobs.datastore(plane, kit.WORKSPACE, "workspaceblobstore")
    for name, content in (("sets/a.csv", b"a"), ("sets/deep/b.csv", b"bb"), ("setsother/c.csv", b"c")):
        blobs.put(plane, place, blobs.Source(name, lambda content=content: [content]))
    asset = f"{kit.WORKSPACE}/data/sets/versions/3"
    uri = "azureml://datastores/workspaceblobstore/paths/sets"
    short = kit.WORKSPACE.replace("/providers/Microsoft.MachineLearningServices", "")
    long = f"azureml:/{short}/datastores/workspaceblobstore/paths/sets/"
    plane.put(asset, {"properties": {"dataType": "uri_folder", "dataUri": uri}}, inputs.DATA)
    for address in (uri, long, "azureml:sets:3", "azureml:sets@latest", asset, f"{place.url}/sets"):
        source = job(tmp_path / "job", path=address)
        found = inputs.fetch(source, "data", home, tmp_path / "cache", events.append)
        assert {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*.csv")} == {
            "a.csv": b"a",
            "deep/b.csv": b"bb",
        }
    assert said(events) == ["data: 3 B fetched", *["data: in the cache, nothing fetched"] * 5]
    blobs.put(plane, place, blobs.Source("sets/a.csv", lambda: [b"A"]))
    found = inputs.fetch(job(tmp_path / "job", path=uri), "data", home, tmp_path / "cache", events.append)
    assert (found / "a.csv").read_bytes() == b"A"
    single = inputs.fetch(job(tmp_path / "job", path=f"{uri}/a.csv"), "data", home, tmp_path / "cache", events.append)
    assert (single.name, single.read_bytes()) == ("a.csv", b"A")
    with pytest.raises(SpecError) as error:
        inputs.fetch(job(tmp_path / "job", path=f"{uri}/none"), "data", home, tmp_path / "cache", events.append)
    assert "inputs.data.path = azureml://datastores/workspaceblobstore/paths/sets/none" in str(error.value)
    assert "leads to no file" in str(error.value)
    assert json.dumps(inputs.needs_workspace(source)) == "[]"


def test_an_input_that_nobody_answers_for_is_told_at_its_line_and_not_as_the_emulators_fault(tmp_path: Path) -> None:
    away = NotSentError("team.blob.core.windows.net:443: Name or service not known")
    transport = kit.FakeTransport(on=lambda _request: away)
    home = Home(kit.fake_plane(transport, kit.HeldClock()), kit.WORKSPACE)
    source = job(tmp_path / "job", path="https://team.blob.core.windows.net/sets/a.csv", type="uri_file")
    with pytest.raises(ConnectionLostError) as lost:
        inputs.fetch(source, "data", home, tmp_path / "cache", print)
    at, _, words = str(lost.value).partition(": ")
    assert at.rpartition("/")[2] == "job.yml:1:175"
    assert words == (
        "inputs.data.path can't be fetched: no answer: team.blob.core.windows.net:443: Name or service not known"
    )


def test_a_datastore_that_is_not_there_is_told_at_the_input_s_line(tmp_path: Path) -> None:
    transport = kit.FakeTransport(on=lambda _request: (404, {"error": {"code": "UserError", "message": "no such"}}))
    home = Home(kit.fake_plane(transport, kit.HeldClock()), kit.WORKSPACE)
    source = job(tmp_path / "job", path="azureml://datastores/none/paths/a.csv", type="uri_file")
    with pytest.raises(RefusedError) as refused:
        inputs.fetch(source, "data", home, tmp_path / "cache", print)
    assert str(refused.value).partition(": ")[2] == "inputs.data.path can't be fetched: no such. [UserError]"
    assert refused.value.status == 404
