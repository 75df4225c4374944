"""Whoever is killed, whenever: `recover` and one `up`, and it is as if nothing had happened.

Here a seeded sample with the worst points; `TRAINYARD_SWEEP=all` tries every request of the operation, as does
`python -m tests.engine.sweep FOLDER`.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from engine import obtain
from tests.engine.sweep import LANES, Outcome, Point, Workbench, lane, stack_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.sweep import Operation, Victim, When

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200)]

SEED = 4
VICTIMS: tuple[Victim, ...] = ("engine", "provider", "emulator")
MOMENTS: tuple[When, ...] = ("received", "handled", "answered")
WORST = ("/vaults/", "/roleAssignments/", "/computes/spot-cluster", "/workspaces/research", "/storageAccounts/")
"""Written first by these: a random name, no name at all, a password, what others hang on, an answer without a body."""


def sample(work: Workbench, operation: Operation, more: int) -> list[Point]:
    """Choose points: after each of the worst writes, one victim after the other, and some anywhere."""
    asked = work.requests[operation]
    writes = [number for number, line in enumerate(asked, 1) if line.startswith(("PUT", "DELETE"))]
    worst = [
        next((number for number in writes if part in asked[number - 1]), len(asked))
        for part in (WORST if operation == "up" else WORST[2:4])
    ]
    chosen = [Point(operation, VICTIMS[place % 3], number, "handled") for place, number in enumerate(worst)]
    dice = random.Random(SEED)  # noqa: S311 - a sample that is the same every time
    chosen += [
        Point(operation, dice.choice(VICTIMS), dice.randint(1, len(asked) - 3), dice.choice(MOMENTS))
        for _ in range(more)
    ]
    return chosen


def sampled(folder: Path, operation: Operation, more: int) -> list[Outcome]:
    work = Workbench(folder)
    work.prepare(stack_file())
    return [work.run(point) for point in sample(work, operation, more)]


def swept(folder: Path) -> list[Outcome]:
    with ThreadPoolExecutor(len(LANES)) as pool:
        if os.environ.get("TRAINYARD_SWEEP") == "all":
            tried = [pool.submit(lane, folder / f"w{place}", parts) for place, parts in enumerate(LANES)]
        else:
            tried = [pool.submit(sampled, folder / "up", "up", 3), pool.submit(sampled, folder / "down", "destroy", 3)]
        return [outcome for future in tried for outcome in future.result()]


def test_after_any_kill_recover_and_one_up_are_enough(tmp_path: Path) -> None:
    assert obtain.find() is not None, "no Pulumi engine: invoke setup"
    outcomes = swept(tmp_path)
    assert {str(outcome.point): outcome.troubles for outcome in outcomes if outcome.troubles} == {}
    assert sum(outcome.reached for outcome in outcomes) >= 11
