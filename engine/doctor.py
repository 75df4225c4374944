"""What is present on this machine, what is missing, and what to type: for `invoke doctor`. Looks only; gets nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from engine import gobuild, obtain
from engine.cache import cache_root
from engine.session import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST_PYTHON = (3, 11)
ROOM_GIB = 2
ROOM_TO_BUILD_GIB = 5
"""Building the engine from an empty cache took 1.6 GB of sources and 1.8 GB of compiled packages."""
CONNECT_S = 1.0


@dataclass(frozen=True)
class Check:
    """One thing looked at. `found` is what is there; `fix` what to type if it is not `ok`, else empty."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def checks(root: Path) -> list[Check]:
    """Look at everything that a project at `root` needs. Blocks for about a second; changes nothing."""
    engine = obtain.find()
    looks: list[Callable[[], Check]] = [
        python,
        virtual_environment,
        packages,
        lambda: engine_found(engine),
        lambda: language_host(engine),
        lambda: go(engine),
        git,
        lambda: emulator(root),
        lambda: folder("data folder", root / DATA, private=True),
        lambda: folder("cache folder", cache_root(), private=False),
        lambda: disk(cache_root(), ROOM_GIB if engine else ROOM_TO_BUILD_GIB),
    ]
    return [look() for look in looks]


def python() -> Check:
    """Look at the interpreter's version."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    needed = ".".join(str(part) for part in OLDEST_PYTHON)
    good = sys.version_info[:2] >= OLDEST_PYTHON
    return Check("python", good, found, "" if good else f"Install Python {needed} or newer, then: make setup")


def virtual_environment() -> Check:
    """Look whether this interpreter is one of a virtual environment."""
    good = sys.prefix != sys.base_prefix
    found = sys.prefix if good else f"{sys.prefix} is the system's"
    return Check("virtual environment", good, found, "" if good else "make setup")


def packages() -> Check:
    """Look whether what the project requires is installed; which versions is the installer's business."""
    try:
        wanted = importlib.metadata.requires("trainyard") or []
    except importlib.metadata.PackageNotFoundError:
        return Check("packages", ok=False, found="trainyard itself is not installed", fix="make setup")
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted if "extra ==" not in line]
    missing = [name for name in names if not installed(name)]
    if missing:
        return Check("packages", ok=False, found=f"missing: {', '.join(missing)}", fix="make setup")
    return Check("packages", ok=True, found=f"{len(names)} of {len(names)}")


def installed(name: str) -> bool:
    """Tell whether a distribution is installed."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def engine_found(engine: obtain.Engine | None) -> Check:
    """Look at the engine that would be used."""
    if engine is None:
        return Check("engine", ok=False, found="no pulumi on PATH, none in the cache", fix="invoke setup")
    return Check("engine", ok=True, found=f"pulumi {engine.version}, {engine.origin}, {engine.bin}")


def language_host(engine: obtain.Engine | None) -> Check:
    """Look whether the engine has what runs Python programs."""
    if engine is None:
        return Check("language host", ok=False, found="none: there is no engine", fix="invoke setup")
    where = shutil.which(obtain.LANGUAGE_HOST, path=os.pathsep.join([str(engine.bin), os.environ.get("PATH", "")]))
    return Check("language host", where is not None, where or "none", "" if where else "invoke setup")


def go(engine: obtain.Engine | None) -> Check:
    """Look at Go, which only a machine without an engine needs."""
    version = gobuild.go_version()
    if version is None:
        fix = "" if engine else f"Install Go {gobuild.OLDEST_GO} or newer, or put pulumi on PATH; then: invoke setup"
        return Check("go", engine is not None, "none" + (" (not needed: there is an engine)" if engine else ""), fix)
    return Check("go", ok=True, found=version)


def git() -> Check:
    """Look at git."""
    where = shutil.which("git")
    if where is None:
        return Check("git", ok=False, found="none", fix="Install git.")
    answer = subprocess.run([where, "version"], capture_output=True, text=True, timeout=10, check=False)
    return Check("git", ok=True, found=answer.stdout.strip().removeprefix("git version "))


def emulator(root: Path) -> Check:
    """Look whether the project's emulator answers. One that was never started is fine: commands start it."""
    try:
        record = json.loads((root / DATA / "emulator" / "endpoint.json").read_text("utf-8"))
        address = urlsplit(str(record["resource_manager"]))
        port = address.port
    except (OSError, ValueError, KeyError, TypeError):
        return Check("emulator", ok=True, found="never started; commands start it when a stack needs it")
    try:
        socket.create_connection((address.hostname or "localhost", port or 0), CONNECT_S).close()
    except OSError:
        return Check("emulator", ok=True, found="stopped; commands start it when a stack needs it")
    return Check("emulator", ok=True, found=f"answers at {address.geturl()}")


def folder(name: str, path: Path, *, private: bool) -> Check:
    """Look whether a folder is, or can be made, writable, and closed to others if it holds secrets."""
    there = nearest(path)
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(name, ok=False, found=f"{there} is not writable", fix=f"chmod u+rwx {there}")
    if private and path.exists() and path.stat().st_mode & 0o077:
        return Check(name, ok=False, found=f"{path} can be read by others", fix=f"chmod 700 {path}")
    return Check(name, ok=True, found=str(path) if path.exists() else f"{path}, made when needed")


def disk(path: Path, needed_gib: int) -> Check:
    """Look at the room where the cache is."""
    free = shutil.disk_usage(nearest(path)).free / 2**30
    good = free >= needed_gib
    fix = "" if good else f"Free {needed_gib} GiB, or set TRAINYARD_CACHE to a folder on a larger disk."
    return Check("disk", good, f"{free:.1f} GiB free, {needed_gib} needed", fix)


def nearest(path: Path) -> Path:
    """Return the path itself, or its closest ancestor that exists."""
    return next((where for where in [path, *path.parents] if where.exists()), Path("/"))
