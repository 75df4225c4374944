"""From YAML text to a validated model, with the position of every value kept for the messages.

PyYAML parses; what `safe_load` alone does not do is done here: YAML 1.2 scalars (`no`, `22:30` and dates stay text),
no duplicate keys, caps on size, depth and alias expansion (a 306-byte alias bomb takes minutes otherwise), marks.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from specs.problems import Problem, SpecError
from specs.words import OTHER_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
"""Values after expansion of aliases; a stack of 10,000 computes stays below."""

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | int | float | bool | None"
Path_: TypeAlias = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: the plain value, and where each value and key begins."""

    file: str
    value: Tree
    marks: dict[Path_, tuple[int, int]]
    """Position of the value at a path; of the key for `path + (KEY,)`."""

    def given(self, path: Path_) -> str | None:
        """Show the scalar at a path, shortened; None where there is none."""
        return _given(self.value, path)

    def problem(
        self, path: Path_, message: str, *, given: str | None = None, rule: str = "", key: bool = False
    ) -> Problem:
        """Make a problem at a path; the nearest known position above it is used when it has none."""
        for length in range(len(path), -1, -1):
            mark = (self.marks.get((*path[:length], KEY)) if key else None) or self.marks.get(path[:length])
            if mark:
                break
        else:
            mark = (1, 1)
        field = ".".join(str(part) for part in path)
        return Problem(self.file, *mark, field, message, given=given, rule=rule)


KEY = "\0key"
COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def parse(text: str, file: str) -> Document:
    """Parse one YAML document. Raises `SpecError` with the position of whatever makes it unreadable."""
    if len(text.encode()) > MAX_BYTES:
        raise SpecError([Problem(file, 1, 1, "", f"larger than {MAX_BYTES:,} bytes; split it.", rule="yaml-size")])
    marks: dict[Path_, tuple[int, int]] = {}
    try:
        _check_depth(text, file)
        node = yaml.compose(text, Loader=_Loader)
        value = _Builder(file, marks).build(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise SpecError(
            [Problem(file, line, column, "", f"not YAML: {error.problem or error.context}.", rule="yaml")]
        ) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem(file, 1, 1, "", f"not YAML: {error}.", rule="yaml")]) from None
    return Document(file, value, marks)


def _check_depth(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                message = f"nested deeper than {MAX_DEPTH} levels."
                raise SpecError([Problem(file, line, 1, "", message, rule="yaml-depth")])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Turns nodes into plain values and counts them, so that aliases can't multiply without end."""

    def __init__(self, file: str, marks: dict[Path_, tuple[int, int]]) -> None:
        self.file, self.marks, self.nodes = file, marks, 0
        self.constructor = yaml.constructor.SafeConstructor()

    def fail(self, node: yaml.Node, path: Path_, message: str, rule: str) -> SpecError:
        mark = node.start_mark
        field = ".".join(map(str, path))
        return SpecError([Problem(self.file, mark.line + 1, mark.column + 1, field, message, rule=rule)])

    def build(self, node: yaml.Node, path: Path_) -> Tree:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            message = f"aliases expand to more than {MAX_NODES:,} values or {MAX_DEPTH} levels. Write the values out."
            raise self.fail(node, (), message, "yaml-alias")
        self.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in COLLECTIONS:
            raise self.fail(node, path, f"the YAML tag {node.tag} is not allowed.", "yaml-tag")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path_) -> Tree:
        result: dict[str, Tree] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node, path, "a key must be plain text.", "yaml-key")
            key = str(key_node.value)
            if key in result:
                raise self.fail(key_node, (*path, key), "is written twice. Delete one.", "yaml-duplicate")
            result[key] = self.build(value_node, (*path, key))
            self.marks[(*path, key, KEY)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return result

    def scalar(self, node: yaml.Node, path: Path_) -> Tree:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text = str(node.value)
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
            case "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
            case _:
                raise self.fail(node, path, f"the YAML tag {node.tag} is not allowed.", "yaml-tag")


def read(path: Path, shown: str | None = None) -> Document:
    """Read and parse a file; `shown` is how messages call it. Raises `SpecError` when it can't be read."""
    name = shown or str(path)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem(name, 1, 1, "", f"is not UTF-8 text (byte {error.start}).", rule="encoding")]
        ) from None
    except OSError as error:
        raise SpecError([Problem(name, 1, 1, "", f"can't be read: {error.strerror}.", rule="file")]) from None
    return parse(text, name)


