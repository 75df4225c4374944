"""What the component package takes, derived from the same models as the stack files: names, types, documentation.

The models stay the one list of fields: a field added to a spec is in the package. Names are camelCase on this side, as
every Pulumi package has them; each language's SDK turns them into its own. Pure; `provider` serves it.
"""

from __future__ import annotations

import types
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import pulumi
from pulumi.errors import InputPropertyError
from pydantic import BaseModel

from specs.base import ConfigKey, Named
from specs.docs import descriptions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic.fields import FieldInfo

Json: TypeAlias = "dict[str, object]"
NAME = "trainyard"
SECRET, REFERENCE = get_args(ConfigKey)[1], get_args(Named)[1]
"""What tells a field that names a secret, or something made elsewhere, from other texts."""
SAYS = (
    (SECRET, "The secret itself. Pulumi keeps it encrypted."),
    (REFERENCE, "An ARM id, or the output of the resource that has it."),
)
"""What a stack file names, a program has in hand; so their descriptions differ."""
SCALARS: Mapping[object, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    timedelta: {"oneOf": [{"type": "integer"}, {"type": "string"}]},
}


def camel(name: str) -> str:
    """Turn `vm_size` into `vmSize`."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def fields(model: type[BaseModel]) -> Iterator[tuple[str, object, FieldInfo]]:
    """List a model's fields: name, whole annotation, pydantic's own record."""
    hints = get_type_hints(model, include_extras=True)
    return ((name, hints[name], field) for name, field in model.model_fields.items())


def opened(annotation: object) -> tuple[object, tuple[object, ...]]:
    """Take an annotation's wrappers off: `Annotated`, and a `None` beside one type; return it with their metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        found, below = opened(inner)
        return found, (*metadata, *below)
    if origin in (Union, types.UnionType):
        members = [item for item in get_args(annotation) if item is not type(None)]
        if len(members) == 1:
            return opened(members[0])
    return annotation, ()


def properties(model: type[BaseModel], without: Collection[str], known: Json) -> tuple[Json, list[str]]:
    """Describe a model's fields as a Pulumi schema does, and list the required ones; types go to `known`."""
    found: Json = {}
    required: list[str] = []
    for name, annotation, field in fields(model):
        if name in without:
            continue
        metadata = opened(annotation)[1]
        text = next((says for mark, says in SAYS if mark in metadata), descriptions(model).get(name, ""))
        found[camel(name)] = {**_described(annotation, known), "description": text}
        if field.is_required():
            required.append(camel(name))
    return found, sorted(required)


def _described(annotation: object, known: Json) -> Json:
    inner, metadata = opened(annotation)
    mark: Json = {"secret": True} if SECRET in metadata else {}
    origin, members = get_origin(inner), get_args(inner)
    if origin is Literal:
        return {"type": "string"}
    if origin is list:
        return {"type": "array", "items": _described(members[0], known)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _described(members[1], known)}
    if origin in (Union, types.UnionType):
        shapes = [_described(item, known) for item in members if item is not type(None)]
        different = [shape for index, shape in enumerate(shapes) if shape not in shapes[:index]]
        return different[0] if len(different) == 1 else {"oneOf": different}
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        token = f"{NAME}:index:{inner.__name__}"
        if token not in known:
            known[token] = {}  # a model may hold itself
            inside, required = properties(inner, (), known)
            text = (inner.__doc__ or "").strip()
            known[token] = {"type": "object", "description": text, "properties": inside, "required": required}
        return {"$ref": f"#/types/{token}"}
    return {**SCALARS[inner], **mark}


class Given:
    """What a program handed over for one resource: plain values for the spec, the rest kept under names of ours.

    A spec holds texts only. So a secret, and the output of another resource where a reference may stand, is replaced by
    a name (where it stood), and found again under it: exactly how a stack file refers to both.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, pulumi.Output[str]] = {}

    def keep(self, value: object, at: str) -> str:
        """Keep a value that is not known yet, or must not be seen, and return its name."""
        name = at.replace("[", ".").replace("]", "")
        self.outputs[name] = cast("pulumi.Output[str]", pulumi.Output.from_input(value))
        return name

    def secret(self, name: str) -> pulumi.Output[str]:
        """Return the secret behind a name."""
        return pulumi.Output.secret(self.outputs[name])

    def model(self, model: type[BaseModel], values: Mapping[str, object], at: str = "") -> Json:
        """Turn the inputs for a model into what it validates. Raises `InputPropertyError` for a value out of place.

        Unknown names are kept as they are: the model refuses them.
        """
        mapping = {camel(name): (name, annotation) for name, annotation, _ in fields(model)}
        taken: Json = {}
        for key, value in values.items():
            name, annotation = mapping.get(key, (key, object))
            taken[name] = self._value(value, annotation, f"{at}{key}")
        return taken

    def _value(self, value: object, annotation: object, at: str) -> object:
        inner, metadata = opened(annotation)
        if SECRET in metadata and value is not None:
            return self.keep(value, at)
        if isinstance(value, str) and REFERENCE in metadata and not value.startswith("/"):
            raise InputPropertyError(at, f"{value} must be an ARM id, or the output of a resource")
        if isinstance(value, pulumi.Output):
            if REFERENCE in metadata:
                return self.keep(value, at)
            says = "must be written out here: the output of another resource is not known when the plan is checked"
            raise InputPropertyError(at, says)
        origin, members = get_origin(inner), get_args(inner)
        if isinstance(value, list) and origin is list:
            return [self._value(item, members[0], f"{at}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, dict) and origin is dict:
            return {key: self._value(item, members[1], f"{at}.{key}") for key, item in value.items()}
        if isinstance(value, dict) and (model := _model_for(inner, value)) is not None:
            return self.model(model, value, f"{at}.")
        if isinstance(value, float) and value.is_integer():
            return int(value)  # every number travels as a float
        return value


def _model_for(inner: object, value: Mapping[str, object]) -> type[BaseModel] | None:
    """Return the model that a value is meant for: of several, the first that knows all of its names."""
    members = [opened(item)[0] for item in (get_args(inner) or (inner,))]
    models = [item for item in members if isinstance(item, type) and issubclass(item, BaseModel)]
    fitting = [item for item in models if set(value) <= {camel(name) for name in item.model_fields}]
    return next(iter([*fitting, *models]), None)
