"""Two hundred processes submit to one store at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.jobs import many

if TYPE_CHECKING:
    from pathlib import Path

SUBMITTERS, RUNNING = 200, 20
COMMIT_P99_S = 1.0
"""Issue 5: of the commit itself. How long a process waits for its turn depends on the machine's processors."""


@pytest.mark.processes
def test_two_hundred_submissions_at_once_are_two_hundred_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    outcome = many.submitted(tmp_path, SUBMITTERS, RUNNING)
    assert many.faults(outcome, SUBMITTERS, RUNNING) == []
    assert sum(told.refused for told in outcome.told) == SUBMITTERS - RUNNING
    assert len(outcome.completed) == RUNNING + 1  # and the one that built the environment
    assert outcome.p99("commits") <= COMMIT_P99_S
