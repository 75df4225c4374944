"""SDK values to and from ARM, by the table of types. Pure; the vendor's counterpart is its convert package.

Four directions: inputs to the body of a PUT, a body to outputs, outputs back to inputs (for refresh and import), and
inputs to the outputs that a preview may promise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from emulator.provider.table import Shape
from emulator.provider.values import UNKNOWN, is_unknown, without_nulls

if TYPE_CHECKING:
    from emulator.provider.table import ResourceType
    from emulator.routing import Json

STRING_SETS = frozenset({"userAssignedIdentities"})
"""Lists of ids in the SDK, maps from id to object on the wire (`isStringSet` in the vendor's metadata)."""

API_VERSION = "azureApiVersion"
STABLE = ("name", "location")
"""The outputs that the vendor promises in the preview of an update (provider.go, Update)."""

_PLAIN = Shape()


def resource_path(path: str, subscription: str, inputs: dict[str, Json]) -> str:
    """Fill a path template. Raises `ValueError` when a parameter is missing or not known."""
    values = {"subscriptionId": subscription, **inputs}

    def fill(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if not isinstance(value, str) or not value or is_unknown(value):
            raise ValueError(f"the path parameter '{match[1]}' has no value")
        # A scope is a path of its own, and may come with the leading slash of an id.
        return quote(value.strip("/"), safe="/") if match[1] == "scope" else quote(value, safe="")

    return re.sub(r"{(\w+)}", fill, path)


def parse_id(row: ResourceType, id_: str) -> dict[str, Json]:
    """Read the path parameters out of an ARM id, literals compared without case. Raises `ValueError`."""
    pattern = "".join(
        (f"(?P<{part[1:-1]}>.+)" if part == "{scope}" else f"(?P<{part[1:-1]}>[^/]+)")
        if part.startswith("{")
        else f"(?i:{re.escape(part)})"
        for part in re.split(r"({\w+})", row.path)
    )
    match = re.fullmatch(pattern, id_)
    if not match:
        raise ValueError(f"'{id_}' is not the id of a {row.token}: expected the form {row.path}")
    found = {name: unquote(value) for name, value in match.groupdict().items()}
    return {name: f"/{found[name]}" if name == "scope" else found[name] for name in row.parameters}


def body(row: ResourceType, inputs: dict[str, Json]) -> dict[str, Json]:
    """Build the body of a PUT from the inputs; path parameters and what the SDK doesn't declare stay out."""
    encoded = _encode(row.shape, {name: inputs[name] for name in row.body if name in inputs})
    assert isinstance(encoded, dict)  # noqa: S101 - an object in is an object out
    if row.shape.top is not None and any(name not in row.shape.top for name in row.body):
        encoded.setdefault("properties", {})
    return encoded


def outputs(row: ResourceType, document: dict[str, Json]) -> dict[str, Json]:
    """Turn what GET answered into outputs: flattened, without nulls, without members that the SDK doesn't know."""
    decoded = without_nulls(_decode(row.shape, document))
    assert isinstance(decoded, dict)  # noqa: S101 - an object in is an object out
    return {name: decoded[name] for name in row.response if name in decoded} | {API_VERSION: row.api_version}


def projection(row: ResourceType, values: dict[str, Json]) -> dict[str, Json]:
    """Reduce outputs to what could have been given as inputs: nothing read-only, sets as lists of ids."""
    kept = {name: _unset(values[name]) for name in row.body if name in values}
    for path in row.read_only:
        drop(kept, path)
    return kept


def unowned(row: ResourceType, inputs: dict[str, Json], values: dict[str, Json]) -> dict[str, Json]:
    """Copy outputs without the lists of sub-resources that the inputs don't give: others own their items."""
    left: dict[str, Json] = without_nulls(values)  # type: ignore[assignment] # an object in is an object out
    for path in row.maintain:
        if find(inputs, path) is None:
            drop(left, path)
    return left


def imported(row: ResourceType, id_: str, values: dict[str, Json]) -> dict[str, Json]:
    """Make inputs for a resource of which only the id and the state in the cloud are known."""
    return {**parse_id(row, id_), **projection(row, unowned(row, {}, values))}


def promised(row: ResourceType, inputs: dict[str, Json], old: dict[str, Json] | None = None) -> dict[str, Json]:
    """Make the outputs of a preview: inputs as given, the rest unknown, but for what an update can't change."""
    promise: dict[str, Json] = {name: _blur(name, inputs.get(name, UNKNOWN)) for name in row.response}
    for path in row.read_only:
        *parents, last = path.split(".")
        parent = find(promise, ".".join(parents))
        if isinstance(parent, dict) and last not in parent:
            promise = _set(promise, path, UNKNOWN)
    stable = {name: old[name] for name in STABLE if name in old} if old else {}
    return {**promise, **stable, API_VERSION: row.api_version}


def maintained(row: ResourceType, sent: dict[str, Json], remote: dict[str, Json] | None) -> dict[str, Json]:
    """Fill the lists of sub-resources that the body doesn't give: from the cloud, or `[]` at creation."""
    for path in row.maintain:
        wire = path if path.startswith("properties.") else f"properties.{path}"
        if find(sent, wire) is None:
            value = [] if remote is None else find(remote, wire)
            if value is not None:
                sent = _set(sent, wire, value)
    return sent


def find(values: Json, path: str) -> Json:
    """Return the member at a dotted path, or None."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def drop(values: Json, path: str) -> None:
    """Delete the member at a dotted path in place; `name[]` stands for every item of a list."""
    key, _, rest = path.partition(".")
    each = key.endswith("[]")
    key = key.removesuffix("[]")
    if not isinstance(values, dict) or key not in values:
        return
    if not rest:
        del values[key]
        return
    below = values[key]
    for item in below if each and isinstance(below, list) else [below]:
        drop(item, rest)


def _set(values: dict[str, Json], path: str, value: Json) -> dict[str, Json]:
    key, _, rest = path.partition(".")
    if not rest:
        return {**values, key: value}
    below = values.get(key)
    return {**values, key: _set(below if isinstance(below, dict) else {}, rest, value)}


def _encode(shape: Shape, value: Json) -> Json:
    if isinstance(value, list):
        return [_encode(shape, item) for item in value]
    if not isinstance(value, dict):
        return value
    top: dict[str, Json] = {}
    below: dict[str, Json] = {}
    for name, item in value.items():
        if name in STRING_SETS and isinstance(item, list):
            member: Json = {str(id_): {} for id_ in item}
        else:
            member = _encode(shape.children.get(name, _PLAIN), item)
        wire = shape.rename.get(name, name)
        (top if shape.top is None or wire in shape.top else below)[wire] = member
    return {**top, "properties": below} if below else top


def _decode(shape: Shape, value: Json) -> Json:
    if isinstance(value, list):
        return [_decode(shape, item) for item in value]
    if not isinstance(value, dict):
        return value
    below = value.get("properties")
    if shape.top is not None and isinstance(below, dict):
        value = {**below, **{name: item for name, item in value.items() if name != "properties"}}
    names = {wire: sdk for sdk, wire in shape.rename.items()}
    decoded: dict[str, Json] = {}
    for wire, item in value.items():
        name = names.get(wire, wire)
        decoded[name] = _decode(shape.children.get(name, _PLAIN), item)
    return decoded


def _blur(name: str, value: Json) -> Json:
    # As outputs, sets are maps to what the service knows of each id.
    if name in STRING_SETS:
        return UNKNOWN
    if isinstance(value, list):
        return [_blur("", item) for item in value]
    if isinstance(value, dict):
        return {key: _blur(key, item) for key, item in value.items()}
    return value


def _unset(value: Json) -> Json:
    if isinstance(value, list):
        return [_unset(item) for item in value]
    if isinstance(value, dict):
        return {
            name: [*item] if name in STRING_SETS and isinstance(item, dict) else _unset(item)
            for name, item in value.items()
        }
    return value
