"""Bring a run's named outputs to the folders of this machine that the job names for them, when it has ended well.

A file takes its place whole, and takes that of an older one of its name; what else is there stays.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.job import Job


class NotDeliveredError(Exception):
    """An output is with the run, but not where it should be."""


def deliver(job: Job) -> None:
    """Copy each output that has a place of its own; safe to repeat. Raises: NotDeliveredError naming the output."""
    for name, place in job.deliveries.items():
        target = Path(place)
        try:
            for source, target in _pairs(Path(job.outputs[name]), Path(place)):
                _copy(source, target)
        except OSError as error:
            why = f"the output {name} could not be written to {target}: {error.strerror}"
            raise NotDeliveredError(f"{why}; it is with the run") from None


def _pairs(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    if source.is_file():
        yield source, target
        return
    target.mkdir(parents=True, exist_ok=True)
    for root, _, names in os.walk(source):
        for name in names:
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path, target / path.relative_to(source)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
