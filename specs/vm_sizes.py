"""Azure's VM sizes as data, and what a stack file may not ask of them. A copy of facts, with their dates in the file.

Sources, by the file's `source` column: the service's own vmSizes answer (eastus, 2025-11-04 and 2022-06-05, as recorded
in Azure/azure-powershell) and concept-compute-target of 2026-03-31; retirements from azure-docs' retired-sizes-list.
Other regions offer fewer sizes; the service has the last word.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from specs.base import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.aml_compute import AmlComputeSpec

ENDPOINTS_ONLY, SPARK_ONLY = "aml2025-mir", "aml2025-spark"


@dataclass(frozen=True, slots=True)
class VmSize:
    """One size, as far as a stack file is concerned."""

    name: str
    low_priority: str
    """`yes`, `no`, or empty where nothing is known."""
    retired_on: date | None
    """Past or announced."""
    successor: str
    source: str


@cache
def catalogue() -> Mapping[str, VmSize]:
    """Read the sizes, by lower-case name."""
    with (files("specs") / "vm_sizes.csv").open(encoding="utf-8") as stream:
        return {
            row["size"].lower(): VmSize(
                name=row["size"],
                low_priority=row["low_priority"],
                retired_on=date.fromisoformat(row["retired_on"]) if row["retired_on"] else None,
                successor=row["successor"],
                source=row["source"],
            )
            for row in csv.DictReader(stream)
        }


def cluster_faults(spec: AmlComputeSpec, today: date) -> list[Fault]:
    """Say why a cluster can't have its size. Pure."""
    size = catalogue().get(spec.vm_size.lower())
    if size is None:
        offered = (item for item in catalogue().values() if not item.retired_on or item.retired_on > today)
        names = {item.name.lower(): item.name for item in offered}
        near = difflib.get_close_matches(spec.vm_size.lower(), names, 3)
        hint = f" Did you mean {', '.join(names[name] for name in near)}?" if near else ""
        return [Fault(at=("vm_size",), message=f"no such VM size.{hint}", rule="vm-size-unknown")]
    if size.retired_on and size.retired_on <= today:
        instead = f" Instead: {size.successor}." if size.successor else ""
        return [Fault(at=("vm_size",), message=f"retired since {size.retired_on}.{instead}", rule="vm-size-retired")]
    if size.source in (ENDPOINTS_ONLY, SPARK_ONLY):
        use = "managed online endpoints" if size.source == ENDPOINTS_ONLY else "Spark pools"
        return [Fault(at=("vm_size",), message=f"is for {use} only, not for clusters.", rule="vm-size-kind")]
    if spec.vm_priority == "LowPriority" and size.low_priority == "no":
        message = f"{size.name} is not to be had as LowPriority. Allowed: Dedicated."
        return [Fault(at=("vm_priority",), message=message, rule="low-priority")]
    return []
