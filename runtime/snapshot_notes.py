"""What is said about a snapshot that can be sent, but perhaps not as its owner thinks. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from runtime.events import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.snapshot import File, Skipped
    from specs.problems import Problem

LARGE_BYTES = 300_000_000
"""Azure ML's documents name 300 MB as the size above which a snapshot should be data instead."""
LISTED = 5
"""Findings of one kind that are named one by one."""
REFUSED_AS = "snapshot-secret"
"""The rule by which a likely secret is refused."""
ALLOW = "--allow-secret"
"""The option by which one is allowed, by name."""
_LARGEST = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def shortened(problems: list[Problem], secrets: int) -> list[Problem]:
    """Have the last secret that is listed say how many files more there are."""
    if secrets <= LISTED:
        return problems
    last = max(at for at, problem in enumerate(problems) if problem.rule == REFUSED_AS)
    message = f"{problems[last].message} And {secrets - LISTED:,} more files look like secrets."
    return [*problems[:last], replace(problems[last], message=message), *problems[last + 1 :]]


def left_out(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """Name what stays behind although no ignore file says so."""
    if not skipped:
        return ()
    listed = ", ".join(f"{item.path} ({item.reason})" for item in sorted(skipped)[:LISTED])
    more = f", and {len(skipped) - LISTED:,} more" if len(skipped) > LISTED else ""
    return (_CONTROL.sub("?", f"not sent: {listed}{more}"),)


def too_large(files: Sequence[File]) -> tuple[str, ...]:
    """Warn of a snapshot that should be data, with its largest files."""
    total = sum(file.size for file in files)
    if total <= LARGE_BYTES:
        return ()
    largest = sorted(files, key=lambda file: (-file.size, file.path))[:_LARGEST]
    listed = ", ".join(f"{file.path} ({size(file.size)})" for file in largest)
    return (f"the snapshot has {total / 1e6:,.0f} MB; data belongs in inputs, not in code. Largest: {listed}",)
