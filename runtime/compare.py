"""Runs side by side: what was different about them, and which did best. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from runtime import git
from runtime.events import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.records import Record
    from runtime.wire import Object

LOWER = re.compile(
    r"loss|error|err|[rm]?mse|rmsle|mae|mape|mad|perplexity|ppl|nll|divergence|time|seconds|duration|latency|wer|cer|fpr|fnr"
)
"""Words of a metric's name of which less is better."""
NEITHER = re.compile(r"lr|learning|epochs?|steps?|iterations?|batch|batches|samples?|examples?|tokens?|seed|count|n")
"""Words of a metric's name that measures how it was done, not how well."""
Better: TypeAlias = Literal["lower", "higher"]
_GIT = {
    git.REPOSITORY: "repository",
    git.BRANCH: "branch",
    git.COMMIT: "commit",
    git.BUILD_ID: "build",
    git.BUILD_URI: "build address",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One fact of every run, in their order; None where a run has none."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of every run, in their order."""

    name: str
    values: tuple[float | None, ...]
    better: Better | None
    """What is better, as far as the name tells; None for what is neither."""

    @property
    def best(self) -> tuple[int, ...]:
        """Where the best values are; empty where there is nothing to compare, or nothing to tell apart."""
        known = [value for value in self.values if value is not None and not math.isnan(value)]
        if self.better is None or len(set(known)) < 2:  # noqa: PLR2004 - one value alone is not better than another
            return ()
        top = min(known) if self.better == "lower" else max(known)
        return tuple(place for place, value in enumerate(self.values) if value == top)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is worth seeing of several runs at once."""

    runs: tuple[str, ...]
    facts: tuple[Line, ...]
    """Of target, environment, code and job: those that differ, and always the state."""
    parameters: tuple[Line, ...]
    """Those that differ."""
    same: tuple[str, ...]
    """Names of the parameters that don't."""
    metrics: tuple[Score, ...]

    def document(self) -> Object:
        """Return it for `--json`."""
        return {
            "runs": list(self.runs),
            "differ": {line.name: self._by_run(line.values) for line in self.facts},
            "parameters": {line.name: self._by_run(line.values) for line in self.parameters},
            "same_parameters": list(self.same),
            "metrics": {
                score.name: {
                    "values": dict(zip(self.runs, score.values, strict=True)),
                    "best": [self.runs[place] for place in score.best],
                    "better": score.better,
                }
                for score in self.metrics
            },
        }

    def _by_run(self, values: Sequence[str | None]) -> Object:
        return dict(zip(self.runs, values, strict=True))


def compare(records: Sequence[Record]) -> Comparison:
    """Compare runs, in the order given."""
    parameters = _table([record.all_parameters for record in records])
    facts = _table([facts_of(record) for record in records])
    names = dict.fromkeys(name for record in records for name in sorted(record.metrics))
    return Comparison(
        runs=tuple(record.id for record in records),
        facts=tuple(line for line in facts if line.name == "state" or len(set(line.values)) > 1),
        parameters=tuple(line for line in parameters if len(set(line.values)) > 1),
        same=tuple(line.name for line in parameters if len(set(line.values)) == 1),
        metrics=tuple(
            Score(name, tuple(record.metrics.get(name) for record in records), better(name)) for name in names
        ),
    )


def facts_of(record: Record) -> dict[str, str]:
    """Return what may explain a difference, in the order to show it."""
    found = {
        "state": record.state,
        "target": f"{record.target} ({record.kind})",
        "experiment": record.experiment,
        "job file": record.job,
        "environment": record.environment,
        "fidelity": record.fidelity,
        "snapshot": record.snapshot,
        "attempts": str(record.attempt) if record.attempt > 1 else None,
        **git_of(record.git),
    }
    return {name: value for name, value in found.items() if value}


def git_of(found: Mapping[str, str]) -> dict[str, str]:
    """Return where the code comes from, under short names."""
    shown = {f"git {words}": found[name] for name, words in _GIT.items() if found.get(name)}
    if git.DIRTY in found:
        length = found.get(git.DIFF_BYTES, "")
        much = f", {size(int(length))}" if length.isdigit() else ""
        shown["git uncommitted"] = f"yes{much}" if found[git.DIRTY].lower() == "true" else "no"
    return shown


def better(name: str) -> Better | None:
    """Judge by the words of a metric's name: `val_loss`, `epochTime`; neither for `learning_rate` or `epoch`."""
    words = re.split(r"[^a-z]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower())
    if any(LOWER.fullmatch(word) for word in words):
        return "lower"
    return None if any(NEITHER.fullmatch(word) for word in words) else "higher"


def _table(rows: Sequence[Mapping[str, str]]) -> list[Line]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [Line(name, tuple(row.get(name) for row in rows)) for name in names]
