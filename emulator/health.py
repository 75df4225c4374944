"""`GET /health`: who answers on this port, for the launcher. It needs no token and tells nothing but the home's id."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from emulator.routing import Answer, Route

if TYPE_CHECKING:
    from emulator.routing import Call

SERVICE = "trainyard-emulator"


def routes() -> list[Route]:
    """Return the row of the table."""
    return [Route("GET", "/health", _health, auth=False, api_version=False)]


def home_id(secret: bytes) -> str:
    """Return what names a home without giving its secret away."""
    return hmac.new(secret, b"home-id", hashlib.sha256).hexdigest()[:32]


def _health(call: Call) -> Answer:
    return Answer(200, {"service": SERVICE, "home": home_id(call.cloud.secret)})
