"""SSH: the one seam for paramiko. A connection to a machine whose host key is pinned, and commands on it.

The key is compared before anybody logs in; another one is refused, and so is a machine that knows only CBC, 3DES, MD5
or SHA-1: neither is ever tried again. What can heal (refused, cut, a busy server) is repeated within a deadline. A
connection that went silent is given up within a minute.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime import ssh_login
from runtime.clock import SYSTEM
from runtime.errors import ConnectionLostError, TargetError
from runtime.retry import Policy
from runtime.ssh_login import Account  # noqa: TC001 - whoever connects gives one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.clock import Clock
CONNECT_S, HELLO_S = 5.0, 15.0
"""How long one try waits for a TCP connection; for the server's first words, and for each step of the login."""
QUIET_S, ANSWER_S = 15.0, 30.0
"""After how much silence the other end is asked whether it lives, and how long it has to answer."""
WINDOW, PACKET = 1 << 24, 1 << 16
_TCP_USER_TIMEOUT = 18
"""Linux, tcp(7): how long sent data may go without an acknowledgement, ms."""
_WEAK = re.compile(r"cbc|3des|md5|sha1\b|sha1-|arcfour|ssh-dss|ssh-rsa\Z|group1-|group14-sha1")
_FAMILIES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""Under which names a kind of host key is negotiated, where that is not its own."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a machine's SSH server is, and how the machine is known."""

    name: str
    address: str
    port: int
    username: str
    host_key: str
    """The pinned public key, one OpenSSH line."""
    stack: str | None = None
    """The stack whose file pins it."""

    @property
    def where(self) -> str:
        """Return how messages call it."""
        return f"{self.name} ({self.address}:{self.port})"


class _TransientError(Exception):
    """A try that may go better the next time."""


def connect(
    door: Door,
    account: Callable[[], Account],
    *,
    policy: Policy | None = None,
    clock: Clock = SYSTEM,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Connection:
    """Log in. `account` asks the workspace for credentials, and is called only when the user's own are refused.

    `on_wait` is told once, and why, when the machine did not answer and is tried again.
    Raises: `TargetError` for a wrong host key, nobody let in, or algorithms that are too weak; `ConnectionLostError`
    when the machine did not answer within the policy's time.
    """
    patience = policy or Policy()
    began, attempt = clock.monotonic(), 0
    while True:
        try:
            return Connection(door, ssh_login.authenticate(door, lambda: _dial(door), account))
        except (_TransientError, ssh_login.CutError) as error:
            pause = patience.pause(attempt, None)
            if clock.monotonic() - began + pause > patience.total_s:
                raise ConnectionLostError(f"{door.where}: {error}") from None
            if attempt == 0:
                on_wait(f"{door.where}: {error}")
        clock.sleep(pause)
        attempt += 1


def _dial(door: Door) -> Any:
    """Open a transport and make sure that it is the machine. Raises `_TransientError`, `TargetError`."""
    paramiko = load()
    try:
        plain = socket.create_connection((door.address, door.port), CONNECT_S)
    except socket.gaierror as error:
        raise _TransientError(f"its name {door.address} is not known here ({error.strerror})") from None
    except OSError as error:
        raise _TransientError(str(error.strerror or error)) from None
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int((QUIET_S + ANSWER_S) * 1000))
        transport = paramiko.Transport(
            plain, default_window_size=WINDOW, default_max_packet_size=PACKET, disabled_algorithms=weak(paramiko)
        )
    except (OSError, paramiko.SSHException) as error:
        plain.close()
        raise _TransientError(str(error)) from None
    try:
        _prefer(transport, door)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = HELLO_S
        transport.start_client(timeout=HELLO_S)
        _check_host_key(door, transport.get_remote_server_key().asbytes())
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        message = f"{door.where} knows no way of encryption that is safe today ({error}). Update its SSH server."
        raise TargetError(f"{message} Nothing was sent.") from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise _TransientError(f"it did not greet as an SSH server ({_words(error)})") from None
    except BaseException:
        transport.close()
        raise
    return transport


def load() -> Any:
    """Return paramiko, which tells its troubles to us and not to the terminal."""
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    return paramiko


def weak(paramiko: Any) -> dict[str, list[str]]:
    """Return what paramiko could speak and we don't let it: CBC, 3DES, MD5, SHA-1 and what goes with them."""
    names = {"ciphers": "ciphers", "macs": "macs", "kex": "kex", "keys": "keys", "pubkeys": "pubkeys"}
    offered = {word: getattr(paramiko.Transport, f"_preferred_{attribute}") for word, attribute in names.items()}
    return {word: [name for name in known if _WEAK.search(name)] for word, known in offered.items()}


