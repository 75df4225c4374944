"""The subscription's quotas of one region: asked of the service, and kept in a file that checks read without network.

Usages_List (Microsoft.MachineLearningServices/locations/{location}/usages). Every family has two rows of one name: its
dedicated cores, and its low-priority cores with the limit -1, because those have one pool (recorded answer of
Get-AzMLServiceUsage in Azure/azure-powershell, eastus, 2025-11-04).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime import wire
from runtime.control_plane import path
from runtime.errors import Problem, SpecError
from specs.quotas import Quotas, key, load_quotas

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from runtime.control_plane import ControlPlane
    from runtime.wire import Object

API = "2025-12-01"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Usage:
    """One row: what is used of one limit."""

    name: str
    """A VM family, or `TotalDedicatedCores`, `TotalLowPriorityCores`, `TotalClusters`."""
    shown: str
    """The service's own words for it."""
    used: int
    limit: int


def usages(plane: ControlPlane, location: str) -> list[Usage]:
    """Ask what is used and allowed in a region; totals, then dedicated families. Raises `RefusedError` and others."""
    if not plane.access.subscription_id:
        message = "no subscription is named. Set it: export ARM_SUBSCRIPTION_ID=$(az account show --query id -o tsv)"
        raise SpecError([Problem("the environment", 0, 0, "ARM_SUBSCRIPTION_ID", message, rule="subscription")])
    resource = path(
        "subscriptions",
        plane.access.subscription_id,
        "providers",
        "Microsoft.MachineLearningServices",
        "locations",
        location,
        "usages",
    )
    rows = [_usage(row) for row in plane.list(resource, API) if not _pooled(row)]
    return [row for row in rows if row.name and row.limit >= 0]


def _pooled(row: Object) -> bool:
    return "/vmfamily/lowprioritycores" in wire.text(row.get("type")).lower()


def _usage(row: Object) -> Usage:
    name = wire.text(wire.at(row, "name", "value"))
    used, limit = row.get("currentValue"), row.get("limit")
    return Usage(
        name=name,
        shown=wire.text(wire.at(row, "name", "localizedValue")) or name,
        used=used if isinstance(used, int) else 0,
        limit=limit if isinstance(limit, int) else -1,
    )


def as_quotas(rows: list[Usage], location: str, as_of: date) -> Quotas:
    """Make of the service's rows what checks take. A name that comes twice in other spellings is taken once."""
    limits: dict[str, int] = {}
    seen: set[str] = set()
    for row in rows:
        if key(row.name) not in seen:
            seen.add(key(row.name))
            limits[row.name] = row.limit
    return Quotas(location=location, as_of=as_of, limits=limits)


def text(quotas: Quotas) -> str:
    """Render a quota file: sorted, one limit a line, so that a change shows as such in a review."""
    names = sorted(quotas.limits, key=lambda name: (not name.startswith("Total"), name.lower()))
    lines = [
        "# The subscription's quotas for Azure ML computes, vCPUs by VM family. Made by: invoke quotas --write FILE",
        f"location: {quotas.location}",
        f"as_of: {quotas.as_of}",
        "limits:",
        *(f"  {name}: {quotas.limits[name]}" for name in names),
    ]
    return "\n".join(lines) + "\n"


def write(target: Path, shown: str, quotas: Quotas) -> list[str]:
    """Write a quota file whole or not at all, and list what is other than before (everything, where it was not there).

    Only a quota file is overwritten: any other content raises `SpecError` and stays as it is.
    """
    if target.suffix not in _SUFFIXES:
        raise _refusal(shown, "ends in neither .yaml nor .yml. Write it like quotas/dev.yaml.")
    try:
        before = load_quotas(target, shown) if target.exists() else None
    except SpecError:
        raise _refusal(shown, "exists and is no quota file. Give another name; it was not touched.") from None
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(text(quotas), "utf-8")
            draft.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
    except OSError as error:
        raise _refusal(shown, f"can't be written: {error.strerror}. Give a file in a folder of yours.") from None
    return differences(before, quotas)


def differences(before: Quotas | None, after: Quotas) -> list[str]:
    """List what changed from one quota file to the next, a line each; nothing where there was none."""
    if before is None:
        return []
    lines = [] if before.location == after.location else [f"location {before.location} → {after.location}"]
    old = {key(name): (name, limit) for name, limit in before.limits.items()}
    for name, limit in after.limits.items():
        _, was = old.pop(key(name), (name, None))
        if was != limit:
            lines.append(f"{name} {'(none)' if was is None else was} → {limit}")
    return [*lines, *(f"{name} {limit} → (none)" for name, limit in old.values())]


def _refusal(shown: str, message: str) -> SpecError:
    return SpecError([Problem("invoke quotas", 0, 0, "--write", message, given=f'"{shown}"', rule="quota-file")])
