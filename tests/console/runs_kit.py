"""Runs that were never started, for what is printed about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runtime import submitters
from runtime.records import Record
from runtime.runs import Run
from runtime.site import Look, Point, RunFile, open_site
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.site import Site

NOON = "2020-01-02T12:00:00.000Z"
"""A moment of no day on which tests run, so that it is shown with its date."""


@pytest.fixture
def utc() -> Iterator[None]:
    """Show moments in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def a_run(site: Site, run_id: str = "digits-quiet-heron", *, stale: str | None = None, **changes: object) -> Run:
    values = {"id": run_id, "kind": "AmlCompute", "target": "cpu-cluster", "experiment": "digits", "token": "t"}
    known = {**values, "created": NOON, "phase": "acknowledged", "workspace_id": kit.WORKSPACE, "metrics_final": True}
    return Run(Record.model_validate({**known, **changes}), site, stale)


def a_site(tmp_path: Path) -> Site:
    return open_site(kit.a_project(tmp_path / "project"), kit.HeldClock())


class Told:
    """A submitter that tells what it is given."""

    def __init__(
        self,
        *,
        state: str = "Completed",
        logs: dict[str, bytes] | None = None,
        files: dict[str, bytes] | None = None,
        series: dict[str, list[Point]] | None = None,
    ) -> None:
        self.state, self.logs, self.left, self.series = state, logs or {}, files or {}, series or {}
        self.canceled: list[str] = []

    def use(self, monkeypatch: pytest.MonkeyPatch) -> Told:
        monkeypatch.setattr(submitters, "of", lambda _kind: self)
        return self

    def look(self, _site: Site, record: Record) -> Look:
        state = "Canceled" if record.id in self.canceled else self.state
        return Look(state, logs={name: name for name in self.logs})  # type: ignore[arg-type]  # a state's name

    def read_log(self, _site: Site, _record: Record, address: str, offset: int) -> bytes:
        return self.logs[address][offset:]

    def files(self, _site: Site, _record: Record) -> list[RunFile]:
        def content(raw: bytes) -> Iterator[bytes]:
            yield raw

        return [RunFile(name, len(raw), lambda raw=raw: content(raw)) for name, raw in self.left.items()]

    def history(self, _site: Site, _record: Record, key: str) -> list[Point]:
        return self.series.get(key, [])

    def params(self, _site: Site, _record: Record) -> dict[str, str]:
        return {}

    def metrics(self, _site: Site, _record: Record) -> dict[str, float]:
        return {name: points[-1].value for name, points in self.series.items()}

    def cancel(self, _site: Site, record: Record) -> None:
        self.canceled.append(record.id)


def points(*values: float) -> list[Point]:
    return [Point(value, step, 1_795_266_567_000 + step) for step, value in enumerate(values, 1)]
