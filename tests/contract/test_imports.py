"""One direction: who may import whom of ours, and which heavy packages stay out of which layer."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"specs", "components", "stacks", "node", "runtime", "emulator", "engine", "trainyard", "tasks"}
ALLOWED = {
    "specs": set(),
    "components": {"specs"},
    "stacks": {"specs", "components"},
    "node": set(),
    "runtime": {"specs", "node"},
    "emulator": {"node"},
    "engine": set(),
}


def imported(package: str) -> dict[str, set[str]]:
    """Map each top-level package that a package imports to the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                names = []
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_left_only(package: str) -> None:
    found = imported(package)
    assert {name: files for name, files in found.items() if name in OURS - ALLOWED[package] - {package}} == {}


def test_node_uses_the_standard_library_only() -> None:
    outside = {name: files for name, files in imported("node").items() if name not in sys.stdlib_module_names}
    assert {name: files for name, files in outside.items() if name != "node"} == {}


def test_the_runtime_never_knows_pulumi() -> None:
    assert "pulumi" not in imported("runtime")
    assert "pulumi_azure_native" not in imported("runtime")


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    program = (
        "import sys, runtime, runtime.submit, runtime.runs; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"pulumi", "azure", "paramiko", "requests", "grpc", "starlette", "uvicorn", "msal", "rich", "mlflow"}
    assert heavy & set(done.stdout.split()) == set()
