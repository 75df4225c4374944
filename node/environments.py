"""Build the Python environment of a job once per content and machine, and hand it out from a cache ever after.

A virtual environment can't be moved, so it is built where it stays, under a lock, and a marker is written last: what
has no marker is half-built and is built again. The package index is whatever this machine's pip or uv is set to.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from node import layout, processes
from node.installers import BuildStopped as BuildStopped  # noqa: PLC0414  (a name that callers know from here)
from node.installers import EnvironmentRefused as EnvironmentRefused  # noqa: PLC0414
from node.installers import Site, full, own_environment, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    from node.layout import Json

READY = "ready"
"""The marker; its time of change is the last use."""
USES = "uses"
"""Beside it: one byte for each run that got the environment."""
CONDA_PREFIX = "env"
"""Folder of a conda environment below its cache folder: conda wants to make it itself."""
_POLL_S = 0.1
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIP = re.compile(r"pip\s*([<>=!~;\[@]|$)", re.IGNORECASE)
_VERSION = re.compile(r"(\d+)\.(\d+)")
_ASK_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_ALWAYS_YES = {"CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true"}
_in_use: list[int] = []
"""Locks that say so, held for as long as this process lives."""


@dataclass(frozen=True)
class Environment:
    """A ready Python environment."""

    id: str
    path: Path
    interpreter: Path
    cached: bool
    built_s: float
    """Seconds that the build took, now or when it was made."""


class Recipe(NamedTuple):
    """What is built once: under which key, from what, and how to tell that it is still there."""

    key: str
    what: str
    make: Callable[[Site], dict[str, Json]]
    """Fills the site's folder; returns what the marker shall say of it."""
    there: Callable[[Path], bool]


class Built(NamedTuple):
    """What a recipe made, now or earlier."""

    folder: Path
    cached: bool
    built_s: float


def ensure(
    python: str | None,
    pip: Sequence[str],
    cache: Path,
    log: BinaryIO,
    stop: Callable[[], bool] = lambda: False,
) -> Environment:
    """Return the environment with these pip requirements, building it where the cache has none.

    Blocks while it is built, here or by another process at the same moment (then built once). `python` is a version
    such as `3.11`, None for this interpreter's. Installers' output goes to `log` as it is produced.
    Raises: EnvironmentRefused; BuildStopped soon after `stop()` is true; OSError when the log can't be written.
    """
    base, version = find_python(python)
    requirements = sorted(item.strip() for item in pip if item.strip())
    for item in requirements:
        if "\n" in item or "\r" in item or "\0" in item:
            raise EnvironmentRefused(f"the requirement {item!r} holds a line break")

    def make(site: Site) -> dict[str, Json]:
        _virtual(site, base, requirements)
        return {"kind": "venv", "python": version, "pip": [*requirements]}

    # The interpreter is a link to a base Python that an upgrade may have removed.
    recipe = Recipe(
        content_id(version, requirements),
        f"Python {version}, {len(requirements)} requirements",
        make,
        lambda folder: os.access(folder / "bin" / "python", os.X_OK),
    )
    built = once(recipe, cache, log, stop)
    return Environment(recipe.key, built.folder, built.folder / "bin" / "python", built.cached, built.built_s)


def ensure_conda(
    text: str, cache: Path, log: BinaryIO, stop: Callable[[], bool] = lambda: False, conda: str | None = None
) -> Environment:
    """Return the environment of a conda file as it is written, built by this machine's own conda (or the one given).

    Blocks and raises as `ensure` does. `interpreter` stands in its `bin` even where the file asks for no Python.
    """
    command = conda or find_conda()
    if command is None:
        raise EnvironmentRefused("the environment is a conda file, and this machine has no conda, mamba or micromamba")

    def make(site: Site) -> dict[str, Json]:
        listing = site.folder / "conda.yml"
        layout.write_bytes(listing, text.encode())
        environ = {**own_environment(os.environ, cache), **_ALWAYS_YES}
        run([command, "env", "create", "-p", str(site.folder / CONDA_PREFIX), "-f", str(listing)], site, environ)
        version = _version_of(str(site.folder / CONDA_PREFIX / "bin" / "python"))
        return {"kind": "conda", "python": version, "conda": text}

    recipe = Recipe(
        digest("conda", text),
        f"conda file, by {command}",
        make,
        lambda folder: (folder / CONDA_PREFIX / "bin").is_dir(),
    )
    built = once(recipe, cache, log, stop)
    prefix = built.folder / CONDA_PREFIX
    return Environment(recipe.key, prefix, prefix / "bin" / "python", built.cached, built.built_s)


def content_id(version: str, requirements: Sequence[str]) -> str:
    """Return the id of an environment: a hash over everything that decides what is in it."""
    return digest(version, "pip", [*sorted(requirements)])


def digest(*content: Json) -> str:
    """Return an id for a content on this kind of machine."""
    text = json.dumps([*content, sys.platform, platform.machine()])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


# --- the cache ---


def once(recipe: Recipe, cache: Path, log: BinaryIO, stop: Callable[[], bool]) -> Built:
    """Return what a recipe makes, made now where the cache has none; it is in use until this process ends."""
    layout.private_dir(cache)
    site = Site(cache, log, stop)
    lock = _wait_for_lock(cache / f"{recipe.key}.lock", site)
    try:
        folder = cache / recipe.key
        marker = marker_of(folder)
        cached = marker is not None and recipe.there(folder)
        if marker is None or not cached:
            marker = _made(recipe, Site(folder, log, stop, lock))
        else:
            site.say(f"environment {recipe.key}: cached")
        _used(cache, recipe.key)
        built_s = marker.get("built_s")
        return Built(folder, cached, built_s if isinstance(built_s, float) else 0.0)
    finally:
        os.close(lock)


