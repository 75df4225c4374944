"""Follow a run: its logs as they are written, its state as it changes, to its end. Leaving early changes nothing.

Logs are read by byte offset, so nothing is lost or repeated when the connection breaks. For a terminal, control
sequences of the job are made harmless; anything else gets the bytes as they are.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from runtime import submitters
from runtime.errors import ConnectionLostError, NotFoundError, TrainyardError
from runtime.events import Event, silent
from runtime.loglines import ALL, Prefixer, lines_before
from runtime.loglines import read as read_whole
from runtime.runs import observe, refresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.events import OnEvent
    from runtime.loglines import Wanted
    from runtime.runs import Run
    from runtime.site import Look

READ_FIRST_S, READ_MOST_S = 0.1, 0.4
"""Between two looks at the logs: a line is on the terminal within half a second."""
LOOK_FIRST_S, LOOK_MOST_S = 0.2, 1.0
"""Between two looks at the state."""
COMING = frozenset({"NotStarted", "Queued", "Provisioning", "Starting", "Preparing"})
AWAY_S = 300.0
"""How long a service may be unreachable before we stop waiting for it."""

_SEQUENCES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: window titles, links, clipboard
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # other escapes
)
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r"}
"""C0 and C1: to some terminals U+0080 to U+009F are escape sequences of their own."""


def sanitised(chunk: bytes) -> bytes:
    """Drop escape sequences and controls but tab, newline, carriage return; invalid UTF-8 becomes U+FFFD."""
    return _plain(chunk.decode("utf-8", "replace"))


def _plain(text: str) -> bytes:
    return _SEQUENCES.sub("", text).translate(_CONTROLS).encode()


class Sanitiser:
    """Makes a stream harmless although it comes in pieces: holds back an unfinished sequence or character."""

    LONGEST = 4096

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be shown now."""
        text = self._held + self._decoder.decode(chunk)
        cut = self._cut(text)
        self._held = text[cut:]
        return _plain(text[:cut])

    def end(self) -> bytes:
        """Return the rest."""
        text, self._held = self._held + self._decoder.decode(b"", final=True), ""
        return _plain(text)

    def _cut(self, text: str) -> int:
        """Return where a sequence begins that may go on in the next piece, else the length."""
        start = max(0, len(text) - self.LONGEST)
        escape = text.rfind("\x1b", start)
        if escape > 0 and text[escape : escape + 2] == "\x1b\\":
            escape = text.rfind("\x1b", start, escape)
        if escape >= 0 and (found := _SEQUENCES.match(text, escape)) and found.end() == len(text):
            return escape
        return len(text)


