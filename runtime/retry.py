"""One rule for repeating requests: what may be repeated, how soon, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Outcome: TypeAlias = Literal["settled", "retryable", "unknown"]
THROTTLED = 429
TROUBLE = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient we are, in seconds."""

    total_s: float = 60.0
    """From the first try to the start of the last."""
    connect_s: float = 5.0
    """The same, where there is no connection at all: a service that is down is said soon."""
    first_s: float = 0.3
    most_s: float = 8.0

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Return how long to wait before try `attempt` + 1; never less than the service asked for."""
        backoff = min(self.most_s, self.first_s * float(2**attempt))
        jitter = backoff * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, keeps no secret
        return jitter if retry_after is None else retry_after + jitter * 0.1


def outcome(status: int, *, once: bool) -> Outcome:
    """Judge an answer. What must not run twice is repeated when it was throttled (not run) only."""
    if status == THROTTLED:
        return "retryable"
    if status in TROUBLE:
        return "unknown" if once else "retryable"
    return "settled"


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that the service asks to wait (`retry-after-ms`, `Retry-After` in seconds or as a date)."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        given = headers.get("retry-after", "").strip()
        if not given:
            return None
        if given.replace(".", "", 1).isdigit():
            return float(given)
        return max(0.0, (parsedate_to_datetime(given) - now).total_seconds())
    except (ValueError, TypeError):
        return None
