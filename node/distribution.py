"""The object `distribution` of `job.json`: which processes a job has, where, and what each of them is told.

The variables are those that Azure ML documents (learn.microsoft.com, machine-learning/how-to-train-distributed-gpu) and
those of Azure Batch that its published samples read. What mpirun itself sets (`OMPI_*`) is left to mpirun.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.layout import Json

NONE, MPI, PYTORCH, TENSORFLOW = "none", "mpi", "pytorch", "tensorflow"
KINDS = (NONE, MPI, PYTORCH, TENSORFLOW)
HERE = "127.0.0.1"
WORKER, SERVER = "worker", "ps"
"""Roles in a TensorFlow cluster."""
_FIRST_PORT, _PORTS = 10_000, 20_000
"""Free ports are looked for below those that the kernel gives to outgoing connections (ip_local_port_range, 32768)."""
_TRIES = 200


class Rank(NamedTuple):
    """One process of a job."""

    number: int
    """Among all, from 0."""
    node: int
    local: int
    """Among those of its node, from 0."""
    role: str = WORKER
    place: int = 0
    """Among those of its role."""

    @property
    def serves(self) -> bool:
        """Whether it is a parameter server, which never ends by itself."""
        return self.role == SERVER


@dataclass(frozen=True)
class Distribution:
    """Several processes, or one that must know where it stands."""

    kind: str
    """`none`: the command runs once on every node, and `processes` times on each where a machine stands for several."""
    nodes: tuple[str, ...] = (HERE,)
    """Address of each, in order."""
    node_rank: int = 0
    """Which of them this one is."""
    processes: int = 1
    """On each node; unused for tensorflow, whose tasks are dealt out over the nodes in turns, workers first."""
    master_port: int | None = None
    """None on a job of one node: a free one is taken when it starts."""
    workers: int = 0
    parameter_servers: int = 0
    ports: tuple[int, ...] = ()
    """Tensorflow: one a task, workers first. Absent on a job of one node: free ones are taken."""
    peers: tuple[str, ...] = ()
    """Folder of the run on each node, where the nodes share a disk. Mpi: this node's mpirun starts the processes of
    all. Tensorflow: parameter servers are kept until the workers of all nodes have ended; without, of this node."""

    @property
    def world_size(self) -> int:
        """Processes of the whole job."""
        if self.kind == TENSORFLOW:
            return self.workers + self.parameter_servers
        return len(self.nodes) * self.processes

    def all(self) -> list[Rank]:
        """Return every process of the job."""
        return [self.rank(number) for number in range(self.world_size)]

    def rank(self, number: int) -> Rank:
        """Return who a process of the job is."""
        if self.kind != TENSORFLOW:
            node, local = divmod(number, self.processes)
            return Rank(number, node, local, WORKER, number)
        local, node = divmod(number, len(self.nodes))
        if number < self.workers:
            return Rank(number, node, local, WORKER, number)
        return Rank(number, node, local, SERVER, number - self.workers)

    def mine(self) -> list[Rank]:
        """Return the processes of this node."""
        return [rank for rank in self.all() if rank.node == self.node_rank]

    def with_ports(self) -> Distribution:
        """Return it with a free port wherever it names none.

        Between this moment and the one in which a process listens there, another program may take it, as with any
        launcher that chooses ports.
        """
        if self.kind == NONE and self.world_size == 1:
            return self
        tasks = 0 if self.ports or self.kind != TENSORFLOW else self.world_size
        free = free_ports(tasks + (self.master_port is None))
        master = free.pop() if self.master_port is None else self.master_port
        return replace(self, master_port=master, ports=tuple(free) or self.ports)

    def variables(self, rank: Rank) -> dict[str, str]:
        """Return what a process is told of its place among the others."""
        local = sum(other.node == rank.node for other in self.all())
        master, port = self.nodes[0], str(self.master_port or "")
        told = {
            "RANK": str(rank.number),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(rank.local),
            "LOCAL_WORLD_SIZE": str(local),
            "NODE_RANK": str(rank.node),
            "MASTER_ADDR": master,
            "MASTER_PORT": port,
            "AZUREML_NODE_COUNT": str(len(self.nodes)),
            "AZ_BATCHAI_MPI_MASTER_NODE": master,
            "AZ_BATCH_MASTER_NODE": f"{master}:{port}",
        }
        if self.kind == TENSORFLOW:
            told["TF_CONFIG"] = self.tf_config(rank)
        return told

    def tf_config(self, rank: Rank) -> str:
        """Return TensorFlow's own description of the cluster, as Azure ML writes it."""
        cluster: dict[str, list[str]] = {WORKER: []}
        for other, port in zip(self.all(), self.ports, strict=True):
            cluster.setdefault(other.role, []).append(f"{self.nodes[other.node]}:{port}")
        task = {"type": rank.role, "index": rank.place}
        return json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})


