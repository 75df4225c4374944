"""SSH servers on loopback for the machines that the emulator plays: nodes, compute instances, virtual machines.

What a server is stays on disk (`ssh/<machine>/`): its port, who may log in, its host key. So a restarted emulator opens
the same doors, and a client that pinned the host key meets the same machine. A machine has no isolation: whoever logs
in is the user who runs the emulator, in the machine's folder. The protocol itself is `emulator.sshd`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.sshd import Daemon, Door

LOG = logging.getLogger(__name__)
FIRST_PORT = 50000
"""Where Azure's clusters start to count the SSH ports of their nodes (azure-rest-api-specs, Compute_ListNodes)."""
MARK = "TRAINYARD_MACHINE"
"""In the environment of everything that was started over SSH: what ends when the machine does."""
SCRYPT = {"n": 2**14, "r": 8, "p": 1}


class SshError(Exception):
    """The server can't be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """One machine's SSH server. Without a key and a password nobody gets in."""

    name: str
    """Unique without regard to case; the machine's ARM id, or any other text."""
    home: str
    """The folder of the machine: HOME and working directory of every session. Made (0700) when it is missing."""
    username: str
    """The one account."""
    keys: tuple[str, ...] = ()
    """Public keys that may log in, one OpenSSH line each."""
    password: str = ""
    """Given in plain, kept as a salted scrypt hash (`scrypt$salt$hash`); empty: no password login."""
    address: str = "127.0.0.1"
    """Any address of this machine; all of 127.0.0.0/8 is, on Linux."""
    port: int = 0
    """0: the first free one from 50000, kept from then on."""
    exact: bool = False
    """Refuse to start where the port is taken, instead of taking the next free one."""
    on: bool = True
    """Off: known, with its port and host key, but not listening, like a machine without power."""


class Servers:
    """All SSH servers of one emulator. Every method is thread-safe and blocks until it is done."""

    def __init__(self, home: Path) -> None:
        self._root = home / "ssh"
        self._lock = threading.RLock()
        self._doors: dict[str, Door] = {}  # by `key`, which has no case
        self._daemon: Daemon | None = None

    def start(self, server: Server) -> Server:
        """Open the machine's door and return the server with its port; a machine that is known keeps port and host key.

        Repeating it changes nothing; other accounts or another folder take effect at once. Raises `SshError`.
        """
        with self._lock:
            known = self.find(server.name)
            wanted = replace(server, on=True, port=server.port or (known.port if known else 0))
            wanted = replace(wanted, password=_kept_hash(server.password, known.password if known else ""))
            if known is not None and not server.exact and known.address == server.address:
                wanted = replace(wanted, port=known.port)
            if wanted == known and self.listening(server.name):
                return known
            self._shut(server.name)
            opened = self._open(wanted)
            self._write(opened)
            return opened

    def stop(self, name: str) -> None:
        """Take the machine's power: shut its door and end what was started on it. It stays known."""
        with self._lock:
            self._shut(name)
            _end_processes(key(name))
            known = self.find(name)
            if known is not None and known.on:
                self._write(replace(known, on=False))

    def remove(self, name: str) -> None:
        """Stop the machine and forget it, with its host key. Its home is the caller's."""
        with self._lock:
            self.stop(name)
            shutil.rmtree(self._folder(name), ignore_errors=True)

    def sweep(self, exists: Callable[[str], bool]) -> None:
        """Remove the servers of machines that are gone: a kill may come between a machine's end and its server's."""
        for server in self.all():
            if not exists(server.name):
                self.remove(server.name)

    def resume(self) -> None:
        """Open the doors that were open when the last emulator ended."""
        with self._lock:
            for server in self.all():
                if not server.on or self.listening(server.name):
                    continue
                try:
                    self._write(self._open(server))
                except SshError as error:
                    LOG.warning("%s", error)

    def close(self) -> None:
        """Shut every door, for the end of the process; what runs on the machines goes on."""
        with self._lock:
            for server in self.all():
                self._shut(server.name)
            if self._daemon is not None:
                self._daemon.close()
                self._daemon = None

    def all(self) -> list[Server]:
        """List the known servers."""
        found = [layout.read_json(path) for path in sorted(self._root.glob("*/server.json"))]
        return [_server(document) for document in found if document is not None]

    def find(self, name: str) -> Server | None:
        """Return a known server, or None."""
        document = layout.read_json(self._folder(name) / "server.json")
        return None if document is None else _server(document)

    def listening(self, name: str) -> bool:
        """Tell whether the machine's door is open."""
        return key(name) in self._doors

    def sessions(self, name: str) -> int:
        """Count who is logged in."""
        door = self._doors.get(key(name))
        return 0 if door is None else door.sessions

    def host_key(self, name: str) -> str:
        """Return the machine's public host key as OpenSSH writes it; made when it is missing."""
        private = serialization.load_ssh_private_key(self._host_key(name).read_bytes(), None)
        public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return public.decode()

    def _open(self, server: Server) -> Server:
        layout.private_dir(Path(server.home))
        bound = _bind(server)
        if self._daemon is None:
            from emulator.sshd import Daemon  # asyncssh costs half a second: only for who has such a machine

            self._daemon = Daemon()
        listening = replace(server, port=bound.getsockname()[1])
        mark = key(server.name)
        self._doors[mark] = self._daemon.open(bound, listening, self._host_key(server.name), mark)
        return listening

    def _shut(self, name: str) -> None:
        door = self._doors.pop(key(name), None)
        if door is not None and self._daemon is not None:
            self._daemon.shut(door)

    def _folder(self, name: str) -> Path:
        return self._root / key(name)

    def _write(self, server: Server) -> None:
        layout.write_json(layout.private_dir(self._folder(server.name)) / "server.json", asdict(server))

    def _host_key(self, name: str) -> Path:
        path = layout.private_dir(self._folder(name)) / "ssh_host_ed25519_key"
        if not path.exists():
            private = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
            layout.write_bytes(path, private)
        return path


