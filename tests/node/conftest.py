"""Real runs in temporary folders, ended and settled whatever the test did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from node import control, launch, layout, processes, reading
from node import status as statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from node.layout import Json
    from node.status import Status

_T = TypeVar("_T")
DEADLINE_S = 20.0


class Runs:
    """Makes and starts runs of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[Path] = []

    def create(self, command: str, **more: Json) -> Path:
        run_dir = self.root / f"run{len(self.made)}"
        layout.create(run_dir, {"run_id": f"run{len(self.made)}", "command": command, **more})
        self.made.append(run_dir)
        return run_dir

    def start(self, command: str, **more: Json) -> Path:
        run_dir = self.create(command, **more)
        launch.start(run_dir)
        return run_dir

    def end(self, run_dir: Path) -> Status:
        return self.until(lambda: found if (found := reading.status(run_dir)).terminal else None)

    def running(self, run_dir: Path) -> Status:
        return self.until(lambda: found if (found := reading.status(run_dir)).state == statuses.RUNNING else None)

    def line(self, run_dir: Path, text: bytes) -> None:
        self.until(lambda: text in self.log(run_dir) or None)

    @staticmethod
    def log(run_dir: Path) -> bytes:
        path = run_dir / layout.USER_LOG
        return path.read_bytes() if path.exists() else b""

    @staticmethod
    def until(look: Callable[[], _T | None]) -> _T:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(0.01)
        raise AssertionError("it did not happen in time")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "runs")
    yield made
    for run_dir in made.made:
        if (run_dir / layout.STATUS).exists() and not reading.status(run_dir).terminal:
            control.cancel(run_dir)
            made.end(run_dir)
        control.settle(run_dir)
        status = statuses.read(run_dir)
        assert status is None or status.mark is None or processes.marked(status.mark) == []
