"""A field in a few words, for the page of targets: what it takes, its default. Pure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from specs.base import ArmId, Cidr, ConfigKey, Location, Named, OpenSshKey, VmSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TYPES = """\
A *reference* is a name of this file, `NAME@STACK` of another stack of the same backend, or an ARM id. A *config key* is
the name under which `invoke secret NAME` keeps a secret; the secret itself is never in the file."""
NAMED = tuple(
    (get_args(kind)[1], words)
    for kind, words in (
        (ArmId, "ARM id"),
        (Cidr, "address range"),
        (ConfigKey, "config key"),
        (Location, "region"),
        (Named, "reference"),
        (OpenSshKey, "public key"),
        (VmSize, "VM size"),
    )
)
"""What tells a text of one kind from another: its check."""
PLAIN: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    timedelta: "duration",
}


def models(annotation: object) -> Iterator[type[BaseModel]]:
    """List the models that an annotation names, not those inside them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in get_args(annotation):
        yield from models(member)


def single(annotation: object) -> type[BaseModel] | None:
    """Return the one model that a field holds; None where it holds several, of one or more kinds, or none."""
    found = list(models(annotation))
    return found[0] if len(found) == 1 and not _many(annotation) else None


def _many(annotation: object) -> bool:
    return get_origin(annotation) in (list, dict) or any(_many(member) for member in get_args(annotation))


def title(model: type[BaseModel]) -> str:
    """Return a model's name without our ending: a kind is called as in the file."""
    return model.__name__.removesuffix("Spec")


def allowed(field: FieldInfo) -> str:
    """Say what a field takes; a model with a section of its own is a link."""
    if single(field.annotation):
        return "fields below"
    return _words(field.annotation, field.metadata)


def _words(annotation: object, metadata: Iterable[object] = ()) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(members[0], [*metadata, *_opened(members[1:])])
    if origin is Literal:
        return ", ".join(f"`{member}`" for member in members)
    if origin is list:
        return f"list of {_words(members[0])}"
    if origin is dict:
        return f"name: {_words(members[1])}"
    if members:
        return " or ".join(dict.fromkeys(_words(item) for item in members if item is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{title(annotation)}](#{title(annotation).lower()})"
    known = next((words for mark, words in NAMED if mark in metadata), PLAIN.get(annotation, ""))
    if not known:
        raise TypeError(f"no words for {annotation!r}")
    return known + _bounds(metadata)


def _opened(metadata: Iterable[object]) -> Iterator[object]:
    """Take apart the `Field(…)` inside an `Annotated`."""
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else [item]


def _bounds(metadata: Iterable[object]) -> str:
    least = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    most = next((item.le for item in metadata if isinstance(item, Le)), None)
    above = next((item.gt for item in metadata if isinstance(item, Gt)), None)
    longest = next((item.max_length for item in metadata if isinstance(item, MaxLen)), None)
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    if longest is not None:
        return f", at most {longest:,} characters"
    return f", {least:,} or more" if least is not None else f", above {above:,}" if above is not None else ""


def default(field: FieldInfo) -> str:
    """Say what holds where a field is absent."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "absent"
    if isinstance(value, BaseModel):
        shown = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(shown)}`" if shown else "its fields' own"
    if isinstance(value, timedelta):
        return f"`{int(value.total_seconds())}`"
    return "none" if value in ({}, []) else f"`{value if isinstance(value, str) else json.dumps(value)}`"
