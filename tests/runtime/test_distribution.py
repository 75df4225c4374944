from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import distribution
from runtime.distribution import Layout
from specs.job import CommandJob

if TYPE_CHECKING:
    from runtime.wire import Json, Object


def a_job(nodes: int = 1, **given: Json) -> CommandJob:
    return CommandJob.model_validate(
        {
            "command": "true",
            "environment": "azureml:one@latest",
            "resources": {"instance_count": nodes},
            "distribution": given or None,
        }
    )


MPI: Object = {"type": "mpi", "process_count_per_instance": 2}
TENSORFLOW: Object = {"type": "tensorflow", "worker_count": 3, "parameter_server_count": 2}


@pytest.mark.parametrize(
    ("nodes", "given", "most", "expected"),
    [
        (1, {}, 1, Layout("none")),
        (2, {}, None, Layout("none", 2)),
        (2, {}, 1, Layout("none", 1, 2, folded_from=2)),
        (1, {"type": "pytorch"}, None, Layout("pytorch")),
        (2, MPI, None, Layout("mpi", 2, 2)),
        (2, MPI, 1, Layout("mpi", 1, 4, folded_from=2)),
        (2, MPI, 5, Layout("mpi", 2, 2)),
        (6, MPI, 4, Layout("mpi", 3, 4, folded_from=6)),
        (2, TENSORFLOW, None, Layout("tensorflow", 2, 3, 3, 2)),
        (2, TENSORFLOW, 1, Layout("tensorflow", 1, 5, 3, 2, 2)),
        (3, {"type": "tensorflow"}, None, Layout("tensorflow", 3, 1, 3)),
    ],
)
def test_a_job_is_laid_out_on_the_nodes_that_a_target_has(
    nodes: int, given: Object, most: int | None, expected: Layout
) -> None:
    assert distribution.layout(a_job(nodes, **given), most) == expected


def test_the_world_is_as_large_on_one_machine() -> None:
    for given in ({}, MPI, TENSORFLOW):
        job = a_job(4, **given)
        assert distribution.layout(job, 1).world_size == distribution.layout(job, None).world_size


def test_one_machine_that_stands_for_several_says_so() -> None:
    folded = distribution.layout(a_job(2, **MPI), 1)
    assert distribution.note(folded, "this machine") == "this machine stands for 2 nodes: 4 processes on it"
    fewer = distribution.layout(a_job(6, **MPI), 4)
    assert distribution.note(fewer, "gpus") == "gpus stands for 6 nodes: 4 processes on each of its 3 nodes"
    assert distribution.note(distribution.layout(a_job(2, **MPI), None), "gpus") is None


def test_tasks_that_leave_a_node_without_a_process_are_a_fault() -> None:
    assert distribution.fault(a_job(2, **MPI)) is None
    assert distribution.fault(a_job(5, **TENSORFLOW)) is None
    assert distribution.fault(a_job(6, **TENSORFLOW)) == (
        "3 workers and 2 parameter servers leave some of 6 nodes without a process. "
        "Lower resources.instance_count to 5."
    )


def test_one_plain_process_needs_nobodys_address() -> None:
    assert distribution.describe(distribution.layout(a_job(), 1)) is None
    assert distribution.describe(distribution.layout(a_job(2, **TENSORFLOW), 1)) == {
        "kind": "tensorflow",
        "nodes": ["127.0.0.1"],
        "node_rank": 0,
        "processes": 5,
        "workers": 3,
        "parameter_servers": 2,
    }
