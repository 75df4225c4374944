"""Decides, and does nothing: which nodes to allocate, which job gets which nodes, which nodes go.

A pure function of what is known, so that every rule of scaling has a test that takes no time. The rules are
AmlCompute's: nodes come only for queued work (or the minimum), jobs start in the order of submission and get all their
nodes at once, an idle node goes after `nodeIdleTimeBeforeScaleDown`, never below `minNodeCount`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

NodeState: TypeAlias = Literal["preparing", "idle", "running", "leaving", "preempted", "unusable"]


@dataclass(frozen=True, slots=True)
class Pool:
    """One cluster's settings. `quota` is how many nodes its cores allow; None when nothing limits them."""

    compute_id: str
    min_nodes: int
    max_nodes: int
    idle_before: timedelta
    prepare: timedelta
    quota: int | None = None

    @property
    def most(self) -> int:
        """How many nodes there may be."""
        return self.max_nodes if self.quota is None else min(self.max_nodes, self.quota)


@dataclass(frozen=True, slots=True)
class Node:
    """One node as the scheduler sees it. `since` is when it came into its state."""

    node_id: str
    compute_id: str
    state: NodeState
    since: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job; the sequence passed to `plan` is the order."""

    job_id: str
    compute_id: str
    nodes: int


@dataclass(frozen=True, slots=True)
class Allocate:
    """Bring up so many more nodes."""

    compute_id: str
    count: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The node's preparation is over: it is idle from now on."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Start the job on these idle nodes."""

    job_id: str
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Give the idle node back."""

    node_id: str


Action: TypeAlias = Allocate | Ready | Assign | Release


def plan(now: datetime, pools: Sequence[Pool], nodes: Sequence[Node], waiting: Sequence[Waiting]) -> list[Action]:
    """Return what to do now, in order. Doing it and planning again at the same moment yields nothing new."""
    actions: list[Action] = []
    for pool in pools:
        mine = [node for node in nodes if node.compute_id == pool.compute_id]
        jobs = [job for job in waiting if job.compute_id == pool.compute_id]
        actions += _pool(now, pool, mine, jobs)
    return actions


def _pool(now: datetime, pool: Pool, nodes: list[Node], jobs: list[Waiting]) -> list[Action]:
    ready = [node for node in nodes if node.state == "preparing" and now - node.since >= pool.prepare]
    idle = [node for node in nodes if node.state == "idle"] + ready
    coming = sum(node.state == "preparing" for node in nodes) - len(ready)
    busy = sum(node.state == "running" for node in nodes)
    actions: list[Action] = [Ready(node.node_id) for node in ready]
    free = list(idle)
    queue = list(jobs)
    while queue and queue[0].nodes <= len(free):
        job = queue.pop(0)
        actions.append(Assign(job.job_id, tuple(node.node_id for node in free[: job.nodes])))
        free, busy = free[job.nodes :], busy + job.nodes
    there = len(free) + coming + busy
    target = min(pool.most, max(pool.min_nodes, busy + sum(job.nodes for job in queue)))
    if target > there:
        return [*actions, Allocate(pool.compute_id, target - there)]
    if queue:
        return actions
    return actions + _releases(now, pool, free, there)


def _releases(now: datetime, pool: Pool, free: list[Node], there: int) -> list[Action]:
    """Give back what is above the maximum at once, and what was idle for long enough, the longest idle first."""
    actions: list[Action] = []
    for node in sorted(free, key=lambda node: node.since):
        rested = node.state == "idle" and now - node.since >= pool.idle_before and there > pool.min_nodes
        if rested or there > pool.max_nodes:
            actions.append(Release(node.node_id))
            there -= 1
    return actions


def next_change(now: datetime, pools: Sequence[Pool], nodes: Sequence[Node]) -> timedelta | None:
    """Return how long until time alone changes the plan (a node gets ready, an idle one goes), or None."""
    by_id = {pool.compute_id: pool for pool in pools}
    waits: list[timedelta] = []
    for node in nodes:
        pool = by_id.get(node.compute_id)
        if pool is None:
            continue
        if node.state == "preparing":
            waits.append(node.since + pool.prepare - now)
        elif node.state == "idle" and sum(other.compute_id == node.compute_id for other in nodes) > pool.min_nodes:
            waits.append(node.since + pool.idle_before - now)
    return min(waits, default=None)
