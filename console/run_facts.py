"""What `runs.show` has to ask for: tags, files, the course of each metric, the ends of the logs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node import layout
from runtime import history, loglines, submitters, wire
from runtime.errors import NotFoundError, Problem, SpecError, TrainyardError
from runtime.runs import observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.runs import Run
    from runtime.site import Point

PARALLEL = 8
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What the target or the workspace knows about a run; `notes`: what it would not say."""

    tags: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, int]] = field(default_factory=list)
    """Names and sizes."""
    notes: list[str] = field(default_factory=list)


def gather(run: Run) -> Facts:
    """Ask for tags and files. What can't be asked is a note, never an error."""
    facts = Facts()
    if run.stale:
        return facts
    for what, ask in (("tags", _add_tags), ("files", _add_files)):
        try:
            ask(run, facts)
        except NotFoundError as nothing:
            facts.notes.append(str(nothing))
        except TrainyardError as error:
            facts.notes.append(f"{what}: {str(error).splitlines()[0]}")
    return facts


def _add_tags(run: Run, facts: Facts) -> None:
    facts.tags.update(tags(run))


def _add_files(run: Run, facts: Facts) -> None:
    found = submitters.of(run.record.kind).files(run.site, run.record)
    facts.files.extend((file.name, file.size) for file in found)


def tags(run: Run) -> dict[str, str]:
    """Return the tags of a run's job; of one on a machine, which no workspace knows, those are in the job file."""
    record = run.record
    if record.kind == "Local":
        job = layout.read_json(run.site.store.attempt_folder(record) / layout.JOB)
        found = wire.obj((job or {}).get("tags"))
    elif record.kind == "VirtualMachine":
        return {}
    else:
        found = wire.obj(wire.at(history.job(run.site, record), "properties", "tags"))
    return {name: wire.text(value) for name, value in sorted(found.items()) if isinstance(value, str)}


def series(run: Run, names: Sequence[str]) -> dict[str, list[Point]]:
    """Ask for every value of these metrics, several at a time; those without any are left out."""
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="series") as pool:
        found = dict(zip(names, pool.map(run.history, names), strict=True))
    return {name: points for name, points in found.items() if points}


def courses(runs: Sequence[Run], names: Sequence[str]) -> dict[tuple[str, str], list[float]]:
    """Ask for the course of metrics of the runs that go on, for the list; one that can't be had is left out."""
    wanted = [
        (run, name) for run in runs if not run.terminal and not run.stale for name in names if name in run.metrics
    ]
    if not wanted:
        return {}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="course") as pool:
        found = list(pool.map(lambda pair: _course(*pair), wanted))
    return {(run.id, name): values for (run, name), values in zip(wanted, found, strict=True)}


def _course(run: Run, name: str) -> list[float]:
    try:
        return [point.value for point in run.history(name)]
    except TrainyardError:
        return []  # its last value is there; the next look asks again


def metric(run: Run, name: str) -> list[Point]:
    """Return every value of one metric. Raises `SpecError` that names the metrics there are."""
    if name not in run.metrics:
        there = ", ".join(sorted(run.metrics)) or "none"
        message = f"{run.id} has logged no such metric. Allowed: {there}."
        raise SpecError([Problem("the command", 0, 0, "--history", message, given=f'"{name}"', rule="metric")])
    return run.history(name)


def log_names(run: Run) -> list[str]:
    """Return the names of the logs that there are now."""
    return list(submitters.of(run.record.kind).look(run.site, run.record).logs)


def log_tails(run: Run, lines: int) -> dict[str, bytes]:
    """Return the last lines of each log. Empty where the truth can't be asked."""
    if run.stale:
        return {}
    driver = submitters.of(run.record.kind)
    looked = driver.look(run.site, run.record) if run.terminal else observe(run)[1]
    found = dict[str, bytes]()
    for name, address in looked.logs.items():
        found[name] = tail(loglines.read(driver, run.site, run.record, address), lines)
    return found


def tail(chunks: Iterable[bytes], lines: int) -> bytes:
    """Return the last lines of what comes in chunks, and at most `TAIL_BYTES` of them. Pure."""
    kept = b""
    for chunk in chunks:
        kept = (kept + chunk)[-TAIL_BYTES:]
        kept = b"".join(kept.splitlines(keepends=True)[-lines:])
    return kept
