"""`--set PATH=VALUE` on top of a job's file, as `az ml job create` has it: dotted paths, values as text.

What a value becomes is the field's own type, as in a file. Messages about such a field say `--set` instead of a line.
Pure.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specs.loader import KEY, Document
from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.job import CommandJob
    from specs.loader import Path_, Tree

OPTION = "--set"
_STEP = re.compile(r"(?P<name>(?:\\.|[^.\[\\])+)|\[(?P<index>\d{1,6})\]|\.")
"""A name, in which a backslash takes a dot or bracket as it is; an index of a list."""


@dataclass(frozen=True, slots=True)
class Overridden(Document):
    """A document of which some places came from the command line."""

    places: tuple[Path_, ...] = ()

    def problem(
        self, path: Path_, message: str, *, given: str | None = None, rule: str = "", key: bool = False
    ) -> Problem:
        """Make a problem; at the option itself where the place is one of its own, or was made on the way to one."""
        made = path not in self.marks
        if any(path[: len(place)] == place or (made and place[: len(path)] == path) for place in self.places):
            return Problem(OPTION, 0, 0, dotted(path), message, given=given, rule=rule)
        return Document.problem(self, path, message, given=given, rule=rule, key=key)


def apply(document: Document, overrides: Sequence[str]) -> Document:
    """Return a document with these settings in it; the last of one path wins. Raises `SpecError` for each bad one."""
    if not overrides:
        return document
    value, marks = document.value, dict(document.marks)
    places, problems = list["Path_"](), list[Problem]()
    for text in overrides:
        try:
            path, given = _parse(text)
            value = _set(value, path, given, 0)
        except _Wrong as wrong:
            problems.append(Problem(OPTION, 0, 0, wrong.field, str(wrong), given=Document.show(text), rule="set"))
            continue
        places.append(path)
        marks |= {path: (0, 0), (*path, KEY): (0, 0)}
    if problems:
        raise SpecError(problems)
    return Overridden(document.file, value, marks, tuple(places))


def check_inputs(before: Document, document: Document, job: CommandJob) -> None:
    """Refuse a value for an input that the job's file does not declare and its command does not name: a typo.

    `az` takes it, and the run goes on with the value that was to be changed. Raises `SpecError`.
    """
    declared = before.value_at(("inputs",))
    known = sorted(declared) if isinstance(declared, dict) else []
    places = document.places if isinstance(document, Overridden) else ()
    problems = []
    for place in places:
        name = str(place[1]) if len(place) > 1 and place[0] == "inputs" else ""
        if not name or name in known or re.search(rf"\$\{{\{{\s*inputs\.{re.escape(name)}\s*\}}\}}", job.command):
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        message = f"the job has no input {name}. Declared: {', '.join(known) or 'none'}.{hint}"
        given = Document.show(document.value_at(place))
        problems.append(Problem(OPTION, 0, 0, dotted(place), message, given=given, rule="set-input"))
    if problems:
        raise SpecError(problems)


class _Wrong(Exception):  # noqa: N818 - becomes a problem
    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def _parse(text: str) -> tuple[Path_, str]:
    name, equals, given = text.partition("=")
    if not equals or not name.strip():
        raise _Wrong("", "is no setting. Write PATH=VALUE: --set inputs.C=0.5")
    path, at = list[str | int](), 0
    name = name.strip()
    while at < len(name):
        found = _STEP.match(name, at)
        if found is None or (found.group() == "." and (at == 0 or at == len(name) - 1 or name[at + 1] == ".")):
            raise _Wrong(
                name, "is no path. Write the fields' names with dots between: inputs.C, resources.locations[0]"
            )
        if found["index"] is not None:
            path.append(int(found["index"]))
        elif found["name"] is not None:
            path.append(re.sub(r"\\(.)", r"\1", found["name"]))
        at = found.end()
    return tuple(path), given


def _set(value: Tree, path: Path_, given: str, depth: int) -> Tree:
    """Return the tree with one place changed; mappings that are missing on the way are made, as az makes them."""
    if depth == len(path):
        return given
    part, here = path[depth], dotted(path[:depth])
    if isinstance(part, int):
        items = value if isinstance(value, list) else [] if value is None else None
        if items is None or part > len(items):
            what = f"has {len(items)} entries, from [0] on" if items is not None else "is no list"
            raise _Wrong(dotted(path), f"{here or 'the file'} {what}.")
        below = items[part] if part < len(items) else None
        return [*items[:part], _set(below, path, given, depth + 1), *items[part + 1 :]]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise _Wrong(dotted(path), _not_a_mapping(value, here, part))
    return {**value, part: _set(value.get(part), path, given, depth + 1)}


def _not_a_mapping(value: Tree, here: str, part: str) -> str:
    if isinstance(value, list):
        return f"{here} is a list, and {part} no number in brackets. Write {here}[0]."
    return f"{here} is {Document.show(value)}, which has no {part}. Set {here} itself: --set {here}=VALUE"


def dotted(path: Path_) -> str:
    """Write a path as it is given."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
