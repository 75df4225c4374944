"""Computes that really run jobs: nodes are processes, jobs run under `node`'s supervisor on them.

Clusters scale; a compute instance is one machine that takes one job at a time; a serverless job has nodes of its own.

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
from typing import TYPE_CHECKING

from emulator import blobstore, collect, endings, instances, jobrecords, ml, nodedoors, pools, runs, scheduler
from emulator.machines import Fleet, Machine
from emulator.routing import Refusal
from emulator.scheduler import Allocate, Assign, Ready, Release, Waiting

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
SHOW_PREEMPTED = timedelta(minutes=1)
COUNTED = ("idle", "running", "preparing", "unusable", "leaving", "preempted")


@dataclass(slots=True)
class _Shared:
    lock: threading.RLock = field(default_factory=threading.RLock)
    wake: threading.Event = field(default_factory=threading.Event)
    stopping: bool = False
    launching: dict[str, threading.Thread] = field(default_factory=dict)
    """By job id: who fills the folders of a run that is about to start."""


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
        for thread in list(self._shared.launching.values()):
            thread.join(timeout=5)
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
        if record is not None and not record.terminal:
            runs.cancel(record)
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
        """Take the compute's machines away; its jobs, running and queued, are canceled."""
        with self._shared.lock:
            for record in self._active(compute_id):
                runs.lose(self._cloud, record, "Canceled", f"the compute '{compute_id}' was deleted")
            self._take(compute_id)
        self.kick()

    def compute_stopped(self, compute_id: str) -> None:
        """Take notice of an instance that is being switched off: what runs on it fails, what waits for it waits on.

        No page says what Azure does with either; a machine without power runs nothing, and a queue is kept.
        """
        with self._shared.lock:
            for record in self._active(compute_id):
                if record.run_dir is not None:
                    text = f"The compute instance '{record.target}' was stopped while it ran the job."
                    runs.lose(self._cloud, record, "Failed", text, "ComputeInstanceStopped")
            self._take(compute_id)
        self.kick()

    def busy(self, compute_id: str) -> bool:
        """Tell whether a job runs on the compute."""
        return any(record.run_dir is not None for record in self._active(compute_id))

    def _active(self, compute_id: str) -> list[Record]:
        records = jobrecords.active(self._cloud)
        return [record for record in records if record.compute_id.lower() == compute_id.lower()]

    def _take(self, compute_id: str) -> None:
        for machine in self._fleet.of(compute_id):
            if machine.job_id is not None:  # its record may have gone with the workspace
                endings.kill(machine.run_dir(machine.job_id.rpartition("/")[2]))
            self._fleet.remove(machine)
        nodedoors.sync(self._cloud, self._fleet.all())

    def evict(self, compute_id: str, job_id: str | None = None) -> str | None:
        """Take a low-priority node away as Azure does when it wants the cores; returns the node's id, or None.

        A busy node is chosen first, or one of the job that is named. Its job gets a notice (SIGTERM), then the machine
        is gone and the job Failed.
        """
        with self._shared.lock:
            machines = [machine for machine in self._fleet.of(compute_id) if machine.state in {"running", "idle"}]
            if job_id is not None:
                machines = [machine for machine in machines if machine.job_id == job_id]
            if not machines or not pools.low_priority(self._cloud, compute_id):
                return None
            machine = next((machine for machine in machines if machine.state == "running"), machines[0])
            record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
            if record is not None and not record.terminal:
                self._preempt(machine, record)
            self._fleet.kill(machine)
            self._fleet.change(machine.node_id, "preempted", self._cloud.now())
            nodedoors.sync(self._cloud, self._fleet.all())
        self.kick()
        return machine.node_id

    def _preempt(self, machine: Machine, record: Record) -> None:
        """Give a job the notice that its node goes, store what it closes in time, and end it on all of its nodes."""
        if runs.finished(record):
            runs.observe(self._cloud, record)
            return
        mine = machine.run_dir(record.name)
        closed = endings.notice([mine] if mine in record.led else record.led)
        try:
            if runs.began(record):
                collect.rescue(self._cloud, record, closed)
        except (Refusal, OSError):
            LOG.exception("the files of %s could not be stored before its node was gone", record.name)
        text = f"The low-priority node {machine.node_id} was preempted while it ran the job."
        runs.lose(self._cloud, record, "Failed", text, "NodePreempted")

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
            machines = self._fleet.all()
            queued = [record.compute_id for record in records]
            counted = Counter(machine.compute_id.lower() for machine in machines)
            found = pools.find(self._cloud, [*queued, *(machine.compute_id for machine in machines)], counted)
            for action in scheduler.plan(self._cloud.now(), found, self._nodes(), self._waiting(records)):
                self._do(action)
            pools.forget(self._cloud, [*queued, *(machine.compute_id for machine in self._fleet.all())])
            nodedoors.sync(self._cloud, self._fleet.all())
            if any(machine.state == "running" for machine in self._fleet.all()):
                return POLL
            if not self._fleet.all():
                return None
            later = scheduler.next_change(self._cloud.now(), found, self._nodes())
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
            self._mourn(machine)
        for machine in self._fleet.all():
            if self._cloud.state.get(machine.compute_id) is None:
                self.compute_deleted(machine.compute_id)
            elif pools.off(self._cloud, machine.compute_id):
                self.compute_stopped(machine.compute_id)
            elif machine.state == "preempted" and now - ml.moment(machine.since) > SHOW_PREEMPTED:
                self._fleet.remove(machine)
        for record in jobrecords.active(self._cloud):
            self._follow(record)
        self._free(now)

    def _mourn(self, machine: Machine) -> None:
        """Give up a machine that died. Its job fails, unless it had ended before."""
        record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
        if record is not None and not record.terminal and machine.node_id in record.node_ids:
            if runs.finished(record):
                runs.observe(self._cloud, record)
            else:
                text = f"The node {machine.node_id} died while it ran the job."
                runs.lose(self._cloud, record, "Failed", text, "NodeLost")
        self._fleet.remove(machine)

    def _follow(self, record: Record) -> None:
        if record.job_id in self._shared.launching:
            if record.cancel_requested:  # filling its folders may take long
                runs.end_now(self._cloud, record, "Canceled", runs.CANCELED)
            return
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
            if machine.state != "running" or machine.job_id is None or machine.job_id in self._shared.launching:
                continue
            record = jobrecords.get(self._cloud, machine.job_id)
            if record is None or record.terminal:
                run_dir = machine.run_dir(machine.job_id.rpartition("/")[2])
                if record is None:
                    endings.kill(run_dir)
                shutil.rmtree(run_dir, ignore_errors=True)
                self._fleet.change(machine.node_id, "idle", now)

    def _do(self, action: scheduler.Action) -> None:
        now = self._cloud.now()
        match action:
            case Allocate(compute_id, count):
                alone = pools.is_instance(self._cloud, compute_id)
                disk = instances.home(self._cloud, compute_id) if alone else None
                for _ in range(count):
                    self._fleet.add(compute_id, now, disk)
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
            dirs = [str(machine.run_dir(record.name)) for machine in machines]
            self._launch(runs.place(self._cloud, record, dirs, list(node_ids)))

    def _launch(self, record: Record) -> None:
        """Start a run on its nodes, on a thread of its own: filling its folders may take long."""
        thread = threading.Thread(target=self._bring_up, args=(record,), name=f"launch {record.name}", daemon=True)
        self._shared.launching[record.job_id] = thread
        thread.start()

    def _bring_up(self, record: Record) -> None:
        try:
            runs.launch(self._cloud, record, self._shared.lock)
        except Exception as error:  # a defect of ours must not leave the job waiting for ever
            LOG.exception("%s could not be launched", record.name)
            text = f"the emulator failed: {type(error).__name__}: {error}"
            runs.end_now(self._cloud, record, "Failed", text, runs.SYSTEM_ERROR)
        finally:
            with self._shared.lock:
                self._shared.launching.pop(record.job_id, None)
            self.kick()

    def _tidy(self) -> None:
        """Repair what a kill left in between: a machine given to a job that doesn't know, a run not started yet."""
        now = self._cloud.now()
        for machine in self._fleet.all():
            record = jobrecords.get(self._cloud, machine.job_id) if machine.job_id else None
            if machine.state == "running" and record is not None and machine.node_id not in record.node_ids:
                self._fleet.change(machine.node_id, "idle", now)
        for record in jobrecords.active(self._cloud):
            self._take_over(record)
        self._free(now)

    def _take_over(self, record: Record) -> None:
        """Start what an earlier emulator had no time to start of a run. At most one execution on each node."""
        left = runs.waiting(record)
        if not left:
            return
        there = all(self._there(node_id) for node_id in record.node_ids)
        if len(left) < len(record.led):
            if there:
                runs.resume(self._cloud, record, left)
        elif there:
            self._launch(record)
        elif all((run_dir.parent.parent / "node.json").is_file() for run_dir in record.led):
            # Its nodes ended themselves while there was no emulator. Nothing was executed: it waits for others.
            runs.requeue(self._cloud, record)

    def _there(self, node_id: str) -> bool:
        machine = self._fleet.get(node_id)
        return machine is not None and self._fleet.alive(machine)

    def _nodes(self) -> list[scheduler.Node]:
        return [machine.as_node() for machine in self._fleet.all()]

    def _waiting(self, records: list[Record]) -> list[Waiting]:
        return [
            Waiting(record.job_id, pools.spelt(self._cloud, record.compute_id), record.nodes_wanted)
            for record in records
            if record.run_dir is None and not record.cancel_requested
        ]


__all__ = ["Clusters", "Machine"]
