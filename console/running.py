"""Submitting and following a run on a terminal: events as lines, the log as it comes, Ctrl-C detaches."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from console.table import took

if TYPE_CHECKING:
    from console.yard import Yard
    from runtime.events import Event
    from runtime.runs import Run

QUIET = {"run", "sent", "log"}
"""Said otherwise, or by the log itself."""
LABEL = 14


def submit_and_follow(  # noqa: PLR0913 - the command's own options
    yard: Yard, job: str, target: str | None, stack: str, *, follow: bool = True, quiet: bool = False
) -> Run:
    """Submit a job file; with `follow`, stream its log to stdout and wait for its end. `quiet`: print nothing."""
    say = Teller(quiet=quiet)
    run = yard.submit(Path(job), target, stack, say)
    if not follow:
        say.line("submit", f"{run.id} → {run.target} is {run.state}. To follow it: invoke logs {run.id}")
        return run
    return stream(run, say, quiet=quiet)


def follow_logs(run: Run) -> int:
    """Stream a run's log from its beginning to its end; return an exit code: 0 when it completed."""
    ended = stream(run, Teller(quiet=False), quiet=False)
    return 0 if ended.state == "Completed" else 1


def stream(run: Run, say: Teller, *, quiet: bool) -> Run:
    """Write the log as it comes, to stdout; Ctrl-C leaves the run alone and exits 130."""
    terminal = sys.stdout.isatty()
    out = sys.stdout.buffer

    def write(chunk: bytes) -> None:
        if not quiet:
            out.write(chunk)
            out.flush()

    try:
        ended = run.stream(write, on_event=say, terminal=terminal)
    except KeyboardInterrupt:
        print(  # noqa: T201 - this is the terminal
            f"\n  detached; the run goes on. invoke logs {run.id} · invoke cancel {run.id}", file=sys.stderr
        )
        sys.exit(130)
    metrics = "   ".join(f"{name} {value:.4g}" for name, value in sorted(ended.metrics.items()))
    say.line(ended.state.lower(), f"{ended.id}  {took(ended.duration_s)}   {metrics}".rstrip())
    if ended.state == "Failed" and ended.record.reason:
        say.line("", ended.record.reason)
    return replace(ended)


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
        elif event.topic not in QUIET and event.total is None:
            self.line(f"  {event.topic}", event.text)

    def _end_line(self) -> None:
        """Start a line of our own where the job's log ended without a newline."""
        if not self.quiet:
            print(file=sys.stderr)  # noqa: T201 - this is the terminal

    def line(self, label: str, text: str) -> None:
        """Print one fact."""
        if not self.quiet:
            print(f"  {label:<{LABEL}}{text}", file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal
