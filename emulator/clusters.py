"""AmlCompute that really runs jobs: nodes are processes, jobs run under `node`'s supervisor on them.

One thread looks (four times a second while something runs, never while nothing does), asks `scheduler.plan` and does
it. What runs needs no emulator: after a restart the machines and runs that are there are found again, and a run that
ended meanwhile is settled with its own times. Nothing is retried for the user, as Azure doesn't.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from emulator import blobstore, durations, jobrecords, ml, nodedoors, runs, scheduler
from emulator.machines import Fleet, Machine
from emulator.resources import ml_compute
from emulator.scheduler import Allocate, Assign, Pool, Ready, Release, Waiting
from node import control

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.routing import Json

LOG = logging.getLogger(__name__)
POLL = timedelta(seconds=0.25)
LOOK = timedelta(seconds=20)
"""How often idle nodes are looked after: one may have died."""
PREPARE = {"immediate": timedelta(0), "time": timedelta(seconds=3), "manual": timedelta(days=365)}
SHOW_PREEMPTED = timedelta(minutes=1)
COUNTED = ("idle", "running", "preparing", "unusable", "leaving", "preempted")


@dataclass(slots=True)
class _Shared:
    lock: threading.RLock = field(default_factory=threading.RLock)
    wake: threading.Event = field(default_factory=threading.Event)
    stopping: bool = False


class Clusters:
    """All clusters of one emulator. Every public method is thread-safe."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._fleet = Fleet(cloud.home)
        self._shared = _Shared()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Adopt what an earlier emulator left, then look after it in the background."""
        with self._shared.lock:
            self._fleet.load()
            blobstore.sweep(self._cloud)
            self._tidy()
        self._thread = threading.Thread(target=self._run, name="clusters", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking. Idle machines are given back; busy ones go on, for their runs are not the emulator's."""
        self._shared.stopping = True
        self.kick()
        if self._thread is not None:
            self._thread.join(timeout=30)
        with self._shared.lock:
            for machine in self._fleet.all():
                if machine.state != "running":
                    self._fleet.remove(machine)
            nodedoors.sync(self._cloud, self._fleet.all())

    def kick(self) -> None:
        """Look now."""
        self._shared.wake.set()

    def submit(self, job_id: str) -> None:
        """Take notice of a job that was just accepted."""
        LOG.info("job %s", job_id)
        self.kick()

    def cancel(self, job_id: str) -> None:
        """End a job; durable before this returns. One that has no node yet never gets one."""
        record = jobrecords.update(self._cloud, job_id, cancel_requested=True, status="CancelRequested")
        if record is not None and not record.terminal and record.run_dir is not None and Path(record.run_dir).is_dir():
            control.cancel(Path(record.run_dir), "canceled by the user")
        self.kick()

    def nodes(self, compute_id: str) -> list[dict[str, Json]]:
        """List a cluster's nodes as `listNodes` answers them."""
        return [nodedoors.answer(self._cloud, machine) for machine in self._fleet.of(compute_id)]

    def counts(self, compute_id: str) -> dict[str, Json]:
        """Return the read-only part of a cluster's properties (AmlComputeProperties, api-version 2025-12-01)."""
        machines = self._fleet.of(compute_id)
        states = [machine.state for machine in machines]
        there = [state for state in states if state not in {"preempted", "leaving"}]
        document = self._cloud.state.get(compute_id) or {}
        created = ml.text(ml.obj(document.get("properties")).get("createdOn")) or ml.stamp(self._cloud.now())
        by_state: dict[str, Json] = {f"{name}NodeCount": states.count(name) for name in COUNTED}  # type: ignore[arg-type]
        return {
            "allocationState": "Resizing" if {"preparing", "leaving"} & set(states) else "Steady",
            "allocationStateTransitionTime": max((machine.since for machine in machines), default=created),
            "currentNodeCount": len(there) - states.count("preparing"),
            "targetNodeCount": len(there),
            "nodeStateCounts": by_state,
            "errors": None,
        }

    def compute_changed(self, compute_id: str) -> None:
        """Take notice of a cluster that was made or scaled."""
        LOG.info("compute %s", compute_id)
        self.kick()

    def compute_deleted(self, compute_id: str) -> None:
        """Take the cluster's machines away; its jobs, running and queued, are canceled."""
        with self._shared.lock:
            for record in jobrecords.active(self._cloud):
                if record.compute_id.lower() == compute_id.lower():
                    runs.end_now(self._cloud, record, "Canceled", f"the compute '{compute_id}' was deleted")
            for machine in self._fleet.of(compute_id):
                if machine.job_id is not None:  # its record may have gone with the workspace
                    runs.kill(machine.run_dir(machine.job_id.rpartition("/")[2]))
                self._fleet.remove(machine)
            nodedoors.sync(self._cloud, self._fleet.all())
        self.kick()

    def evict(self, compute_id: str) -> str | None:
        """Take a low-priority node away as Azure does when it wants the cores; returns the node's id, or None.

        A busy node is chosen first. Its job gets a notice (SIGTERM), then the machine is gone and the job Failed.
        """
        with self._shared.lock:
            machines = [machine for machine in self._fleet.of(compute_id) if machine.state in {"running", "idle"}]
            if not machines or not self._low_priority(compute_id):
                return None
            machine = next((machine for machine in machines if machine.state == "running"), machines[0])
            record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
            if record is not None and not record.terminal:
                runs.notice(record)
                text = f"The low-priority node {machine.node_id} was preempted while it ran the job."
                self._lose(record, "NodePreempted", text)
            self._fleet.kill(machine)
            self._fleet.change(machine.node_id, "preempted", self._cloud.now())
            nodedoors.sync(self._cloud, self._fleet.all())
        self.kick()
        return machine.node_id

    def advance(self) -> None:
        """Let the preparation of every node end (transitions `manual`)."""
        with self._shared.lock:
            for machine in self._fleet.all():
                if machine.state == "preparing":
                    self._fleet.change(machine.node_id, "idle", self._cloud.now())
        self.kick()

    def tick(self) -> timedelta | None:
        """Look once and act; returns how long until there is something to do again, None when only a kick can."""
        with self._shared.lock:
            self._observe()
            records = jobrecords.active(self._cloud)
            pools = self._pools(records)
            for action in scheduler.plan(self._cloud.now(), pools, self._nodes(), self._waiting(records)):
                self._do(action)
            nodedoors.sync(self._cloud, self._fleet.all())
            if any(machine.state == "running" for machine in self._fleet.all()):
                return POLL
            if not self._fleet.all():
                return None
            later = scheduler.next_change(self._cloud.now(), pools, self._nodes())
            return LOOK if later is None else max(POLL, min(LOOK, later))

    def _run(self) -> None:
        wait: timedelta | None = timedelta(0)
        while not self._shared.stopping:
            self._shared.wake.wait(None if wait is None else wait.total_seconds())
            self._shared.wake.clear()
            if self._shared.stopping:
                return
            try:
                wait = self.tick()
            except Exception:  # the loop must outlive one bad job; the next look is later
                LOG.exception("a look at the clusters failed")
                wait = LOOK

    def _observe(self) -> None:
        now = self._cloud.now()
        for machine in list(self._fleet.lost()):
            record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
            if record is not None and not record.terminal and not runs.finished(record):
                self._lose(record, "NodeLost", f"The node {machine.node_id} died while it ran the job.")
            elif record is not None:
                runs.observe(self._cloud, record)
            self._fleet.remove(machine)
        for machine in self._fleet.all():
            if self._cloud.state.get(machine.compute_id) is None:
                self.compute_deleted(machine.compute_id)
            elif machine.state == "preempted" and now - ml.moment(machine.since) > SHOW_PREEMPTED:
                self._fleet.remove(machine)
        for record in jobrecords.active(self._cloud):
            self._follow(record)
        self._free(now)

    def _follow(self, record: Record) -> None:
        if record.run_dir is not None:
            runs.observe(self._cloud, record)
        elif record.cancel_requested:
            runs.end_now(self._cloud, record, "Canceled", "canceled before it started")
        elif self._cloud.state.get(record.compute_id) is None:
            runs.end_now(self._cloud, record, "Failed", f"the compute '{record.compute_id}' does not exist any more")
        elif record.status == "NotStarted":
            jobrecords.update(self._cloud, record.job_id, status="Queued")

    def _free(self, now: datetime) -> None:
        for machine in self._fleet.all():
            if machine.state != "running" or machine.job_id is None:
                continue
            record = jobrecords.get(self._cloud, machine.job_id)
            if record is None or record.terminal:
                if record is None:
                    runs.kill(machine.run_dir(machine.job_id.rpartition("/")[2]))
                shutil.rmtree(machine.run_dir(machine.job_id.rpartition("/")[2]), ignore_errors=True)
                self._fleet.change(machine.node_id, "idle", now)

    def _lose(self, record: Record, code: str, text: str) -> None:
        if record.run_dir is not None:
            runs.kill(Path(record.run_dir))
        runs.end_now(self._cloud, record, "Failed", text, code)

    def _do(self, action: scheduler.Action) -> None:
        now = self._cloud.now()
        match action:
            case Allocate(compute_id, count):
                for _ in range(count):
                    self._fleet.add(compute_id, now)
                self.kick()
            case Ready(node_id):
                self._fleet.change(node_id, "idle", now)
            case Assign(job_id, node_ids):
                self._assign(job_id, node_ids, now)
            case Release(node_id):
                machine = self._fleet.get(node_id)
                if machine is not None:
                    self._fleet.remove(machine)

    def _assign(self, job_id: str, node_ids: Sequence[str], now: datetime) -> None:
        machines = [self._fleet.change(node_id, "running", now, job_id) for node_id in node_ids]
        record = jobrecords.get(self._cloud, job_id)
        if record is not None:
            runs.launch(self._cloud, record, machines[0].run_dir(record.name), list(node_ids))

    def _tidy(self) -> None:
        """Repair what a kill left in between: a machine given to a job that doesn't know, a run not started yet."""
        now = self._cloud.now()
        for machine in self._fleet.all():
            record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
            if machine.state == "running" and record is not None and machine.node_id not in record.node_ids:
                self._fleet.change(machine.node_id, "idle", now)
            elif record is not None and not record.terminal and self._fleet.alive(machine):
                runs.relaunch(self._cloud, record)
        self._free(now)

    def _nodes(self) -> list[scheduler.Node]:
        return [machine.as_node() for machine in self._fleet.all()]

    def _waiting(self, records: list[Record]) -> list[Waiting]:
        return [
            Waiting(record.job_id, self._spelt(record.compute_id), record.nodes_wanted)
            for record in records
            if record.run_dir is None and not record.cancel_requested
        ]

    def _spelt(self, compute_id: str) -> str:
        document = self._cloud.state.get(compute_id)
        return ml.text(document["id"]) if document else compute_id

    def _pools(self, records: list[Record]) -> list[Pool]:
        """Return the clusters with a job, a machine or a minimum."""
        named = {self._spelt(record.compute_id) for record in records}
        named |= {machine.compute_id for machine in self._fleet.all()}
        for key, document in self._cloud.state.all("arm"):
            if key.rpartition("/")[0].endswith("/computes") and _scale(document).get("minNodeCount"):
                named.add(ml.text(document["id"]))
        return [pool for id_ in sorted(named) if (pool := self._pool(id_)) is not None]

    def _pool(self, compute_id: str) -> Pool | None:
        document = self._cloud.state.get(compute_id)
        properties = ml.obj((document or {}).get("properties"))
        if document is None or properties.get("provisioningState") != "Succeeded":
            return None
        scale = _scale(document)
        idle = durations.parse(ml.text(scale.get("nodeIdleTimeBeforeScaleDown"))) or timedelta(seconds=120)
        return Pool(
            compute_id=compute_id,
            min_nodes=cast("int", scale.get("minNodeCount") or 0),
            max_nodes=cast("int", scale.get("maxNodeCount") or 0),
            idle_before=idle,
            prepare=PREPARE[self._cloud.transitions],
            quota=ml_compute.quota(self._cloud.state, document, self._running()),
        )

    def _running(self) -> dict[str, int]:
        """Return how many nodes each compute has now, for the quota that they share."""
        return dict(Counter(machine.compute_id.lower() for machine in self._fleet.all()))

    def _low_priority(self, compute_id: str) -> bool:
        document = self._cloud.state.get(compute_id) or {}
        inner = ml.obj(ml.obj(document.get("properties")).get("properties"))
        return ml.text(inner.get("vmPriority")).lower() == "lowpriority"


def _scale(document: dict[str, Json]) -> dict[str, Json]:
    inner = ml.obj(ml.obj(document.get("properties")).get("properties"))
    return ml.obj(inner.get("scaleSettings"))


__all__ = ["Clusters", "Machine"]
