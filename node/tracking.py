"""The MLflow tracking server of one job: REST API 2.0 on a random loopback port, for as long as the job runs.

Current MLflow clients refuse plain file stores, so a script that calls `mlflow.log_metric` needs a server; this is the
smallest that serves them. Guarded as everything on loopback must be (a browser reaches it): exact Host, no Origin, a
random token compared in constant time. Whatever a client sends, the supervisor lives.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from typing import TYPE_CHECKING

from node import layout
from node.tracking_store import EXPERIMENT_ID, Store

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from node.job import Job
    from node.tracking_http import Server

_BACKLOG = 64
_POLL_S = 0.2


class Tracking:
    """Bound before the job starts, so that its address can be told; answers once `serve` was called.

    `secrets`: values that are kept out of what the job logs.
    """

    def __init__(self, run_dir: Path, job: Job, secrets: Collection[str] = ()) -> None:
        self.store = Store(run_dir, job)
        self._secrets = secrets
        self.token = os.urandom(32).hex()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(_BACKLOG)
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._experiment = job.experiment
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def variables(self) -> dict[str, str]:
        """Return what MLflow's client reads from the job's environment."""
        return {
            "MLFLOW_TRACKING_URI": f"http://{self.host}",
            "MLFLOW_TRACKING_TOKEN": self.token,
            "MLFLOW_RUN_ID": self.store.main_id,
            "MLFLOW_EXPERIMENT_NAME": self._experiment,
            "MLFLOW_EXPERIMENT_ID": EXPERIMENT_ID,
        }

    def serve(self) -> None:
        """Answer from now on, on threads of its own."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            # An HTTP server takes longer to import than a short job takes to run, and many never call.
            while not select.select([self._socket], [], [], _POLL_S)[0]:
                if self._closed:
                    return
            from node.masking import Mask
            from node.tracking_api import Api
            from node.tracking_http import Server

            api = Api(self.store, Mask(self._secrets))
            self._server = Server(self._socket, self.host, self.token, api)
            self._server.serve_forever(poll_interval=_POLL_S)
        except (OSError, ImportError, ValueError) as error:
            if self._closed:
                return
            layout.note(f"tracking: {type(error).__name__}: {error}")

    def trouble(self) -> str | None:
        """Return why something that the job logged could not be kept; None when all is well."""
        return self.store.trouble

    def close(self) -> None:
        """Stop answering; what was acknowledged is in the files."""
        self._closed = True
        with self.store.lock:
            self._socket.close()
