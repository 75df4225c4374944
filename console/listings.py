"""Targets, nodes, models and endpoints as lines for a person. Pure but for the current time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.sizes import cost_range
from console.table import clock_time, columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.live import Cost, Row
    from console.serving import Scores
    from runtime.machines import Node
    from runtime.models import Model
    from runtime.services import Service
    from specs.capabilities import Support

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
