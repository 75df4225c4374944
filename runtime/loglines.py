"""Which logs of a run to show, and how lines of several stay apart: each line of a rank's log begins with its rank."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.records import Record
    from runtime.site import Site, Submitter

FOLDER = "user_logs/"
_SEVERAL = re.compile(r"std_log_(?:process_0*(?=\d))?(.+)\.txt")
LONGEST = 1 << 16
"""A line without an end is shown in pieces of this size."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which logs, and how much of them."""

    only: tuple[str, ...] = ()
    """Names, or the ends of names; empty: all. One log alone is shown byte by byte."""
    tail: int | None = None
    """Of what a log holds at the beginning, only so many of its last lines; None: all."""
    follow: bool = True
    """Go on until the run ends."""

    def takes(self, name: str) -> bool:
        """Tell whether a log is one of these."""
        return not self.only or any(matches(name, given) for given in self.only)

    def tag(self, name: str) -> str:
        """Return what a log's lines begin with; empty for one that is shown as it is."""
        return "" if len(self.only) == 1 else tag(name)


ALL = Wanted()


def matches(name: str, given: str) -> bool:
    """Tell whether a user's word means this log: its name, the end of its path, or its rank. Pure."""
    base = name.rpartition("/")[2]
    return given in {name, base, base.removesuffix(".txt"), tag(name).strip("[] ") or None}


def chosen(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the logs that are meant, in their order. Raises `SpecError` that names the logs there are."""
    for word in given:
        if not any(matches(name, word) for name in names):
            message = f"no such log. There {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none yet'}."
            raise SpecError([Problem("the command", 0, 0, "--log", message, given=f'"{word}"', rule="log")])
    return [name for name in names if not given or any(matches(name, word) for word in given)]


def tag(name: str) -> str:
    """Return `[1] ` for the log of the process of rank 1; empty for a log that is the only one of its node. Pure."""
    if not name.startswith(FOLDER):
        return ""
    found = _SEVERAL.fullmatch(name.rpartition("/")[2])
    return f"[{found[1].replace('_', ' ')}] " if found else ""


class Prefixer:
    """Puts a word before each line of a log that comes in pieces; holds back a line until it is whole."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that are whole now."""
        whole, newline, self._held = (self._held + chunk).rpartition(b"\n")
        shown = [self._word + line + b"\n" for line in whole.split(b"\n")] if newline else []
        if len(self._held) > LONGEST:
            shown.append(self.end())
        return b"".join(shown)

    def end(self) -> bytes:
        """Return the rest, with the newline that it lacks."""
        rest, self._held = self._held, b""
        return self._word + rest + b"\n" if rest else b""


def read(driver: Submitter, site: Site, record: Record, address: str, offset: int = 0) -> Iterator[bytes]:
    """Yield what a log holds from an offset on."""
    while chunk := driver.read_log(site, record, address, offset):
        yield chunk
        offset += len(chunk)


def lines_before(chunks: Iterator[bytes], count: int) -> int:
    """Return the offset at which the last `count` lines begin. Reads everything and keeps only the newlines."""
    starts, length = [0], 0
    for chunk in chunks:
        at = chunk.find(b"\n")
        while at >= 0:
            starts.append(length + at + 1)
            at = chunk.find(b"\n", at + 1)
        del starts[: -count - 1]
        length += len(chunk)
    if starts[-1] == length:
        starts.pop()
    return starts[-count] if 0 < count <= len(starts) else (length if count <= 0 else 0)
