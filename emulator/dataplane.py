"""Collects the rows of everything below a workspace that is not ARM's own: data plane, blobs, history, MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import blob, codes, data, datastores, environments, history, jobrecords, jobs, ml, mlflow, models
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.routing import Call


def routes() -> list[Route]:
    """Return all rows; none overlaps with an ARM type's."""
    parts = (codes, environments, models, data, datastores, jobs, history, mlflow, blob)
    rows = [row for part in parts for row in part.routes()]
    return [
        *rows,
        Route("POST", f"{ml.WORKSPACE}/computes/{{compute}}/trainyard.evict", _evict, api_version=False),
        Route("POST", f"{ml.WORKSPACE}/jobs/{{job}}/trainyard.evict", _evict_job, api_version=False),
    ]


def _evict(call: Call) -> Answer:
    """Take a low-priority node away. No operation of Azure: there, capacity is taken without being asked for."""
    id_ = f"{ml.workspace(call).id}/computes/{call.args['compute']}"
    if call.cloud.state.get(id_) is None:
        raise ml.missing("Compute", id_)
    node = call.cloud.clusters.evict(id_) if call.cloud.clusters is not None else None
    if node is None:
        raise Refusal(409, "Conflict", f"The compute '{call.args['compute']}' has no low-priority node to evict.")
    return Answer(200, {"nodeId": node})


def _evict_job(call: Call) -> Answer:
    """Take a low-priority node of a job away: the way to those of a serverless job, which have no compute to name."""
    record = jobrecords.get(call.cloud, f"{ml.workspace(call).id}/jobs/{call.args['job']}")
    if record is None:
        raise ml.missing("Job", call.args["job"])
    running = not record.terminal and record.run_dir is not None and call.cloud.clusters is not None
    node = call.cloud.clusters.evict(record.compute_id, record.job_id) if running and call.cloud.clusters else None
    if node is None:
        raise Refusal(409, "Conflict", f"The job '{record.name}' has no low-priority node to evict.")
    return Answer(200, {"nodeId": node})
