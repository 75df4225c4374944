"""Run history: discovery, details with signed logs, run data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import blobstore, jobrecords, live, ml, runs, uris
from node import layout
from tests.emulator.dataplane_kit import ORIGIN, WS, Caller, Clock, cloud, command_job, with_environment

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Json

JOB = f"{WS}/jobs/one"
RUNS = f"/history/v1.0{WS}/runs"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(cloud(tmp_path, Clock()))
    with_environment(made)
    made.ok("PUT", JOB, command_job(), 201)
    return made


def logs(call: Caller) -> dict[str, str]:
    found = call.ok("GET", f"{RUNS}/one/details?api-version=v1.0")["logFiles"]
    assert isinstance(found, dict)
    return {name: str(url).removeprefix(ORIGIN) for name, url in found.items()}


def test_discovery_needs_no_token_and_names_this_host(call: Caller) -> None:
    found = call.routes.find("GET", "/discovery")
    assert found is not None
    assert not found[0].auth
    assert call.ok("GET", "/discovery")["api"] == f"{ORIGIN}/"


def test_details_of_a_waiting_run(call: Caller) -> None:
    details = call.ok("GET", f"{RUNS}/one/details?api-version=v1.0")
    expected: dict[str, Json] = {
        "runId": "one",
        "target": "cpu",
        "status": "NotStarted",
        "startTimeUtc": None,
        "error": None,
        "logFiles": {},
    }
    assert {name: details[name] for name in expected} == expected


def test_a_log_on_the_node_grows_and_is_read_from_where_the_reader_was(call: Caller, tmp_path: Path) -> None:
    log = tmp_path / "run" / layout.USER_LOG
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\n")
    jobrecords.update(call.cloud, JOB, status="Running", run_dir=str(tmp_path / "run"))
    (address,) = logs(call).values()
    assert call("GET", address).body == b"one\n"
    assert call("GET", address, b"", {"Range": "bytes=4-"}).status == 416
    with log.open("ab") as file:
        file.write(b"two\n")
    tail = call("GET", address, b"", {"Range": "bytes=4-"})
    assert (tail.status, tail.body, tail.headers["Content-Range"]) == (206, b"two\n", "bytes 4-7/8")
    assert tail.headers["x-ms-blob-type"] == "AppendBlob"


def test_a_logs_signature_opens_that_log_only(call: Caller, tmp_path: Path) -> None:
    names = [layout.BUILD_LOG, "user_logs/std_log_process_0.txt", "user_logs/std_log_process_1.txt"]
    for name in names:
        log = tmp_path / "run" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"x")
    jobrecords.update(call.cloud, JOB, run_dir=str(tmp_path / "run"))
    addresses = logs(call)
    assert list(addresses) == names
    other = addresses[names[1]].replace(names[1], names[2])
    assert call("GET", other).status == 403


def test_logs_of_an_ended_run_are_blobs(call: Caller) -> None:
    workspace = ml.by_id(call.cloud, WS)
    assert workspace is not None
    where = uris.datastore(call.cloud, workspace, uris.ARTIFACTS)
    blobstore.put(
        call.cloud, where, f"{live.prefix('one')}user_logs/std_log.txt", blobstore.stage(call.cloud, [b"end\n"])
    )
    (address,) = logs(call).values()
    assert call("GET", address).body == b"end\n"


def test_a_failed_run_tells_why(call: Caller) -> None:
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    runs.end_now(call.cloud, record, "Failed", "no disk", "UserError")
    error = call.ok("GET", f"{RUNS}/one/details")["error"]
    assert isinstance(error, dict)
    inner = error["error"]
    assert isinstance(inner, dict)
    assert (inner["code"], inner["message"]) == ("UserError", "no disk")


def test_run_data_has_the_metadata_that_the_sdk_reads(call: Caller) -> None:
    answer = call.ok("POST", f"/history/v1.0{WS}/rundata?api-version=v1.0", {"runId": "one"})
    metadata = answer["runMetadata"]
    assert isinstance(metadata, dict)
    assert (metadata["runId"], metadata["status"], metadata["outputs"]) == ("one", "NotStarted", {})


def test_an_unknown_run_is_404(call: Caller) -> None:
    assert call("GET", f"{RUNS}/other/details").status == 404
