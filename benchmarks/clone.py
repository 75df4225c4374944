"""A throwaway clone for the other benchmarks: the shipped program, deployed into an emulator of its own.

Not a benchmark. The clone is in a temporary folder; what it started is stopped when it is left, also after a failure.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from console.yard import Yard  # noqa: E402 - the repository's own packages
from emulator import launch  # noqa: E402
from runtime.project import Project  # noqa: E402
from runtime.runs import find_run, list_runs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = ("ARM_", "AZURE", "MLFLOW_", "PULUMI_", "TRAINYARD_EMULATOR", "REQUESTS_", "SSL_")
"""Variables that would lead a client somewhere else."""
JOB = """\
type: command
experiment_name: bench
command: {command}
code: src
environment:
  image: mcr.microsoft.com/azureml/minimal-ubuntu22.04-py311-cpu
  conda_file:
    dependencies: ["python=3.11"]
compute: azureml:cpu-cluster
"""


def circumstances() -> str:
    """Return what the figures depend on besides the code: the cores, and whether our packages are compiled."""
    sources = [path for package in ("console", "node", "runtime", "specs") for path in (ROOT / package).rglob("*.py")]
    compiled = sum(_compiled(path) for path in sources)
    return f"{os.cpu_count()} cores; {compiled} of our {len(sources)} modules compiled"


def _compiled(source: Path) -> bool:
    """Tell whether there is bytecode of a module as it is now."""
    path = Path(importlib.util.cache_from_source(str(source)))
    try:
        head, seen = path.read_bytes()[:16], source.stat()
    except FileNotFoundError:
        return False
    return head[8:16] == (int(seen.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + seen.st_size.to_bytes(4, "little")


def plain() -> dict[str, str]:
    """Return this process's environment without what points at some cloud."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@contextlib.contextmanager
def clone(folder: Path | None = None, computes: str = "") -> Iterator[Yard]:
    """Lay out a clone, `up` its local stack with the real engine, stop its emulator at the end.

    `computes`: lines of YAML, put before the computes that the stack has. Every process that is started from here may
    keep what it compiled, as Python does where nobody forbids it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name) / "clone"
        (root / "stacks").mkdir(parents=True)
        for path in ("Pulumi.yaml", "tasks.py", "trainyard.py", "stacks/__main__.py", "stacks/local.yaml"):
            shutil.copy(ROOT / path, root / path)
        stack = root / "stacks/local.yaml"
        stack.write_text(stack.read_text().replace("    computes:\n", f"    computes:\n{computes}", 1))
        yard = Yard(Project(root))
        try:
            yard.up("local", [])
            yield yard
            for run in list_runs(yard.project, refreshed=False):
                run.cancel().wait(60)
        finally:
            launch.stop(yard.project.emulator_home)


def write_job(yard: Yard, command: str, files: int = 20) -> Path:
    """Write a job without packages beside a code folder of so many small files."""
    source = yard.project.root / "src"
    source.mkdir(exist_ok=True)
    for number in range(files):
        (source / f"module_{number}.py").write_text(f"print({number})\n" * 50)
    path = yard.project.root / "job.yml"
    path.write_text(JOB.format(command=command))
    return path


def settle(yard: Yard, run_id: str, pause_s: float = 1.0) -> str:
    """Wait until a run has ended, and the machine with it; return its state."""
    workspace = next(iter(yard.outputs("local").workspaces.values())).id
    ended = find_run(yard.project, run_id, workspace).wait(120)
    time.sleep(pause_s)
    return ended.state
