"""Changes values in a stack file's text and nothing else: comments, order and quotes of all other lines stay. Pure."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import yaml

from specs.loader import Tree, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

Path_: TypeAlias = tuple[str, ...]
PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 ._/@-]*[A-Za-z0-9]|[A-Za-z]")
"""Strings that YAML 1.2 reads back as they are, but for its own words, which are asked of the loader."""


class Absent(Enum):
    """What takes a field away."""

    ABSENT = "absent"


Value: TypeAlias = "Tree | Absent"


def edited(text: str, changes: Mapping[Path_, Value]) -> str:
    """Return the text with a value put at each path, or the field taken away. Parents that are absent are made.

    Raises:
        TypeError: the file, or something that a path leads through, is no mapping.

    """
    for path, value in changes.items():
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise TypeError("the file is no mapping")
        text = _changed(text, root, path, value)
    return text


def _changed(text: str, parent: yaml.MappingNode, path: Path_, value: Value) -> str:
    name, below = path[0], path[1:]
    for key, node in parent.value:
        if key.value != name:
            continue
        if not below:
            return _without(text, parent, key, node) if isinstance(value, Absent) else _replaced(text, key, node, value)
        if isinstance(node, yaml.MappingNode) and node.value:
            return _changed(text, node, below, value)
        if (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")) or isinstance(node, yaml.MappingNode):
            return text if isinstance(value, Absent) else _replaced(text, key, node, _nested(below, value))
        raise TypeError(f"{name} is no mapping")
    return text if isinstance(value, Absent) else _inserted(text, parent, name, _nested(below, value))


def _nested(path: Path_, value: Tree) -> Tree:
    for part in reversed(path):
        value = {part: value}
    return value


def _replaced(text: str, key: yaml.Node, node: yaml.Node, value: Tree) -> str:
    return f"{text[: key.end_mark.index]}: {flow(value)}{text[max(_end(node), key.end_mark.index + 1) :]}"


def _inserted(text: str, parent: yaml.MappingNode, name: str, value: Tree) -> str:
    entry = f"{flow(name)}: {flow(value)}"
    if parent.flow_style:
        inside = parent.end_mark.index - 1
        return f"{text[:inside]}{', ' if parent.value else ''}{entry}{text[inside:]}"
    last = _end(parent.value[-1][1])
    line_end = text.find("\n", last)
    line_end = len(text) if line_end < 0 else line_end
    indent = " " * parent.value[0][0].start_mark.column
    return f"{text[:line_end]}\n{indent}{entry}{text[line_end:]}"


def _without(text: str, parent: yaml.MappingNode, key: yaml.Node, node: yaml.Node) -> str:
    if parent.flow_style or len(parent.value) == 1:
        rest = ", ".join(
            f"{text[other.start_mark.index : other.end_mark.index]}: {text[item.start_mark.index : _end(item)]}"
            for other, item in parent.value
            if other is not key
        )
        return f"{text[: parent.start_mark.index]}{{{rest}}}{text[_end(parent) :]}"
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    end = text.find("\n", max(_end(node), key.end_mark.index))
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _end(node: yaml.Node) -> int:
    """Return where a node's own text ends; the parser's mark of a block runs on to the next token."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        return int(node.end_mark.index) - 1  # a block scalar ends behind its last newline
    return int(node.end_mark.index)


def flow(value: Tree) -> str:
    """Write a value on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(flow(item) for item in value) + "]"
        case str() if PLAIN.fullmatch(value) and parse(f"a: {value}", "").value == {"a": value}:
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
