"""What a killed engine leaves: its lock on the stack, the language host that it had started, its folder for events.

Reads who holds a stack and whether that process can still be there; ends orphans that are proven to be this project's.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORK = "engine-"
OWNER = "owner"
PROGRAM = "pulumi-language-python-exec"
"""In the command line of what the Python host runs: the program."""
DEAD = ("Z", "X")
DRAFT = re.compile(r"\.[0-9a-f]{16}\.tmp$")
"""How the engine names a file of its backend until it is whole."""
CLOCK_S = 2.0
"""`btime` is whole seconds, and moves with the clock: a process that started this soon after a lock may hold it."""
PATIENCE_S = 3.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Lock:
    """One lock file of the engine: pkg/v3.255.0 backend/diy/lock.go, `lockContent`."""

    path: Path
    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.user} on {self.host}, process {self.pid}, since {self.since}"

    def may_live(self) -> bool:
        """Tell whether that process may still be the engine.

        One of another program has only its number again, and so has an engine that started after the lock was taken.
        """
        if not Path("/proc/self").exists():
            return True  # without /proc nothing is proved
        found = process(self.pid)
        if found is None or not found[0].startswith("pulumi") or found[1] in ("Z", "X"):
            return False
        taken, started = _epoch(self.since), _started(self.pid)
        return taken is None or started is None or started < taken + CLOCK_S


def lock_of(path: Path) -> Lock:
    """Read a lock file.

    Raises:
        EngineError: it is not one.

    """
    try:
        found = json.loads(path.read_text("utf-8"))
        return Lock(path, str(found["username"]), str(found["hostname"]), int(found["pid"]), str(found["timestamp"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} is not a lock that this engine wrote", "Delete it if no operation runs.") from error


def process(pid: int) -> tuple[str, str, int] | None:
    """Return a process's name (15 characters of it), state and parent: proc(5), `stat`. None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    before, _, after = text.rpartition(")")
    return before.partition("(")[2], after.split()[0], int(after.split()[1])


def mend(backend: Path, stack: str) -> list[str]:
    """Remove what the engine was writing for a stack when it was killed; returns the names of torn files.

    A file and then its `.attrs` beside it, which is truncated and written in place: an empty one makes the engine fail
    with `EOF`, none at all is fine. The file itself is renamed into place and always whole (gocloud.dev/blob/fileblob).
    Nobody may be writing.
    """
    places = (f"locks/*/*/{stack}/*", f"stacks/*/{stack}.json*", f"history/*/{stack}/*", f"backups/*/{stack}/*")
    found = [path for place in places for path in sorted((backend / ".pulumi").glob(place))]
    torn = [path for path in found if path.suffix == ".attrs" and not _is_json(path)]
    for path in [*torn, *(path for path in found if DRAFT.search(path.name))]:
        path.unlink(missing_ok=True)
    return [path.name for path in torn]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return True


def reap(engine_home: Path) -> dict[int, str]:
    """End what a killed engine with this home left behind; returns the names by process id. Blocks. Linux only.

    These are its language hosts and the programs below them. The home in a process's environment proves whose it is;
    that no engine is among its ancestors proves it an orphan.
    """
    mark = f"PULUMI_HOME={engine_home}".encode()
    found = {int(folder.name): _what(folder) for folder in Path("/proc").glob("[0-9]*")}
    orphans = {pid: name for pid, name in found.items() if name and _has(pid, mark) and not _below_an_engine(pid)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(orphans, number)
        deadline = time.monotonic() + PATIENCE_S
        while any(_is_there(pid) for pid in orphans) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    return orphans


def _what(folder: Path) -> str:
    """Name a process that an engine starts: a plug-in, or the program that a language host runs; else empty."""
    found = process(int(folder.name))
    if found is None or found[1] in DEAD:
        return ""
    if found[0].startswith("pulumi-"):
        return found[0]
    try:
        return PROGRAM if PROGRAM.encode() in (folder / "cmdline").read_bytes() else ""
    except OSError:
        return ""


def _has(pid: int, entry: bytes) -> bool:
    try:
        return entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _below_an_engine(pid: int) -> bool:
    found = process(pid)
    while found is not None and found[2] > 1:
        found = process(found[2])
        if found is not None and found[0] == "pulumi" and found[1] not in DEAD:
            return True
    return False


def _is_there(pid: int) -> bool:
    found = process(pid)
    return found is not None and found[1] not in DEAD


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _epoch(words: str) -> float | None:
    """Read an RFC 3339 time with up to nine decimals as seconds since 1970."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", words)).timestamp()
    except ValueError:
        return None


def _started(pid: int) -> float | None:
    """Return when a process started, in seconds since 1970: proc(5), `btime` and field 22 of `stat`."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        booted = re.search(r"(?m)^btime (\d+)$", Path("/proc/stat").read_text("ascii"))
    except OSError:
        return None
    return int(booted[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if booted else None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder itself, for a moment. Blocks; the kernel frees it on death."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def workplace(data: Path) -> Iterator[tuple[Path, int]]:
    """Make a folder for one operation, gone at its end; yield it and its lock, which the engine must inherit.

    So the folder of an engine that outlives a killed caller is not taken from under it. Sweeps what the dead left.
    """
    with held(data):
        swept(data)
        folder = Path(tempfile.mkdtemp(prefix=WORK, dir=data))
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield folder, descriptor
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep(data: Path) -> None:
    """Remove the folders of operations whose processes are all dead. Idempotent."""
    if data.is_dir():
        with held(data):
            swept(data)


def swept(data: Path) -> None:
    """Do it under the lock: a folder without its lock's file was never finished."""
    for folder in data.glob(f"{WORK}*/"):
        try:
            descriptor = os.open(folder / OWNER, os.O_RDWR)
        except FileNotFoundError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
