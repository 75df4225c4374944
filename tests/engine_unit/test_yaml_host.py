from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine import gobuild, obtain, yaml_host
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def put_host(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / yaml_host.NAME).write_text("#!/bin/sh\n", "ascii")
    (folder / yaml_host.NAME).chmod(0o755)
    return folder


def silent(message: str) -> None:
    del message


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take away what is on PATH and in the cache; list the versions that are built."""
    asked: list[str] = []

    def build(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
        asked.append(version)
        put_host(staging / "bin")

    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gobuild, "build_yaml_host", build)
    return asked


def test_a_host_on_path_is_taken(tmp_path: Path, built: list[str]) -> None:
    assert yaml_host.find() is None
    assert yaml_host.find_or_get(silent) != put_host(tmp_path / "path")
    assert (yaml_host.find(), built) == (tmp_path / "path", ["1.10.0"])


def test_a_host_that_came_with_the_engine_is_taken(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = obtain.Engine(put_host(tmp_path / "engine"), "3.255.0", obtain.INSTALLER, 0.0, cached=True)
    monkeypatch.setattr(obtain, "find", lambda: engine)
    assert (yaml_host.find_or_get(silent), built) == (tmp_path / "engine", [])


def test_a_host_is_built_once(tmp_path: Path, built: list[str]) -> None:
    home = tmp_path / "cache" / "engine"
    put_host(home / ".yaml-1.10.0.123" / "bin")  # what a killed build left
    assert [yaml_host.find_or_get(silent) for _ in range(2)] == [home / "yaml-1.10.0" / "bin"] * 2
    assert built == ["1.10.0"]
    assert sorted(path.name for path in home.iterdir()) == ["yaml-1.10.0", "yaml-1.10.0.lock"]


def test_a_machine_without_go_is_told_what_would_do(built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(version: str, staging: Path, home: Path, progress: Callable[[str], None]) -> None:
        raise EngineError("no `go` on PATH")

    monkeypatch.setattr(gobuild, "build_yaml_host", build)
    with pytest.raises(EngineError) as refused:
        yaml_host.find_or_get(silent)
    assert str(refused.value) == (
        "no pulumi-language-yaml here, and it could not be built: no `go` on PATH\n"
        "  Put pulumi-language-yaml on PATH, or install Go 1.25 or newer; then: invoke setup --yaml"
    )


def test_the_module_is_pinned_and_names_no_proxy() -> None:
    folder = gobuild.MODULES / "language-yaml"
    text = (folder / "go.mod").read_text("ascii")
    assert text.count(f"\ntool {gobuild.YAML_PACKAGE}\n") == 1
    assert f"github.com/pulumi/pulumi-yaml v{yaml_host.VERSION} " in text
    assert "https://" not in text + (folder / "go.sum").read_text("ascii")
