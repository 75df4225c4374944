"""What every class under a name of the v1 SDK shares: an unknown word is refused with the near one, never swallowed.

The v1 SDK took a misspelt attribute (`run_config.enviroment = …`) without a word. Here each class lists its words as
dataclass fields, and says of any other what there is.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

from runtime.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

T = TypeVar("T")
OURS = "runtime."


class V1Note(UserWarning):
    """A word of the v1 SDK was taken, and means nothing here or something else."""


def note(text: str) -> None:
    """Warn, at the first line of the caller's own code."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith((OURS, "dataclasses", "functools")):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, V1Note, stacklevel=depth)


def wrong(where: str, field: str, message: str, *, given: object = None, rule: str = "v1") -> SpecError:
    """Make the error for an argument of a class or function: its name, the value, what is allowed."""
    shown = None if given is None else f'"{given}"' if isinstance(given, str) else repr(given)[:80]
    return SpecError([Problem(where, 0, 0, field, message, given=shown, rule=rule)])


def unknown(where: str, name: str, known: Iterable[str]) -> SpecError:
    """Make the error for a word that is not there, with those that are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return wrong(where, name, f"no such word here.{hint} Known: {', '.join(names)}.", rule="v1-word")


class Words:
    """The base: assigning a word that the class doesn't have is refused."""

    def __setattr__(self, name: str, value: object) -> None:
        """Assign a known word. Raises `SpecError` naming the near one."""
        if not hasattr(type(self), name) and name not in names(type(self)) and not name.startswith("_"):
            raise unknown(type(self).__name__, name, names(type(self)))
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> NoReturn:
        """Say of a word that is not there which are; only asked when Python itself found nothing."""
        known = names(type(self))
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
        raise AttributeError(f"{type(self).__name__} has no {name}{hint}", name=name, obj=self)


def names(kind: type) -> list[str]:
    """List the public words of a class: its fields, properties and methods."""
    listed = [item for item in dir(kind) if not item.startswith("_")]
    own = [item.name for item in fields(kind)] if hasattr(kind, "__dataclass_fields__") else []
    return sorted({*listed, *(item for item in own if not item.startswith("_"))})


@dataclass_transform()
def words(cls: type[T]) -> type[T]:
    """Make a dataclass whose constructor refuses what it doesn't know, or lacks, by name. Raises `SpecError`."""
    made = dataclass(cls, eq=False)
    init = vars(made)["__init__"]
    signature = inspect.signature(init)
    known = [name for name in signature.parameters if name != "self" and not name.startswith("_")]

    @functools.wraps(init)
    def checked(self: T, *given: object, **named: object) -> None:
        for name in named:
            if name not in signature.parameters:
                raise unknown(made.__name__, name, known)
        try:
            signature.bind(self, *given, **named)
        except TypeError as error:
            raise wrong(made.__name__, "arguments", f"{error}. Known: {', '.join(known)}.", rule="v1-word") from None
        init(self, *given, **named)

    setattr(made, "__init__", checked)  # noqa: B010 - mypy takes no assignment to it
    return made


def choice(where: str, field: str, given: object, allowed: dict[str, T]) -> T:
    """Return what a word stands for, whatever its case. Raises `SpecError` with those allowed."""
    found = allowed.get(str(given).lower())
    if found is None:
        raise wrong(where, field, f"Allowed: {', '.join(allowed)}.", given=given)
    return found


def text_list(where: str, field: str, given: object) -> list[str]:
    """Return a list of texts; a single text is the mistake that iterating would make letters of."""
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, (list, tuple)):
        raise wrong(where, field, "takes a list of names.", given=given)
    return [str(item) for item in given]


def later(name: str, what: str) -> type:
    """Make a class under a v1 name that is not there yet; using it says what will be."""

    def refuse(*_given: object, **_named: object) -> NoReturn:
        raise wrong(name, "the call", what, rule="v1-later")

    return type(name, (), {"__new__": refuse, "__doc__": what, "__module__": "runtime.v1"})
