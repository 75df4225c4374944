"""The same lines again and again: drawn over on a terminal; in a pipe only those that changed. Ctrl-C leaves."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

PAUSE_S = 2.0


class Line(NamedTuple):
    """A line, and what makes it another one: a clock that ticks does not."""

    key: Hashable
    text: str


def watch(draw: Callable[[], Sequence[Line]], pause_s: float = PAUSE_S, out: TextIO | None = None) -> None:
    """Show what `draw` returns until the user leaves; returns then."""
    stream = out or sys.stdout
    try:
        if stream.isatty():
            _redraw(draw, pause_s, stream)
        else:
            _append(draw, pause_s, stream)
    except KeyboardInterrupt:
        return


def _redraw(draw: Callable[[], Sequence[Line]], pause_s: float, stream: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            lines = [line.text for line in draw()]
            note = f"  {time.strftime('%H:%M:%S')}, every {pause_s:g} s; Ctrl-C leaves"
            live.update(Text("\n".join([*lines, note]), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(pause_s)


def _append(draw: Callable[[], Sequence[Line]], pause_s: float, stream: TextIO) -> None:
    before: set[Hashable] = set()
    while True:
        lines = draw()
        changed = [line.text for line in lines if line.key not in before]
        if changed:
            print("\n".join(changed), file=stream, flush=True)
        before = {line.key for line in lines}
        time.sleep(pause_s)
