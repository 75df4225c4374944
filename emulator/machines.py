"""The nodes of the emulated clusters: a folder and a process each, which outlive the emulator.

A node's lock is held by its process alone: lock free means the machine is lost. What is known of a node is in its
`node.json`, not in the emulator's database, so that a restarted emulator finds the machines that are really there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from emulator import ml, nodeproc
from emulator.scheduler import Node
from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from emulator.routing import Json
    from emulator.scheduler import NodeState

FIRST_PORT = 50000
"""SSH ports of AmlCompute's nodes count from here behind the cluster's load balancer."""


ON_DISK = ".azureml"
"""On the disk of a compute instance: what belongs to the jobs that it runs."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One node."""

    node_id: str
    compute_id: str
    number: int
    state: NodeState
    since: str
    folder: str
    pid: int = 0
    start_time: int = 0
    boot_id: str = ""
    job_id: str | None = None

    def as_node(self) -> Node:
        """Return what the scheduler needs to know."""
        return Node(self.node_id, self.compute_id, self.state, ml.moment(self.since))

    @property
    def identity(self) -> processes.Identity:
        """The node's process."""
        return processes.Identity(self.pid, self.start_time, self.boot_id)

    def run_dir(self, job_name: str) -> Path:
        """Return the folder of a run on this node."""
        return Path(self.folder) / "runs" / job_name

    def answer(self) -> dict[str, Json]:
        """Return the node as `listNodes` does (AmlComputeNodeInformation, api-version 2025-12-01)."""
        return {
            "nodeId": self.node_id,
            "privateIpAddress": f"10.0.0.{4 + self.number % 250}",
            "publicIpAddress": None,
            "port": FIRST_PORT + self.number,
            "nodeState": self.state,
            "runId": self.job_id.rpartition("/")[2] if self.job_id else None,
        }


class Fleet:
    """All machines of one emulator. Its owner holds a lock to change them; anyone may read."""

    def __init__(self, home: Path) -> None:
        self._root = home / "nodes"
        self._disks = home / "instances"
        self._machines: dict[str, Machine] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def load(self) -> None:
        """Find the machines that an earlier emulator left, alive or not."""
        for path in sorted((*self._root.glob("*/*/node.json"), *self._disks.glob(f"*/{ON_DISK}/node.json"))):
            document = layout.read_json(path)
            if document is not None:
                machine = Machine(**cast("dict[str, str]", document))  # type: ignore[arg-type]  # written by `change`
                self._machines[machine.node_id] = machine
                self._lease(Path(machine.folder))

    def all(self) -> list[Machine]:
        """List the machines, oldest first."""
        return list(self._machines.values())

    def of(self, compute_id: str) -> list[Machine]:
        """List one cluster's machines."""
        return [machine for machine in self.all() if machine.compute_id.lower() == compute_id.lower()]

    def get(self, node_id: str) -> Machine | None:
        """Return a machine, or None."""
        return self._machines.get(node_id)

    def add(self, compute_id: str, now: datetime, disk: Path | None = None) -> Machine:
        """Bring up a machine: its process runs when this returns. `disk` is the one of an instance, which has one."""
        compute, taken = compute_id.rpartition("/")[2], {machine.number for machine in self.of(compute_id)}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        node_id = f"tvmps_{uuid4().hex}_d"
        folder = layout.private_dir(disk / ON_DISK if disk else self._root / compute.lower() / node_id)
        self._lease(folder)
        child = self._spawn(folder)
        who = processes.identity(child.pid)
        self._children[node_id] = child
        machine = Machine(node_id, compute_id, number, "preparing", ml.stamp(now), str(folder), child.pid)
        if who is not None:
            machine = replace(machine, start_time=who.start_time, boot_id=who.boot_id)
        return self._keep(machine)

    def _spawn(self, folder: Path) -> subprocess.Popen[bytes]:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(nodeproc.__file__)), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,
                cwd=folder,
            )
        finally:
            os.close(lock)

    def change(self, node_id: str, state: NodeState, now: datetime, job_id: str | None = None) -> Machine:
        """Move a machine to a state; with a job it belongs to that one."""
        return self._keep(replace(self._machines[node_id], state=state, since=ml.stamp(now), job_id=job_id))

    def _keep(self, machine: Machine) -> Machine:
        layout.write_json(Path(machine.folder) / "node.json", asdict(machine))
        self._machines[machine.node_id] = machine
        return machine

    def alive(self, machine: Machine) -> bool:
        """Tell whether the machine is still there."""
        return processes.is_locked(Path(machine.folder) / "lock")

    def kill(self, machine: Machine) -> None:
        """End the machine's process at once; its folder stays."""
        if processes.is_alive(machine.identity):
            with contextlib.suppress(ProcessLookupError):
                os.kill(machine.pid, signal.SIGKILL)
        child = self._children.pop(machine.node_id, None)
        if child is not None:
            child.wait()

    def remove(self, machine: Machine) -> None:
        """End the machine and forget it, with all that is on its disk."""
        self.kill(machine)
        shutil.rmtree(machine.folder, ignore_errors=True)
        if Path(machine.folder).is_relative_to(self._root):
            with contextlib.suppress(OSError):
                Path(machine.folder).parent.rmdir()
        self._machines.pop(machine.node_id, None)

    def _lease(self, folder: Path) -> None:
        """Tell a machine whose it is; replaced whole, so that it never reads half of it."""
        who = processes.identity(os.getpid())
        if who is not None and folder.is_dir():
            layout.write_bytes(folder / "lease", f"{who.pid} {who.start_time}".encode())

    def lost(self) -> Iterator[Machine]:
        """Yield the machines whose process is gone though nobody released them."""
        for machine in self.all():
            if machine.state != "preempted" and not self.alive(machine):
                yield machine
