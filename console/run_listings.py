"""Runs as lines for a person: the list, one run, its metrics, several side by side. Pure but for the current time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO, TypeAlias

from console.table import clock_time, columns, plural, size, took
from runtime.compare import git_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from console.run_facts import Facts
    from runtime.compare import Comparison
    from runtime.runs import Run
    from runtime.site import Point

    Series: TypeAlias = Mapping[tuple[str, str], Sequence[float]]

METRIC_COLUMNS = 2
"""As many metrics as fit beside the rest on a terminal of 100 columns; `runs.show` has all."""
BARS = "▁▂▃▄▅▆▇█"
SPARK_MOST = 8
FILES_MOST = 20
WAITING = frozenset({"NotStarted", "Queued", "Provisioning", "Starting", "Preparing"})
BEST, NONE = "*", "-"
LABEL = 14


def runs(found: Sequence[Run], series: Series | None = None) -> list[str]:
    """List runs, with the metrics that most of them share; `series`: values by run and metric, drawn small."""
    if not found:
        return ["  no such runs. To submit one: invoke submit examples/digits/job.yml"]
    names = shared_metrics(found)
    head = ["RUN", "TARGET", "STATE", "STARTED", "TOOK", *(name.upper() for name in names)]
    rows = [
        [
            *(run.id, run.target, state(run), clock_time(run.record.started or run.created), took(run.duration_s)),
            *(_metric(run, name, (series or {}).get((run.id, name), ())) for name in names),
        ]
        for run in found
    ]
    notes = sorted({f"  {run.target}: {run.stale}" for run in found if run.stale})
    return [*columns(head, rows), *notes]


def state(run: Run) -> str:
    """Show a state: with what a preemption did to it, a wish that waits, and whether it is the truth of now."""
    shown, attempt = str(run.state), run.record.attempt
    if attempt > 1:
        waiting = run.state in WAITING
        shown = f"Preempted → attempt {attempt} {shown}" if waiting else f"{shown} (attempt {attempt})"
    if run.record.cancel_requested and not run.terminal and run.state != "CancelRequested":
        shown += ", to be canceled"
    return f"{shown} (as last seen)" if run.stale else shown


def _metric(run: Run, name: str, values: Sequence[float]) -> str:
    if name not in run.metrics:
        return NONE
    drawn = spark(values)
    return f"{run.metrics[name]:.4g}{' ' + drawn if drawn else ''}"


def spark(values: Sequence[float]) -> str:
    """Draw the course of a metric in at most eight letters; nothing for a single value."""
    finite = [value for value in values if abs(value) != float("inf") and value == value]  # noqa: PLR0124 - not NaN
    if len(finite) < 2:  # noqa: PLR2004 - a course has two points
        return ""
    most = min(SPARK_MOST, len(finite))
    picked = [finite[round(at * (len(finite) - 1) / (most - 1))] for at in range(most)]
    low, high = min(picked), max(picked)
    if low == high:
        return BARS[0] * most
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / (high - low) * len(BARS)))] for value in picked)


def shared_metrics(found: Sequence[Run]) -> list[str]:
    """Choose the metrics to show: those that most runs have, accuracy before the rest."""
    counts: dict[str, int] = {}
    for run in found:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name != "accuracy", name))[:METRIC_COLUMNS]


def run(found: Run, facts: Facts | None = None) -> list[str]:
    """Show one run, a fact a line; `facts`: what had to be asked for."""
    lines = [f"  {label:<{LABEL}}{value}" for label, value in head(found) if value]
    lines += section("attempts", attempts(found))
    lines += section("parameters", sorted(found.record.all_parameters.items()))
    lines += section("code", [(name.removeprefix("git "), value) for name, value in git_of(found.record.git).items()])
    lines += section("metrics", [(name, f"{value:.6g}") for name, value in sorted(found.metrics.items())])
    if facts is None:
        return lines
    lines += section("tags", sorted(facts.tags.items()))
    shown = [(name, size(count)) for name, count in facts.files[:FILES_MOST]]
    more = len(facts.files) - len(shown)
    title = f"files ({plural(len(facts.files), 'file')}, {size(sum(count for _, count in facts.files))})"
    lines += section(title, [*shown, *([(f"and {more} more", "")] if more else [])])
    lines += [f"  {note}" for note in facts.notes]
    return [*lines, f"  next: {' · '.join(following(found, facts))}"]


def head(found: Run) -> list[tuple[str, str | None]]:
    """Return what is known of a run itself: label and value, None where there is none."""
    record = found.record
    said = record.fidelity is None or (record.environment or "").startswith(record.fidelity)
    fidelity = "" if said else f" ({record.fidelity})"
    return [
        ("run", found.id),
        ("name", record.display_name if record.display_name != found.id else None),
        ("state", f"{state(found)}{': ' + record.reason if record.reason else ''}"),
        ("target", f"{found.target} ({record.kind}){_machine(found)}"),
        ("experiment", found.experiment),
        ("job file", record.job),
        ("created", moment(record.created)),
        ("started", moment(record.started)),
        ("ended", moment(record.ended)),
        ("took", took(found.duration_s)),
        ("exit code", None if record.exit_code is None else str(record.exit_code)),
        ("environment", f"{record.environment}{fidelity}" if record.environment else None),
        ("snapshot", record.snapshot),
        ("retry", "after a preemption" if record.retry == "preemption" else None),
        ("repeats", record.retried_from),
        ("workspace", record.workspace_id),
        ("as last seen", found.stale),
    ]


def _machine(found: Run) -> str:
    machine = found.record.machine
    return f" {machine.username}@{machine.address}:{machine.ssh_port} {machine.folder}" if machine else ""


def moment(iso: str | None) -> str | None:
    """Show a moment in local time, as `2026-11-21 10:41:07`."""
    return clock_time(iso, full=True) if iso else None


def attempts(found: Run) -> list[tuple[str, str]]:
    """Return each attempt and how it ended; nothing where there was only one."""
    record = found.record
    if record.attempt == 1:
        return []
    before = [
        (str(item.number), f"{item.reason}, {moment(item.ended) or 'at an unknown moment'}") for item in record.attempts
    ]
    return [*before, (str(record.attempt), str(found.state))]


def section(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return rows under their title, aligned; nothing where there are none."""
    if not rows:
        return []
    width = max(LABEL - 4, *(len(name) for name, _ in rows))
    return [f"  {title}", *(f"    {name:<{width}}  {value}".rstrip() for name, value in rows)]


