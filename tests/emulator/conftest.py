"""The cloud that ARM's tests talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.arm_kit import Arm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