def _made(recipe: Recipe, site: Site) -> dict[str, Json]:
    if site.folder.exists():
        site.say(f"environment {recipe.key}: removing what an interrupted build left")
        shutil.rmtree(site.folder)
    try:
        began = time.monotonic()
        layout.private_dir(site.folder)
        site.say(f"environment {recipe.key}: {recipe.what}")
        made = recipe.make(site)
        built_s = round(time.monotonic() - began, 3)
        marker: dict[str, Json] = {**made, "built_s": built_s, "at": layout.utc_now()}
        layout.write_json(site.folder / READY, marker)
    except (EnvironmentRefused, BuildStopped):
        shutil.rmtree(site.folder, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(site.folder, ignore_errors=True)
        if error.errno in _FULL:
            raise EnvironmentRefused(full(site.folder)) from error
        raise
    site.say(f"environment {recipe.key}: ready after {built_s:.1f} s")
    return marker


def marker_of(folder: Path) -> dict[str, Json] | None:
    """Return what is written down of a built environment; None for one that is half-built."""
    try:
        return layout.read_json(folder / READY)
    except ValueError:
        return None


def _wait_for_lock(path: Path, site: Site) -> int:
    lock = processes.acquire(path)
    if lock is None:
        site.say("another process is building this environment: waiting for it")
    while lock is None:
        if site.stop():
            raise BuildStopped
        lock = processes.acquire(path, patience_s=_POLL_S)
    return lock


def use_lock(cache: Path, key: str) -> Path:
    """Return the file that whoever uses an environment holds a shared lock on."""
    return cache / f"{key}.use"


def _used(cache: Path, key: str) -> None:
    """Note the moment, and hold the environment against removal. The caller holds its build lock."""
    fd = os.open(use_lock(cache, key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    _in_use.append(fd)
    os.utime(cache / key / READY)


def count_run(cache: Path, key: str) -> None:
    """Note that one more run got an environment."""
    with (cache / key / USES).open("ab") as uses:
        uses.write(b".")


# --- building ---


def _virtual(site: Site, base: str, requirements: Sequence[str]) -> None:
    """Make a virtual environment in the site's folder with uv, or with Python's own means."""
    interpreter, listing = site.folder / "bin" / "python", site.folder / "requirements.txt"
    environ = own_environment(os.environ, site.folder.parent)
    # pip itself as well: a job that calls `pip` must not reach the machine's.
    content = [*requirements, *([] if any(_PIP.match(item) for item in requirements) else ["pip"])]
    layout.write_bytes(listing, "".join(f"{item}\n" for item in content).encode())
    uv = find_uv()
    if uv:
        run([uv, "venv", "--no-project", "--allow-existing", "--python", base, str(site.folder)], site, environ)
        install = [uv, "pip", "install", "--python", str(interpreter), "-r", str(listing)]
    else:
        run([base, "-m", "venv", str(site.folder)], site, environ)
        install = [str(interpreter), "-m", "pip", "install", "--no-input", "-r", str(listing)]
    try:
        run(install, site, environ)
    except EnvironmentRefused:
        if requirements:
            raise
        _own_pip(site, interpreter, environ)


def _own_pip(site: Site, interpreter: Path, environ: Mapping[str, str]) -> None:
    """Without an index: install the pip that Python brings along. Where Debian left that out, a job has none."""
    try:
        run([str(interpreter), "-m", "ensurepip"], site, environ)
    except EnvironmentRefused as refused:
        site.say(f"no pip in this environment: {refused}")


# --- what this machine has ---


def find_python(wanted: str | None) -> tuple[str, str]:
    """Return the interpreter to build upon and its full version.

    This one where the version asked for allows it, else `pythonX.Y` on PATH, else one that uv knows of.
    Raises: EnvironmentRefused when there is none, or `wanted` names no version.
    """
    mine = ".".join(map(str, sys.version_info[:3]))
    if not wanted:
        return sys.executable, mine
    found = _VERSION.match(wanted)
    if not found:
        raise EnvironmentRefused(f"the Python version {wanted!r} is not of the form 3.11")
    short = found.group()
    if _VERSION.match(mine).group() == short:  # type: ignore[union-attr]  # it always has two parts
        return sys.executable, mine
    for candidate in (shutil.which(f"python{short}"), _uv_find(short)):
        version = _version_of(candidate) if candidate else None
        if candidate and version and version.startswith(short + "."):
            return candidate, version
    here = ".".join(mine.split(".")[:2])
    raise EnvironmentRefused(
        f"this machine has no Python {short}, which the environment asks for (it has {here}): "
        f"install python{short}, or ask for python={here} in the conda file"
    )


def _version_of(interpreter: str) -> str | None:
    try:
        # The name may be a version manager's stub that only prints how to install it.
        done = subprocess.run([interpreter, "-c", _ASK_VERSION], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else None


def _uv_find(short: str) -> str | None:
    uv = find_uv()
    if uv is None:
        return None
    try:
        done = subprocess.run(
            [uv, "python", "find", "--no-project", "--no-python-downloads", short],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None


def find_uv() -> str | None:
    """Return uv: beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def find_conda(environ: Mapping[str, str] | None = None) -> str | None:
    """Return this machine's conda: the faster kinds first, on PATH or where an activated one says it is."""
    variables = os.environ if environ is None else environ
    for name in ("mamba", "micromamba", "conda"):
        if found := shutil.which(name, path=variables.get("PATH")):
            return found
    for variable in ("MAMBA_EXE", "CONDA_EXE"):
        found = variables.get(variable)
        if found and os.access(found, os.X_OK):
            return found
    return None
