"""Pure: what `distribution` in `job.json` may say, and what each process is told."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import distribution, job, layout, ranks
from node.distribution import Distribution, Rank

if TYPE_CHECKING:
    from node.layout import Json

PLAIN = {"run_id": "r", "command": "true"}
TWO_BY_TWO: dict[str, Json] = {
    "kind": "pytorch",
    "nodes": ["10.0.0.4", "10.0.0.5"],
    "node_rank": 1,
    "processes": 2,
    "master_port": 29500,
}


def parsed(**changes: Json) -> Distribution:
    found = distribution.parse({**TWO_BY_TWO, **changes})
    assert found is not None
    return found


def test_a_job_without_distribution_is_one_process() -> None:
    assert job.parse(PLAIN, Path("/run")).distribution is None
    assert job.parse({**PLAIN, "distribution": None}, Path("/run")).distribution is None


def test_every_process_is_told_where_it_stands() -> None:
    spread = parsed()
    assert spread.mine() == [Rank(2, 1, 0, "worker", 2), Rank(3, 1, 1, "worker", 3)]
    assert spread.variables(spread.mine()[1]) == {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "1",
        "MASTER_ADDR": "10.0.0.4",
        "MASTER_PORT": "29500",
        "AZUREML_NODE_COUNT": "2",
        "AZ_BATCHAI_MPI_MASTER_NODE": "10.0.0.4",
        "AZ_BATCH_MASTER_NODE": "10.0.0.4:29500",
    }


def test_tensorflows_tasks_are_dealt_out_over_the_nodes_and_find_each_other_in_tf_config() -> None:
    spread = parsed(kind="tensorflow", processes=1, workers=3, parameter_servers=1, ports=[1, 2, 3, 4])
    assert spread.mine() == [Rank(1, 1, 0, "worker", 1), Rank(3, 1, 1, "ps", 0)]
    told = spread.variables(spread.rank(3))
    assert json.loads(told["TF_CONFIG"]) == {
        "cluster": {"worker": ["10.0.0.4:1", "10.0.0.5:2", "10.0.0.4:3"], "ps": ["10.0.0.5:4"]},
        "task": {"type": "ps", "index": 0},
        "environment": "cloud",
    }
    assert (told["RANK"], told["WORLD_SIZE"], told["LOCAL_RANK"], told["LOCAL_WORLD_SIZE"]) == ("3", "4", "1", "2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "ray"}, "distribution.kind must be one of none, mpi, pytorch, tensorflow"),
        ({"node_rank": 2}, "distribution.node_rank is 2, and there are 2 nodes"),
        ({"processes": 0}, "distribution.processes must be a whole number of at least 1"),
        ({"processes": True}, "distribution.processes must be a whole number of at least 1"),
        ({"master_port": None}, "distribution.master_port is needed where there are several nodes"),
        ({"nodes": [""]}, "distribution.nodes must be a list of texts"),
        ({"kind": "mpi"}, "distribution.peers is needed for mpi on several nodes"),
        ({"peers": ["/one"]}, "distribution.peers must name a folder for each node"),
        ({"kind": "tensorflow", "workers": 3}, "distribution.ports must name 3 ports, one a task"),
        ({"kind": "tensorflow", "workers": 0}, "distribution.workers must be at least 1"),
        ({"kind": "tensorflow", "workers": 1, "ports": [5]}, "distribution: node 1 gets no process"),
        ({"ports": ["x"]}, "distribution.ports must be a whole number of at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(changes: dict[str, Json], message: str) -> None:
    with pytest.raises(ValueError, match="distribution") as error:
        parsed(**changes)
    assert str(error.value) == message


def test_one_machine_takes_free_ports_of_its_own() -> None:
    spread = Distribution("tensorflow", workers=2, parameter_servers=1).with_ports()
    taken = [*spread.ports, spread.master_port]
    assert (len(spread.ports), len(set(taken))) == (3, 4)
    for port in taken:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", port))
    assert spread.with_ports() == spread
    assert parsed().with_ports() == parsed()


def test_a_job_says_itself_where_processes_meet_but_not_who_they_are() -> None:
    spread = parsed()
    own = {"MASTER_PORT": "6105", "RANK": "77"}
    given = job.parse({**PLAIN, "environment_variables": dict[str, "Json"](own)}, Path("/run"))
    told = ranks.told(given, own, spread.variables(spread.rank(2)))
    assert (told["MASTER_PORT"], told["MASTER_ADDR"], told["RANK"]) == ("6105", "10.0.0.4", "2")


def test_logs_are_listed_by_number_the_builds_first_and_mpiruns_last(tmp_path: Path) -> None:
    assert layout.logs(tmp_path) == []
    names = [
        "azureml-logs/20_image_build_log.txt",
        *(f"user_logs/std_log_process_{number}.txt" for number in (0, 2, 10)),
        "user_logs/std_log_process_11_ps.txt",
        "user_logs/std_log_mpirun.txt",
    ]
    for name in [*reversed(names), "user_logs/.half", "user_logs/folder/x"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert layout.logs(tmp_path) == names


def test_logs_are_named_as_azure_names_them() -> None:
    assert layout.rank_log(0, 1) == layout.USER_LOG == "user_logs/std_log.txt"
    assert layout.rank_log(3, 4) == "user_logs/std_log_process_3.txt"
    assert layout.rank_log(3, 4, server=True) == "user_logs/std_log_process_3_ps.txt"


def test_mpiruns_own_words_name_the_process_where_it_could_not(tmp_path: Path) -> None:
    (tmp_path / "user_logs").mkdir()
    assert ranks.culprit(tmp_path) is None
    log = tmp_path / layout.MPIRUN_LOG
    log.write_text("mpirun noticed that process rank 2 with PID 0 on node vm exited on signal 9 (Killed).\n")
    assert ranks.culprit(tmp_path) == (2, "was ended by signal SIGKILL")
    log.write_text("non-zero status:\n\n  Process name: [[61713,1],3]\n  Exit code:    5\n")
    assert ranks.culprit(tmp_path) == (3, "exited with code 5")
    (tmp_path / layout.FAILED_RANK).write_text("1 7\n")
    assert ranks.culprit(tmp_path) == (1, "exited with code 7")
