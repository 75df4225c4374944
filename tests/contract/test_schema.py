from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from specs.loader import read
from specs.schema import FILE, stack_schema

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_the_models_own() -> None:
    assert (ROOT / FILE).read_text() == stack_schema(), "run: invoke schema"


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_the_shipped_stacks_fit_the_schema(stack: str) -> None:
    jsonschema.validate(read(ROOT / f"stacks/{stack}.yaml").value, json.loads(stack_schema()))


def test_every_field_of_a_stack_file_is_described() -> None:
    schema = json.loads(stack_schema())
    parts = {"StackSpec": schema, **schema["$defs"]}
    bare = [
        f"{name}.{field}"
        for name, part in parts.items()
        for field, about in part.get("properties", {}).items()
        if "description" not in about
    ]
    assert bare == []
