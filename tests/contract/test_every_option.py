"""The two stack files of the engine tests leave no option out, and no field is silent about a change of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from specs.base import Wire, wires
from specs.checks import load_stack
from specs.field_words import models as directly
from specs.stack import StackSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

STACKS = Path(__file__).parents[1] / "stacks"


def instances(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from instances(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from instances(item)
    elif isinstance(value, list):
        for item in value:
            yield from instances(item)


def models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for member in getattr(annotation, "__args__", ()):
        yield from models(member)


def test_every_field_of_every_model_is_written_in_one_of_the_two_stacks() -> None:
    used: dict[type[BaseModel], set[str]] = {}
    for name in ("platform", "tenant"):
        for item in instances(load_stack(STACKS / f"{name}.yaml")):
            used.setdefault(type(item), set()).update(item.model_fields_set)
    missing = {
        f"{model.__name__}.{field}"
        for model in models(StackSpec)
        for field in model.model_fields
        if field not in used.get(model, set())
    }
    assert missing == set()


AS_ONE_VALUE = {
    *("Cron", "Recurrence", "RecurrenceSchedule", "Script", "StartStop"),
    *("FqdnRule", "PrivateEndpointDestination", "PrivateEndpointRule", "ServiceTagDestination", "ServiceTagRule"),
    *("RoleAssignment", "SecurityRule"),
}
"""Models that change as a whole, as the field says that holds them: lists' items, scripts."""


def test_every_field_says_what_a_change_of_it_does_or_its_holder_does() -> None:
    found = set(models(StackSpec))
    said = {
        model: [any(isinstance(item, Wire) for item in field.metadata) for field in model.model_fields.values()]
        for model in found
    }
    assert {model.__name__ for model in found if not all(said[model])} == AS_ONE_VALUE
    assert [model.__name__ for model in found if any(said[model]) and not all(said[model])] == []
    assert all(wires(model) for model in found if all(said[model]))


def test_what_changes_as_one_value_is_held_by_a_field_that_says_so() -> None:
    held = {
        inner.__name__
        for model in models(StackSpec)
        for field in model.model_fields.values()
        if model.__name__ in AS_ONE_VALUE or any(isinstance(item, Wire) for item in field.metadata)
        for inner in directly(field.annotation)
    }
    assert held >= AS_ONE_VALUE
