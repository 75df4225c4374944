"""The package that is shipped to machines runs on the oldest Python that is promised there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node import boot

ROOT = Path(__file__).parents[2]


@pytest.mark.processes
def test_the_package_uses_nothing_that_the_oldest_python_lacks(tmp_path: Path) -> None:
    oldest = ".".join(map(str, boot.LEAST_PYTHON))
    options = ["--python-version", oldest, "--no-warn-unused-ignores", "--cache-dir", str(tmp_path), "-p", "node"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
