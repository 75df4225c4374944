"""One run as one page for a browser: no script, nothing from outside, everything escaped, readable in light and dark.

The template is `run_page.html.jinja`. What a job wrote (names, logs, values) is text there and never markup.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from console import run_charts, run_facts, run_listings
from console.table import clock_time, plural, size, took
from runtime import paths
from runtime.clock import stamp
from runtime.compare import git_of
from runtime.errors import Problem, SpecError, TrainyardError
from runtime.stream import sanitised

if TYPE_CHECKING:
    from runtime.runs import Run
    from runtime.site import Point

TEMPLATE = "run_page.html.jinja"
MARKER = "A page of Trainyard about one run"
LOG_LINES, FILES_MOST = 200, 200
FULL = 1e12
"""Greater numbers are written with their power of ten."""
Rows = list[tuple[str, str]]


class Figure(NamedTuple):
    """A metric with a single value."""

    name: str
    value: str


class Plot(NamedTuple):
    """A metric with a course."""

    name: str
    words: str
    svg: str


class Table(NamedTuple):
    """Facts under a title."""

    title: str
    rows: Rows


class File(NamedTuple):
    """A file that the run left, with a link where it is on this machine."""

    name: str
    size: str
    link: str | None


class Log(NamedTuple):
    """The end of a log."""

    name: str
    words: str
    text: str
    open: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows."""

    id: str
    state: str
    mood: str
    lead: list[str]
    reason: str | None
    tables: list[Table]
    attempts: list[list[str]]
    seen: str
    version: str
    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    files_note: str = ""
    logs: list[Log] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write(run: Run, target: Path) -> Path:
    """Write a run's page whole; an older page of ours is replaced, any other file is not. Raises `SpecError`."""
    _is_free(target)
    html = render(gather(run, target.parent))
    paths.destination(target.parent)
    draft = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
    try:
        draft.write_text(html, "utf-8")
        draft.replace(target)
    except OSError as error:
        message = f"can't be written: {error.strerror}."
        raise SpecError([Problem("--to", 0, 0, "to", message, given=f'"{target}"', rule="file")]) from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def _is_free(target: Path) -> None:
    try:
        with target.open("rb") as there:
            ours = MARKER.encode() in there.read(200)
    except FileNotFoundError:
        return
    except OSError:
        ours = False
    if not ours:
        message = "exists and is no page of ours, so it was not overwritten. Choose another file."
        raise SpecError([Problem("--to", 0, 0, "to", message, given=f'"{target}"', rule="no-overwrite")])