def free_ports(count: int) -> list[int]:
    """Return different ports on which nobody listens now. Raises: OSError when there are none."""
    held: list[socket.socket] = []
    try:
        for _ in range(_TRIES * count):
            if len(held) == count:
                break
            port = _FIRST_PORT + int.from_bytes(os.urandom(4), "big") % _PORTS
            listening = socket.socket()
            try:
                listening.bind(("", port))
            except OSError:
                listening.close()
                continue
            held.append(listening)
        if len(held) < count:
            raise OSError(f"no {count} free ports between {_FIRST_PORT} and {_FIRST_PORT + _PORTS}")
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def parse(entry: Mapping[str, Json] | None) -> Distribution | None:
    """Check the object; None for a job of one plain process. Raises: ValueError naming the field."""
    if not entry:
        return None
    kind, nodes = entry.get("kind"), _texts(entry, "nodes") or (HERE,)
    if kind not in KINDS:
        raise ValueError(f"distribution.kind must be one of {', '.join(KINDS)}")
    found = Distribution(
        str(kind),
        nodes,
        _whole(entry, "node_rank", 0, 0),
        _whole(entry, "processes", 1, 1),
        None if entry.get("master_port") is None else _whole(entry, "master_port", 1, 1),
        _whole(entry, "workers", 0, 0),
        _whole(entry, "parameter_servers", 0, 0),
        _ports(entry),
        _texts(entry, "peers"),
    )
    _fits(found)
    return found


def _fits(found: Distribution) -> None:
    """Check that the fields agree. Raises: ValueError."""
    if found.node_rank >= len(found.nodes):
        raise ValueError(f"distribution.node_rank is {found.node_rank}, and there are {len(found.nodes)} nodes")
    if len(found.nodes) > 1 and found.master_port is None:
        raise ValueError("distribution.master_port is needed where there are several nodes")
    if found.peers and len(found.peers) != len(found.nodes):
        raise ValueError("distribution.peers must name a folder for each node")
    if found.kind == MPI and len(found.nodes) > 1 and not found.peers:
        raise ValueError("distribution.peers is needed for mpi on several nodes")
    if found.kind == TENSORFLOW:
        named = len(found.ports)
        if (named or len(found.nodes) > 1) and named != found.world_size:
            raise ValueError(f"distribution.ports must name {found.world_size} ports, one a task")
        if found.workers < 1:
            raise ValueError("distribution.workers must be at least 1")
    if not found.mine():
        raise ValueError(f"distribution: node {found.node_rank} gets no process")


def _texts(entry: Mapping[str, Json], key: str) -> tuple[str, ...]:
    value = entry.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"distribution.{key} must be a list of texts")
    return tuple(str(item) for item in value)


def _ports(entry: Mapping[str, Json]) -> tuple[int, ...]:
    value = entry.get("ports") or []
    if not isinstance(value, list):
        raise ValueError("distribution.ports must be a list of numbers")  # noqa: TRY004  (a bad document, not a bad call)
    return tuple(_whole({"ports": item}, "ports", 0, 1) for item in value)


def _whole(entry: Mapping[str, Json], key: str, otherwise: int, least: int) -> int:
    value = entry.get(key)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"distribution.{key} must be a whole number of at least {least}")
    return value
