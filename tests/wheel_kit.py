"""The wheel, built from this tree and installed where nothing of this tree can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


def build(folder: Path) -> Path:
    """Build the wheel into a folder; the build backend comes from the user's cache or the package index."""
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel in a new virtual environment and return its `bin`; what it depends on is lent by this one.

    The lent folder is a plain line of a .pth file, so the .pth file in it that leads to this tree is not read.
    """
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--compile-bytecode", "--no-deps", "--python", python, wheel], check=True
    )
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (own / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (folder / "bin" / "uv").symlink_to(UV)  # a dependency that is a program: it is expected beside Python
    return folder / "bin"


def environment(scripts: Path) -> dict[str, str]:
    """Return what a user's shell has whose virtual environment is the new one."""
    theirs = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {**theirs, "PATH": os.pathsep.join([str(scripts), os.environ["PATH"]])}
