"""The official clients run a job on a real emulator: azure-ai-ml, azure-storage-blob and MLflow, unchanged."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.emulator.dataplane_kit import command_job
from tests.emulator.emulator_kit import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.routing import Json

pytestmark = pytest.mark.clients


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    made = Emulator(tmp_path / "home")
    try:
        made.fill()
        yield made
    finally:
        made.end_all()


def official(emulator: Emulator, *arguments: str, **more: str) -> dict[str, Json]:
    """Run the clients' script; return what it saw."""
    variables = {**emulator.plain, **emulator.endpoint.environment(), "AZUREML_RUN_POLLING_INTERVAL_MIN": "1", **more}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).parent / "clients" / "azure_ml.py"), *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_the_official_client_runs_on_two_nodes_an_instance_and_serverless(emulator: Emulator, tmp_path: Path) -> None:
    mpi = shutil.which("mpirun") is not None
    seen = official(emulator, str(tmp_path), "targets", **({"WITH_MPI": "1"} if mpi else {}))
    four = {f"outputs/{rank}.txt": f"{rank % 2}\n" for rank in range(4)}
    four |= {f"user_logs/std_log_process_{rank}.txt": f"says {rank} of 4\n" for rank in range(4)}
    alone = ["Completed", ["hello"], {"user_logs/std_log.txt": "says hello\n"}]
    ranks = ["Completed", ["0 of 4"], four]
    if mpi:
        found = seen.pop("mpi")
        assert isinstance(found, list)
        assert isinstance(found[2], dict)
        found[2].pop("user_logs/std_log_mpirun.txt", None)
        assert found == ranks
    assert seen == {
        "computes": [["client-ci", "computeinstance"], ["cpu", "amlcompute"]],
        "torch": ranks,
        "instance": alone,
        "serverless": alone,
        "nowhere": alone,
        "canceled": "Canceled",
    }


def test_the_official_clients_submit_stream_download_store_and_track(emulator: Emulator, tmp_path: Path) -> None:
    seen = official(emulator, str(tmp_path))
    assert seen["jobs"] == {
        "submitted": "NotStarted",
        "ended": "Completed",
        "streamed": ["word a b", "bye"],
        "files": [
            "artifacts/azureml-logs/20_image_build_log.txt",
            "artifacts/named-outputs/out/named.txt",
            "artifacts/outputs/model.txt",
            "artifacts/user_logs/std_log.txt",
            "named-outputs/out/named.txt",
        ],
        "model": ["digits", "1"],
        "canceled": "Canceled",
        "listed": ["sdk-again", "sdk-canceled", "sdk-job"],
        "code is reused": True,
    }
    ways = ("signature, path style", "key, path style", "key, own host", "token, own host")
    expected = {way: [True, True, 300_000, {"way": str(number)}] for number, way in enumerate(ways)}
    assert seen["blobs"] == {**expected, "blocks": True}
    assert seen["tracking"] == {
        "metrics": {"m": 0.75},
        "params": {"p": "1"},
        "status": "FINISHED",
        "history": [0.5, 0.75],
        "job": "FINISHED",
        "found": 1,
    }


def test_a_job_outlives_kill_9_of_the_emulator_and_is_settled_with_its_own_times(emulator: Emulator) -> None:
    workspace, version = emulator.workspace, "api-version=2025-01-01-preview"
    environment = f"{workspace}/environments/bare/versions/1"
    emulator.request("PUT", f"{environment}?{version}", {"properties": {"image": "x"}})
    body = command_job(
        "echo begun; sleep 3; echo done", computeId=f"{workspace}/computes/cpu", environmentId=environment
    )
    status, answer = emulator.request("PUT", f"{workspace}/jobs/k?{version}", body)
    assert status == 201, answer
    _until(emulator, "Running")
    emulator.end(signal.SIGKILL)
    time.sleep(3)
    emulator.start()
    details = _until(emulator, "Completed")
    started, ended = (str(details[name])[:19] for name in ("startTimeUtc", "endTimeUtc"))
    assert (
        3
        <= time.mktime(time.strptime(ended, "%Y-%m-%dT%H:%M:%S"))
        - time.mktime(time.strptime(started, "%Y-%m-%dT%H:%M:%S"))
        <= 4
    )
    logs = details["logFiles"]
    assert isinstance(logs, dict)
    assert sorted(logs) == ["azureml-logs/20_image_build_log.txt", "user_logs/std_log.txt"]


def test_nodes_of_a_job_stay_for_each_other_while_there_is_no_emulator(emulator: Emulator) -> None:
    workspace, version = emulator.workspace, "api-version=2025-01-01-preview"
    environment = f"{workspace}/environments/bare/versions/1"
    emulator.request("PUT", f"{environment}?{version}", {"properties": {"image": "x"}})
    line = 'echo node $NODE_RANK; [ "$NODE_RANK" = 1 ] || sleep 9; echo done'
    body = command_job(
        line,
        computeId=f"{workspace}/computes/cpu",
        environmentId=environment,
        resources={"instanceCount": 2},
    )
    assert emulator.request("PUT", f"{workspace}/jobs/k?{version}", body)[0] == 201
    _until(emulator, "Running")
    emulator.end(signal.SIGKILL)
    time.sleep(7)  # longer than an idle node waits for an emulator
    emulator.start()
    details = _until(emulator, "Completed")
    logs = details["logFiles"]
    assert isinstance(logs, dict)
    assert sorted(logs) == [
        "azureml-logs/20_image_build_log.txt",
        "user_logs/std_log_process_0.txt",
        "user_logs/std_log_process_1.txt",
    ]


def _until(emulator: Emulator, wanted: str) -> dict[str, Json]:
    deadline = time.monotonic() + 60
    while True:
        _, details = emulator.request("GET", f"/history/v1.0{emulator.workspace}/runs/k/details")
        assert isinstance(details, dict)
        if details["status"] == wanted:
            return details
        assert time.monotonic() < deadline, details
        assert details["status"] not in {"Failed", "Canceled"}, details
        time.sleep(0.1)
