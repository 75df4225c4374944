"""The VM sizes of Azure Machine Learning, read once from `vm_sizes.csv`: figures, families, retirement, where offered.

The rows are the service's own answer to VirtualMachineSizes_List (eastus, 2025-11) and Microsoft's pages; the column
`source` says which. Regions are only known for the scarce series (from where they have a price).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

AML_SOURCES = ("aml2025", "aml-doc2026")
LACKING = {
    "NDv2": ("northeurope", "eastus2", "uksouth", "swedencentral"),
    "NDasrA100_v4": ("northeurope", "eastus2", "uksouth", "swedencentral"),
    "NDm_A100_v4": ("northeurope", "eastus2", "uksouth", "swedencentral"),
    "ND_H100_v5": ("northeurope",),
    "ND_H200_v5": ("eastus", "southcentralus", "westeurope"),
    "HBv2": ("northeurope", "eastus2", "uksouth", "swedencentral"),
    "HBv3": ("northeurope", "eastus2", "westus2", "swedencentral"),
    "HC": ("swedencentral",),
    "FX": ("swedencentral",),
    "LSv2": ("eastus2",),
}


@dataclass(frozen=True, slots=True)
class Size:
    """One row."""

    name: str
    series: str
    family: str
    vcpus: int
    memory_gib: float
    gpus: float
    temp_disk_gib: float
    low_priority: bool
    on_request: bool
    """Quota for the family is 0 until one asks for it."""
    compute_instance: bool
    retired_on: date | None
    successor: str
    source: str
    rdma: bool
    price: float | None
    """US dollars an hour, Linux, eastus; None where nobody published one."""
    low_priority_price: float | None

    def in_location(self, location: str) -> bool:
        """Say whether the region has the size."""
        return location not in LACKING.get(self.series, ())

    def for_clusters(self, today: date) -> bool:
        """Say whether AmlCompute offers it now."""
        return self.source in AML_SOURCES and (self.retired_on is None or self.retired_on > today)


@cache
def sizes() -> dict[str, Size]:
    """Return the table by lower-case name."""
    with (Path(__file__).parent / "vm_sizes.csv").open(newline="") as file:
        return {row["size"].lower(): _size(row) for row in csv.DictReader(file)}


def family_key(family: str) -> str:
    """Return a family's name as answers may spell it otherwise: without case, blanks and underscores."""
    return family.lower().replace(" ", "").replace("_", "")


def _size(row: dict[str, str]) -> Size:
    return Size(
        name=row["size"],
        series=row["series"],
        family=row["family"],
        vcpus=int(row["vcpus"]),
        memory_gib=float(row["memory_gib"]),
        gpus=float(row["gpus"] or 0),
        temp_disk_gib=float(row["temp_disk_gib"] or 0),
        low_priority=row["low_priority"] == "yes",
        on_request=row["approval"] == "request" or float(row["gpus"] or 0) > 0,
        compute_instance=row["compute_instance"] == "yes",
        retired_on=date.fromisoformat(row["retired_on"]) if row["retired_on"] else None,
        successor=row["successor"],
        source=row["source"],
        rdma=row["rdma"] == "yes",
        price=float(row["price_usd_hour_eastus_linux"]) if row["price_usd_hour_eastus_linux"] else None,
        low_priority_price=float(row["low_priority_usd_hour"]) if row["low_priority_usd_hour"] else None,
    )
