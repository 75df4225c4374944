"""The SSH protocol for `emulator.ssh`, on asyncssh: listeners, who gets in, with which variables, SFTP.

One thread with an event loop serves all machines. Shells and commands are `emulator.sshsession`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncssh

from emulator import sshsession
from emulator.ssh import MARK, password_fits

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine
    from pathlib import Path

    from emulator.ssh import Server

    Process: TypeAlias = "asyncssh.SSHServerProcess[bytes]"

T = TypeVar("T")
LOG = logging.getLogger(__name__)
WAIT_S = 20.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's and Ubuntu's default (login.defs)."""
INHERITED = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
INHERITED_STARTS = ("PIP_", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How this machine reaches package indexes: an emulated machine has no network but this one's."""
ACCEPTED = ("LANG", "LC_")
"""What a client may set, as Debian's sshd_config has it (AcceptEnv)."""


class Daemon:
    """The thread that serves."""

    def __init__(self) -> None:
        logging.getLogger("asyncssh").setLevel(logging.WARNING)  # below that it logs every command line
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ssh", daemon=True)
        self._thread.start()

    def open(self, bound: socket.socket, server: Server, host_key: Path, mark: str) -> Door:
        """Serve a machine on a bound socket."""
        return self._do(_listen(bound, server, host_key, mark))

    def shut(self, door: Door) -> None:
        """Close a machine's socket and every connection to it."""
        self._do(_shut(door))

    def close(self) -> None:
        """End the thread."""
        self._do(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=WAIT_S)
        self._loop.close()

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=WAIT_S)


class Door:
    """One machine's listener and who is connected."""

    def __init__(self, server: Server, mark: str) -> None:
        self.server, self.mark = server, mark
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.keys = _public_keys(server)
        self.listener: asyncssh.SSHAcceptor | None = None
        self.sessions = 0

    def environment(self, process: Process) -> dict[str, str]:
        """Return the variables of a session: the machine's, then what the client may set. Nothing of the emulator's."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in INHERITED or name.upper().startswith(INHERITED_STARTS)
        }
        sent = {name: value for name, value in process.env.items() if name.startswith(ACCEPTED)}
        peer = [str(part) for part in process.get_extra_info("peername")[:2]]
        here = [str(part) for part in process.get_extra_info("sockname")[:2]]
        return {
            **kept,
            "LANG": "C.UTF-8",
            **sent,
            "HOME": self.server.home,
            "USER": self.server.username,
            "LOGNAME": self.server.username,
            "SHELL": sshsession.SHELL,
            # Every Ubuntu machine has a python3; ours is the one that the emulator runs on, without its packages.
            "PATH": f"{PATH}:{sys.base_prefix}/bin",
            "SSH_CONNECTION": " ".join([*peer, *here]),
            MARK: self.mark,
        }


class _Gate(asyncssh.SSHServer):
    """Lets in who the machine knows."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._door.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._door.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def public_key_auth_supported(self) -> bool:
        return bool(self._door.keys)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._door.server.username and key.public_data in self._door.keys

    def password_auth_supported(self) -> bool:
        return bool(self._door.server.password)

    def validate_password(self, username: str, password: str) -> bool:
        return password_fits(self._door.server.password, password) and username == self._door.server.username

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        del dest_host, dest_port, orig_host, orig_port  # AllowTcpForwarding is yes in OpenSSH
        return True


class _Files(asyncssh.SFTPServer):
    """SFTP as this user; a relative path starts in the machine's folder."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], home: str) -> None:
        super().__init__(chan)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)  # noqa: PTH118 - bytes

    def reverse_map_path(self, path: bytes) -> bytes:
        return path


async def _listen(bound: socket.socket, server: Server, host_key: Path, mark: str) -> Door:
    door = Door(server, mark)
    door.listener = await asyncssh.listen(
        sock=bound,
        server_factory=partial(_Gate, door),
        server_host_keys=[str(host_key)],
        process_factory=partial(_session, door),
        sftp_factory=partial(_files, server.home),
        allow_scp=True,
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
        login_timeout=30,
        keepalive_interval=30,
        config=[],
    )
    return door


def _files(home: str, chan: asyncssh.SSHServerChannel[bytes]) -> _Files:
    return _Files(chan, home)


async def _shut(door: Door) -> None:
    if door.listener is not None:
        door.listener.close()
    for connection in list(door.connections):
        connection.abort()
    if door.listener is not None:  # from Python 3.12 on this waits for the connections, too
        await door.listener.wait_closed()


async def _settle() -> None:
    """Let what is under way end, before the loop does."""
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _public_keys(server: Server) -> set[bytes]:
    found = set()
    for line in server.keys:
        try:
            found.add(asyncssh.import_public_key(line).public_data)
        except asyncssh.KeyImportError as error:
            LOG.warning("a public key of '%s' is not one, nobody gets in with it: %s", server.name, error)
    return found


async def _session(door: Door, process: Process) -> None:
    """Run one shell or command and pass its end on."""
    if process.subsystem is not None:
        process.exit(127)
        return
    door.sessions += 1
    try:
        await sshsession.run(process, door.server.home, door.environment(process))
    except OSError as error:
        LOG.warning("a session of '%s' failed: %s", door.server.name, error)
        with contextlib.suppress(OSError):
            process.exit(255)
    finally:
        door.sessions -= 1
