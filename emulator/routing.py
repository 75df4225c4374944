"""How a request reaches its handler: one table of patterns, one `Call` in, one `Answer` out.

A handler is a plain function `(Call) -> Answer`; it runs in a worker thread and raises `Refusal` for every error that
Azure would answer. Literal segments match without regard to case, as ARM does; `{name}` takes one segment and
`{name*}` takes the rest of the path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclass fields are read at run time
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

if TYPE_CHECKING:
    from emulator.cloud import Cloud

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


class Refusal(Exception):  # noqa: N818 - it is an answer of the service, not a defect of ours
    """An error that Azure answers: `{"error": {"code", "message"}}` with its status."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `args` are the pattern's named segments as sent, `path` is percent-encoded as sent."""

    cloud: Cloud
    method: str
    path: str
    args: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    origin: str
    """`https://localhost:PORT`, for the absolute URLs in answers."""
    claims: Mapping[str, str]
    """Claims of the bearer token; empty on routes that need none."""

    def json(self) -> dict[str, Json]:
        """Parse the body as one JSON object. Raises `Refusal` 400 when it is not one."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refusal(400, "InvalidRequestContent", f"The request content was invalid: {error}") from error
        if not isinstance(value, dict):
            raise Refusal(400, "InvalidRequestContent", "The request content must be a JSON object.")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a JSON value, bytes, or (a slice of) a file, which is streamed."""

    status: int
    body: Json | bytes | Path = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler: TypeAlias = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. `auth` False is for login, metadata and signed blob URLs only."""

    method: str
    pattern: str
    handler: Handler
    auth: bool = True
    api_version: bool = True
    """ARM refuses a request without `api-version`; data planes differ."""


class Routes:
    """The whole table, compiled once; the first pattern that fits wins, so put the more exact one first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._table = [(route, _compile(route.pattern)) for route in routes]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route and its named segments, decoded, or None when nothing here plays that path."""
        for route, pattern in self._table:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, {key: unquote(value) for key, value in match.groupdict().items()}
        return None

    def methods(self, path: str) -> list[str]:
        """List the methods that some route plays on this path (for a 405)."""
        return sorted({route.method for route, pattern in self._table if pattern.fullmatch(path)})


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\*?\})", pattern)
    return re.compile(
        "".join(
            f"(?P<{part[1:-2]}>.+)"
            if part.endswith("*}")
            else f"(?P<{part[1:-1]}>[^/]+)"
            if part.startswith("{")
            else f"(?i:{re.escape(part)})"
            for part in parts
        )
        + "/?"
    )
