"""What happens during a submission or a stream, said as it happens: for a terminal, a log, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `topic`: target, run, snapshot, upload, environment, data, sent, state, nodes, attempt, log, note.

    Or newline: the log ended amid a line, and something is about to be said that begins a line.
    """

    topic: str
    text: str
    done: int | None = None
    """Of a transfer, in bytes; with `total`, for a progress bar."""
    total: int | None = None


OnEvent: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Say nothing."""


def size(count: int) -> str:
    """Write a number of bytes for people: 512 B, 4.1 kB, 3.2 MB."""
    if count < 1000:  # noqa: PLR2004
        return f"{count} B"
    value, units = count / 1000, iter(("kB", "MB", "GB"))
    unit = next(units)
    while value >= 1000 and (larger := next(units, None)):  # noqa: PLR2004
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def files(count: int) -> str:
    """Write `1 file`, `3 files`."""
    return f"{count} file" if count == 1 else f"{count:,} files"
