"""From YAML text to a validated model, with the position of every value kept for the messages.

PyYAML parses; what `safe_load` alone does not do is done here: YAML 1.2 scalars (`no`, `22:30` and dates stay text),
no duplicate keys, caps on size, depth and alias expansion (a 306-byte alias bomb takes minutes otherwise), marks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from specs.problems import Problem, SpecError
from specs.sentences import problems_of
from specs.shapes import shape_at
from specs.yaml_words import in_words

if TYPE_CHECKING:
    from pathlib import Path

    from specs.base import Fault
MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
"""Values after expansion of aliases; a stack of 10,000 computes stays below."""
LONGEST_NUMBER = 40
BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What ends a line in YAML 1.1, which is what the parser's marks count."""

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

    def value_at(self, path: Path_) -> Tree:
        """Return the value at a path; None where there is none."""
        return _look_up(self.value, path)

    def given(self, path: Path_) -> str | None:
        """Show the scalar at a path, shortened; None where there is none, or a collection."""
        value = _look_up(self.value, path)
        return None if isinstance(value, (dict, list)) or path not in self.marks else self.show(value)

    def fault(self, above: Path_, fault: Fault, *, secret: bool = False) -> Problem:
        """Place a finding whose path begins at `above`; `secret`: what stands there may be one."""
        path = (*above, *fault.at)
        given = None if secret else self.show(path[-1]) if fault.key else self.given(path)
        return self.problem(path, fault.message, given=given, rule=fault.rule, key=fault.key)

    @staticmethod
    def show(value: object) -> str:
        """Write a scalar as it is shown in messages: on one line, shortened."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        if "-----BEGIN" in text:
            return '"-----BEGIN …"'  # it may be a private key
        return text if len(text) <= 80 else text[:77] + "…"  # noqa: PLR2004 - one line of a terminal

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
        words = str(error.problem or error.context)
        opened = words.startswith(("expected ',' or", "found unexpected end of stream"))
        mark = (error.context_mark if opened else None) or error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise SpecError([Problem(file, line, column, "", in_words(words), rule="yaml")]) from None
    except yaml.reader.ReaderError as error:
        before = BREAKS.split(text[: error.position])
        line, column = len(before), len(before[-1]) + 1
        words = in_words(f"unacceptable character #x{text[error.position] and ord(text[error.position]):04x}: ")
        raise SpecError([Problem(file, line, column, "", words, rule="yaml")]) from None
    return Document(file, value, marks)


def _check_depth(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                message = f"nested deeper than {MAX_DEPTH} levels. Write it flatter."
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
            raise self.fail(node, path, _tag(node), "yaml-tag")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path_) -> Tree:
        result: dict[str, Tree] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                template = isinstance(key_node, yaml.MappingNode)
                hint = " A template is written in quotes: '{{ … }}'." if template else ""
                raise self.fail(key_node, path, f"a key must be plain text, not a list or mapping.{hint}", "yaml-key")
            key = str(key_node.value)
            self.readable(key_node, path, key)
            if key == "<<" and key_node.style is None:
                message = "merging (<<) is not of YAML 1.2. Write the fields out."
                raise self.fail(key_node, path, message, "yaml-merge")
            if key in result:
                raise self.fail(key_node, (*path, key), "is written twice. Delete one.", "yaml-duplicate")
            result[key] = self.build(value_node, (*path, key))
            self.marks[(*path, key, KEY)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return result

    def readable(self, node: yaml.Node, path: Path_, text: str) -> None:
        """Refuse halves of UTF-16 pairs, which an escape can write and nothing can print or send."""
        if any("\ud800" <= character <= "\udfff" for character in text):
            message = "holds half a character (a surrogate escape). Write the character itself."
            raise self.fail(node, path, message, "yaml")

    def scalar(self, node: yaml.Node, path: Path_) -> Tree:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text = str(node.value)
        match kind:
            case "str":
                self.readable(node, path, text)
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) > LONGEST_NUMBER:
                raise self.fail(
                    node, path, f"a number of more than {LONGEST_NUMBER} digits. Shorten it.", "yaml-number"
                )
            case "int":
                return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
            case "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
            case _:
                raise self.fail(node, path, _tag(node), "yaml-tag")


def _tag(node: yaml.Node) -> str:
    return f"the YAML tag {node.tag} is not allowed. Write the value without it."


def read(path: Path, shown: str | None = None) -> Document:
    """Read and parse a file; `shown` is how messages call it. Raises `SpecError` when it can't be read."""
    name = shown or str(path)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem(name, 1, 1, "", f"is not UTF-8 text (byte {error.start}). Save it as UTF-8.", rule="encoding")]
        ) from None
    except OSError as error:
        raise SpecError([Problem(name, 1, 1, "", f"can't be read: {error.strerror}.", rule="file")]) from None
    return parse(text, name)


def validate(document: Document, model: type[Model]) -> Model:
    """Validate a document. Raises `SpecError` with every problem, each at its own line."""
    if not isinstance(document.value, dict):
        first = "is empty" if document.value is None else "must be a mapping of fields, one a line"
        message = f"{first}. Write {', '.join(f'{name}: …' for name in shape_at(model, ()).required())}."
        raise SpecError([document.problem((), message, given=document.given(()), rule="mapping")])
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise SpecError(problems_of(document, error.errors(include_url=False), model)) from None


def _look_up(value: Tree, path: Path_) -> Tree:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
