"""Which level a test is of, by its file: what starts real processes is not of the quick ones."""

from __future__ import annotations

import pytest

PROCESSES = (
    "examples/",
    "console/test_bad_input.py",
    "emulator/test_clusters.py",
    "emulator/test_launch.py",
    "node/test_environments.py",
    "node/test_runs.py",
    "runtime/test_cluster_runs.py",
    "runtime/test_deploy.py",
    "runtime/test_local.py",
    "runtime/test_models.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of these files `processes`."""
    tests = config.rootpath / "tests"
    for item in items:
        if item.path.relative_to(tests).as_posix().startswith(PROCESSES):
            item.add_marker(pytest.mark.processes)
