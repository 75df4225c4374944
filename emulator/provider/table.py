"""The table of resource types: how each is addressed, what its body looks like, what replaces it. Data, no behaviour.

`types.json` holds one object a type, keyed by Pulumi's token. To add a type, add its object there:

- `path`, `apiVersion`: of the PUT, with the SDK's own parameter names in braces.
- `autoname`: what an absent last path parameter becomes: `random` (name + 8 hex), `copy`, `uuid`, or null.
- `inputs`: SDK name to type (`string boolean integer number object array`), with `!` when required.
- `outputs`: SDK names that only the service sets. `readOnly`: dotted paths of such members inside inputs.
- `top`: wire keys beside `properties`; the rest is inside it. A type whose SDK keeps `properties` lists it here.
- `rename`: SDK name to wire name. `children`: the same three keys for a member; `{"shape": NAME}` for a shared one.
- `replace`: create-only inputs. `required`: dotted members, checked when their parent is given.
- `limits`: of strings, [shortest, longest, pattern].
- `maintain`: lists of sub-resources that other resources may own: `[]` at creation, kept as they are in an update.
- `deleteQuery`: further query parameters of DELETE: name to {`by`: dotted member of the resource, its values to the
  parameter's, `otherwise`}. What the vendor's plugin sends there could not be read; the specification requires it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from emulator.routing import Json

Autoname: TypeAlias = Literal["random", "copy", "uuid"]
Row: TypeAlias = "dict[str, Json]"

AUTONAMES: dict[str, Autoname] = {"random": "random", "copy": "copy", "uuid": "uuid"}
TABLE = Path(__file__).with_name("types.json")


@dataclass(frozen=True, slots=True)
class Shape:
    """How one object looks on the wire; `top` is None where nothing is moved into `properties`."""

    top: frozenset[str] | None = None
    rename: dict[str, str] = field(default_factory=dict)
    children: dict[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """Length and pattern of a string input."""

    shortest: int
    longest: int
    pattern: str


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One row."""

    token: str
    path: str
    api_version: str
    autoname: Autoname | None
    inputs: dict[str, str]
    required: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: Shape
    replace: frozenset[str]
    read_only: tuple[str, ...]
    maintain: tuple[str, ...]
    limits: dict[str, Limit]
    delete_query: dict[str, dict[str, str]]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The path's parameters that the program gives, in order."""
        return tuple(name for name in re.findall(r"{(\w+)}", self.path) if name != "subscriptionId")

    @property
    def body(self) -> tuple[str, ...]:
        """The inputs that go into the body."""
        parameters = self.parameters
        return tuple(name for name in self.inputs if name not in parameters)

    @property
    def response(self) -> tuple[str, ...]:
        """The names that the outputs may have."""
        return (*self.body, *self.outputs)


@dataclass(frozen=True, slots=True)
class Action:
    """A function of the SDK that is a POST."""

    path: str
    api_version: str


@dataclass(frozen=True, slots=True)
class Table:
    """All types and functions that this provider plays."""

    types: dict[str, ResourceType]
    actions: dict[str, Action]


@cache
def load() -> Table:
    """Read the table; once a process."""
    document = json.loads(TABLE.read_text(encoding="utf-8"))
    shapes: Row = document["shapes"]
    types = {token: _row(token, row, shapes) for token, row in document["types"].items()}
    actions = {token: Action(row["path"], row["apiVersion"]) for token, row in document["actions"].items()}
    return Table(types, actions)


def _row(token: str, row: Row, shapes: Row) -> ResourceType:
    inputs = {name: str(kind) for name, kind in _object(row["inputs"]).items()}
    path = str(row["path"])
    return ResourceType(
        token=token,
        path=path,
        api_version=str(row["apiVersion"]),
        autoname=AUTONAMES.get(str(row["autoname"])),
        inputs={name: kind.rstrip("!") for name, kind in inputs.items()},
        required=(*(name for name, kind in inputs.items() if kind.endswith("!")), *_strings(row, "required")),
        outputs=_strings(row, "outputs"),
        shape=_shape(row, shapes),
        replace=frozenset((*_strings(row, "replace"), *re.findall(r"{(\w+)}", path))),
        read_only=_strings(row, "readOnly"),
        maintain=_strings(row, "maintain"),
        limits={name: _limit(value) for name, value in _object(row.get("limits", {})).items()},
        delete_query={
            name: {value: str(sent) for value, sent in _object(rule).items()}
            for name, rule in _object(row.get("deleteQuery", {})).items()
        },
    )


def _shape(row: Row, shapes: Row) -> Shape:
    if "shape" in row:
        return _shape(_object(shapes[str(row["shape"])]), shapes)
    top = _strings(row, "top") if "top" in row else None
    return Shape(
        top=None if top is None or "properties" in top else frozenset(top),
        rename={sdk: str(wire) for sdk, wire in _object(row.get("rename", {})).items()},
        children={name: _shape(_object(child), shapes) for name, child in _object(row.get("children", {})).items()},
    )


def _limit(value: Json) -> Limit:
    match value:
        case [int(shortest), int(longest), str(pattern)]:
            return Limit(shortest, longest, pattern)
    raise ValueError(f"a limit is [shortest, longest, pattern], not {value!r}")


def _object(value: Json) -> Row:
    if not isinstance(value, dict):
        raise TypeError(f"types.json: expected an object, not {value!r}")
    return value


def _strings(row: Row, key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list):
        raise TypeError(f"types.json: {key} is a list, not {value!r}")
    return tuple(str(item) for item in value)
