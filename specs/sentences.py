"""Pydantic's findings in our own voice: the value given, what is allowed, a fix; one finding for each place."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, TypeAlias

from specs.base import Fault
from specs.kinds import other_kind
from specs.shapes import bounds, either, shape_at
from specs.words import OPPOSITES, OTHER_NAMES

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from specs.loader import Document, Path_, Tree
    from specs.problems import Problem
    from specs.shapes import Shape

Details: TypeAlias = "list[ErrorDetails]"
TYPES = {
    "bool_type", "dict_type", "float_type", "int_type", "list_type", "model_attributes_type", "model_type",
    "string_type", "date_type", "int_parsing", "float_parsing", "bool_parsing",
}  # fmt: skip
RANGES = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
LENGTHS = {"string_too_long", "string_too_short", "too_long", "too_short"}
YES, NO = {"yes", "on", "y"}, {"no", "off", "n"}


def problems_of(document: Document, details: Details, model: type[BaseModel]) -> list[Problem]:
    """Turn all findings about a document into problems, each at its own line, a place told once."""
    places: dict[Path_, Details] = {}
    found: list[Problem] = []
    renamed = {
        (_real_path(document.value, above), _meant(str(detail["loc"][-1]), shape_at(model, above).fields())[0])
        for detail in details
        if detail["type"] == "extra_forbidden" and (above := detail["loc"][:-1]) is not None
    }
    for detail in details:
        path = _real_path(document.value, detail["loc"])
        if detail["type"] == "faults":
            found += _faults(document, path, detail, model)
        elif detail["type"] == "missing" and (path[:-1], path[-1]) in renamed:
            continue  # it is there, under another name, and that is told
        elif detail["type"] in {"extra_forbidden", "missing"} or "[key]" in detail["loc"]:
            found.append(_of_a_field(document, path, detail, model))
        else:
            places.setdefault(path, []).append(detail)
    deeper = {problem.field for problem in found} | {".".join(map(str, path)) for path in places}
    for path, here in places.items():
        dotted = ".".join(map(str, path))
        several = len(here) > 1 or isinstance(document.value_at(path), dict)
        members = several and all(item["type"] in TYPES for item in here)
        if members and any(field.startswith(f"{dotted}.") for field in deeper):
            continue  # the other members of a union whose one member fits but for something inside
        found.append(_of_a_value(document, path, _foremost(here, document, path), model))
    return found


def _faults(document: Document, path: Path_, detail: ErrorDetails, model: type[BaseModel]) -> list[Problem]:
    faults = [Fault.model_validate(fault) for fault in detail.get("ctx", {})["faults"]]
    return [document.fault(path, fault, secret=shape_at(model, (*detail["loc"], *fault.at)).secret) for fault in faults]


def _of_a_field(document: Document, path: Path_, detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    """Say what is wrong with a name of a field, or that one is missing."""
    if detail["type"] == "missing":
        name, shape = str(detail["loc"][-1]), shape_at(model, detail["loc"])
        message = f"the field {name} is missing{f': {shape.about}' if shape.about else ''}."
        choices = f" Allowed: {', '.join(shape.choices())}." if shape.choices() else ""
        return document.problem(path[:-1], message + choices, rule="missing", key=True)
    if detail["type"] == "extra_forbidden":
        above = detail["loc"][:-1]
        message = _unknown_field(str(path[-1]), shape_at(model, above), shape_at(model, above[:-1]))
        return document.problem(path, message, rule="unknown-field", key=True)
    given = document.show(path[-1])
    if detail["type"] in LENGTHS:
        message = _length(detail, "the name")
        return document.problem(path, message, given=given, rule="length", key=True)
    return document.problem(path, _own(detail), given=given, rule=_rule(detail), key=True)


def _foremost(here: Details, document: Document, path: Path_) -> ErrorDetails:
    """Choose what to say of a value that fits no member of a union: the member that it was meant for."""
    value = document.value_at(path)
    kinds = {item["type"]: item for item in here}
    if isinstance(value, str) and value.startswith("/") and "arm-id" in kinds:
        return kinds["arm-id"]
    ours = [item for kind, item in kinds.items() if kind not in {"arm-id", "literal_error"} and kind not in TYPES]
    return next(iter(ours), kinds.get("literal_error", here[0]))


def _of_a_value(document: Document, path: Path_, detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    kind, loc, value, context = detail["type"], detail["loc"], document.value_at(path), detail.get("ctx", {})
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        tags = shape_at(model, path).tags()
        return _of_a_tag(document, path, str(context["discriminator"]).strip("'"), tags)
    # The last part may name a union's member; all members are told, so it goes.
    shape = shape_at(model, loc if loc[-1:] == path[-1:] else loc[:-1])
    if kind in TYPES:
        message = _wrong_type(shape, value)
    elif kind == "literal_error":
        message = _choice(shape, value)
    elif kind in RANGES:
        message = f"must be a {'whole number' if shape.whole else 'number'}{bounds(shape)}."
    elif kind in LENGTHS:
        message = _length(detail, "the text")
    elif kind == "string_pattern_mismatch" and shape.words():
        message = f"{shape.words()}."
    else:
        message = _own(detail)
        if kind == "location" and isinstance(value, str) and (plain := re.sub("[^a-z0-9]", "", value.lower())):
            message += f" Write {plain}."
    hidden = shape.secret or context.get("secret")
    return document.problem(path, message, given=None if hidden else document.given(path), rule=_rule(detail))


def _rule(detail: ErrorDetails) -> str:
    kind = detail["type"]
    for kinds, rule in ((TYPES, "type"), (RANGES, "range"), (LENGTHS, "length")):
        if kind in kinds:
            return rule
    named = {"literal_error": "choice", "string_pattern_mismatch": "pattern", "string_unicode": "encoding"}
    return named.get(kind, kind.replace("_", "-"))


def _wrong_type(shape: Shape, value: Tree) -> str:
    phrase, required = shape.phrase(), shape.required()
    about = f": {shape.about}" if shape.about and phrase in {"text", "a list ([A, B])"} else ""
    if value is None:
        if shape.fields() and not required and not shape.tags():
            return "has no value. Write {} for one with all defaults, or give it fields."
        absent = " Or delete the line: its default holds then." if shape.has_default else ""
        needed = f" It needs {', '.join(required)}." if required else ""
        return f"has no value. It must be {phrase}{about}.{needed}{absent}"
    return f"must be {phrase}, not {_noun(value)}{about}.{_fix(shape, value)}"


def _noun(value: Tree) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return "a number with a point"
        case int():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _fix(shape: Shape, value: Tree) -> str:
    """Say what to write instead, where that is plain."""
    kinds = {node.get("type") for node in shape.nodes}
    if isinstance(value, str):
        if "boolean" in kinds and (low := value.lower()) in YES | NO | {"true", "false"}:
            return f" Write {'true' if low in YES | {'true'} else 'false'}."
        if "integer" in kinds and value.strip().lstrip("-").isdecimal():
            return f" Write {int(value)}, without quotes."
        return f" Write [{value}]." if "array" in kinds and not shape.secret else ""
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return f" Write {int(value)}."
    if isinstance(value, (bool, int, float)) and "string" in kinds and not shape.about:
        shown = str(value).lower() if isinstance(value, bool) else value
        return f' In quotes it is: "{shown}".'
    return ""


def _choice(shape: Shape, value: Tree) -> str:
    choices = shape.choices()
    other = any(node.get("type") == "string" and not {"enum", "const"} & set(node) for node in shape.nodes)
    words = either([*choices, "an ARM id (/subscriptions/…)"]) if other else ", ".join(choices)
    hint = ""
    if isinstance(value, str):
        low = {choice.lower(): choice for choice in choices}
        near = [low[match] for match in difflib.get_close_matches(value.lower(), low, 1)]
        hint = f" Did you mean {near[0]}?" if near else ""
    first = "has no value. " if value is None else ""
    return f"{first}Allowed: {words}.{hint}"


def _length(detail: ErrorDetails, what: str) -> str:
    context = detail.get("ctx", {})
    most, least = context.get("max_length"), context.get("min_length")
    if detail["type"] in {"too_long", "too_short"}:
        count = context.get("actual_length")
        says = f"at most {most}. Delete some." if most is not None else f"{least} or more. Add one."
        return f"has {count} entries; allowed are {says}"
    if isinstance(detail["input"], str) and most is not None:
        return f"{what} has {len(detail['input']):,} characters; allowed are at most {most:,}. Shorten it."
    return f"{what} is empty. Give one, or delete the line."


def _own(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message if message.endswith((".", "?")) else message + "."


def _of_a_tag(document: Document, path: Path_, tag: str, expected: list[str]) -> Problem:
    """Say which kinds there are, at the word that is none of them."""
    whole = document.value_at(path)
    value = whole.get(tag) if isinstance(whole, dict) else None
    allowed = f"Allowed: {', '.join(expected)}."
    if not isinstance(whole, dict) or tag not in whole:
        said = OTHER_NAMES.get(tag, {}).items()
        given = whole if isinstance(whole, dict) else {}
        hint = "".join(f" ({where} says {word}.)" for where, words in said for word in words if word in given)
        message = f"the field {tag} is missing: what this is. {allowed}{hint}"
        return document.problem(path, message, rule="missing", key=True)
    at = (*path, tag)
    if not isinstance(value, str):
        message = f"must be text that says what this is. {allowed}"
        return document.problem(at, message, given=document.given(at), rule="type")
    message, rule = other_kind(value, expected)
    return document.problem(at, message, given=document.given(at), rule=rule)


def _meant(name: str, known: list[str]) -> tuple[str, str]:
    """Return which field of ours a name of another tool's means, and who says so; empty texts for none."""
    for ours, others in OTHER_NAMES.items():
        for where, words in others.items():
            if name in words and ours in known:
                return ours, where
    near = difflib.get_close_matches(name, known, 1)
    return (near[0], "") if near else ("", "")


def _unknown_field(name: str, shape: Shape, whole: Shape) -> str:
    known = shape.fields()
    if foreign := shape.elsewhere(name):
        return foreign
    ours, where = _meant(name, known)
    if ours and where:
        opposite = ", and means the opposite" if name in OPPOSITES else ""
        return f"no such field. Here it is called {ours} ({where} says {name}{opposite})."
    if name in whole.fields():
        owners = [tag for node in whole.nodes if (tag := _owner(node, name))]
        return f"is a field of {either(owners)} only. Delete it. Allowed here: {', '.join(known)}."
    if ours:
        return f"no such field. Did you mean {ours}?"
    return f"no such field. Allowed: {', '.join(known)}."


def _owner(node: dict[str, object], name: str) -> str:
    properties = node.get("properties")
    if not isinstance(properties, dict) or name not in properties:
        return ""
    tag = properties.get("kind") or properties.get("type")
    return str(tag.get("const", "")) if isinstance(tag, dict) else ""


MEMBERS = {"str", "int", "float", "bool", "timedelta"}


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
        elif "-" in str(part) or "[" in str(part) or str(part)[:1].isupper() or str(part) in MEMBERS:
            continue
        path.append(part)
    return tuple(path)
