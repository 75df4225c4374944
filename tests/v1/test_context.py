"""Inside a job: what a v1 script logs reaches the run's tracking, without MLflow."""

from __future__ import annotations

import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import NotFoundError, RefusedError
from runtime.v1 import Run

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tracking:
    """A tracking service that remembers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.got.append((self.path, self.headers.get("Authorization"), body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracking]:
    made = Tracking()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
    monkeypatch.setenv("MLFLOW_RUN_ID", "digits-quiet-heron")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_what_is_logged_is_sent_in_one_call_each(tracking: Tracking) -> None:
    run = Run.get_context()
    run.log("accuracy", 0.5)
    run.log_list("loss", [3, 2, 1])
    run.log_row("point", x=1, y=2)
    run.tag("team", "vision")
    assert {(path, token, body.pop("run_id")) for path, token, body in tracking.got} == {
        ("/api/2.0/mlflow/runs/log-batch", "Bearer secret", "digits-quiet-heron"),
        ("/api/2.0/mlflow/runs/set-tag", "Bearer secret", "digits-quiet-heron"),
    }
    sent = [
        [(item["key"], item["value"], item["step"]) for item in body.get("metrics", [])] for *_, body in tracking.got
    ]
    assert sent == [
        [("accuracy", 0.5, 0)],
        [("loss", 3.0, 0), ("loss", 2.0, 1), ("loss", 1.0, 2)],
        [("point.x", 1.0, 0), ("point.y", 2.0, 0)],
        [],
    ]
    assert tracking.got[-1][2] == {"key": "team", "value": "vision"}


def test_a_refusal_of_the_tracking_service_is_said(tracking: Tracking) -> None:
    tracking.status = 400
    with pytest.raises(RefusedError, match=r"the tracking service refused log-batch: {}"):
        Run.get_context().log("accuracy", 1)


class Client:
    """MLflow's, as far as it is used."""

    def __init__(self) -> None:
        self.got = CALLS

    def log_metric(self, run_id: str, key: str, value: float, timestamp: int, step: int) -> None:
        self.got.append((run_id, key, value, step))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.got.append((run_id, key, value))


CALLS: list[tuple[object, ...]] = []


def test_in_azure_the_jobs_own_mlflow_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s")
    monkeypatch.setenv("MLFLOW_RUN_ID", "digits-quiet-heron")
    module = types.ModuleType("mlflow.tracking")
    module.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", types.ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", module)
    CALLS.clear()
    run = Run.get_context()
    run.log_list("loss", [2, 1])
    run.tag("team", "vision")
    assert CALLS == [
        ("digits-quiet-heron", "loss", 2.0, 0),
        ("digits-quiet-heron", "loss", 1.0, 1),
        ("digits-quiet-heron", "team", "vision"),
    ]
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(NotFoundError, match="Add to its pip packages: azureml-mlflow"):
        run.log("loss", 1)


def test_outside_of_a_job_it_is_printed_or_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "AZUREML_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    run = Run.get_context()
    run.log("accuracy", 0.5)
    assert (run.id, capsys.readouterr().out) == ("OfflineRun", "OfflineRun: accuracy = 0.5\n")
    with pytest.raises(NotFoundError, match="this process is no run of a job"):
        Run.get_context(allow_offline=False)
