"""Work that takes time: a spinner and a bar on a terminal, one line with the time when it is done, quiet in a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.table import took

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LABEL = 12


class Step:
    """One line of a story: `note` is what stands in it when the work is done."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.note = ""

    def say(self, text: str) -> None:
        """Show what is being done now; vanishes afterwards."""
        self._say(text)

    def fact(self, text: str) -> None:
        """Leave a line of its own: what the user should know when the work is done."""
        print(f"    {text}", file=sys.stderr)  # noqa: T201 - this is the terminal


@contextmanager
def step(label: str, doing: str) -> Iterator[Step]:
    """Show a spinner while the block runs and leave one line with its note and the time it took, on stderr."""
    started = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(doing, spinner="dots") as status:
            work = Step(status.update)
            yield work
    else:
        work = Step(lambda _text: None)
        yield work
    line = f"  {label:<{LABEL}}{work.note:<52} {took(time.monotonic() - started)}"
    print(line, file=sys.stderr)  # noqa: T201 - this is the terminal
