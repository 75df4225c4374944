"""A cluster that is made for one run and gone after it (the v1 SDK's "run-based creation").

No stack declares it. It has no nodes but while its run needs them, so one that stays behind costs nothing but a place
in the quota of clusters. It carries the tag `trainyard.run`, and a note in the project says that it was made, written
before it is. Whoever sees the run's end asks for its deletion; `sweep` does for those whose client died, and drops a
note only when the service no longer has the cluster. Submissions and `invoke runs` sweep.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from node import layout
from runtime import clock as clocks
from runtime import history as histories
from runtime import names, quotas, submitters, wire
from runtime.clock import stamp
from runtime.control_plane import path
from runtime.errors import NotFoundError, Problem, RefusedError, SpecError, SubmissionError, TrainyardError
from runtime.project import private_folder
from runtime.records import TERMINAL, Record
from runtime.transport import Request
from specs.quotas import TOTAL_CLUSTERS, demands, key, quota_faults
from specs.targets import AmlComputeTarget
from specs.vm_sizes import Ask, find, size_faults

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from runtime.site import Site
    from runtime.wire import Object
    from specs.base import Fault
    from specs.outputs import StackOutputs
    from specs.vm_sizes import Priority

API = "2025-12-01"
"""Compute_CreateOrUpdate, Compute_Get, Compute_Delete, Workspaces_Get."""
TAG = "trainyard.run"
TRIES = 8
LATE_S = 900.0
"""A cluster whose job is not there so long after it was made belongs to a submission that died."""
IDLE = "PT120S"
"""The service's default."""
_SLUG = re.compile(r"[^a-z0-9]+")
"""A compute's name has 3 to 32 letters, digits and dashes (specs/compute.py)."""


class Wanted(NamedTuple):
    """What is asked for."""

    vm_size: str
    vm_priority: Priority
    max_node_count: int


@dataclass(frozen=True, slots=True)
class Note:
    """That a cluster was made, or was about to be."""

    run: str
    cluster: str
    """ARM id."""
    cloud: str
    workspace_id: str
    made: str
    said: str | None = None
    """Why it is still there, when the service refused."""


def name(run_id: str) -> str:
    """Return the name of a run's cluster: the same for the same run."""
    slug = _SLUG.sub("-", run_id.lower()).strip("-")[:16].strip("-")
    return f"run-{slug}-x{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def free_id(site: Site, experiment: str) -> str:
    """Make up a run's id that no run of this project has, and no cluster that was made."""
    taken = {found.run for found in notes(site.project)}
    for attempt in range(TRIES):
        proposed = names.propose(experiment, attempt, shared=True)
        if proposed not in taken and site.store.get(proposed) is None:
            return proposed
    raise SubmissionError("no free name for the run was found. Submit again")


def check(wanted: Wanted, where: str, today: date) -> list[str]:
    """Return what is to be known of the size. Raises `SpecError` for one that no cluster can have. Pure."""
    faults = size_faults(_ask(wanted), today, quotas_known=True)
    _refuse(where, [fault for fault in faults if fault.severity == "error"], wanted)
    return [f"{'.'.join(map(str, fault.at))}: {fault.message}" for fault in faults if fault.severity != "error"]


def check_quota(plane: ControlPlane, location: str, wanted: Wanted, where: str, today: date) -> list[str]:
    """Ask the service for the region's quotas. Raises `SpecError` where no node of the cluster could ever start."""
    rows = quotas.usages(plane, location)
    known = quotas.as_quotas(rows, location, today)
    ask = _ask(wanted)
    # One node at the least must fit, or the run would wait for ever; the cluster itself keeps none.
    one = demands([(("cluster",), location, Ask(ask.kind, ask.vm_size, ask.vm_priority, 1, ask.max_nodes))])
    faults = list(quota_faults(one, known))
    for row in rows:
        if key(row.name) == key(TOTAL_CLUSTERS) and row.used >= row.limit:
            message = f"{row.used} of {row.limit} clusters and instances in {location} are there already."
            raise SpecError([Problem(where, 0, 0, "target", message, rule="quota-clusters")])
    _refuse(where, [fault for fault in faults if fault.severity == "error"], wanted)
    return [fault.message for fault in faults if fault.severity != "error"]


def _ask(wanted: Wanted) -> Ask:
    return Ask("AmlCompute", wanted.vm_size, wanted.vm_priority, 0, wanted.max_node_count)


def _refuse(where: str, faults: list[Fault], wanted: Wanted) -> None:
    if faults:
        given = f'"{wanted.vm_size}"'
        raise SpecError([
            Problem(where, 0, 0, str(fault.at[-1] if fault.at else "vm_size"), fault.message, given, fault.rule)
            for fault in faults
        ])  # fmt: skip


