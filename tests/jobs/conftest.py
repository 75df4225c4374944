"""One workspace with a cluster and an instance in a real emulator, one machine with a real sshd, and this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.jobs.line import Line, opened

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/jobs/" in item.path.as_posix() and "line" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.processes)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Make them all, once."""
    with opened(tmp_path_factory.mktemp("line"), tmp_path_factory.getbasetemp() / "cache") as made:
        yield made
