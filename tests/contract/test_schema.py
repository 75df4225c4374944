from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from specs.loader import parse, read
from specs.schema import FILE, stack_schema
from tests.specs.corpus import FILES, read_subject

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_the_models_own() -> None:
    assert (ROOT / FILE).read_text() == stack_schema(), "run: invoke schema"


@pytest.mark.parametrize("stack", ["stacks/local", "stacks/prod", "tests/stacks/platform", "tests/stacks/tenant"])
def test_the_stacks_fit_the_schema(stack: str) -> None:
    jsonschema.validate(read(ROOT / f"{stack}.yaml").value, json.loads(stack_schema()))


def nodes(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nodes(item)


def test_unions_are_told_apart_by_their_tag_so_that_editors_offer_the_fields_of_the_right_one() -> None:
    unions = [node for node in nodes(json.loads(stack_schema())) if "oneOf" in node]
    kinds = {str(node["discriminator"]) for node in unions}
    assert len(kinds) == 2
    for node in unions:
        told, members = node["discriminator"], node["oneOf"]
        assert isinstance(told, dict)
        assert isinstance(members, list)
        assert told["propertyName"] == ("kind" if "AmlCompute" in told["mapping"] else "type")
        assert [member["$ref"] for member in members] == list(told["mapping"].values())


def test_every_pattern_says_in_words_what_it_wants() -> None:
    with_pattern = [node for node in nodes(json.loads(stack_schema())) if isinstance(node.get("pattern"), str)]
    assert len(with_pattern) > 5
    assert [node["pattern"] for node in with_pattern if not node.get("patternErrorMessage")] == []


def test_the_schema_refuses_what_the_corpus_has_of_wrong_words_and_types() -> None:
    """An editor shows what the schema knows: each of these is red before `invoke check`."""
    validator = jsonschema.Draft202012Validator(json.loads(stack_schema()))
    rules = {"type", "choice", "range", "missing", "unknown-field", "unknown-kind", "retired-kind", "length", "pattern"}
    silent = []
    for path in FILES:
        subject = read_subject(path)
        for case in subject.cases:
            told = {line.rpartition("[rule ")[2].rstrip("]") for line in case.expected[1::2]}
            if told <= rules and "quotas/" not in case.expected[0] and not told & {"length"}:
                value = parse(subject.text(case), "dev.yaml").value
                if validator.is_valid(value):
                    silent.append(f"{subject.name}: {case.title}")
    # JSON knows no integer with a point, and neither infinity nor what is no number.
    assert silent == ["values: nodes with a point", "values: memory without end", "values: memory that is no number"]


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
