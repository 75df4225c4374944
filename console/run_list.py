"""Which runs `invoke runs` shows, and its lines, once or again and again."""

from __future__ import annotations

import json as jsons
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console import run_facts, run_listings
from console.watch import Line
from runtime.errors import Problem, SpecError
from runtime.records import STATES

if TYPE_CHECKING:
    from console.yard import Yard
    from runtime.runs import Run


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was asked for; None: any."""

    stack: str | None = None
    target: str | None = None
    state: str | None = None
    experiment: str | None = None
    last: int | None = None


def chosen(
    stack: str | None, target: str | None, state: str | None, experiment: str | None, last: str | None
) -> Chosen:
    """Read the options. Raises `SpecError`."""
    count = None
    if last is not None:
        if not last.isdecimal() or int(last) == 0:
            raise _wrong("--last", last, "must be a whole number, 1 or more.")
        count = int(last)
    if state is None:
        return Chosen(stack, target, None, experiment, count)
    known = {name.lower(): name for name in STATES}
    if state.lower() not in known:
        raise _wrong("--state", state, f"no such state. Allowed: {', '.join(sorted(STATES))}.")
    return Chosen(stack, target, known[state.lower()], experiment, count)


def _wrong(option: str, given: str, message: str) -> SpecError:
    return SpecError([Problem("the command", 0, 0, option, message, given=f'"{given}"', rule="runs")])


def find(yard: Yard, wish: Chosen) -> list[Run]:
    """List the runs that were asked for, the newest first."""

    def fits(run: Run) -> bool:
        return wish.target in (None, run.target) and wish.experiment in (None, run.experiment)

    if wish.state is None:
        return yard.runs(wish.stack, fits, wish.last)
    return [run for run in yard.runs(wish.stack, fits) if run.state == wish.state][: wish.last]


def lines(yard: Yard, wish: Chosen, *, json: bool = False) -> list[Line]:
    """Return the lines to show; a line is another one when its run is in another state or has other metrics."""
    found = find(yard, wish)
    keys = [(run.id, run_listings.state(run), tuple(run.metrics.items())) for run in found]
    if json:
        shown = [jsons.dumps(run.document(), ensure_ascii=False) for run in found]
        return [Line(key, text) for key, text in zip(keys, shown, strict=True)]
    courses = run_facts.courses(found, run_listings.shared_metrics(found))
    head, *rest = run_listings.runs(found, courses)
    rows = [Line(key, text) for key, text in zip(keys, rest, strict=False)]
    return [Line("head", head), *rows, *(Line(note, note) for note in rest[len(found) :])]
