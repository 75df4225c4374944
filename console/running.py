"""Submitting and following a run on a terminal: events as lines, the log as it comes, Ctrl-C detaches."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from console.table import plural, size, took
from runtime.errors import TrainyardError
from runtime.loglines import ALL
from runtime.records import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.yard import Yard
    from runtime.events import Event
    from runtime.loglines import Wanted
    from runtime.runs import Run
    from runtime.site import Options

QUIET = {"run", "sent", "log"}
"""Said otherwise, or by the log itself; so is a state that is the end."""
LABEL = 14
_PIECES = re.compile(rb"[^\r\n]*(?:\r?\n|\r)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a submission is asked for on the command line, beyond the job's file."""

    target: str | None
    stack: str
    overrides: Sequence[str] = ()
    options: Options | None = None


def submit_and_follow(yard: Yard, job: str, asked: Asked, *, follow: bool = True, quiet: bool = False) -> Run:
    """Submit a job file; with `follow`, stream its log to stdout and wait for its end. `quiet`: print nothing."""
    say = Teller(quiet=quiet)
    run = yard.submit(Path(job), asked.target, asked.stack, say, overrides=asked.overrides, options=asked.options)
    if not follow:
        say.line("submit", f"{run.id} → {run.target} is {run.state}. To follow it: invoke logs {run.id}")
        return run
    return stream(run, say, quiet=quiet)


def follow_logs(run: Run, wanted: Wanted = ALL) -> int:
    """Show a run's logs, as a rule to its end; return an exit code: 1 where the run ended otherwise than completed."""
    ended = stream(run, Teller(quiet=False), quiet=False, wanted=wanted)
    return 0 if ended.state == "Completed" or not (wanted.follow and ended.terminal) else 1


def stream(run: Run, say: Teller, *, quiet: bool, wanted: Wanted = ALL) -> Run:
    """Write the log as it comes, to stdout; Ctrl-C leaves the run alone and exits 130."""
    terminal = sys.stdout.isatty()
    out = Margin(sys.stdout.buffer) if terminal else sys.stdout.buffer

    def write(chunk: bytes) -> None:
        if not quiet:
            out.write(chunk)
            out.flush()

    try:
        ended = run.stream(write, on_event=say, terminal=terminal, wanted=wanted)
    except KeyboardInterrupt:
        print(  # noqa: T201 - this is the terminal
            f"\n  detached; the run goes on. invoke logs {run.id} --follow · invoke cancel {run.id}", file=sys.stderr
        )
        sys.exit(130)
    if wanted.follow:
        say.ended(ended)
    return replace(ended)


class Margin:
    """Sets a job's own lines apart from ours, on a terminal: each begins with a bar."""

    BAR = b"    | "

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._last = b"\n"

    def write(self, chunk: bytes) -> int:
        """Write what came, at once, also half a line; after a carriage return the line begins anew."""
        for piece in _PIECES.findall(chunk):
            fresh = self._last == b"\n" or (self._last == b"\r" and piece != b"\n")
            self._out.write((self.BAR if fresh else b"") + piece)
            self._last = piece[-1:]
        return len(chunk)

    def flush(self) -> None:
        """Have it seen."""
        self._out.flush()


class Teller:
    """Prints what happens, one line a fact, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._named = False

    def __call__(self, event: Event) -> None:
        """Take an event of the runtime."""
        if event.topic == "newline":
            self._end_line()
        elif event.topic == "run":
            self.line("submit", event.text)
        elif event.topic not in QUIET and event.total is None and event.text not in TERMINAL:
            self.line(f"  {event.topic}", event.text)

    def ended(self, run: Run) -> None:
        """Say how a run ended: how long it took, what it scored, what it left."""
        metrics = "   ".join(f"{name} {value:.4g}" for name, value in sorted(run.metrics.items()))
        facts = [run.id, took(run.duration_s), metrics, left(run)]
        self.line(run.state.lower(), "   ".join(fact for fact in facts if fact))
        if run.state == "Failed" and run.record.reason:
            self.line("", run.record.reason)

    def _end_line(self) -> None:
        """Start a line of our own where the job's log ended without a newline."""
        if not self.quiet:
            print(file=sys.stderr)  # noqa: T201 - this is the terminal

    def line(self, label: str, text: str) -> None:
        """Print one fact."""
        if not self.quiet:
            print(f"  {label:<{LABEL}}{text}", file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal


def left(run: Run) -> str:
    """Say how much a run has in `outputs/`; nothing where it has none, or where that can't be asked now."""
    from runtime import submitters

    try:
        found = submitters.of(run.record.kind).files(run.site, run.record)
    except TrainyardError:
        return ""  # how it ended is known, and is what matters here; `invoke download` says why not
    sizes = [file.size for file in found if file.name.startswith("outputs/")]
    return f"outputs/ {plural(len(sizes), 'file')}, {size(sum(sizes))}" if sizes else ""
