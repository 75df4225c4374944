"""Jobs on several nodes of a cluster: their processes, logs and ends, and what a kill of the emulator leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import distributions, endings, jobrecords, materialise, nodeproc, runs
from node import launch, layout, processes
from node import status as statuses
from node.status import Status
from tests.emulator.dataplane_kit import CPU, SPOT, WS, compute

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.materialise import Plan
    from emulator.routing import Json
    from tests.emulator.site_kit import Site

TWO: dict[str, Json] = {"resources": {"instanceCount": 2}}
PYTORCH: dict[str, Json] = {**TWO, "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 2}}
ALLREDUCE = """python -c "
import os, socket, time
rank, world = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
where = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
if rank == 0:
    server = socket.create_server(where)
    peers = [server.accept()[0] for _ in range(world - 1)]
    total = 1 + sum(int(peer.recv(64)) for peer in peers)
    [peer.sendall(str(total).encode()) for peer in peers]
else:
    while True:
        try:
            peer = socket.create_connection(where); break
        except OSError:
            time.sleep(0.05)
    peer.sendall(str(rank + 1).encode())
    total = int(peer.recv(64))
print('rank', rank, 'of', world, 'sum', total, 'node', os.environ['NODE_RANK'])
"
"""
"""Rank r gives r + 1 and learns the sum of all."""


def test_each_node_is_told_its_place(tmp_path: Path) -> None:
    dirs = [tmp_path / "a", tmp_path / "b"]
    first, second = distributions.describe({"distributionType": "PyTorch", "processCountPerInstance": 2}, dirs)
    assert first is not None
    assert second is not None
    port = first.pop("master_port")
    assert isinstance(port, int)
    assert first == {"kind": "pytorch", "nodes": ["127.0.0.1"] * 2, "processes": 2, "node_rank": 0}
    assert second == {**first, "node_rank": 1, "master_port": port}


def test_mpi_and_tensorflow_are_told_the_folders_of_all_nodes(tmp_path: Path) -> None:
    dirs = [tmp_path / "a", tmp_path / "b"]
    mpi = distributions.describe({"distributionType": "Mpi"}, dirs)[0] or {}
    assert (mpi["kind"], mpi["processes"], mpi["peers"]) == ("mpi", 1, [str(folder) for folder in dirs])
    flow = distributions.describe({"distributionType": "TensorFlow", "parameterServerCount": 1}, dirs)[1] or {}
    ports = flow.pop("ports")
    assert isinstance(ports, list)
    assert len({*map(str, ports)}) == 3
    assert {key: flow[key] for key in ("workers", "parameter_servers", "processes", "node_rank")} == {
        "workers": 2,
        "parameter_servers": 1,
        "processes": 2,
        "node_rank": 1,
    }


def test_one_plain_process_is_told_nothing(tmp_path: Path) -> None:
    assert distributions.describe({}, [tmp_path]) == [None]
    assert [(one or {})["kind"] for one in distributions.describe({}, [tmp_path, tmp_path])] == ["none", "none"]


def end(state: str, moment: str, code: int = 0) -> Status:
    return Status(state, exit_code=code, reason=f"at {moment}", times={"ended": moment})


def test_the_first_node_that_failed_decides() -> None:
    done, canceled = end(statuses.COMPLETED, "1"), end(statuses.CANCELED, "2")
    late, early = end(statuses.FAILED, "4", 1), end(statuses.FAILED, "3", 2)
    assert endings.decisive([done, late, early, canceled]) == (2, early)
    assert endings.decisive([done, canceled]) == (1, canceled)
    assert endings.decisive([done, done]) == (0, done)
    assert endings.reason(early, 2) == "Node 2: at 3"
    assert endings.reason(early, None) == "at 3"


@pytest.mark.processes
def test_the_command_runs_on_every_node_and_each_has_its_log(site: Site) -> None:
    site.submit("both", "echo node $NODE_RANK of $AZUREML_NODE_COUNT; echo $NODE_RANK > outputs/$NODE_RANK", **TWO)
    record = site.ended("both")
    assert (record.status, record.reason, len(record.node_ids), len(record.dirs)) == ("Completed", None, 2, 2)
    assert site.stored("both") == [
        "azureml-logs/20_image_build_log.txt",
        "outputs/0",
        "outputs/1",
        "user_logs/std_log_process_0.txt",
        "user_logs/std_log_process_1.txt",
    ]
    assert site.output("both", "user_logs/std_log_process_1.txt") == b"node 1 of 2\n"
    details = site.call.ok("GET", f"/history/v1.0{WS}/runs/both/details")["logFiles"]
    assert isinstance(details, dict)
    assert list(details) == [name for name in site.stored("both") if "log" in name]


@pytest.mark.processes
def test_two_processes_on_each_of_two_nodes_sum_over_sockets(site: Site) -> None:
    site.submit("sum", ALLREDUCE, **PYTORCH)
    record = site.ended("sum")
    said = [site.output("sum", f"user_logs/std_log_process_{rank}.txt").decode() for rank in range(4)]
    assert (record.status, record.reason) == ("Completed", None), said
    assert said == [f"rank {rank} of 4 sum 10 node {rank // 2}\n" for rank in range(4)]


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs mpirun (Debian: openmpi-bin)")
def test_mpirun_starts_the_processes_of_all_nodes(site: Site) -> None:
    more: dict[str, Json] = {**TWO, "distribution": {"distributionType": "Mpi", "processCountPerInstance": 2}}
    site.submit("mpi", 'echo rank $RANK of $WORLD_SIZE; pwd > "outputs/$RANK"', **more)
    record = site.ended("mpi")
    assert (record.status, record.reason) == ("Completed", None)
    said = [site.output("mpi", f"user_logs/std_log_process_{rank}.txt").decode() for rank in range(4)]
    assert said == [f"rank {rank} of 4\n" for rank in range(4)]
    folders = [Path(site.output("mpi", f"outputs/{rank}").decode().strip()) for rank in range(4)]
    assert folders == [layout.workdir(record.dirs[rank // 2]) for rank in range(4)]


@pytest.mark.processes
def test_the_first_failing_node_ends_the_others(site: Site) -> None:
    site.submit("half", '[ "$NODE_RANK" = 1 ] && exit 7; sleep 60', **TWO)
    record = site.ended("half")
    assert (record.status, record.exit_code, record.error_code) == ("Failed", 7, "UserError")
    assert str(record.reason).startswith("Node 1: ")


@pytest.mark.processes
def test_cancel_ends_all_nodes(site: Site) -> None:
    site.submit("stop", "sleep 60", **TWO)
    marks = [str((statuses.read(folder) or Status("")).mark) for folder in site.running("stop").dirs]
    assert site.call("POST", f"{WS}/jobs/stop/cancel").status == 202
    assert site.ended("stop").status == "Canceled"
    assert [processes.marked(mark) for mark in marks] == [[], []]


@pytest.mark.processes
@pytest.mark.parametrize("rank", [0, 1])
def test_the_death_of_any_node_fails_the_job_and_frees_the_other(site: Site, rank: int) -> None:
    site.submit("lost", "sleep 60", **TWO)
    record = site.running("lost")
    marks = [str((statuses.read(folder) or Status("")).mark) for folder in record.dirs]
    machine = site.clusters._fleet.get(record.node_ids[rank])
    assert machine is not None
    os.kill(machine.pid, signal.SIGKILL)
    ended = site.ended("lost")
    assert (ended.status, ended.error_code) == ("Failed", "NodeLost")
    assert [processes.marked(mark) for mark in marks] == [[], []]
    site.wait(lambda: [entry["nodeState"] for entry in site.clusters.nodes(CPU)] == ["idle"])


@pytest.mark.processes
def test_an_eviction_takes_one_node_and_the_job(site: Site) -> None:
    site.cloud.state.put(SPOT, compute(SPOT, most=2, priority="LowPriority"))
    site.submit("cheap", "sleep 60", computeId=SPOT, **TWO)
    site.running("cheap")
    assert site.call("POST", f"{SPOT}/trainyard.evict").status == 200
    record = site.record("cheap")
    assert (record.status, record.error_code) == ("Failed", "NodePreempted")
    site.wait(lambda: sorted(str(one["nodeState"]) for one in site.clusters.nodes(SPOT)) == ["idle", "preempted"])


@pytest.mark.processes
def test_jobs_of_two_nodes_take_turns_on_two_nodes(site: Site) -> None:
    for name in ("one", "two"):
        site.submit(
            name, f"date +%s%N > outputs/{name}-$NODE_RANK; sleep 0.2; date +%s%N >> outputs/{name}-$NODE_RANK", **TWO
        )
    first, second = site.ended("one"), site.ended("two")
    assert (first.status, second.status) == ("Completed", "Completed")
    assert sorted(first.node_ids) == sorted(second.node_ids)
    assert str(first.ended) <= str(second.started)


@pytest.mark.processes
def test_metrics_of_all_nodes_are_the_runs(site: Site) -> None:
    log = (
        "import json, os, urllib.request as r; e = os.environ; "
        "b = json.dumps(dict(run_id=e['MLFLOW_RUN_ID'], key='m' + e['NODE_RANK'], value=1.5, timestamp=1, step=0)); "
        "q = r.Request(e['MLFLOW_TRACKING_URI'] + '/api/2.0/mlflow/runs/log-metric', b.encode(), "
        "{'Content-Type': 'application/json', 'Authorization': 'Bearer ' + e['MLFLOW_TRACKING_TOKEN']}); r.urlopen(q)"
    )
    site.submit("metrics", f'python -c "{log}"', **TWO)
    assert site.ended("metrics").status == "Completed"
    run = site.call.ok("GET", f"/mlflow/v2.0{WS}/api/2.0/mlflow/runs/get?run_id=metrics")["run"]
    assert isinstance(run, dict)
    data = run["data"]
    assert isinstance(data, dict)
    assert sorted(str(metric["key"]) for metric in data["metrics"]) == ["m0", "m1"]  # type: ignore[index, union-attr, call-overload]


@pytest.mark.processes
def test_a_new_emulator_finds_all_nodes_running(site: Site) -> None:
    site.submit("long", 'sleep 1.5; echo "$NODE_RANK" > outputs/$NODE_RANK', **TWO)
    site.running("long")
    site.again()
    record = site.ended("long")
    assert (record.status, record.reason) == ("Completed", None)
    assert [site.output("long", f"outputs/{rank}") for rank in (0, 1)] == [b"0\n", b"1\n"]


@pytest.mark.processes
def test_a_kill_between_two_starts_is_made_good_and_nothing_runs_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    started: list[Path] = []
    real = launch.start

    def once(run_dir: Path) -> None:
        if started:
            raise RuntimeError("killed")  # with `end_now` gone as well, nothing after it is done
        started.append(run_dir)
        real(run_dir)

    monkeypatch.setattr(launch, "start", once)
    monkeypatch.setattr(runs, "end_now", lambda *_: None)
    site.submit("split", f'echo "$NODE_RANK" >> {witness}; sleep 0.5', **TWO)
    site.wait(lambda: bool(started) and not site.clusters._shared.launching)
    monkeypatch.undo()
    site.again()
    record = site.ended("split")
    assert (record.status, record.reason) == ("Completed", None)
    assert sorted(witness.read_text().split()) == ["0", "1"]


@pytest.mark.processes
def test_a_run_whose_nodes_went_before_it_was_started_waits_for_others(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(runs, "launch", lambda *_: go_on.wait(30))  # as if it was killed before anything started
    site.submit("again", f"echo x >> {tmp_path}/witness-$NODE_RANK", **TWO)
    site.wait(lambda: site.record("again").run_dir is not None)
    site.abandon()
    go_on.set()
    monkeypatch.undo()
    before = site.record("again").node_ids
    for machine in site.clusters._fleet.all():
        site.clusters._fleet.kill(machine)
    site.again()
    record = site.ended("again")
    assert (record.status, record.reason, set(record.node_ids) & set(before)) == ("Completed", None, set())
    assert [(tmp_path / f"witness-{rank}").read_text() for rank in (0, 1)] == ["x\n", "x\n"]


@pytest.mark.processes
def test_a_node_without_a_supervisor_stays_while_the_run_goes_on(site: Site) -> None:
    more: dict[str, Json] = {**TWO, "distribution": {"distributionType": "Mpi"}}
    site.submit("held", "sleep 60", **more)
    if shutil.which("mpirun") is None:
        assert site.ended("held").status == "Failed"
        return
    record = site.running("held")
    machines = [record.dirs[rank].parent.parent for rank in (0, 1)]
    assert [nodeproc.busy(str(machine)) for machine in machines] == [True, True]


@pytest.mark.processes
def test_a_cancel_while_the_folders_are_filled_is_not_lost_and_does_not_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filling, go_on = threading.Event(), threading.Event()
    real = materialise.build

    def slow(cloud: Cloud, record: Record) -> Plan:
        filling.set()
        assert go_on.wait(30)
        return real(cloud, record)

    monkeypatch.setattr(materialise, "build", slow)
    site.submit("never", f"touch {tmp_path}/ran", **TWO)
    assert filling.wait(30)
    assert site.call("POST", f"{WS}/jobs/never/cancel").status == 202
    assert site.ended("never").status == "Canceled"
    go_on.set()
    site.wait(lambda: [entry["nodeState"] for entry in site.clusters.nodes(CPU)] == ["idle", "idle"])
    assert not any(folder.exists() for folder in site.record("never").dirs)
    assert not (tmp_path / "ran").exists()


@pytest.mark.processes
def test_tensorflow_tells_each_task_the_whole_cluster(site: Site) -> None:
    more: dict[str, Json] = {**TWO, "distribution": {"distributionType": "TensorFlow", "parameterServerCount": 1}}
    site.submit("flow", 'echo "$TF_CONFIG"; case "$TF_CONFIG" in *\'"type": "ps"\'*) sleep 60;; esac', **more)
    record = site.ended("flow")
    assert (record.status, record.reason) == ("Completed", None)
    names = ["std_log_process_0.txt", "std_log_process_1.txt", "std_log_process_2_ps.txt"]
    found = [json.loads(site.output("flow", f"user_logs/{name}")) for name in names]
    assert [(one["task"]["type"], one["task"]["index"]) for one in found] == [("worker", 0), ("worker", 1), ("ps", 0)]
    clusters = [one["cluster"] for one in found]
    assert [len(clusters[0][role]) for role in ("worker", "ps")] == [2, 1]
    assert clusters == [clusters[0]] * 3


@pytest.mark.processes
def test_a_job_out_of_time_fails_on_all_nodes(site: Site) -> None:
    site.submit("slow", "sleep 60", limits={"jobLimitsType": "Command", "timeout": "PT1S"}, **TWO)
    record = site.ended("slow")
    assert (record.status, record.error_code) == ("Failed", "UserError")
    assert "timeout: the command ran longer than 1 s" in str(record.reason)


@pytest.mark.processes
def test_the_folders_of_all_nodes_are_filled_before_the_first_starts(site: Site) -> None:
    site.submit("whole", "sleep 60", **TWO)
    record = site.running("whole")
    found = [json.loads((folder / layout.JOB).read_text())["distribution"] for folder in record.dirs]
    assert [entry["node_rank"] for entry in found] == [0, 1]
    assert found[0]["master_port"] == found[1]["master_port"]
    assert jobrecords.get(site.cloud, record.job_id) == record
