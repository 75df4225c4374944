"""The cloud that ARM's tests talk to, and the computes that run jobs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from emulator import materialise
from tests.emulator.arm_kit import Arm
from tests.emulator.dataplane_kit import with_environment
from tests.emulator.site_kit import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.materialise import Plan
    from emulator.routing import Json


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[Arm]:
    """Make an empty cloud whose transitions are immediate."""
    made = Arm(tmp_path)
    yield made
    made.cloud.state.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Arm]:
    """Make an empty cloud whose operations wait for the test."""
    made = Arm(tmp_path, "manual")
    yield made
    made.cloud.state.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Make computes with real processes; environments are this interpreter."""
    described = materialise.environment_plan

    def bare(plan: Plan, place: Path) -> dict[str, Json]:
        return {**described(plan, place), "interpreter": sys.executable}

    monkeypatch.setattr(materialise, "environment_plan", bare)
    made = Site(tmp_path)
    with_environment(made.call)
    try:
        yield made
    finally:
        made.stop()
