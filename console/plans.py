"""A plan of the engine as lines for a person, or as an object for a script. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from console.table import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.plan import Change, Json, Plan

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "import": "="}
WORDS = {"create": "created", "update": "changed", "replace": "replaced", "delete": "deleted", "import": "imported"}
AHEAD = {
    "create": "to create",
    "update": "in place",
    "replace": "to replace",
    "delete": "to delete",
    "import": "to import",
}
COMPUTE = "azure-native:machinelearningservices:Compute"
PRECIOUS = (
    COMPUTE,
    "azure-native:machinelearningservices:Workspace",
    "azure-native:storage:StorageAccount",
    "azure-native:keyvault:Vault",
)
"""What must not be replaced unasked: it takes runs, models or data with it."""


def real(plan: Plan) -> list[Change]:
    """List what changes in the cloud; components exist in the program only."""
    return [change for change in plan.differences if not change.component]


def lines(plan: Plan, notes: Mapping[str, str] | None = None) -> list[str]:
    """Render one line a change and the properties that differ below it; ends in a line that counts.

    `notes`: more to say of a compute, by its name: its cost, the runs on it.
    """
    shown = []
    changes = real(plan)
    width = max((len(change.name) for change in changes), default=0)
    for change in changes:
        kind = change.type.rpartition(":")[2]
        how = {"replace": "REPLACES it", "update": "in place"}.get(change.op, "")
        note = (notes or {}).get(change.name, "") if change.type == COMPUTE else ""
        how = "; ".join(part for part in (how, note) if part)
        shown.append(f"  {SIGNS[change.op]} {change.name:<{width}}  {kind:<22} {how}".rstrip())
        for item in change.properties:
            forces = "   forces the replacement" if item.replaces else ""
            shown.append(f"      {short(item.path)} {value(item.old)} → {value(item.new)}{forces}")
    return [*shown, summary(plan)]


def summary(plan: Plan, *, done: bool = False) -> str:
    """Count the changes in one line."""
    changes = real(plan)
    if not changes:
        return "  no changes"
    counts = {op: sum(change.op == op for change in changes) for op in WORDS}
    if done:
        return "  " + ", ".join(f"{count} {WORDS[op]}" for op, count in counts.items() if count)
    parts = [f"{count} {AHEAD[op]}" for op, count in counts.items() if count]
    return f"  {plural(len(changes), 'change')}: {', '.join(parts)}"


def lost(plan: Plan) -> dict[str, str]:
    """Name what a plan would replace or delete and what must not go unasked: `replace` or `delete` by name."""
    found = {change.name: change.op for change in real(plan) if change.type in PRECIOUS}
    return {name: op for name, op in sorted(found.items()) if op in ("replace", "delete")}


def as_json(plan: Plan, warnings: Sequence[str] = ()) -> dict[str, Json]:
    """Render the whole plan for scripts; `warnings` are the stack file's, before the engine's own."""
    return {
        "changes": [
            {
                "name": change.name,
                "type": change.type,
                "urn": change.urn,
                "op": change.op,
                "properties": [
                    {"path": item.path, "old": item.old, "new": item.new, "replaces": item.replaces}
                    for item in change.properties
                ],
            }
            for change in real(plan)
        ],
        "counts": dict(plan.counts),
        "warnings": [*warnings, *plan.warnings],
    }


def short(path: str) -> str:
    """Drop the nesting that ARM adds around a compute's own properties, and speak in the stack file's words."""
    name = path.removeprefix("properties.properties.").removeprefix("properties.").removeprefix("scaleSettings.")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def value(item: Json) -> str:
    """Show a value in a few words."""
    if item is None:
        return "(none)"
    if isinstance(item, dict) and list(item) == ["id"]:
        item = item["id"]
    if isinstance(item, str) and item.startswith("/subscriptions/"):
        return "…/" + "/".join(item.split("/")[-2:])  # an ARM id is told by its end
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - one line of a terminal
