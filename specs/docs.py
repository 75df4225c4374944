"""What stands below each field of a model: the text of the JSON Schema, the documents and the messages.

Pydantic's own `use_attribute_docstrings` reads every model's source at its import, which no command needs: a fifth of
what importing the models takes. Here it is read when somebody asks.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core.core_schema import ModelSchema

Schema: TypeAlias = "dict[str, object]"


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field that has one, inherited fields included."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _in_module(cls.__module__).get(cls.__name__, {})
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _in_module(name: str) -> dict[str, dict[str, str]]:
    """Read a module's source once: the strings of its classes, by their names."""
    parsed = ast.parse(inspect.getsource(sys.modules[name]))
    return {item.name: _in_class(item.body) for item in parsed.body if isinstance(item, ast.ClassDef)}


def _in_class(body: list[ast.stmt]) -> dict[str, str]:
    """Read the strings that follow annotated names."""
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def json_schema(model: type[BaseModel]) -> Schema:
    """Return a model's JSON Schema with all descriptions."""
    return model.model_json_schema(schema_generator=_Described)


class _Described(GenerateJsonSchema):
    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Add the fields' docstrings."""
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        for name, text in descriptions(model).items():
            field = found.get("properties", {}).get(model.model_fields[name].alias or name)
            if field is not None:
                field.setdefault("description", text)
        return found
