"""From what Azure has back to the words of a stack file: the mirror of what components render. Pure.

By the `Wire` of each field, so that a new field is read back without a line here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from specs.base import Wire, wires
from specs.edit import Absent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.edit import Value
    from specs.loader import Tree

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Finding:
    """One field of a stack file whose value in Azure is another."""

    field: str
    """Dotted, relative to its model."""
    wire: Wire
    value: Value
    """What the file would have to say."""


def findings(
    model: type[BaseModel], inputs: Mapping[str, Json], changed: list[str], names: Mapping[str, str]
) -> list[Finding]:
    """Say what the file would have to say so that nothing at the `changed` paths of a resource's inputs differs.

    `names`: what this file calls the things behind ARM ids, by id in lower case.
    """
    found = []
    known = wires(model)
    for field, wire in known.items():
        inner = any(other.startswith(f"{field}.") for other in known)
        if wire.path is None or inner or not any(_touches(path, wire.path) for path in changed):
            continue
        raw = _look_up(dict(inputs), wire.path)
        annotation, default = _field(model, field)
        if raw is None:
            found.append(Finding(field, wire, _absence(annotation, default)))
        else:
            found.append(Finding(field, wire, shaped(raw, annotation, names)))
    return found


def _absence(annotation: object, default: object) -> Value:
    """Say that there is nothing: by no field where that means it, else by the field's own word for it."""
    if default in (None, [], {}):
        return Absent.ABSENT
    return "none" if any("none" in get_args(member) for member in get_args(annotation)) else None


def _touches(changed: str, wire: str) -> bool:
    """Tell whether a changed path lies at a field's, in it, or above it."""
    plain = re.sub(r"\[[^\]]*\]", "", changed)
    return plain == wire or plain.startswith(f"{wire}.") or wire.startswith(f"{plain}.")


def _look_up(inputs: Json, path: str) -> Json:
    for part in path.split("."):
        inputs = inputs.get(part) if isinstance(inputs, dict) else None
    return inputs


def _field(model: type[BaseModel], dotted: str) -> tuple[object, object]:
    """Return a nested field's type and default."""
    head, _, rest = dotted.partition(".")
    field = model.model_fields[head]
    if not rest:
        return field.annotation, None if field.is_required() else field.get_default(call_default_factory=True)
    inner = next(found for item in (get_args(field.annotation) or (field.annotation,)) if (found := _model(item)))
    return _field(inner, rest)


def shaped(value: Json, annotation: object, names: Mapping[str, str]) -> Tree:
    """Write a value of ARM's as a field of this type is written in a stack file."""
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shaped(value, members[0], names)
    if origin in (Union, UnionType):
        return shaped(value, _chosen(value, members), names)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict):
        return {
            field: written
            for field, info in annotation.model_fields.items()
            if (raw := value.get(_camel(field))) is not None
            and (written := shaped(raw, info.annotation, names)) != info.default
        }
    if isinstance(value, list):
        return [shaped(item, members[0] if members else str, names) for item in value]
    if isinstance(value, dict):
        if origin is dict:
            return {key: shaped(item, members[1], names) for key, item in value.items()}
        # ARM wraps some single values: {"id": …} of a resource, {"service": …} of a service endpoint.
        inner = value.get("id", value.get("service"))
        return shaped(inner, annotation, names) if inner is not None else {}
    return names.get(value.lower(), value) if isinstance(value, str) else value


def _chosen(value: Json, members: tuple[object, ...]) -> object:
    """Choose the member of a union that a value is of: by its `type`, or else the one of its shape."""
    models = [model for member in members if (model := _model(member))]
    if isinstance(value, dict) and models:
        tagged = (model for model in models if _tag(model) == value.get("type"))
        return next(tagged, models[0])
    return next((member for member in members if member is not type(None) and not _model(member)), str)


def _tag(model: type[BaseModel]) -> object:
    """Return the one value of a model's `type`, by which a union tells it from the others."""
    field = model.model_fields.get("type")
    return next(iter(get_args(field.annotation)), None) if field else None


def _model(annotation: object) -> type[BaseModel] | None:
    inner: object = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _camel(field: str) -> str:
    head, *rest = field.split("_")
    return head + "".join(word.capitalize() for word in rest)