def validate(document: Document, model: type[Model]) -> Model:
    """Validate a document. Raises `SpecError` with every problem, each at its own line."""
    if not isinstance(document.value, dict):
        message = "must be a mapping of fields to values."
        raise SpecError([document.problem((), message, given=_show(document.value), rule="mapping")])
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SpecError([problem for detail in details for problem in _problems(document, detail, model)]) from None


def _problems(document: Document, detail: ErrorDetails, model: type[BaseModel]) -> list[Problem]:
    path = _real_path(document.value, detail["loc"])
    context = detail.get("ctx", {})
    if detail["type"] == "faults":
        return [
            document.problem(
                (*path, *fault["at"]),
                fault["message"],
                given=_given(document.value, (*path, *fault["at"])),
                rule=fault["rule"],
            )
            for fault in context["faults"]
        ]
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, detail["loc"][:-1])
        return [document.problem(path, _unknown_field(str(path[-1]), known), rule="unknown-field", key=True)]
    if detail["type"] == "missing":
        return [document.problem(path[:-1], f"the field {detail['loc'][-1]} is missing.", rule="missing", key=True)]
    if "[key]" in detail["loc"]:
        return [
            document.problem(
                path, _sentence(detail), given=_show(path[-1]), rule=detail["type"].replace("_", "-"), key=True
            )
        ]
    given = None if context.get("secret") else _given(document.value, path)
    return [document.problem(path, _sentence(detail), given=given, rule=detail["type"].replace("_", "-"))]


def _sentence(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message if message.endswith(".") else message + "."


def _real_path(value: Tree, loc: tuple[str | int, ...]) -> Path_:
    """Drop the parts of pydantic's location that are not in the file: union tags and `[key]`."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if part == "[key]":
            continue
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif index != len(loc) - 1:
            continue  # the tag of a union, or the name of a member type
        elif (
            "-" in str(part)
            or "[" in str(part)
            or str(part)[:1].isupper()
            or str(part) in {"str", "int", "float", "bool", "timedelta"}
        ):
            continue
        path.append(part)
    return tuple(path)


def _given(value: Tree, path: Path_) -> str | None:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return None if isinstance(value, (dict, list)) else _show(value)


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "…"  # noqa: PLR2004 - one line of a terminal


def _unknown_field(name: str, known: list[str]) -> str:
    for ours, others in OTHER_NAMES.items():
        for where, words in others.items():
            if name in words and ours in known:
                return f"no such field. Here it is called {ours} ({where} says {name})."
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"no such field. Did you mean {near[0]}?"
    return f"no such field. Allowed: {', '.join(sorted(known))}."


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """List the fields that may stand at a location, by walking the JSON Schema of the model."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def candidates(node: dict[str, object]) -> list[dict[str, object]]:
        reference = node.get("$ref")
        if isinstance(reference, str):
            return candidates(definitions[reference.rpartition("/")[2]])
        found = [node]
        for word in ("anyOf", "oneOf"):
            members = node.get(word)
            if isinstance(members, list):
                found += [candidate for member in members for candidate in candidates(member)]
        return found

    here = candidates(schema)
    for part in loc:
        step: list[dict[str, object]] = []
        tagged = [node for node in here if _kind(node) == part]
        if tagged:
            here = tagged
            continue
        for node in here:
            properties = node.get("properties")
            extra = node.get("additionalProperties")
            items = node.get("items")
            if isinstance(properties, dict) and part in properties:
                step += candidates(properties[part])
            elif isinstance(extra, dict):
                step += candidates(extra)
            elif isinstance(items, dict) and isinstance(part, int):
                step += candidates(items)
        here = step or here
    return sorted({name for node in here if isinstance(names := node.get("properties"), dict) for name in names})


def _kind(node: dict[str, object]) -> object:
    properties = node.get("properties")
    kind = (properties.get("kind") or properties.get("type")) if isinstance(properties, dict) else None
    return kind.get("const") if isinstance(kind, dict) else None
