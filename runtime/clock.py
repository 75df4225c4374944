"""The time, in a form that tests can hold still. Durations come from `monotonic`; `now` is for people."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What this package knows of time."""

    def now(self) -> datetime:
        """Return the moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real one."""

    def now(self) -> datetime:
        """Return the moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM = SystemClock()


def stamp(moment: datetime) -> str:
    """Write a moment in ISO 8601 UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """Read an ISO 8601 moment; one without a zone is UTC. Digits beyond microseconds are dropped, as Azure has seven.

    Raises: ValueError.
    """
    head, dot, tail = text.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        text = f"{head}.{digits[:6]}{tail[len(digits) :]}"
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return the seconds between two moments as written; None where one is missing or unreadable."""
    if not start or not end:
        return None
    try:
        return max(0.0, round((parse(end) - parse(start)).total_seconds(), 3))
    except ValueError:
        return None
