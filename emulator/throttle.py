"""ARM's throttle: a token bucket per subscription and principal, one for reads and one for writes and deletes.

Figures of "Understand how Azure Resource Manager throttles requests" (2024 and later): reads 250, refilled with 25 a
second; writes 200 with 10 a second; deletes 200 with 10 a second.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.routing import Refusal

if TYPE_CHECKING:
    from datetime import datetime

READS, WRITES, DELETES = (250, 25.0), (200, 10.0), (200, 10.0)
KINDS = {"GET": ("reads", *READS), "HEAD": ("reads", *READS), "DELETE": ("deletes", *DELETES)}


@dataclass(slots=True)
class Throttle:
    """The buckets. Thread-safe."""

    levels: dict[tuple[str, str, str], tuple[float, datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, subscription: str, principal: str, method: str, now: datetime) -> dict[str, str]:
        """Take one token; return the header that tells what is left. Raises `Refusal` 429 with `Retry-After`."""
        kind, size, rate = KINDS.get(method, ("writes", *WRITES))
        key = (subscription.lower(), principal, kind)
        with self.lock:
            level, since = self.levels.get(key, (float(size), now))
            level = min(float(size), level + max(0.0, (now - since).total_seconds()) * rate)
            if level < 1:
                self.levels[key] = (level, now)
                wait = math.ceil((1 - level) / rate)
                message = (
                    f"Number of '{kind}' requests for subscription '{subscription}' exceeded the limit. "
                    f"Please try again after '{wait}' seconds."
                )
                raise Refusal(429, "SubscriptionRequestsThrottled", message, headers={"Retry-After": str(wait)})
            self.levels[key] = (level - 1, now)
            return {f"x-ms-ratelimit-remaining-subscription-{kind}": str(int(level - 1))}
