from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from engine import obtain

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine


@pytest.mark.timeout(1200)  # the first time on a machine it may have to be built
def test_the_engine_that_setup_finds_answers_with_its_version(tmp_path: Path) -> None:
    engine = obtain.find_or_get(print)
    environment = {**os.environ, "PULUMI_HOME": str(tmp_path), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    answer = subprocess.run(
        [engine.bin / "pulumi", "version"], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == f"v{engine.version}"
    assert obtain.compatible(engine.version)
    assert obtain.has_language_host(engine.bin / "pulumi")
