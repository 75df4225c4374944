"""The JSON Schema of stack files, made from the models, for the editors that complete and check them."""

from __future__ import annotations

import json

from specs import docs
from specs.stack import StackSpec

FILE = "stacks/stack.schema.json"
"""Where it is kept; the first line of every stack file names it."""


def stack_schema() -> str:
    """Render the schema as text, the same at every call."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **docs.json_schema(StackSpec)}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
