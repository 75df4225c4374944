from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from engine import doctor, gobuild, obtain

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


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go_counts_nothing_where_we_ask_it(tmp_path: Path) -> None:
    environment = {**os.environ, **gobuild.private_settings(os.environ, tmp_path), "GOTOOLCHAIN": "local"}
    assert gobuild.go_answer(["env", "GOTELEMETRY"], environment) == ["off"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mode"]


def test_looking_at_the_machine_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    doctor.checks(tmp_path)
    assert list(tmp_path.iterdir()) == []
