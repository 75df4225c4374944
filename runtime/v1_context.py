"""`Run.get_context()` inside a job: what the v1 SDK logged with `run.log` goes to the run's MLflow tracking.

Where the tracking address is plain HTTP (every target of ours, and the emulator's nodes) it is asked directly, so a
script needs no MLflow. In Azure its address is `azureml://`, which only MLflow with the package azureml-mlflow speaks.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

URI, RUN_ID, TOKEN, OWN = "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_TRACKING_TOKEN", "AZUREML_RUN_ID"
TIMEOUT_S = 30.0
OFFLINE = "OfflineRun"


@dataclass(frozen=True)
class ContextRun:
    """The run that this process belongs to; outside of any, what is logged is printed."""

    id: str
    tracking: str | None = None

    @classmethod
    def here(cls, *, allow_offline: bool = True) -> ContextRun:
        """Find the run. Raises `NotFoundError` outside of a job unless `allow_offline`."""
        tracking, run_id = os.environ.get(URI), os.environ.get(RUN_ID) or os.environ.get(OWN)
        if tracking and run_id:
            return cls(run_id, tracking)
        if not allow_offline:
            raise NotFoundError("this process is no run of a job: neither MLFLOW_TRACKING_URI nor MLFLOW_RUN_ID is set")
        return cls(OFFLINE)

    def log(self, name: str, value: float, description: str = "", step: int | None = None) -> None:
        """Log a number; the same name again makes a series."""
        _ = description
        self._metrics([(name, value, 0 if step is None else step)])

    def log_list(self, name: str, value: Iterable[float], description: str = "") -> None:
        """Log numbers as a series."""
        _ = description
        self._metrics([(name, item, step) for step, item in enumerate(value)])

    def log_row(self, name: str, description: str = "", **values: float) -> None:
        """Log a row: each column is a series `name.column`."""
        _ = description
        self._metrics([(f"{name}.{column}", value, 0) for column, value in values.items()])

    def tag(self, key: str, value: object = "") -> None:
        """Tag the run."""
        self._send("set-tag", {"key": key, "value": str(value)})

    def set_tags(self, tags: dict[str, object]) -> None:
        """Tag the run with several."""
        for key, value in tags.items():
            self.tag(key, value)

    def complete(self) -> None:
        """Do nothing: the run ends with its command."""

    def _metrics(self, points: list[tuple[str, float, int]]) -> None:
        now = time.time_ns() // 1_000_000
        listed = [{"key": key, "value": float(value), "timestamp": now, "step": step} for key, value, step in points]
        if self.tracking is None:
            for key, value, _ in points:
                print(f"{OFFLINE}: {key} = {value}")  # noqa: T201 - there is no other place for it
            return
        if urlsplit(self.tracking).scheme in ("http", "https"):
            self._send("log-batch", {"metrics": listed})
            return
        client = _mlflow()
        for key, value, step in points:
            client.log_metric(self.id, key, float(value), now, step)

    def _send(self, call: str, body: dict[str, object]) -> None:
        if self.tracking is None:
            print(f"{OFFLINE}: {call} {body}")  # noqa: T201 - there is no other place for it
            return
        if urlsplit(self.tracking).scheme not in ("http", "https"):
            _mlflow().set_tag(self.id, str(body["key"]), str(body["value"]))
            return
        url = f"{self.tracking.rstrip('/')}/api/2.0/mlflow/runs/{call}"
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        content = json.dumps({"run_id": self.id, **body}).encode()
        request = urllib.request.Request(url, content, headers)  # noqa: S310 - http and https only, as checked above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as error:
            words = error.read(500).decode("utf-8", "replace")
            raise RefusedError(f"the tracking service refused {call}: {words}", status=error.code) from None
        except OSError as error:
            raise RefusedError(f"the tracking service did not answer {call}: {error}") from None


def _mlflow() -> _Client:
    """Return the client of the job's own MLflow; this package does not bring one."""
    try:
        tracking = importlib.import_module("mlflow.tracking")
    except ImportError:
        message = "the run's tracking is Azure's own, which needs MLflow. Add to its pip packages: azureml-mlflow"
        raise NotFoundError(message) from None
    client: _Client = tracking.MlflowClient()
    return client


if TYPE_CHECKING:
    from typing import Protocol

    class _Client(Protocol):
        """What is used of MLflow's client."""

        def log_metric(self, run_id: str, key: str, value: float, timestamp: int, step: int) -> object: ...
        def set_tag(self, run_id: str, key: str, value: str) -> object: ...
