from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from node import overlay

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes


def wheel(folder: Path, version: str) -> Path:
    """Write a package `greeting` of one file."""
    path = folder / f"greeting-{version}-py3-none-any.whl"
    info = f"greeting-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greeting.py", f"VERSION = {version!r}\ndef main():\n    print('greetings', VERSION)\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngreet = greeting:main\n")
        archive.writestr(f"{info}/RECORD", "greeting.py,,\n")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    made = tmp_path / "cached"
    subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
    install = [str(made / "bin" / "python"), "-m", "pip", "install", "-q", "--no-index", str(wheel(tmp_path, "1.0"))]
    subprocess.run(install, check=True)
    return made


def shell(folder: Path, command: str) -> str:
    variables = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", "-c", command], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_a_job_installs_stays_with_its_run(tmp_path: Path, environment: Path) -> None:
    newer = wheel(tmp_path, "2.0")
    ask = 'python -c "import greeting; print(greeting.VERSION)"'
    first, second = (overlay.make(tmp_path / name, environment) for name in ("run one", "run two"))
    assert first == tmp_path / "run one" / "python" / "bin" / "python"
    assert second is not None
    assert shell(first.parent, ask) == "1.0"
    shell(first.parent, f"pip install -q --no-index '{newer}' && python3 -m pip list")
    assert [shell(found, ask) for found in (first.parent, second.parent, environment / "bin")] == ["2.0", "1.0", "1.0"]
    assert shell(first.parent, "greet") == "greetings 2.0"
    assert [shell(found, "greet") for found in (second.parent, environment / "bin")] == ["greetings 1.0"] * 2
    assert overlay.make(tmp_path / "run one", environment) == first
    assert shell(first.parent, ask) == "2.0"


def test_an_environment_that_is_not_virtual_has_no_layer(tmp_path: Path) -> None:
    (tmp_path / "conda" / "bin").mkdir(parents=True)
    assert overlay.make(tmp_path / "run", tmp_path / "conda") is None
    assert not (tmp_path / "run").exists()
