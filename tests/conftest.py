"""Which level a test is of, by its file: what starts real processes is not of the quick ones."""

from __future__ import annotations

import os
import shutil

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


REAL = ("sshd", "ssh", "mpirun", "git")
"""What tests run jobs with. Elsewhere a test that lacks one is skipped aloud; CI installs them (`.ci/run`)."""


def pytest_configure() -> None:
    """Refuse to begin in CI where a level would be skipped for want of a program."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    missing = [name for name in REAL if shutil.which(name, path=path) is None]
    if os.environ.get("CI") and missing:
        raise pytest.UsageError(f"CI runs every level, and this machine has no {', '.join(missing)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of these files `processes`."""
    tests = config.rootpath / "tests"
    for item in items:
        if item.path.relative_to(tests).as_posix().startswith(PROCESSES):
            item.add_marker(pytest.mark.processes)
