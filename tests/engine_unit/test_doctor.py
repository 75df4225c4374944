from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from engine import doctor, gobuild, obtain
from engine.doctor import Check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(obtain, "find", lambda: None)
    monkeypatch.setattr(gobuild, "go_version", lambda: None)
    return tmp_path


def test_every_check_that_fails_says_what_to_type(bare: Path) -> None:
    found = doctor.checks(bare)
    assert [check.name for check in found] == [
        "python", "virtual environment", "packages", "engine", "language host", "go", "git", "emulator",
        "data folder", "cache folder", "disk",
    ]  # fmt: skip
    assert [check.name for check in found if check.ok is bool(check.fix)] == []
    assert json.loads(json.dumps([dataclasses.asdict(check) for check in found]))[3] == {
        "name": "engine", "ok": False, "found": "no pulumi on PATH, none in the cache", "fix": "invoke setup",
    }  # fmt: skip


def test_go_is_not_needed_where_there_is_an_engine(bare: Path) -> None:
    engine = obtain.Engine(bare, "3.255.0", "on PATH", 0.0, cached=True)
    assert doctor.go(engine) == Check("go", ok=True, found="none (not needed: there is an engine)")
    assert doctor.go(None).ok is False


def test_a_data_folder_that_others_can_read_is_refused(bare: Path) -> None:
    (bare / "data").mkdir(mode=0o755)
    assert doctor.folder("data folder", bare / "data", private=True) == Check(
        "data folder", ok=False, found=f"{bare}/data can be read by others", fix=f"chmod 700 {bare}/data"
    )


def test_an_emulator_that_stopped_is_no_fault(bare: Path) -> None:
    home = bare / ".trainyard" / "emulator"
    home.mkdir(parents=True)
    (home / "endpoint.json").write_text('{"resource_manager": "https://localhost:1/"}', "utf-8")
    assert doctor.emulator(bare) == Check("emulator", ok=True, found="stopped; commands start it when a stack needs it")


def test_too_little_room_is_said_in_figures(bare: Path) -> None:
    assert doctor.disk(bare, 10**6).fix == ("Free 1000000 GiB, or set TRAINYARD_CACHE to a folder on a larger disk.")
