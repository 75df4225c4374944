"""What a machine reached by SSH is, and what keeps it from running a job: one line a fault, one look for all.

Nothing is started that could hang, but the container engine, which is asked for a few seconds at most where it is.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.layout import Json

SPARE_BYTES = 64 << 20
"""What a run needs beside its files: logs, status, what an environment unpacks."""
_GIB = 1 << 30


def look(home: Path, needed: int) -> dict[str, Json]:
    """Describe this machine; `needed`: bytes that are about to be written."""
    from node import docker, environments  # here: `gpus` is asked by who has no use for these

    client = docker.find_client()
    return {
        "problems": [*problems(home, needed)],
        "python": platform.python_version(),
        "architecture": platform.machine(),
        "docker": client is not None and docker.answers(client),
        "conda": environments.find_conda(),
        "gpus": gpus(),
    }


def problems(home: Path, needed: int) -> list[str]:
    """Return what is in the way of a run."""
    found = list[str]()
    if sys.platform != "linux":
        found.append(f"it runs {platform.system()}: jobs need Linux there")
    disk = os.statvfs(home)
    free = disk.f_bavail * disk.f_frsize
    if free < needed + SPARE_BYTES:
        wanted = (needed + SPARE_BYTES) / _GIB
        found.append(f"its disk has {free / _GIB:.2f} GiB free at {home}, where {wanted:.2f} GiB are needed")
    if disk.f_flag & os.ST_NOEXEC:
        found.append(f"{home} is on a file system that forbids programs (noexec): no environment can be built there")
    if not shutil.which("sh"):
        found.append("it has no sh on PATH")
    return found


def gpus() -> int:
    """Count the GPUs that NVIDIA's driver shows (/proc/driver/nvidia/gpus, a folder for each)."""
    try:
        return len(list(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        return 0