def password_fits(kept: str, given: str) -> bool:
    """Compare a password with the hash that is kept of it."""
    parts = kept.split("$")
    if len(parts) != 3 or parts[0] != "scrypt":  # noqa: PLR2004 - scheme, salt, hash
        return False
    return hmac.compare_digest(_scrypt(given, bytes.fromhex(parts[1])), bytes.fromhex(parts[2]))


def _kept_hash(given: str, known: str) -> str:
    """Return what is kept of a password; the known hash again when it fits, so that a repeated start is the same."""
    if not given or given.startswith("scrypt$"):
        return given
    if known and password_fits(known, given):
        return known
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(given, salt).hex()}"


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **SCRYPT)


def _server(document: dict[str, layout.Json]) -> Server:
    fields = {**document, "keys": tuple(cast("list[str]", document["keys"]))}
    return Server(**fields)  # type: ignore[arg-type]  # written by `_write`


def key(name: str) -> str:
    """Return a folder's name for a machine: its last word, so that people find it, and a hash, so that it is unique."""
    word = re.sub(r"[^A-Za-z0-9.-]", "-", name.rpartition("/")[2])[:40].strip(".-") or "machine"
    return f"{word.lower()}-{hashlib.sha256(name.lower().encode()).hexdigest()[:12]}"


def _bind(server: Server) -> socket.socket:
    """Bind the server's port, or the next free one. Raises `SshError`."""
    first = server.port or FIRST_PORT
    for port in [first] if server.exact else [*range(first, 65536), *range(FIRST_PORT, first)]:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((server.address, port))
            bound.listen(64)  # two sockets may bind with SO_REUSEADDR, only one can listen
        except OSError as error:
            bound.close()
            if error.errno == errno.EADDRINUSE and not server.exact:
                continue
            where = f"{server.address}:{port}"
            raise SshError(f"The SSH server of '{server.name}' can't listen on {where}: {error.strerror}.") from error
        return bound
    raise SshError(f"No free port from {FIRST_PORT} on {server.address} for the SSH server of '{server.name}'.")


def _end_processes(key: str) -> None:
    """End everything that was started on a machine, detached or not."""
    for _ in range(5):  # what forks while it is being looked for is found at the next look
        found = [
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdigit()
            and int(path.name) != os.getpid()
            and processes.environment_has(int(path.name), f"{MARK}={key}")
        ]
        living = [pid for pid in found if processes.start_time(pid) is not None]
        if not living:
            return
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
