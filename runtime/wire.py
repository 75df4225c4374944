"""JSON as it comes from a service: never trusted to have the shape that it should."""

from __future__ import annotations

import json
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = dict[str, Json]


def obj(value: Json) -> Object:
    """Return the object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: Json) -> list[Json]:
    """Return the list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(value: Json) -> str:
    """Return the string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def at(value: Json, *keys: str) -> Json:
    """Return what stands below these keys, or None."""
    for key in keys:
        value = obj(value).get(key)
    return value


def parse(raw: bytes) -> Json:
    """Read JSON. Raises: ValueError."""
    value: Json = json.loads(raw)
    return value


def dump(value: Json) -> bytes:
    """Write JSON compactly, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
