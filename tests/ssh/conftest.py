"""Machines with a real sshd. Where there is none the level is skipped aloud; CI, which has it, fails instead."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.runtime.conftest import emulated
from tests.ssh import kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/ssh/" in item.path.as_posix() and "machine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.processes)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("TRAINYARD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("ARM_SUBSCRIPTION_ID", "TRAINYARD_EMULATOR", "TRAINYARD_CRASH_AT", "SSH_AUTH_SOCK"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the submitting user a home with one key, and return its public half."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return kit.key_pair(tmp_path / "user/.ssh/id_ed25519")


@pytest.fixture
def machine(tmp_path: Path, user: str) -> Iterator[kit.Machine]:
    """Start a machine that lets the user in."""
    if kit.SSHD is None:
        missing = "sshd is not installed (Debian: openssh-server), so no run on a machine can be tried"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    made = kit.Machine(tmp_path / "machine")
    made.let_in(user)
    made.start()
    yield made
    made.clean()


@pytest.fixture
def client(tmp_path: Path, machine: kit.Machine) -> Iterator[kit.Client]:
    with kit.client(tmp_path / "project", machine) as made:
        yield made


__all__ = ["emulated"]
