"""What may stand at a place of a file, read off the JSON Schema of its model: for messages that say what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pydantic import BaseModel

Node: TypeAlias = "dict[str, object]"
Loc: TypeAlias = "tuple[str | int, ...]"
CONFIG_KEY = "config-key"
"""The schema's `format` of a text that names a secret; what is written there by mistake may be the secret."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All that may stand at one place."""

    nodes: tuple[Node, ...]
    """Schemas of the values, unions taken apart."""
    about: str = ""
    """The field's own description, its first sentence; empty where there is none."""
    has_default: bool = False
    """Whether the field may be left out."""

    @property
    def secret(self) -> bool:
        """Whether a secret may have been put here."""
        return any(node.get("format") == CONFIG_KEY for node in self.nodes)

    @property
    def whole(self) -> bool:
        """Whether a number here must be whole."""
        return any(node.get("type") == "integer" for node in self.nodes)

    def fields(self) -> list[str]:
        """Name the fields that may stand here, sorted."""
        return sorted({name for node in self.nodes for name in _properties(node)})

    def required(self) -> list[str]:
        """Name the fields that must stand here, in the model's order, where there is one model."""
        names = [node["required"] for node in self.nodes if isinstance(node.get("required"), list)]
        return [str(name) for name in names[0]] if len(names) == 1 and isinstance(names[0], list) else []

    def choices(self) -> list[str]:
        """List the words that may stand here."""
        found: list[str] = []
        for node in self.nodes:
            words = node.get("enum", [node["const"]] if "const" in node else [])
            found += [str(word) for word in words] if isinstance(words, list) else []
        return list(dict.fromkeys(found))

    def elsewhere(self, name: str) -> str:
        """Say what a name means that is no field here, but one of another kind of file; empty for none."""
        tables = (node.get("elsewhere") for node in self.nodes)
        return next((str(table[name]) for table in tables if isinstance(table, dict) and name in table), "")

    def tags(self) -> list[str]:
        """List the words that tell the members of a union apart."""
        return [tag for node in self.nodes if (tag := _tag(node)[1])]

    def number(self, word: str) -> int | float | None:
        """Return a bound of the value, or of its length, e.g. `maximum`."""
        found = (node.get(word) for node in self.nodes)
        return next((bound for bound in found if isinstance(bound, (int, float))), None)

    def words(self) -> str:
        """Return what a text must look like, in words."""
        return next((str(node["patternErrorMessage"]) for node in self.nodes if "patternErrorMessage" in node), "")

    def phrase(self) -> str:
        """Say in words what kinds of value may stand here."""
        phrases = [words for node in self.nodes if not _tag(node)[1] and (words := _phrase(node))]
        if tags := self.tags():
            field = next(tag for node in self.nodes if (tag := _tag(node)[0]))
            phrases.append(f"a mapping of fields that begins with {field}: {either(tags)}")
        return either(list(dict.fromkeys(phrases)))


def either(words: list[str]) -> str:
    """Join alternatives: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def _phrase(node: Node) -> str:
    if "oneOf" in node or "anyOf" in node:
        return ""  # its members are here too
    if words := Shape((node,)).choices():
        return either(words)
    kind = node.get("type")
    if isinstance(kind, list):
        return "a number of seconds or an ISO 8601 duration such as PT2M"
    if kind == "object":
        fields = ", ".join(_properties(node))
        return f"a mapping of fields ({fields})" if fields else "a mapping of names (NAME: VALUE)"
    if kind in {"integer", "number"}:
        return f"{'a whole number' if kind == 'integer' else 'a number'}{bounds(Shape((node,)))}"
    return {"string": "text", "boolean": "true or false", "array": "a list ([A, B])"}.get(str(kind), "")


def _tag(node: Node) -> tuple[str, str]:
    """Return the field that tells a union's member from the others, and its word; empty texts where there is none."""
    for field in ("kind", "type"):
        value = _properties(node).get(field)
        if isinstance(value, dict) and "const" in value:
            return field, str(value["const"])
    return "", ""


def bounds(shape: Shape) -> str:
    """Say a number's range with a space before it; empty where there is none."""
    least, most, above = (shape.number(word) for word in ("minimum", "maximum", "exclusiveMinimum"))
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    if above is not None:
        return f" above {above:,}"
    return f", {least:,} or more" if least is not None else f", {most:,} or less" if most is not None else ""


@cache
def _schema(model: type[BaseModel]) -> Node:
    from specs import docs  # for messages only

    return docs.json_schema(model)


def _properties(node: Node) -> dict[str, Node]:
    found = node.get("properties")
    return found if isinstance(found, dict) else {}


def _members(node: Node, definitions: dict[str, Node]) -> list[Node]:
    reference = node.get("$ref")
    if isinstance(reference, str):
        return _members(definitions[reference.rpartition("/")[2]], definitions)
    found = [node]
    for word in ("anyOf", "oneOf"):
        members = node.get(word)
        if isinstance(members, list):
            found += [inner for member in members for inner in _members(member, definitions)]
    return found


def _steps(node: Node, part: str | int) -> list[Node]:
    properties = _properties(node)
    if part in properties:
        return [properties[str(part)]]
    extra, patterns, items = (node.get(word) for word in ("additionalProperties", "patternProperties", "items"))
    if isinstance(extra, dict):
        return [extra]
    if isinstance(patterns, dict):
        return list(patterns.values())
    return [items] if isinstance(items, dict) and isinstance(part, int) else []


def shape_at(model: type[BaseModel], loc: Loc) -> Shape:
    """Describe what may stand at pydantic's location of an error, tags of unions in it or not."""
    schema = _schema(model)
    definitions = schema.get("$defs")
    known = definitions if isinstance(definitions, dict) else {}
    here, about, has_default = _members(schema, known), "", False
    for part in loc:
        # A field may have the name of the only kind that there is: a command job's command.
        if len(here) > 1 and (tagged := [node for node in here if _tag(node)[1] == part]):
            here = tagged
            continue
        below = [step for node in here for step in _steps(node, part)]
        if not below:
            continue  # the name of a union's member
        here = [member for step in below for member in _members(step, known)]
        about = next((str(step["description"]) for step in below if "description" in step), "")
        has_default = any("default" in step for step in below)
    return Shape(tuple(here), first_sentence(about), has_default)


PROPER = ("Azure", "Python", "Ubuntu", "Linux", "Entra")


def first_sentence(text: str) -> str:
    """Return a description's beginning as a clause, plain: `region of everything, e.g. westeurope`."""
    clause = re.split(r"(?<!e\.g)\.(?:\s|$)|[;:] ", " ".join(text.split()))[0].replace("`", "")
    plain = re.match(r"[A-Z][a-z]*\b", clause) and not clause.startswith(PROPER)
    return clause[:1].lower() + clause[1:] if plain else clause
