"""What Check does to a resource's inputs: names, location, api-version, then the vendor's validations. Pure.

The texts of failures are the vendor's (pulumi-azure-native, provider.go: applyDefaults, validateType,
validateProperty), so that what is learnt here helps there.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from emulator.provider.diff import CREATE_BEFORE_DELETE
from emulator.provider.values import UNKNOWN, is_unknown
from emulator.provider.wire import API_VERSION, STRING_SETS, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.provider.table import ResourceType
    from emulator.routing import Json

Mode: TypeAlias = Literal["PROPOSE", "ENFORCE", "DISABLE"]


@dataclass(frozen=True, slots=True)
class Naming:
    """What the engine says about a name: where the logical one stands, the seed, the user's `autonaming` settings."""

    urn: str
    seed: bytes
    mode: Mode | None = None
    """None where the user configured nothing."""
    proposed: str = ""


def with_defaults(
    row: ResourceType,
    olds: dict[str, Json],
    news: dict[str, Json],
    naming: Naming,
    locate: Callable[[str], str | None],
) -> dict[str, Json]:
    """Return the inputs with a name, a location and the api-version. `locate` finds a resource group's location."""
    inputs = dict(news)
    if row.autoname and row.parameters[-1] not in inputs:
        inputs.update(_name(row, olds, naming))
    if "location" in row.body and "location" not in inputs:
        location = _location(olds, inputs, locate)
        if location is not None:
            inputs["location"] = location
    inputs.setdefault(API_VERSION, row.api_version)
    return inputs


def failures(row: ResourceType, inputs: dict[str, Json]) -> list[str]:
    """List what is wrong with the inputs; unknown values pass."""
    return [*_missing(row, inputs), *_wrong(row, inputs)]


def _name(row: ResourceType, olds: dict[str, Json], naming: Naming) -> dict[str, Json]:
    key = row.parameters[-1]
    if key in olds:
        flag = olds.get(CREATE_BEFORE_DELETE) is True
        return {key: olds[key], **({CREATE_BEFORE_DELETE: True} if flag else {})}
    if naming.mode == "DISABLE":
        return {}
    if naming.mode == "ENFORCE" or (naming.mode == "PROPOSE" and row.autoname != "uuid"):
        return {key: naming.proposed, CREATE_BEFORE_DELETE: True}
    logical = naming.urn.rpartition("::")[2]
    digits = hashlib.sha256(naming.seed + naming.urn.encode()).hexdigest()
    match row.autoname:
        case "random":
            return {key: f"{logical}{digits[:8]}", CREATE_BEFORE_DELETE: True}
        case "uuid":
            return {key: str(uuid.UUID(digits[:32])), CREATE_BEFORE_DELETE: True}
        case _:
            return {key: logical}


def _location(olds: dict[str, Json], inputs: dict[str, Json], locate: Callable[[str], str | None]) -> Json:
    if "location" in olds:
        return olds["location"]
    group = inputs.get("resourceGroupName")
    if is_unknown(group):
        return UNKNOWN
    return locate(group if isinstance(group, str) else "")


def _missing(row: ResourceType, inputs: dict[str, Json]) -> Iterator[str]:
    for path in row.required:
        parent, _, last = path.rpartition(".")
        holder = find(inputs, parent) if parent else inputs
        if not isinstance(holder, dict) or last in holder:
            continue
        hint = ". Either set it explicitly or configure it with 'pulumi config set azure-native:location <value>'."
        yield f"missing required property '{path}'{hint if path == 'location' else ''}"


def _wrong(row: ResourceType, inputs: dict[str, Json]) -> Iterator[str]:
    for name, expected in row.inputs.items():
        value = inputs.get(name)
        if value is None or is_unknown(value):
            continue
        got = _type_of(value)
        if got == "number" and expected == "integer":
            yield f"'{name}' must be an integer but got {value:f}"
        elif got != expected and not (got == "integer" and expected == "number"):
            article = "an" if got in ("array", "object") else "a"
            shown = "number" if got == "integer" else got
            yield f"'{name}' should be of type '{expected}' but got {article} {shown}"
        if isinstance(value, str) and expected == "string" and name in row.limits:
            yield from _beyond(row, name, value)
        if name == "identity" and isinstance(value, dict):
            yield from _sets(name, value)


def _beyond(row: ResourceType, name: str, value: str) -> Iterator[str]:
    limit = row.limits[name]
    if len(value) < limit.shortest:
        yield f"'{name}' is too short ({len(value)}): at least {limit.shortest} characters required"
    if len(value) > limit.longest:
        yield f"'{name}' is too long ({len(value)}): at most {limit.longest} characters allowed"
    if limit.pattern and not re.search(limit.pattern, value):
        yield f"'{name}' does not match expression '{limit.pattern}'"


def _sets(name: str, value: dict[str, Json]) -> Iterator[str]:
    for key in STRING_SETS & value.keys():
        if not isinstance(value[key], list) and not is_unknown(value[key]):
            yield f"'{name}.{key}' should be of type 'array' but got an object"


def _type_of(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
