"""How many processes a job is, and on how many nodes: what its `distribution` and `resources.instance_count` say. Pure.

A target that is one machine stands for all nodes of a job: it runs the same number of processes, so that a program
sees the same world size, and says so. What `job.json` carries is read by `node.distribution`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from runtime.wire import Object
    from specs.job import CommandJob

Kind: TypeAlias = Literal["none", "mpi", "pytorch", "tensorflow"]
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Layout:
    """The processes of a job."""

    kind: Kind
    nodes: int = 1
    processes: int = 1
    """On each node; tensorflow: on the nodes that get the most."""
    workers: int = 0
    """Tensorflow: of the whole job."""
    parameter_servers: int = 0
    folded_from: int | None = None
    """The number of nodes that the job asks for, where the target has fewer; None where it has them all."""

    @property
    def world_size(self) -> int:
        """Processes of the whole job."""
        return self.workers + self.parameter_servers or self.nodes * self.processes

    @property
    def single(self) -> bool:
        """Whether it is one plain process, which needs nobody else's address."""
        return self.kind == "none" and self.world_size == 1


def layout(job: CommandJob, most_nodes: int | None) -> Layout:
    """Return how a job is laid out on a target of at most so many nodes (None: as many as it wants)."""
    wanted, given = job.resources.instance_count, job.distribution
    nodes = wanted if most_nodes is None else _fold(wanted, most_nodes)
    folded = wanted if nodes != wanted else None
    if given is None:
        return Layout("none", nodes, wanted // nodes, folded_from=folded)
    if given.type == "tensorflow":
        # Azure's default: a worker on each node (azure-ai-ml, TensorFlowDistribution.worker_count).
        workers, servers = given.worker_count or wanted, given.parameter_server_count
        return Layout("tensorflow", nodes, -(-(workers + servers) // nodes), workers, servers, folded)
    each = given.process_count_per_instance or 1
    return Layout(given.type, nodes, wanted * each // nodes, folded_from=folded)


def _fold(wanted: int, most: int) -> int:
    """Return on how many nodes that many can stand, the same number on each."""
    return next(count for count in range(min(wanted, max(1, most)), 0, -1) if wanted % count == 0)


def fault(job: CommandJob) -> str | None:
    """Return why a job can't be laid out on the nodes that it asks for; None when it can."""
    found = layout(job, None)
    if found.kind == "tensorflow" and found.world_size < found.nodes:
        return (
            f"{found.workers} workers and {found.parameter_servers} parameter servers leave some of "
            f"{found.nodes} nodes without a process. Lower resources.instance_count to {found.world_size}."
        )
    return None


def note(found: Layout, target: str) -> str | None:
    """Say aloud where one machine stands for several; `target` is how it is called."""
    if found.folded_from is None:
        return None
    where = "it" if found.nodes == 1 else f"each of its {found.nodes} nodes"
    return f"{target} stands for {found.folded_from} nodes: {found.processes} processes on {where}"


def describe(found: Layout) -> Object | None:
    """Return the object `distribution` of `job.json` for a job whose processes are all on one machine.

    Ports are left to the machine itself, which knows those that are free; None for a job of one plain process.
    """
    if found.single:
        return None
    return {
        "kind": found.kind,
        "nodes": [HERE],
        "node_rank": 0,
        "processes": found.world_size,
        "workers": found.workers,
        "parameter_servers": found.parameter_servers,
    }
