"""Build the Python environment of a job once per content and machine, and hand it out from a cache ever after.

A virtual environment can't be moved, so it is built where it stays, under a lock, and a marker is written last: what
has no marker is half-built and is built again. The package index is whatever this machine's pip or uv is set to.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

READY = "ready"
_POLL_S = 0.1
_TAIL_LINES = 40
_GIST_CHARACTERS = 400
_ERROR = re.compile(r"\s*(\u00d7|error\b)", re.IGNORECASE)
_HEAD = re.compile(r"(error|cause|caused by):\s*", re.IGNORECASE)
_ASIDE = re.compile(r"\s*(hint:|help:|note:|WARNING:)")
_PIP = re.compile(r"pip\s*([<>=!~;\[@]|$)", re.IGNORECASE)
_VERSION = re.compile(r"(\d+)\.(\d+)")
_ASK_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


class EnvironmentRefused(Exception):  # noqa: N818  (the name that callers know; it is an answer, not a defect)
    """The environment can't be made here; the message is one clear sentence, with the installer's last lines."""


class BuildStopped(Exception):  # noqa: N818
    """The caller's `stop` said so; what was half-built is built again next time."""


@dataclass(frozen=True)
class Environment:
    """A ready Python environment."""

    id: str
    path: Path
    interpreter: Path
    cached: bool
    built_s: float
    """Seconds that the build took, now or when it was made."""


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
    Raises: EnvironmentRefused; BuildStopped soon after `stop()` is true; OSError on a full disk.
    """
    base, version = find_python(python)
    requirements = sorted(item.strip() for item in pip if item.strip())
    for item in requirements:
        if "\n" in item or "\r" in item or "\0" in item:
            raise EnvironmentRefused(f"the requirement {item!r} holds a line break")
    key = content_id(version, requirements)
    layout.private_dir(cache)
    lock = _wait_for_lock(cache / f"{key}.lock", log, stop)
    try:
        target = cache / key
        ready = _ready(key, target)
        if ready is not None:
            _say(log, f"environment {key}: cached")
            return ready
        if target.exists():
            _say(log, f"environment {key}: removing what an interrupted build left")
            shutil.rmtree(target)
        try:
            return _Builder(target, base, log, stop, lock).build(version, requirements)
        except (EnvironmentRefused, BuildStopped, OSError):
            shutil.rmtree(target, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def content_id(version: str, requirements: Sequence[str]) -> str:
    """Return the id of an environment: a hash over everything that decides what is in it."""
    content = json.dumps([version, sorted(requirements), sys.platform, platform.machine()])
    return hashlib.sha256(content.encode()).hexdigest()[:20]


def _ready(key: str, target: Path) -> Environment | None:
    try:
        marker = layout.read_json(target / READY)
    except ValueError:
        return None
    interpreter = target / "bin" / "python"
    # The interpreter is a link to a base Python that an upgrade may have removed.
    if marker is None or not os.access(interpreter, os.X_OK):
        return None
    built_s = marker.get("built_s")
    return Environment(key, target, interpreter, cached=True, built_s=built_s if isinstance(built_s, float) else 0.0)


def _wait_for_lock(path: Path, log: BinaryIO, stop: Callable[[], bool]) -> int:
    lock = processes.acquire(path)
    if lock is None:
        _say(log, "another process is building this environment: waiting for it")
    while lock is None:
        if stop():
            raise BuildStopped
        lock = processes.acquire(path, patience_s=_POLL_S)
    return lock


def _say(log: BinaryIO, line: str) -> None:
    log.write(line.encode() + b"\n")
    log.flush()


# --- which Python ---


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


# --- building ---


class _Builder:
    """One build in its final folder, by one holder of its lock."""

    def __init__(self, target: Path, base: str, log: BinaryIO, stop: Callable[[], bool], lock: int) -> None:
        self.target, self.base, self.log, self.stop, self.lock = target, base, log, stop, lock
        self.tail: deque[bytes] = deque(maxlen=_TAIL_LINES)

    def build(self, version: str, requirements: Sequence[str]) -> Environment:
        began = time.monotonic()
        layout.private_dir(self.target)
        interpreter = self.target / "bin" / "python"
        listing = self.target / "requirements.txt"
        # pip itself as well: a job that calls `pip` must not reach the machine's.
        content = [*requirements, *([] if any(_PIP.match(item) for item in requirements) else ["pip"])]
        layout.write_bytes(listing, "".join(f"{item}\n" for item in content).encode())
        uv = find_uv()
        _say(self.log, f"environment {self.target.name}: Python {version}, {len(requirements)} requirements")
        if uv:
            self.run([uv, "venv", "--no-project", "--allow-existing", "--python", self.base, str(self.target)])
            install = [uv, "pip", "install", "--python", str(interpreter), "-r", str(listing)]
        else:
            self.run([self.base, "-m", "venv", str(self.target)])
            install = [str(interpreter), "-m", "pip", "install", "--no-input", "-r", str(listing)]
        if requirements:
            self.run(install)
        built_s = round(time.monotonic() - began, 3)
        layout.write_json(
            self.target / READY, {"python": version, "pip": [*requirements], "built_s": built_s, "at": layout.utc_now()}
        )
        _say(self.log, f"environment {self.target.name}: ready after {built_s:.1f} s")
        return Environment(self.target.name, self.target, interpreter, cached=False, built_s=built_s)

    def run(self, argv: list[str]) -> None:
        """Run an installer, copying its output as it comes.

        It inherits the lock: should this process be killed, nobody builds in the folder before the installer ended.
        """
        self.tail.clear()
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.target,
            env={**credentials(os.environ, self.target.parent), **installer_environment(os.environ)},
            start_new_session=True,
            pass_fds=(self.lock,),
        ) as process:
            try:
                self.copy(process)
            except BaseException:
                processes.send(processes.members(process.pid), signal.SIGKILL)
                raise
        if process.returncode != 0:
            said = gist(b"".join(self.tail).decode("utf-8", "replace"))
            raise EnvironmentRefused(f"the environment could not be built ({Path(argv[0]).name} failed): {said}")

    def copy(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        fd, rest = process.stdout.fileno(), b""
        while True:
            if self.stop():
                raise BuildStopped
            if not select.select([fd], [], [], _POLL_S)[0]:
                continue
            chunk = os.read(fd, 65536)
            if not chunk:
                break
            self.log.write(chunk)
            self.log.flush()
            *lines, rest = (rest + chunk).splitlines(keepends=True)
            self.tail.extend(lines)
        self.tail.append(rest)


def installer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for an installer: this machine's, with pip's settings also said in uv's words."""
    drop = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", processes.SUPERVISOR, processes.MARK)
    values = {key: value for key, value in environ.items() if key not in drop}
    if not any(values.get(key) for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
        for setting, value in _pip_settings(values).items():
            values.setdefault(_PIP_TO_UV[setting], value)
    values.setdefault("UV_NO_PROGRESS", "1")
    values.setdefault("UV_HTTP_TIMEOUT", "120")
    return values


def gist(output: str) -> str:
    """Return an installer's error in one line: from the first line that is one, without the drawing around it.

    uv may draw a tree (a cross before the error, `╰─▶ Because …` below it) and wrap its lines; pip writes `ERROR:`.
    """
    lines = output.strip().splitlines()
    begin = next((at for at, line in enumerate(lines) if _ERROR.match(line)), max(0, len(lines) - 1))
    told = list[str]()
    for line in lines[begin:]:
        if told and (_ASIDE.match(line) or not line.strip()):
            break
        told.append(_HEAD.sub(": " if told else "", line.strip("\t \u00d7╰─▶├│")))
    words = " ".join(" ".join(told).split()).replace(" : ", ": ").replace(":: ", ": ")
    return words if len(words) <= _GIST_CHARACTERS else words[: _GIST_CHARACTERS - 1] + "…"


def credentials(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return what keeps uv from making a folder for credentials in the user's home, where it has none yet.

    One that `uv auth login` filled stays in use.
    """
    base = environ.get("XDG_DATA_HOME") or Path(environ.get("HOME", "/")) / ".local" / "share"
    own = Path(base, "uv", "credentials")
    return {} if own.exists() else {"UV_CREDENTIALS_DIR": str(cache / "credentials")}


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's index settings, files first, then PIP_* (pip's own order; pip documentation, Configuration)."""
    home = Path(environ.get("HOME", "/"))
    config = Path(environ.get("XDG_CONFIG_HOME", home / ".config"))
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        files.append(Path(environ["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser()
    try:
        parser.read(files)
    except (configparser.Error, UnicodeDecodeError):
        parser = configparser.RawConfigParser()
    found: dict[str, str] = {}
    for setting in _PIP_TO_UV:
        value = environ.get("PIP_" + setting.upper().replace("-", "_"))
        if value is None and parser.has_option("global", setting):
            value = parser.get("global", setting)
        if value:
            # pip splits lists at white space, uv at white space (indexes) or commas (find-links).
            found[setting] = ",".join(value.split()) if setting == "find-links" else " ".join(value.split())
    return found