def _prefer(transport: Any, door: Door) -> None:
    """Ask for the pinned kind of host key first, and for the quickest of the good ciphers."""
    options, kind = transport.get_security_options(), door.host_key.split()[0]
    wanted = [name for name in _FAMILIES.get(kind, (kind,)) if name in options.key_types]
    options.key_types = [*wanted, *(name for name in options.key_types if name not in wanted)]
    good = [name for name in options.ciphers if not _WEAK.search(name)]
    options.ciphers = sorted(good, key=lambda name: "gcm" not in name)


def _check_host_key(door: Door, found: bytes) -> None:
    pinned = base64.b64decode(door.host_key.split()[1])
    if found == pinned:
        return
    file = f"stacks/{door.stack}.yaml" if door.stack else "the stack's file"
    raise TargetError(
        f"{door.where} answered with another host key than the one pinned in the stack.\n"
        f"  pinned  {fingerprint(pinned)}   got  {fingerprint(found)}\n"
        f"  If the machine was rebuilt, change host_key in {file} and run invoke up. Nothing was sent."
    )


def fingerprint(key: bytes) -> str:
    """Return a public key's fingerprint as OpenSSH writes it."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip('=')}"


class Connection:
    """A login. Several commands may run on it at once; safe to share between threads."""

    def __init__(self, door: Door, transport: Any) -> None:
        self.door, self._transport = door, transport
        self.heard = 0
        """Grows with everything that goes through."""
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name=f"ssh {door.name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it was not cut, as far as is known."""
        return bool(self._transport.is_active())

    def run(self, command: str) -> Pipe:
        """Start a command, which the machine's login shell reads: a text of ours, never a user's."""
        with _translated(self.door):
            channel = self._transport.open_session(timeout=HELLO_S, window_size=WINDOW, max_packet_size=PACKET)
            channel.exec_command(command)
        return Pipe(self, channel)

    def close(self) -> None:
        """End it, and every command's pipes; what was detached goes on."""
        self._closed.set()
        with contextlib.suppress(ConnectionLostError), _translated(self.door):
            self._transport.close()

    def _watch(self) -> None:
        """Give the connection up when the other end neither sends nor answers.

        TCP alone would wait for a quarter of an hour, and for ever where something in between swallows what is sent.
        """
        while not self._closed.wait(QUIET_S) and self.alive:
            before = self.heard
            asking = threading.Thread(target=self._ask, daemon=True)
            asking.start()
            asking.join(ANSWER_S)
            if asking.is_alive() and self.heard == before:
                self._transport.close()

    def _ask(self) -> None:
        with contextlib.suppress(Exception):  # a connection that ends meanwhile says so to whoever uses it
            self._transport.global_request("keepalive@openssh.com", wait=True)


class Pipe:
    """A command's input and output."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection, self._channel = connection, channel

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises `ConnectionLostError`."""
        view = memoryview(data)
        with _translated(self._connection.door):
            while view:
                sent = self._channel.send(view[:PACKET].tobytes())
                if not sent:
                    raise EOFError("the command ended")
                self._connection.heard += sent
                view = view[sent:]

    def read(self, count: int) -> bytes:
        """Return so many bytes. Raises `ConnectionLostError` when they don't come."""
        chunks = list[bytes]()
        with _translated(self._connection.door):
            while count:
                chunk = self._channel.recv(min(count, 1 << 20))
                if not chunk:
                    raise EOFError("the command ended")
                self._connection.heard += len(chunk)
                chunks.append(chunk)
                count -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def answered(self) -> bool:
        """Whether something can be read right now."""
        return bool(self._channel.recv_ready())

    def last_words(self) -> tuple[int | None, str]:
        """Return a command's exit code and what it said on standard error; None where it did not end."""
        ended = self._channel.status_event.wait(HELLO_S if self._connection.alive else 0.0)
        words = b""
        while self._channel.recv_stderr_ready() and (chunk := self._channel.recv_stderr(4096)):
            words += chunk
        code = self._channel.exit_status if ended and self._channel.exit_status_ready() else -1
        return (None if code < 0 else int(code)), words.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End the command's input and output; a connection that is broken has ended them."""
        with contextlib.suppress(ConnectionLostError), _translated(self._connection.door):
            self._channel.close()


@contextlib.contextmanager
def _translated(door: Door) -> Iterator[None]:
    paramiko = load()
    try:
        yield
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise ConnectionLostError(f"{door.where}: {_words(error)}", unknown=True) from None


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error) or "the connection was cut"