def render(page: Page) -> str:
    """Make the page. Pure."""
    import jinja2
    import markupsafe

    here = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: run_charts.plain(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The pictures alone are markup: made here, of figures and of names that pygal's XML writer escapes.
    plots = [plot._replace(svg=markupsafe.Markup(plot.svg)) for plot in page.plots]  # noqa: S704 - see above
    shown = {name: getattr(page, name) for name in page.__slots__} | {"plots": plots}
    return here.get_template(TEMPLATE).render(page=shown, marker=MARKER)


def gather(run: Run, folder: Path) -> Page:
    """Ask for all that the page shows; what can't be asked is a note on it. `folder`: where links start."""
    from importlib.metadata import version

    facts = run_facts.gather(run)
    notes = [*facts.notes, *([f"Not asked anew: {run.stale}"] if run.stale else [])]
    figures, plots = _metrics(run, notes)
    return Page(
        id=run.id,
        state=run_listings.state(run),
        mood=run.state if run.terminal else "going",
        lead=[words for words in (run.target, _when(run)) if words],
        reason=run.record.reason,
        tables=tables(run, facts),
        attempts=attempts(run),
        seen=clock_time(stamp(run.site.clock.now()), full=True),
        version=version("trainyard"),
        figures=figures,
        plots=plots,
        files=[File(name, size(count), link(run, folder, name)) for name, count in facts.files[:FILES_MOST]],
        files_note=_more(facts),
        logs=_logs(run, notes),
        notes=notes,
    )


def _when(run: Run) -> str:
    start = clock_time(run.record.started or run.created, full=True)
    return f"{start}{f', took {took(run.duration_s)}' if run.duration_s is not None else ''}"


def _more(facts: run_facts.Facts) -> str:
    more = len(facts.files) - FILES_MOST
    return f"and {plural(more, 'more file')}" if more > 0 else ""


def tables(run: Run, facts: run_facts.Facts) -> list[Table]:
    """Return the facts by subject. Pure."""
    aside = {"run", "state", "took", "as last seen"}
    head = [(name, value) for name, value in run_listings.head(run) if value and name not in aside]
    apart = {"environment", "snapshot"}
    known = [("environment", run.record.environment or ""), ("snapshot", run.record.snapshot or "")]
    fidelity = [("fidelity", FIDELITY[run.record.fidelity])] if run.record.fidelity else []
    return [
        Table("Run", [row for row in head if row[0] not in apart]),
        Table("Parameters", sorted(run.record.all_parameters.items())),
        Table("Environment", [*(row for row in known if row[1]), *fidelity]),
        Table("Code", [(name.removeprefix("git "), value) for name, value in git_of(run.record.git).items()]),
        Table("Tags", sorted(facts.tags.items())),
    ]


FIDELITY = {
    "exact": "exact: the very image or conda file of the job",
    "translated": "translated: the conda file's Python and pip part, in a virtual environment",
    "substituted": "substituted: a stand-in for the image, from the table that ships with Trainyard",
    "user-managed": "user-managed: an interpreter of that machine, taken as it is",
}


def attempts(run: Run) -> list[list[str]]:
    """Return a row for each attempt, where a preemption made more than one. Pure."""
    record = run.record
    if record.attempt == 1:
        return []
    rows = [
        [str(item.number), item.job, _moment(item.started), _moment(item.ended), item.reason]
        for item in record.attempts
    ]
    last = [str(record.attempt), record.job_name, _moment(record.started), _moment(record.ended), str(run.state)]
    return [*rows, last]


def _moment(iso: str | None) -> str:
    return clock_time(iso or "", full=True)


def _metrics(run: Run, notes: list[str]) -> tuple[list[Figure], list[Plot]]:
    try:
        series = {} if run.stale else run_facts.series(run, sorted(run.metrics))
    except TrainyardError as error:
        notes.append(f"The course of the metrics is not known: {str(error).splitlines()[0]}")
        series = {}
    drawn = {name: points for name, points in series.items() if len(run_charts.axes(points)[1]) > 1}
    figures = [Figure(name, figure(value)) for name, value in sorted(run.metrics.items()) if name not in drawn]
    return figures, [plot(name, points, f"metric-{place}") for place, (name, points) in enumerate(drawn.items())]


def figure(value: float) -> str:
    """Write a value large: whole numbers in full."""
    whole = abs(value) < FULL and value == round(value)
    return f"{value:,.0f}" if whole else f"{value:.6g}"


def plot(name: str, points: list[Point], identity: str) -> Plot:
    """Draw one metric, with its last value in words. Pure."""
    left_out = len(points) - len(run_charts.axes(points)[1])
    words = f"last {points[-1].value:.6g}"
    return Plot(
        name, f"{words}; {left_out} not finite" if left_out else words, run_charts.chart(name, points, identity)
    )


def _logs(run: Run, notes: list[str]) -> list[Log]:
    try:
        tails = run_facts.log_tails(run, LOG_LINES)
    except TrainyardError as error:
        notes.append(f"The logs are not known: {str(error).splitlines()[0]}")
        return []
    return [log(name, raw, is_open=name.startswith("user_logs/")) for name, raw in tails.items()]


def log(name: str, raw: bytes, *, is_open: bool) -> Log:
    """Make the end of a log harmless and readable: no escape sequences; of a line drawn over, its last state. Pure."""
    text = sanitised(raw).decode()
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    count = len(lines) - (lines[-1] == "")
    words = "empty" if not text else f"last {plural(count, 'line')}" if count == LOG_LINES else plural(count, "line")
    return Log(name, words, "\n".join(lines), is_open)


def link(run: Run, folder: Path, name: str) -> str | None:
    """Return a relative address of a file that is on this machine: downloaded beside the page, else the run's own."""
    try:
        there = [paths.confine(folder / run.id, name)]
    except TrainyardError:
        return None
    if run.record.kind == "Local":
        from runtime.submitters import local

        there.append(local.place(run.site, run.record, name))
    found = next((path for path in there if path.is_file() and not path.is_symlink()), None)
    return None if found is None else "./" + quote(os.path.relpath(found, folder))