def following(found: Run, facts: Facts) -> list[str]:
    """Say what one can type next about a run."""
    download = [f"invoke download {found.id}"] if facts.files else []
    page = f"invoke runs.show {found.id} --html"
    return [f"invoke logs {found.id}", *download, page, *([] if found.terminal else [f"invoke cancel {found.id}"])]


def metrics(series: Mapping[str, Sequence[Point]]) -> list[str]:
    """List the metrics of a run: last, least, most, how many values, and their course."""
    if not series:
        return ["  no metrics. A script logs one with mlflow.log_metric(name, value, step)"]
    rows = []
    for name, points in sorted(series.items()):
        values = [point.value for point in points]
        extremes = [f"{value:.6g}" for value in (values[-1], min(values), max(values))]
        rows.append([name, *extremes, str(len(values)), spark(values) or NONE])
    return columns(["METRIC", "LAST", "LEAST", "MOST", "VALUES", "COURSE"], rows)


def history(name: str, points: Sequence[Point]) -> list[str]:
    """List every value of one metric."""
    rows = [[str(point.step), f"{point.value:.6g}", clock_time(_iso(point.timestamp), full=True)] for point in points]
    return columns(["STEP", name.upper(), "LOGGED"], rows)


def _iso(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def as_csv(series: Mapping[str, Sequence[Point]], out: TextIO) -> None:
    """Write every value of metrics."""
    import csv

    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["metric", "step", "value", "timestamp"])
    for name, points in sorted(series.items()):
        writer.writerows([name, point.step, repr(point.value), point.timestamp] for point in points)


def compared(found: Comparison) -> list[str]:
    """Show runs side by side: metrics with the best marked, then what was different."""
    lines = list[str]()
    if found.metrics:
        rows = []
        for score in found.metrics:
            cells = [
                NONE if value is None else f"{value:.6g}{' ' + BEST if place in score.best else ''}"
                for place, value in enumerate(score.values)
            ]
            rows.append([score.name, *cells, score.better or NONE])
        lines += columns(["METRIC", *found.runs, "BETTER"], rows)
    for title, table in (("PARAMETER", found.parameters), ("DIFFERENCE", found.facts)):
        if table:
            rows = [[line.name, *(NONE if value is None else value for value in line.values)] for line in table]
            lines += [*([""] if lines else []), *columns([title, *found.runs], rows)]
    if found.same:
        lines.append(f"  the same in all: {', '.join(found.same)}")
    if any(score.best for score in found.metrics):
        lines.append(f"  {BEST} the best; whether lower or higher is better is judged by the metric's name")
    return lines
