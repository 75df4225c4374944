"""Runs, targets, models and endpoints as lines for a person. Pure but for the current time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from console.sizes import cost_range
from console.table import columns, took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.live import Cost, Row
    from console.serving import Scores
    from runtime.machines import Node
    from runtime.models import Model
    from runtime.runs import Run
    from runtime.services import Service
    from specs.capabilities import Support

METRIC_COLUMNS = 2
"""As many metrics as fit beside the rest on a terminal of 100 columns; `runs.show` has all."""


def runs(found: Sequence[Run]) -> list[str]:
    """List runs, newest first, with the metrics that most of them share."""
    if not found:
        return ["  no runs yet. To submit one: invoke submit examples/digits/job.yml"]
    names = shared_metrics(found)
    head = ["RUN", "TARGET", "STATE", "STARTED", "TOOK", *(name.upper() for name in names)]
    rows = []
    for run in found:
        cells = [f"{run.metrics[name]:.4g}" if name in run.metrics else "-" for name in names]
        state = f"{run.state} (as last seen)" if run.stale else run.state
        rows.append(
            [run.id, run.target, state, clock_time(run.record.started or run.created), took(run.duration_s), *cells]
        )
    notes = sorted({f"  {run.target}: {run.stale}" for run in found if run.stale})
    return [*columns(head, rows), *notes]


def shared_metrics(found: Sequence[Run]) -> list[str]:
    """Choose the metrics to show: those that most runs have, accuracy before the rest."""
    counts: dict[str, int] = {}
    for run in found:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name != "accuracy", name))[:METRIC_COLUMNS]


def run(found: Run) -> list[str]:
    """Show one run, a fact a line."""
    record = found.record
    facts = [
        ("run", found.id),
        ("state", f"{found.state}{': ' + record.reason if record.reason else ''}"),
        ("target", f"{found.target} ({record.kind})"),
        ("experiment", found.experiment),
        ("job file", record.job),
        ("created", record.created),
        ("started", record.started),
        ("ended", record.ended),
        ("took", took(found.duration_s)),
        ("exit code", None if record.exit_code is None else str(record.exit_code)),
        ("environment", record.environment),
        ("snapshot", record.snapshot),
        ("workspace", record.workspace_id),
        ("as last seen", found.stale),
    ]
    lines = [f"  {label:<14}{value}" for label, value in facts if value]
    return [*lines, *(f"  {name:<14}{value:.6g}" for name, value in sorted(found.metrics.items()))]


MARKS: dict[Support, str] = {"yes": "\N{CHECK MARK}", "no": "-", "maybe": "?", "beyond": "+", "pipeline only": "p"}
MEANINGS: dict[Support, str] = {
    "yes": "yes",
    "maybe": "if the machine has one",
    "beyond": "here, beyond Azure's documents",
    "pipeline only": "in pipelines only",
}


def targets(rows: Sequence[Row]) -> list[str]:
    """List targets with their live state, what each can do, and what it costs; what the marks mean is below."""
    names = list(rows[0]["capabilities"])
    head = ["TARGET", "KIND", "STATE", "NODES", "SIZE", *(name.upper() for name in names), "COST/H"]
    cells = [
        [
            *(row["name"], row["kind"], row["state"], row["nodes"], row["size"]),
            *(MARKS[row["capabilities"][name]] for name in names),
            _cost(row["cost"]),
        ]
        for row in rows
    ]
    used = {support for row in rows for support in row["capabilities"].values()}
    meanings = [f"{MARKS[support]} {words}" for support, words in MEANINGS.items() if support in used]
    notes = sorted({cost["note"] for row in rows if (cost := row["cost"])})
    return [*columns(head, cells), f"  {', '.join(meanings)}", *(f"  cost: {note}" for note in notes)]


def _cost(cost: Cost | None) -> str:
    return cost_range(cost["least"], cost["most"]) if cost else "-"


def nodes(found: Sequence[Node], target: str) -> list[str]:
    """List the machines of a target with the commands that log in."""
    if not found:
        return [f"  {target} has no node now; it gets one when a job is sent"]
    rows = [
        [str(place), node.id, node.state, node.run or "-", node.connection or "-"] for place, node in enumerate(found)
    ]
    return columns(["", "NODE", "STATE", "RUN", "LOGIN"], rows)


def models(found: Sequence[Model]) -> list[str]:
    """List registered models, each version."""
    if not found:
        return ["  no models yet. To register one: invoke models.register --name NAME --run best"]
    rows = [[item.name, item.version, item.type, item.run or "-", clock_time(item.created)] for item in found]
    return columns(["MODEL", "VERSION", "TYPE", "RUN", "CREATED"], rows)


def services(found: Sequence[Service]) -> list[str]:
    """List the endpoints of this machine."""
    if not found:
        return ["  no endpoints yet. To deploy one: invoke deploy examples/digits/deployment.yml"]
    rows = [[item.endpoint, item.state, item.model, item.url] for item in found]
    return columns(["ENDPOINT", "STATE", "MODEL", "URL"], rows)


def score(result: Scores) -> list[str]:
    """Say how many answers are right, or show them when there is nothing to compare with."""
    each = f"{1000 * result.elapsed_s / max(1, len(result.answers)):.1f} ms each"
    if not result.labels:
        return [f"  {answer}" for answer in result.answers]
    wrong = [
        f"  wrong  image {index}: said {answer}, is {label}"
        for index, (answer, label) in enumerate(zip(result.answers, result.labels, strict=True))
        if answer != label
    ]
    return [*wrong, f"  {result.right} of {len(result.labels)} right ({each})  {result.uri}"]


def clock_time(moment: str) -> str:
    """Show an ISO moment in local time: the hour for today, the date before."""
    if not moment:
        return "-"
    local = datetime.fromisoformat(moment).astimezone()
    return local.strftime("%H:%M" if local.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
