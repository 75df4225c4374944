"""What a killed engine leaves: its lock on the stack, the language host that it had started, its folder for events.

Reads who holds a stack and whether that process can still be there; ends orphans that are proven to be this project's.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK = "engine-"
OWNER = "owner"


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
        """Tell whether that process may still be the engine. One of another program has only its number again."""
        if not Path("/proc/self").exists():
            return True  # without /proc nothing is proved
        found = process(self.pid)
        return found is not None and found[0].startswith("pulumi") and found[1] not in ("Z", "X")


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


def reap(engine_home: Path) -> list[int]:
    """End the language hosts that a killed engine with this home left behind, and return their ids. Linux only.

    The home in a host's environment proves whose it is; that its parent is no engine proves it an orphan.
    """
    mark = f"PULUMI_HOME={engine_home}".encode()
    ended = []
    for folder in Path("/proc").glob("[0-9]*"):
        found = process(int(folder.name))
        if found is None or not found[0].startswith("pulumi-"):
            continue
        parent = process(found[2])
        try:
            ours = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and (parent is None or parent[0] != "pulumi"):
            os.kill(int(folder.name), signal.SIGTERM)
            ended.append(int(folder.name))
    return ended


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
