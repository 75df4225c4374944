"""Aligned columns, durations, moments: plain text, the same on a terminal and in a pipe. Pure but for the date."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE_S, HOUR_S = 60, 3600


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows under their head, two spaces between columns, two before the first."""
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def took(seconds: float | None) -> str:
    """Show a duration: `0.3 s`, `14 s`, `3 min 41 s`, `2 h 5 min`; `-` where there is none."""
    if seconds is None:
        return "-"
    if seconds < 10:  # noqa: PLR2004 - below, a tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def size(count: int) -> str:
    """Show a number of bytes with decimal units, as storage is sold."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def plural(count: int, noun: str) -> str:
    """Count something: `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clock_time(moment: str, *, full: bool = False) -> str:
    """Show an ISO moment in local time: the hour for today, the date before; `full`: always both, with seconds."""
    if not moment:
        return "-"
    local = datetime.fromisoformat(moment).astimezone()
    if full:
        return local.strftime("%Y-%m-%d %H:%M:%S")
    return local.strftime("%H:%M" if local.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