def make(site: Site, known: StackOutputs, workspace: str, run_id: str, wanted: Wanted) -> AmlComputeTarget:
    """Make a run's cluster and wait for it; the note is written first. Repeating it is harmless."""
    home = known.workspaces[workspace]
    plane = site.cloud(known.cloud)
    size = find(wanted.vm_size)
    vm_size = size.name if size else wanted.vm_size
    cluster = f"{home.id}{path('computes', name(run_id))}"
    _write(site.project, Note(run_id, cluster, known.cloud, home.id, stamp(site.clock.now())))
    plane.put(cluster, _body(plane, home.id, run_id, wanted._replace(vm_size=vm_size)), API)
    return AmlComputeTarget(
        name=name(run_id),
        id=cluster,
        workspace=workspace,
        vm_size=vm_size,
        vm_priority=wanted.vm_priority,
        min_node_count=0,
        max_node_count=wanted.max_node_count,
    )


def _body(plane: ControlPlane, workspace_id: str, run_id: str, wanted: Wanted) -> Object:
    """Write the cluster: in the workspace's region, no nodes kept, no SSH, addresses as the workspace is open."""
    home = plane.get(workspace_id, API)
    private = wire.at(home, "properties", "publicNetworkAccess") == "Disabled"
    settings: Object = {
        "vmSize": wanted.vm_size,
        "vmPriority": wanted.vm_priority,
        "osType": "Linux",
        "scaleSettings": {
            "minNodeCount": 0,
            "maxNodeCount": wanted.max_node_count,
            "nodeIdleTimeBeforeScaleDown": IDLE,
        },
        "enableNodePublicIp": not private,
        "remoteLoginPortPublicAccess": "Disabled",
    }
    properties: Object = {"computeType": "AmlCompute", "disableLocalAuth": True, "properties": settings}
    return {"location": home.get("location"), "tags": {TAG: run_id}, "properties": properties}


def is_temporary(record: Record) -> bool:
    """Tell whether a run has a cluster of its own."""
    return record.target == name(record.id)


def release(site: Site, record: Record) -> None:
    """Ask for the deletion of an ended run's cluster, without waiting. What goes wrong is kept for `sweep` to say."""
    if not (record.terminal and is_temporary(record) and record.workspace_id and record.cloud):
        return
    cluster = f"{record.workspace_id}{path('computes', record.target)}"
    _delete(site, Note(record.id, cluster, record.cloud, record.workspace_id, record.created))


def abandon(site: Site, run_id: str) -> None:
    """Ask for the deletion of the cluster of a run that certainly does not run."""
    for found in notes(site.project):
        if found.run == run_id:
            _delete(site, found)


def sweep(site: Site) -> list[str]:
    """Settle what is noted: delete the clusters of runs that ended or never began; say what could not be done."""
    said = list[str]()
    for found in notes(site.project):
        try:
            if site.cloud(found.cloud).find(found.cluster, API) is None:
                if not _is_new(site, found):
                    _file(site.project, found).unlink(missing_ok=True)
            elif _over(site, found):
                trouble = _delete(site, found)
                words = f"could not be deleted: {trouble.splitlines()[0]}" if trouble else "is being deleted"
                said.append(f"{found.run}: its cluster {words}")
        except TrainyardError as error:
            said.append(f"{found.run}: its cluster may still be there: {str(error).splitlines()[0]}")
    return said


def _is_new(site: Site, found: Note) -> bool:
    """Tell whether the cluster may be about to be made by another process."""
    return site.store.get(found.run) is None and _age(site, found) < LATE_S


def _age(site: Site, found: Note) -> float:
    return clocks.seconds_between(found.made, stamp(site.clock.now())) or 0.0


def _over(site: Site, found: Note) -> bool:
    """Tell whether a cluster's run has ended or never began; the workspace is asked, whoever's run it is."""
    record = site.store.get(found.run)
    if record is None:
        return _age(site, found) >= LATE_S
    if record.terminal or site.store.is_submitting(record.id):
        return record.terminal
    return submitters.of(record.kind).look(site, record).state in TERMINAL


def _delete(site: Site, found: Note) -> str | None:
    """Send the DELETE; keep in the note, and return, what stood in its way."""
    plane = site.cloud(found.cloud)
    query = f"?api-version={API}&underlyingResourceAction=Delete"
    address = f"{plane.access.resource_manager.rstrip('/')}{found.cluster}{query}"
    said = None
    try:
        plane.call(Request("DELETE", address))
    except RefusedError as refused:
        said = None if refused.status == histories.NOT_FOUND else str(refused)
    except TrainyardError as error:
        said = str(error)
    _write(site.project, Note(found.run, found.cluster, found.cloud, found.workspace_id, found.made, said))
    return said


def notes(project: Project) -> list[Note]:
    """List the clusters that were made here and are not known to be gone."""
    folder = project.data / "temporary"
    found = list[Note]()
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            found.append(Note(**json.loads(file.read_text("utf-8"))))
        except (ValueError, TypeError):
            message = f"{file} is damaged. Delete it; the cluster {file.stem} may still be in the workspace"
            raise NotFoundError(message) from None
    return found


def _file(project: Project, found: Note) -> Path:
    return private_folder(project.data / "temporary") / f"{found.cluster.rpartition('/')[2]}.json"


def _write(project: Project, found: Note) -> None:
    document = {field: getattr(found, field) for field in Note.__slots__}
    layout.write_bytes(_file(project, found), json.dumps(document, indent=1).encode() + b"\n")