class _Follower:
    """What has been shown of a run so far."""

    def __init__(
        self, run: Run, write: Callable[[bytes], object], say: OnEvent, wanted: Wanted, *, terminal: bool
    ) -> None:
        self.run, self.write, self.wanted, self.terminal = run, write, wanted, terminal
        self._say, self._open = say, False
        self.driver = submitters.of(run.record.kind)
        self.offsets: dict[str, int] = {}
        self.sanitisers: dict[str, Sanitiser] = {}
        self.prefixers: dict[str, Prefixer] = {}
        self.shown_state = ""
        self.noted: set[str] = set()
        self.counts = True
        self.nodes: int | None = run.record.nodes_before
        self.looked: Look | None = None
        self.attempt = 1 if wanted.tail is None else run.record.attempt
        """The one whose logs are shown: `offsets` and what is held back are its."""

    def say(self, event: Event) -> None:
        """Tell what happens, on a line of its own."""
        self.end_line()
        self._say(event)

    def end_line(self) -> None:
        """Have the line ended that the log left open; the log's own bytes stay as they are."""
        if self._open:
            self._open = False
            self._say(Event("newline", ""))

    def put(self, chunk: bytes) -> None:
        if chunk:
            self.write(chunk)
            self._open = not chunk.endswith(b"\n")

    def look(self) -> None:
        """Ask the truth, and say what changed."""
        self.run, self.looked = observe(self.run) if not self.run.terminal else (self.run, self._last_look())
        if self.looked.lost:
            raise NotFoundError(f"{self.run.id}: {self.looked.reason}")
        self.catch_up()
        for note in self.looked.notes:
            if note not in self.noted:
                self.noted.add(note)
                self.say(Event("note", note))
        if self.run.state != self.shown_state:
            self.shown_state = self.run.state
            if not self.run.terminal:
                self.say(Event("state", self.run.state))
        if self.run.state in COMING or self.counts:
            self.counts = self.run.state in COMING
            self.count_nodes()

    def catch_up(self) -> None:
        """Show what is left of the attempts that ended, one after the other, and say why the next one came."""
        while self.attempt < self.run.record.attempt:
            ended = self.run.record.attempts[self.attempt - 1]
            now, looked = self.run, self.looked
            record = now.record.model_copy(update={"attempt": ended.number, "phase": "acknowledged"})
            self.run = replace(now, record=record)
            try:
                self.looked = self._last_look()
                self.read()
            finally:
                self.run, self.looked = now, looked
            self.flush()
            self.offsets, self.sanitisers, self.prefixers = {}, {}, {}
            self.attempt += 1
            why = f"attempt {ended.number} was preempted: {ended.reason.rstrip('.')}."
            self.say(Event("attempt", f"{why} Attempt {self.attempt} follows"))

    def count_nodes(self) -> None:
        """Say when the cluster grows for this run."""
        count = self.driver.nodes(self.run.site, self.run.record)
        if count is None:
            return
        if self.nodes is not None and count != self.nodes:
            self.say(Event("nodes", f"{self.run.target} {self.nodes} → {count} {'node' if count == 1 else 'nodes'}"))
        self.nodes = count

    def _last_look(self) -> Look:
        return self.driver.look(self.run.site, self.run.record)

    def read(self) -> bool:
        """Show what the logs have that was not shown; tell whether there was anything."""
        found = False
        for name, address in (self.looked.logs if self.looked else {}).items():
            if not self.wanted.takes(name):
                continue
            if self.wanted.tail is not None and name not in self.offsets:
                whole = read_whole(self.driver, self.run.site, self.run.record, address)
                self.offsets[name] = lines_before(whole, self.wanted.tail)
                self.say(Event("log", name))
            while chunk := self.driver.read_log(self.run.site, self.run.record, address, self.offsets.get(name, 0)):
                if name not in self.offsets:
                    self.say(Event("log", name))
                self.offsets[name] = self.offsets.get(name, 0) + len(chunk)
                self.show(name, chunk)
                found = True
        return found

    def show(self, name: str, chunk: bytes) -> None:
        if self.terminal:
            chunk = self.sanitisers.setdefault(name, Sanitiser()).feed(chunk)
        if word := self.wanted.tag(name):
            chunk = self.prefixers.setdefault(name, Prefixer(word)).feed(chunk)
        self.put(chunk)

    def flush(self) -> None:
        """Show what was held back."""
        for name, sanitiser in self.sanitisers.items():
            rest = sanitiser.end()
            self.put(self.prefixers[name].feed(rest) if name in self.prefixers else rest)
        for prefixer in self.prefixers.values():
            self.put(prefixer.end())

    def finish(self) -> Run:
        """Show what was held back, say how it ended, and bring its metrics."""
        self.flush()
        self.run = refresh(self.run)
        reason = self.run.record.reason
        # Why a run failed is for whoever gets it back to say, once; it may be long.
        words = f"{self.run.state}: {reason}" if reason and self.run.state != "Failed" else self.run.state
        self.say(Event("state", words))
        return self.run


def stream(
    run: Run,
    write: Callable[[bytes], object],
    *,
    on_event: OnEvent | None = None,
    terminal: bool = False,
    wanted: Wanted = ALL,
) -> Run:
    """Write the logs of a run, from their beginning, until it ends; return it as it then is.

    `terminal`: the bytes go to a terminal, so escape sequences are dropped. A lost connection is waited out.
    Lines of several ranks begin with their rank; a log that is alone, or `wanted` alone, comes byte by byte.
    Ctrl-C raises KeyboardInterrupt and leaves the run alone. Raises `ConnectionLostError` after five minutes without
    the service, `RefusedError`.
    """
    follower = _Follower(run, write, on_event or silent, wanted, terminal=terminal)
    try:
        return _follow(follower) if wanted.follow else _once(follower)
    except TrainyardError:
        follower.end_line()
        raise


def _once(follower: _Follower) -> Run:
    """Show what the logs hold now."""
    follower.look()
    follower.read()
    follower.flush()
    return follower.run


def _follow(follower: _Follower) -> Run:
    clock = follower.run.site.clock
    next_look, look_pause, read_pause = clock.monotonic(), LOOK_FIRST_S, READ_FIRST_S
    away_since: float | None = None
    over = follower.run.terminal
    while True:
        try:
            now = clock.monotonic()
            if now >= next_look:
                before = follower.shown_state
                follower.look()
                look_pause = LOOK_FIRST_S if follower.shown_state != before else min(LOOK_MOST_S, look_pause * 1.3)
                next_look = now + look_pause
            ended = follower.run.terminal
            found = follower.read()
            if away_since is not None:
                away_since = None
                follower.say(Event("note", "the connection is back"))
        except ConnectionLostError as lost:
            if over:
                raise  # nothing is lost by asking again later
            if away_since is None:
                away_since = clock.monotonic()
                follower.say(Event("note", f"connection lost, waiting for it ({lost}). The run goes on"))
            elif clock.monotonic() - away_since > AWAY_S:
                raise
            ended, found, next_look = False, False, clock.monotonic()
            clock.sleep(1.0)
        if ended and not found:
            return follower.finish()
        read_pause = READ_FIRST_S if found else min(READ_MOST_S, read_pause * 1.3)
        if not ended:
            clock.sleep(read_pause)
