"""What invoke's own tasks can't: any number of words after a name (`invoke cancel RUN RUN`), two names for one task."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke import Argument, Task

if TYPE_CHECKING:
    from collections.abc import Sequence


class Words(Argument):  # type: ignore[misc]  # invoke has no types
    """A positional argument that takes every word that is meant for it; None, which invoke reads as missing, before."""

    wanted = 1
    _value: list[str]

    @property
    def value(self) -> list[str] | None:
        """The words, once all are there."""
        return self._value if len(self._value) >= self.wanted else None

    @value.setter
    def value(self, word: str) -> None:
        self.set_value(word)

    def set_value(self, value: str, cast: bool = True) -> None:  # noqa: ARG002 - invoke's signature
        """Take one more word."""
        self._value = [*self._value, value]


class Command(Task):  # type: ignore[misc]  # invoke has no types
    """A task that may stand in several collections: its options keep their help, which invoke uses up."""

    help: dict[str, str]

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return its arguments."""
        kept = dict(self.help)
        found: list[Argument] = super().get_arguments(ignore_unknown_help)
        self.help = kept
        return found


class Many(Command):
    """A task whose first positional argument takes many words."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return its arguments, the first of which knows how many words it is given."""
        found = super().get_arguments(ignore_unknown_help)
        first = found[0]
        with_value = {f"{'-' * min(len(name), 2)}{name}" for item in found for name in item.names if item.takes_value}
        words = Words(names=first.names, kind=list, help=first.help, positional=True, attr_name=first.attr_name)
        words.wanted = max(1, len(given(sys.argv[1:], self.name, with_value)))
        return [words, *found[1:]]


def given(argv: Sequence[str], task: str, with_value: set[str]) -> list[str]:
    """Return the bare words after a task's name: neither an option nor what an option takes. Pure."""
    found, skip, here = list[str](), False, False
    for word in argv:
        if not here:
            here = word == task or word.endswith(f".{task}")
        elif skip:
            skip = False
        elif word.startswith("-"):
            skip = word in with_value
        else:
            found.append(word)
    return found
