"""MLflow's REST API: runs of jobs with what their node logged, runs of other clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator import jobrecords, runs, runstore
from node import layout
from tests.emulator.dataplane_kit import WS, Caller, Clock, cloud, command_job, with_environment

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Json

API = f"/mlflow/v2.0{WS}/api/2.0/mlflow"
JOB = f"{WS}/jobs/one"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(cloud(tmp_path, Clock()))
    with_environment(made)
    made.ok("PUT", JOB, command_job(tags={"team": "a"}), 201)
    return made


def run_of(answer: dict[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    run = answer["run"]
    assert isinstance(run, dict)
    info, data = run["info"], run["data"]
    assert isinstance(info, dict)
    assert isinstance(data, dict)
    return info, data


def values(data: dict[str, Json], kind: str) -> dict[str, Json]:
    pairs = data[kind]
    assert isinstance(pairs, list)
    return {str(pair["key"]): pair["value"] for pair in pairs if isinstance(pair, dict)}


def on_node(call: Caller, folder: Path, *rows: tuple[str, Json, int]) -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"key": key, "value": value, "timestamp": 5, "step": step}) + "\n" for key, value, step in rows]
    (folder / layout.METRICS).write_text("".join(lines))
    (folder / layout.PARAMS).write_text('{"lr": "0.1"}')
    jobrecords.update(call.cloud, JOB, status="Running", run_dir=str(folder))


def test_a_job_is_a_run_of_its_experiment(call: Caller) -> None:
    experiment = call.ok("GET", f"{API}/experiments/get-by-name?experiment_name=exp")["experiment"]
    assert isinstance(experiment, dict)
    found = call.ok("POST", f"{API}/runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    assert isinstance(found, list)
    assert len(found) == 1
    info, data = run_of(call.ok("GET", f"{API}/runs/get?run_id=one"))
    assert (info["run_id"], info["status"], values(data, "tags")["team"]) == ("one", "SCHEDULED", "a")


def test_what_a_running_job_logged_is_seen_at_once(call: Caller, tmp_path: Path) -> None:
    on_node(call, tmp_path / "run", ("loss", 0.5, 0), ("loss", 0.25, 1), ("odd", "NaN", 0))
    info, data = run_of(call.ok("GET", f"{API}/runs/get?run_id=one"))
    assert info["status"] == "RUNNING"
    assert values(data, "metrics") == {"loss": 0.25, "odd": "NaN"}
    assert values(data, "params") == {"lr": "0.1"}
    history = call.ok("GET", f"{API}/metrics/get-history?run_id=one&metric_key=loss")["metrics"]
    assert history == [
        {"key": "loss", "value": 0.5, "timestamp": 5, "step": 0},
        {"key": "loss", "value": 0.25, "timestamp": 5, "step": 1},
    ]


def test_what_a_job_logged_is_kept_once_when_it_is_collected_twice(call: Caller, tmp_path: Path) -> None:
    on_node(call, tmp_path / "run", ("acc", 0.9, 0))
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    for _ in range(2):
        runstore.collected(call.cloud, record)
    runs.end_now(call.cloud, record, "Completed", "")
    info, data = run_of(call.ok("GET", f"{API}/runs/get?run_id=one"))
    assert (info["status"], values(data, "metrics"), values(data, "params")) == (
        "FINISHED",
        {"acc": 0.9},
        {"lr": "0.1"},
    )
    history = call.ok("GET", f"{API}/metrics/get-history?run_id=one&metric_key=acc")["metrics"]
    assert isinstance(history, list)
    assert len(history) == 1


@pytest.mark.parametrize(("status", "shown"), [("Failed", "FAILED"), ("Canceled", "KILLED")])
def test_a_jobs_end_is_its_runs_end(call: Caller, status: str, shown: str) -> None:
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    runs.end_now(call.cloud, record, status, "because")
    assert run_of(call.ok("GET", f"{API}/runs/get?run_id=one"))[0]["status"] == shown


def test_another_client_makes_logs_and_ends_a_run(call: Caller) -> None:
    id_ = call.ok("POST", f"{API}/experiments/create", {"name": "ssh"})["experiment_id"]
    tags: Json = [{"key": "host", "value": "vm1"}]
    info, _ = run_of(call.ok("POST", f"{API}/runs/create", {"experiment_id": id_, "run_name": "r", "tags": tags}))
    run = {"run_id": info["run_id"]}
    call.ok("POST", f"{API}/runs/log-metric", {**run, "key": "m", "value": 1.5, "timestamp": 7, "step": 2})
    call.ok("POST", f"{API}/runs/log-parameter", {**run, "key": "p", "value": "x"})
    batch: Json = [{"key": "m", "value": 2.5, "timestamp": 8, "step": 3}]
    call.ok("POST", f"{API}/runs/log-batch", {**run, "metrics": batch, "tags": [{"key": "t", "value": "u"}]})
    call.ok("POST", f"{API}/runs/update", {**run, "status": "FINISHED", "end_time": 9})
    info, data = run_of(call.ok("GET", f"{API}/runs/get?run_id={info['run_id']}"))
    assert (info["status"], info["end_time"], values(data, "metrics")) == ("FINISHED", 9, {"m": 2.5})
    assert values(data, "tags") == {"host": "vm1", "mlflow.runName": "r", "t": "u"}
    body: Json = {"experiment_ids": [id_], "filter": "tags.host = 'vm1' and attributes.status = 'FINISHED'"}
    found = call.ok("POST", f"{API}/runs/search", body)["runs"]
    assert isinstance(found, list)
    assert len(found) == 1


def test_a_run_that_is_no_job_is_found_by_a_quoted_tag(call: Caller) -> None:
    id_ = call.ok("POST", f"{API}/experiments/create", {"name": "machines"})["experiment_id"]
    for name in ("a and b", "c"):
        tags: Json = [{"key": "trainyard.run", "value": name}, {"key": "trainyard.host", "value": "vm1"}]
        call.ok("POST", f"{API}/runs/create", {"experiment_id": id_, "run_name": name, "tags": tags})

    def names(text: str) -> list[str]:
        found = call.ok("POST", f"{API}/runs/search", {"experiment_ids": [id_], "filter": text})["runs"]
        assert isinstance(found, list)
        return [str(run_of({"run": run})[0]["run_name"]) for run in found]

    assert names("tags.\"trainyard.run\" = 'a and b'") == ["a and b"]
    assert names("tags.`trainyard.run` = 'c' AND tags.trainyard.host = \"vm1\"") == ["c"]
    assert names("tags.trainyard.run != 'c' and run_name = 'a and b'") == ["a and b"]
    assert names("tags.other != 'c'") == []
    [run] = [name for name in names("attributes.status = 'RUNNING'") if name == "c"]
    assert run == "c"


def test_a_parameter_does_not_change(call: Caller) -> None:
    call.ok("POST", f"{API}/runs/log-parameter", {"run_id": "one", "key": "p", "value": "x"})
    answer = call("POST", f"{API}/runs/log-parameter", {"run_id": "one", "key": "p", "value": "y"})
    assert isinstance(answer.body, dict)
    assert (answer.status, answer.body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_search_pages(call: Caller) -> None:
    id_ = call.ok("POST", f"{API}/experiments/create", {"name": "many"})["experiment_id"]
    for _ in range(3):
        call.ok("POST", f"{API}/runs/create", {"experiment_id": id_})
    seen: list[str] = []
    token: Json = None
    for _ in range(2):
        answer = call.ok("POST", f"{API}/runs/search", {"experiment_ids": [id_], "max_results": 2, "page_token": token})
        page = answer["runs"]
        assert isinstance(page, list)
        seen += [str(run_of({"run": run})[0]["run_id"]) for run in page]
        token = answer.get("next_page_token")
    assert len(set(seen)) == 3
    assert token is None


def test_search_orders_by_a_metric_and_runs_without_it_come_last(call: Caller) -> None:
    id_ = call.ok("POST", f"{API}/experiments/create", {"name": "many"})["experiment_id"]
    for name, value in (("low", 0.1), ("none", None), ("high", 0.9)):
        info, _ = run_of(call.ok("POST", f"{API}/runs/create", {"experiment_id": id_, "run_name": name}))
        if value is not None:
            call.ok("POST", f"{API}/runs/log-metric", {"run_id": info["run_id"], "key": "acc", "value": value})
    body: Json = {"experiment_ids": [id_], "order_by": ["metrics.acc DESC"]}
    found = call.ok("POST", f"{API}/runs/search", body)["runs"]
    assert isinstance(found, list)
    assert [run_of({"run": run})[0]["run_name"] for run in found] == ["high", "low", "none"]


def test_a_filter_that_is_not_played_is_said(call: Caller) -> None:
    answer = call("POST", f"{API}/runs/search", {"experiment_ids": [], "filter": "metrics.m > 3"})
    assert answer.status == 501
    assert answer.body == {
        "error_code": "NOT_IMPLEMENTED",
        "message": "The filter 'metrics.m > 3' of runs/search is not played by this emulator.",
    }


@pytest.mark.parametrize("path", ["runs/get?run_id=none", "metrics/get-history?run_id=none&metric_key=a"])
def test_an_unknown_run_is_404_in_mlflows_words(call: Caller, path: str) -> None:
    answer = call("GET", f"{API}/{path}")
    assert answer.status == 404
    assert answer.body == {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run with id=none not found"}
