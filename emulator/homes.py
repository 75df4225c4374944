"""What lies in an emulator's home, and how a process proves that it lives: names, ports, the secret, the locks.

Standard library only: the launcher, which every command of a local stack loads, must be quick. A lock is an flock held
for the process's life; its file's content says who, but only the lock proves it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from node import processes
from node.processes import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT_RANGE = (20000, 32000)
"""Below Linux's range for outgoing connections (32768), so that none of those can sit on a port that we keep."""


class HomeError(Exception):
    """The home can't be used as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Chosen once per home and kept: addresses in a stack's outputs hold them."""

    server: int
    provider: int


def prepare(home: Path) -> Path:
    """Make the home (0700) when it is missing; return its absolute path. Raises `HomeError` when it can't be made."""
    home = home.expanduser().absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        file = next((path for path in (home, *home.parents) if path.exists() and not path.is_dir()), None)
        why = f"{file} is a file. Move it away." if file else f"{error.strerror}."
        raise HomeError(f"The emulator's folder {home} can't be made: {why}") from error
    return home


def secret(home: Path) -> bytes:
    """Return the home's 32 random bytes; made at the first call. Safe when several processes ask at once."""
    path = home / "secret"
    if not path.exists():
        _create_once(path, secrets.token_bytes(32))
    value = path.read_bytes()
    if len(value) != 32:  # noqa: PLR2004 - as written above
        raise HomeError(f"{path} is damaged. Delete the folder {home} to start with an empty emulator.")
    return value


def ports(home: Path) -> Ports:
    """Return the home's ports; chosen at the first call. Safe when several processes ask at once."""
    path = home / "ports.json"
    if not path.exists():
        server, provider = _free_ports(2)
        _create_once(path, json.dumps({"server": server, "provider": provider}).encode())
    try:
        value = json.loads(path.read_text())
        return Ports(int(value["server"]), int(value["provider"]))
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{path} is damaged. Delete the folder {home} to start with an empty emulator.") from error


def write(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 whole or not at all, on disk when this returns."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _fill(aside, data)
    aside.replace(path)


def _create_once(path: Path, data: bytes) -> None:
    """Create a file with its content; the first of several wins."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _fill(aside, data)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()


def _fill(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for _ in range(1000):
        port = PORT_RANGE[0] + secrets.randbelow(PORT_RANGE[1] - PORT_RANGE[0])
        if port not in found and _is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise HomeError(f"No free port between {PORT_RANGE[0]} and {PORT_RANGE[1]} on the loopback interface.")


def _is_free(port: int) -> bool:
    try:
        for listening in listen(port):
            listening.close()
    except OSError:
        return False
    return True


def listen(port: int) -> list[socket.socket]:
    """Bind the port on 127.0.0.1 and, where the machine has IPv6, on ::1. Raises OSError when it is taken."""
    bound: list[socket.socket] = []
    try:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family == socket.AF_INET6 and not _has_ipv6():
                continue
            # By its protocol number asyncio knows that it may switch Nagle's algorithm off: 40 ms an answer otherwise.
            found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            bound.append(found)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            found.bind((address, port))
    except OSError:
        for found in bound:
            found.close()
        raise
    return bound


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def try_lock(path: Path) -> int | None:
    """Take the lock and write who has it; return the descriptor to keep open, or None when another has it."""
    descriptor = processes.acquire(path)
    if descriptor is not None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, described(me()), 0)
    return descriptor


def described(process: Identity) -> bytes:
    """Return what `owner` reads."""
    return json.dumps(asdict(process)).encode()


def me() -> Identity:
    """Return the calling process."""
    return processes.identity(os.getpid()) or Identity(os.getpid(), 0, "")


def owner(path: Path) -> Identity | None:
    """Return who wrote the lock's file, or None when it says nothing readable."""
    try:
        value = json.loads(path.read_text())
        return Identity(int(value["pid"]), int(value["start_time"]), str(value["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock for a moment, waiting for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
