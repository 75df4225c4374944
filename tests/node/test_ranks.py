"""Real supervisors of several processes: their logs, how one ends all, and what is left when something is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from node import control, launch, layout, processes, reading
from node import status as statuses

if TYPE_CHECKING:
    from pathlib import Path

    from node.layout import Json
    from node.status import Status
    from tests.node.conftest import Runs

pytestmark = pytest.mark.processes
KINDS = ("pytorch", "mpi")
LOGGER = """
import json, os, urllib.request
for step in range(5):
    metric = {"key": "loss" + os.environ["RANK"], "value": step, "timestamp": 1, "step": step}
    body = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], **metric}).encode()
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()
"""
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"


def spread(kind: str = "pytorch", count: int = 4, **more: Json) -> dict[str, Json]:
    return {"kind": kind, "nodes": ["127.0.0.1"], "processes": count, **more}


def log(run_dir: Path, number: int) -> Path:
    return run_dir / layout.rank_log(number, 2)


def up(runs: Runs, run_dir: Path, count: int) -> Status:
    logs = [log(run_dir, number) for number in range(count)]
    runs.until(lambda: all(path.exists() and b"up\n" in path.read_bytes() for path in logs) or None)
    return runs.running(run_dir)


def gone(status: Status) -> bool:
    return processes.marked(str(status.mark)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_process_has_its_variables_and_every_byte_of_its_own_log(runs: Runs, kind: str) -> None:
    names = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK MASTER_ADDR AZUREML_NODE_COUNT"
    run_dir = runs.create(
        f'for name in {names}; do printf "%s=%s " $name "${{!name}}"; done; echo; cat bytes.bin; cat bytes.bin >&2',
        distribution=spread(kind),
    )
    content = bytes(range(256)) + b"\r\xff no newline at the end"
    (layout.private_dir(run_dir / layout.CODE) / "bytes.bin").write_bytes(content)
    launch.start(run_dir)
    status = runs.end(run_dir)
    assert (status.state, status.exit_code, status.reason) == (statuses.COMPLETED, 0, None)
    for number in range(4):
        told = (
            f"RANK={number} WORLD_SIZE=4 LOCAL_RANK={number} LOCAL_WORLD_SIZE=4 NODE_RANK=0 "
            "MASTER_ADDR=127.0.0.1 AZUREML_NODE_COUNT=1 \n"
        )
        assert log(run_dir, number).read_bytes() == told.encode() + content + content
    own = [layout.rank_log(number, 4) for number in range(4)]
    assert layout.logs(run_dir) == [*own, *([layout.MPIRUN_LOG] if kind == "mpi" else [])]
    assert (run_dir / layout.SUPERVISOR_LOG).read_text() == ""
    if kind == "mpi":
        assert (run_dir / layout.MPIRUN_LOG).read_bytes() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_values_reach_every_process_unchanged(runs: Runs, kind: str) -> None:
    payloads = [
        "", " ", "-n", "--help", "a b", "it's", '"', "\\", "\n", "a\nb\n", "\t", "$HOME", "$(id)", "`id`", "; id #",
        "&& id", "*", "~", "{a,b}", "%s", "!x", "é ü 日本 🚀", "\x7f", "=x", "a=b", "'$(id)'", "\r", "<(id)", "|id",
        "@RANKS@",
    ]  # fmt: skip
    ask = 'import json, os, sys; print(json.dumps([sys.argv[1:], [os.environ[f"V{i}"] for i in range(%d)]]))'
    names = " ".join(f"${{{{inputs.x{number}}}}}" for number in range(len(payloads)))
    run_dir = runs.create(
        f'"$PY" -c "$ASK" {names}',
        distribution=spread(kind, 2),
        inputs={f"x{number}": {"value": value} for number, value in enumerate(payloads)},
        environment_variables={
            "PY": sys.executable,
            "ASK": ask % len(payloads),
            **{f"V{number}": value for number, value in enumerate(payloads)},
        },
    )
    launch.start(run_dir)
    assert runs.end(run_dir).state == statuses.COMPLETED
    for number in (0, 1):
        assert json.loads(log(run_dir, number).read_bytes()) == [payloads, payloads]


@pytest.mark.parametrize("kind", KINDS)
def test_all_are_told_one_place_to_meet(runs: Runs, kind: str) -> None:
    ask = 'echo "$MASTER_ADDR:$MASTER_PORT $AZ_BATCH_MASTER_NODE $AZ_BATCHAI_MPI_MASTER_NODE"'
    run_dir = runs.start(ask, distribution=spread(kind, 2, master_port=29500))
    assert runs.end(run_dir).state == statuses.COMPLETED
    told = b"127.0.0.1:29500 127.0.0.1:29500 127.0.0.1\n"
    assert [log(run_dir, number).read_bytes() for number in (0, 1)] == [told, told]


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_fails_ends_all_and_is_named(runs: Runs, kind: str) -> None:
    run_dir = runs.start("echo up; [ $RANK = 2 ] && exit 7; sleep 60", distribution=spread(kind), grace_s=0.3)
    status = runs.end(run_dir)
    assert (status.state, status.exit_code) == (statuses.FAILED, 7)
    assert status.reason == "rank 2 exited with code 7; see user_logs/std_log_process_2.txt"
    assert gone(status)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_killed_ends_all_and_is_named(runs: Runs, kind: str) -> None:
    run_dir = runs.start("echo $PPID > pid$RANK; echo up; sleep 60 & wait", distribution=spread(kind), grace_s=0.3)
    status = up(runs, run_dir, 4)
    # That which mpirun started is above the command, and can then say nothing more.
    above = int((run_dir / layout.CODE / "pid1").read_text())
    os.kill(above if kind == "mpi" else status.leaders[1].pid, signal.SIGKILL)
    ended = runs.end(run_dir)
    assert (ended.state, ended.exit_code) == (statuses.FAILED, 137)
    assert ended.reason == "rank 1 was ended by signal SIGKILL; see user_logs/std_log_process_1.txt"
    assert gone(status)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_supervisors_processes_are_all_ended_by_whoever_looks(runs: Runs, kind: str) -> None:
    run_dir = runs.start("setsid sleep 61 & echo up; sleep 60", distribution=spread(kind))
    status = up(runs, run_dir, 4)
    assert status.supervisor is not None
    assert len(status.leaders) == (1 if kind == "mpi" else 4)
    os.kill(status.supervisor.pid, signal.SIGKILL)
    assert runs.end(run_dir).reason == "the supervisor died while the run was Running (it was killed)"
    settled = control.settle(run_dir)
    assert settled.state == statuses.FAILED
    assert gone(status)


def test_processes_that_hid_the_runs_mark_are_found_by_their_session(runs: Runs) -> None:
    run_dir = runs.start("echo up; exec env -i /bin/sleep 63", distribution=spread(count=2))
    status = up(runs, run_dir, 2)
    assert status.supervisor is not None
    runs.until(lambda: gone(status) or None)
    pids = [leader.pid for leader in status.leaders]
    assert processes.members(*pids) == pids
    os.kill(status.supervisor.pid, signal.SIGKILL)
    runs.end(run_dir)
    control.settle(run_dir)
    assert processes.members(*pids) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_ends_processes_that_ignore_term(runs: Runs, kind: str) -> None:
    run_dir = runs.start(STUBBORN, distribution=spread(kind), grace_s=0.5)
    status = up(runs, run_dir, 4)
    before = time.monotonic()
    assert control.cancel(run_dir, "enough") is True
    ended = runs.end(run_dir)
    assert time.monotonic() - before < 10
    assert (ended.state, ended.reason) == (statuses.CANCELED, "enough")
    assert gone(status)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_out_of_time_are_ended(runs: Runs, kind: str) -> None:
    run_dir = runs.start(STUBBORN, distribution=spread(kind, 2), timeout_s=1, grace_s=0.3)
    ended = runs.end(run_dir)
    assert (ended.state, ended.reason) == (statuses.FAILED, "timeout: the command ran longer than 1 s")
    assert gone(ended)


def test_workers_end_the_parameter_servers_when_they_are_done(runs: Runs) -> None:
    run_dir = runs.start(
        'case $TF_CONFIG in *\'"type": "ps"\'*) echo serving; sleep 60;; *) sleep 0.2;; esac',
        distribution={**spread("tensorflow"), "workers": 2, "parameter_servers": 1},
        grace_s=0.3,
    )
    status = runs.end(run_dir)
    assert (status.state, status.exit_code, status.reason) == (statuses.COMPLETED, 0, None)
    assert layout.logs(run_dir) == [
        "user_logs/std_log_process_0.txt", "user_logs/std_log_process_1.txt", "user_logs/std_log_process_2_ps.txt",
    ]  # fmt: skip
    assert (run_dir / "user_logs/std_log_process_2_ps.txt").read_bytes() == b"serving\n"
    assert gone(status)


def test_a_parameter_server_that_fails_is_named(runs: Runs) -> None:
    run_dir = runs.start(
        "[ $RANK = 1 ] && exit 4; sleep 60",
        distribution={**spread("tensorflow"), "workers": 1, "parameter_servers": 1},
        grace_s=0.3,
    )
    assert runs.end(run_dir).reason == (
        "parameter server 0 (rank 1) exited with code 4; see user_logs/std_log_process_1_ps.txt"
    )


def test_parameter_servers_outlast_the_workers_of_the_other_nodes(runs: Runs) -> None:
    peers: list[Json] = [str(runs.root / "run0"), str(runs.root / "run1")]
    more: dict[str, Json] = {"workers": 2, "parameter_servers": 1, "ports": [1, 2, 3], "peers": peers}
    two: dict[str, Json] = {**spread("tensorflow", 1), "nodes": ["127.0.0.1"] * 2, "master_port": 29500, **more}
    command = "case $RANK in 0) true;; 1) until [ -e go ]; do sleep 0.05; done;; 2) echo serving; sleep 60;; esac"
    first = runs.start(command, distribution={**two, "node_rank": 0}, grace_s=0.3)
    second = runs.start(command, distribution={**two, "node_rank": 1}, grace_s=0.3)
    runs.until(lambda: (first / layout.WORKERS_DONE).exists() or None)
    runs.running(second)
    assert runs.running(first).state == statuses.RUNNING
    (second / layout.CODE / "go").write_text("")
    assert runs.end(second).state == statuses.COMPLETED
    assert runs.end(first).state == statuses.COMPLETED


def test_a_job_of_several_nodes_without_distribution_runs_once_for_each(runs: Runs) -> None:
    run_dir = runs.start("echo $NODE_RANK $RANK", distribution=spread("none", 2))
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert [log(run_dir, number).read_bytes() for number in (0, 1)] == [b"0 0\n", b"0 1\n"]


def test_one_process_that_is_told_its_rank_has_the_plain_log(runs: Runs) -> None:
    run_dir = runs.start("echo $RANK of $WORLD_SIZE; exit 3", distribution=spread("pytorch", 1))
    assert runs.end(run_dir).reason == "the command exited with code 3"
    assert runs.log(run_dir) == b"0 of 1\n"


def test_mpirun_on_one_node_runs_the_processes_of_all_nodes_in_their_folders(runs: Runs) -> None:
    command = (
        'printf "%s %s %s %s %s\\n" $RANK $NODE_RANK $LOCAL_RANK $OMPI_COMM_WORLD_LOCAL_RANK "$PWD"; '
        "cat ${{inputs.data}}; echo $RANK >> ${{outputs.model}}/ranks; echo ${{inputs.word}}"
    )
    two: dict[str, Json] = {**spread("mpi", 2), "nodes": ["127.0.0.1"] * 2, "master_port": 29500}
    odd = runs.root / "it's $(node) one"
    two["peers"] = [str(runs.root / "run0"), str(odd)]
    run_dir = runs.create(
        command,
        distribution=two,
        inputs={"data": {"path": "data.txt"}, "word": {"value": "canary '$(x)'"}},
        outputs={"model": {"path": "named/model"}},
    )
    layout.private_dir(odd)
    (run_dir / "data.txt").write_text("zero\n")
    (odd / "data.txt").write_text("one\n")
    launch.start(run_dir)
    assert runs.end(run_dir).state == statuses.COMPLETED
    for number, (folder, word) in enumerate([(run_dir, "zero"), (run_dir, "zero"), (odd, "one"), (odd, "one")]):
        local = number % 2
        expected = f"{number} {number // 2} {local} {local} {folder / layout.CODE}\n{word}\ncanary '$(x)'\n"
        assert log(folder, number).read_text() == expected
    assert sorted((odd / "named/model/ranks").read_text().split()) == ["2", "3"]
    assert layout.logs(odd) == ["user_logs/std_log_process_2.txt", "user_logs/std_log_process_3.txt"]
    holders = [path.name for path in run_dir.iterdir() if path.is_file() and b"canary" in path.read_bytes()]
    assert holders == [layout.JOB]


def test_without_mpirun_the_reason_says_what_to_install(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "bash"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    status = runs.end(runs.start("true", distribution=spread("mpi")))
    assert (status.state, status.reason) == (
        statuses.FAILED,
        "the job's distribution is mpi, and there is no mpirun on this machine. "
        "Install one (apt install openmpi-bin), or one in the job's environment (conda: openmpi)",
    )


def test_another_mpirun_tells_ranks_by_its_own_variable(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    hydra = '#!/bin/sh\nshift 2\nfor PMI_RANK in 0 1; do export PMI_RANK; "$@" & done; wait\n'
    (tools / "mpirun").write_text(hydra)
    (tools / "mpirun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    run_dir = runs.start("echo $RANK of $WORLD_SIZE", distribution=spread("mpi", 2))
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert [log(run_dir, number).read_bytes() for number in (0, 1)] == [b"0 of 2\n", b"1 of 2\n"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_process_is_kept_to_its_memory(runs: Runs, kind: str) -> None:
    run_dir = runs.start("ulimit -v", distribution=spread(kind, 2), limits={"memory_bytes": 1 << 30})
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert [log(run_dir, number).read_bytes() for number in (0, 1)] == [b"1048576\n"] * 2


def test_a_job_sees_the_graphics_processors_that_the_users_shell_chose(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    ask = "echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES"
    run_dir = runs.start(ask, distribution=spread("pytorch", 2))
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert [log(run_dir, number).read_bytes() for number in (0, 1)] == [b"1,3 all\n"] * 2


def test_metrics_of_several_processes_do_not_clash(runs: Runs) -> None:
    run_dir = runs.create("python log.py", distribution=spread(), environment={"interpreter": sys.executable})
    (layout.private_dir(run_dir / layout.CODE) / "log.py").write_text(LOGGER)
    launch.start(run_dir)
    assert runs.end(run_dir).state == statuses.COMPLETED
    found = [(metric.key, metric.value) for metric in reading.metrics(run_dir)]
    for number in range(4):
        assert [value for key, value in found if key == f"loss{number}"] == [0, 1, 2, 3, 4]
    assert len(found) == 20
