"""Run an installer (uv, pip, conda, Docker) for an environment, and tell why one failed.

Its output is copied as it comes, its settings are this machine's own, and it never waits for somebody to type.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

NOT_BUILT = "the environment could not be built"
_POLL_S = 0.1
_TAIL_LINES = 40
_GIST_CHARACTERS = 400
_ERROR = re.compile(r"\s*(\u00d7|error\b|[A-Za-z]+Error:)", re.IGNORECASE)
_HEAD = re.compile(r"\b(error|cause|caused by)(:\s*|\s{2,})", re.IGNORECASE)
_ASIDE = re.compile(r"\s*(hint:|help:|note:|WARNING:)")
_STEP = re.compile(r"#\d+ (\d+\.\d+ )?")
"""What BuildKit puts before each line of a step's output."""
_FULL = re.compile(r"no space left on device|disk quota exceeded|NoSpaceLeftError", re.IGNORECASE)
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
class Site:
    """Where something is being installed, and on whose behalf."""

    folder: Path
    """The installer's working directory."""
    log: BinaryIO
    stop: Callable[[], bool]
    lock: int | None = None
    """Descriptor that the installer inherits: should this process be killed, nobody builds here before it ended."""

    def say(self, line: str) -> None:
        """Write a line of our own into the log."""
        self.log.write(line.encode() + b"\n")
        self.log.flush()


def run(argv: Sequence[str], site: Site, environ: Mapping[str, str], *, failure: str = NOT_BUILT) -> None:
    """Run an installer to its end.

    `failure`: how the message begins; another than the usual one is about an image of Docker's.
    Raises: EnvironmentRefused saying why it failed, in its own words; BuildStopped; OSError when the log can't be
    written.
    """
    tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=site.folder,
            env=dict(environ),
            start_new_session=True,
            pass_fds=() if site.lock is None else (site.lock,),
        )
    except OSError as error:
        raise EnvironmentRefused(f"{failure}: {argv[0]} can't be run ({error.strerror})") from error
    with process:
        try:
            _copy(process, site, tail)
        except BaseException:
            processes.send(processes.members(process.pid), signal.SIGKILL)
            raise
    if process.returncode != 0:
        said = b"".join(tail).decode("utf-8", "replace")
        if _FULL.search(said) and failure != NOT_BUILT:
            raise EnvironmentRefused(f"{failure}: the Docker engine's disk is full. Make room: docker system prune")
        if _FULL.search(said):
            raise EnvironmentRefused(full(site.folder))
        raise EnvironmentRefused(f"{failure} ({Path(argv[0]).name} failed): {gist(said)}")


def full(folder: Path) -> str:
    """Say that there is no room for an environment, and how to make some."""
    return f"{NOT_BUILT}: the disk of {folder} is full. Make room: invoke environments.prune"


def _copy(process: subprocess.Popen[bytes], site: Site, tail: deque[bytes]) -> None:
    if process.stdout is None:
        return
    fd, rest = process.stdout.fileno(), b""
    while True:
        if site.stop():
            raise BuildStopped
        if not select.select([fd], [], [], _POLL_S)[0]:
            continue
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        site.log.write(chunk)
        site.log.flush()
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        tail.extend(lines)
    tail.append(rest)


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

    uv may draw a tree (a cross before the error, `╰─▶ Because …` below it) and wrap its lines; pip writes `ERROR:`,
    conda the name of an exception and, after an empty line, the packages.
    """
    lines = [_STEP.sub("", line, count=1) if line.startswith("#") else line for line in output.strip().splitlines()]
    begin = next((at for at, line in enumerate(lines) if _ERROR.match(line)), max(0, len(lines) - 1))
    told = list[str]()
    for line in lines[begin:]:
        if told and (_ASIDE.match(line) or not (line.strip() or told[-1].endswith(":"))):
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
    import configparser  # not needed by a run whose environment is in the cache

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


def own_environment(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return the whole environment of an installer that fills this cache."""
    return {**credentials(environ, cache), **installer_environment(environ)}
