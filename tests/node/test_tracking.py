"""The tracking server of a job: who may call, what is kept, and that nothing a client sends ends it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from node import layout, reading
from node.job import Job
from node.tracking import Tracking
from node.tracking_http import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.layout import Json

API = "/api/2.0/mlflow/"


class Client:
    """Calls the server as a job does, or as one should not."""

    def __init__(self, tracking: Tracking, run_dir: Path) -> None:
        self.tracking, self.run_dir = tracking, run_dir

    def call(
        self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None, raw: bytes = b""
    ) -> tuple[int, Json]:
        connection = http.client.HTTPConnection(self.tracking.host, timeout=10)
        try:
            given = {"Authorization": f"Bearer {self.tracking.token}", **(headers or {})}
            connection.request(method, path, raw or (json.dumps(body).encode() if body is not None else None), given)
            answer = connection.getresponse()
            content = answer.read()
            value: Json = json.loads(content) if "json" in answer.headers["Content-Type"] else content.decode()
            return answer.status, value
        finally:
            connection.close()

    def post(self, name: str, **fields: Json) -> tuple[int, Json]:
        return self.call("POST", API + name, {"run_id": "job1", **fields})


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    layout.create(tmp_path, {"run_id": "job1", "command": "true"})
    layout.private_dir(layout.outputs_dir(tmp_path))
    tracking = Tracking(tmp_path, Job("job1", "true", experiment="digits", tags={"team": "a"}))
    tracking.serve()
    yield Client(tracking, tmp_path)
    tracking.close()


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Host": "evil.example"}, "this server answers under its own address only"),
        ({"Host": "localhost:1"}, "this server answers under its own address only"),
        ({"Origin": "null"}, "this server answers no browser"),
        ({"Authorization": "Bearer x"}, "the token of this run is needed (MLFLOW_TRACKING_TOKEN)"),
        ({"Authorization": "Bearer \udcff"}, "the token of this run is needed (MLFLOW_TRACKING_TOKEN)"),
        ({}, None),
    ],
)
def test_only_the_job_is_answered(headers: dict[str, str], message: str | None) -> None:
    good = {"Host": "127.0.0.1:1", "Authorization": "Bearer t"}
    assert refusal({**good, **headers}, "127.0.0.1:1", "t") == message


def test_a_refused_call_writes_nothing(client: Client) -> None:
    body: Json = {"run_id": "job1", "key": "a", "value": 1}
    status, _ = client.call("POST", API + "runs/log-metric", body, {"Origin": "http://127.0.0.1"})
    assert status == 403
    assert reading.metrics(client.run_dir) == []


def test_what_is_acknowledged_is_in_the_files(client: Client) -> None:
    assert client.post("runs/log-metric", key="a", value="NaN", timestamp="5", step="2") == (200, {})
    batch: list[Json] = [{"key": "b", "value": 0.1, "timestamp": 6}]
    assert client.post("runs/log-batch", metrics=batch, params=[{"key": "p", "value": "1"}], tags=[]) == (200, {})
    assert client.post("runs/set-tag", key="t", value="v") == (200, {})
    lines = (client.run_dir / layout.METRICS).read_text().splitlines()
    assert lines == [
        '{"key": "a", "value": "NaN", "timestamp": 5, "step": 2}',
        '{"key": "b", "value": 0.1, "timestamp": 6, "step": 0}',
    ]
    assert reading.params(client.run_dir) == {"p": "1"}
    assert reading.tags(client.run_dir) == {"mlflow.runName": "job1", "team": "a", "t": "v"}
    assert client.call("GET", API + "metrics/get-history?run_id=job1&metric_key=a") == (
        200,
        {"metrics": [{"key": "a", "value": "NaN", "timestamp": 5, "step": 2}]},
    )


def test_a_parameter_does_not_change(client: Client) -> None:
    assert client.post("runs/log-parameter", key="p", value="1") == (200, {})
    assert client.post("runs/log-parameter", key="p", value="1") == (200, {})
    status, answer = client.post(
        "runs/log-batch", params=[{"key": "q", "value": "1"}, {"key": "p", "value": "2"}], metrics=[]
    )
    assert (status, answer) == (
        400,
        {
            "error_code": "INVALID_PARAMETER_VALUE",
            "message": "Changing param values is not allowed. Param with key='p' was already logged",
        },
    )
    assert reading.params(client.run_dir) == {"p": "1"}


@pytest.mark.parametrize(
    ("method", "path", "raw", "status"),
    [
        ("POST", API + "runs/log-metric", b"\xff\x00", 400),
        ("POST", API + "runs/log-metric", b"[" * 100_000, 400),
        ("POST", API + "runs/log-metric", b"[]", 400),
        ("POST", API + "runs/log-metric", b'{"run_id": "job1", "key": "a", "value": {}}', 400),
        ("POST", API + "runs/log-metric", b'{"run_id": "job1", "key": "a", "value": 1, "step": 1e999}', 400),
        ("POST", API + "runs/log-batch", b'{"run_id": "job1", "metrics": [1]}', 400),
        ("POST", API + "runs/log-metric", b'{"run_id": "other", "key": "a", "value": 1}', 404),
        ("POST", API + "runs/log-metric", b'{"run_id": ["x"], "key": "a", "value": 1}', 400),
        ("GET", API + "artifacts/list?run_id=job1&path=../../..", b"", 400),
        ("POST", API + "logged-models", b'{"name": "../x"}', 400),
        ("GET", API + "traces/x", b"", 404),
        ("GET", "//[", b"", 404),
        ("GET", "/", b"", 404),
        ("PUT", API + "runs/create", b"{}", 404),
    ],
)
def test_garbage_is_answered_and_the_server_lives(
    client: Client, method: str, path: str, raw: bytes, status: int
) -> None:
    assert client.call(method, path, raw=raw)[0] == status
    assert client.post("runs/log-metric", key="a", value=1) == (200, {})
    assert reading.last_metrics(client.run_dir) == {"a": 1.0}


def test_bytes_that_are_no_http_do_not_end_the_server(client: Client) -> None:
    host, port = client.tracking.host.split(":")
    for junk in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(junk)
    assert client.call("GET", "/version") == (200, "3.15.0")


def test_a_nested_run_has_its_own_files(client: Client) -> None:
    status, answer = client.post("runs/create", experiment_id="1", run_name="child", tags=[])
    assert status == 200
    assert isinstance(answer, dict)
    run = answer["run"]
    assert isinstance(run, dict)
    info = run["info"]
    assert isinstance(info, dict)
    run_id = str(info["run_id"])
    assert client.post("runs/log-metric", key="a", value=2) == (200, {})
    assert client.call("POST", API + "runs/log-metric", {"run_id": run_id, "key": "a", "value": 3}) == (200, {})
    assert reading.last_metrics(client.run_dir) == {"a": 2.0}
    assert reading.last_metrics(client.run_dir / layout.NESTED / run_id) == {"a": 3.0}
    assert reading.tags(client.run_dir / layout.NESTED / run_id) == {
        "mlflow.parentRunId": "job1",
        "mlflow.runName": "child",
    }


def test_a_folder_that_cannot_be_written_is_an_error_at_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout, "write_all", full)
    status, answer = client.post("runs/log-metric", key="a", value=1)
    assert (status, answer) == (
        400,
        {"error_code": "INTERNAL_ERROR", "message": "the run's folder can't be written: No space left on device"},
    )
    assert client.tracking.trouble() == "No space left on device"


def test_a_logged_model_is_kept_among_the_outputs(client: Client) -> None:
    status, answer = client.call("POST", API + "logged-models", {"name": "model", "source_run_id": "job1"})
    assert status == 200
    assert isinstance(answer, dict)
    model = answer["model"]
    assert isinstance(model, dict)
    info = model["info"]
    assert isinstance(info, dict)
    assert info["artifact_uri"] == str(layout.outputs_dir(client.run_dir) / "model")
    path = f"{API}logged-models/{info['model_id']}"
    assert client.call("PATCH", path, {"status": "LOGGED_MODEL_READY"})[0] == 200
    assert client.call("PATCH", path + "/tags", {"tags": [{"key": "k", "value": "v"}]})[0] == 200
    status, answer = client.call("GET", path)
    assert answer == {
        "model": {**model, "info": {**info, "status": "LOGGED_MODEL_READY", "tags": [{"key": "k", "value": "v"}]}}
    }
