"""Machines reached by SSH as `runtime` talks to them: one connection each for the life of a command, requests over it.

A request is answered by `node.remote` there, which is brought along once per content. Every request may be repeated,
so one whose connection broke is, on a new connection, until its patience is over.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import node
from node import boot
from runtime import ssh, wire
from runtime.control_plane import path as arm_path
from runtime.errors import ConnectionLostError, TargetError
from runtime.retry import Policy
from runtime.ssh import Door
from runtime.ssh_login import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runtime.clock import Clock
    from runtime.records import Record
    from runtime.site import Site
    from runtime.wire import Object

API = "2025-12-01"
"""Microsoft.MachineLearningServices: Compute_Get, Compute_ListKeys."""
COMMAND = (
    'exec python3 -I -S -c "import sys; v = sys.version_info; '
    "v < {least} and sys.exit('python3 there is %d.%d; {words} or newer is needed' % v[:2]); "
    'r = sys.stdin.buffer; exec(r.read(int(r.readline())))"'
).format(least=repr(boot.LEAST_PYTHON), words=".".join(map(str, boot.LEAST_PYTHON)))
"""What the machine's login shell reads; whichever that is."""
NOT_FOUND = 127
"""A shell's exit code for a command that is not there."""
PATIENT = Policy(total_s=60.0)
BRIEF = Policy(total_s=10.0)
"""A look at a run doesn't wait long for a machine that is away."""
BUFFER = 1 << 18
SSH = 22


class Answer(NamedTuple):
    """What a machine says."""

    said: Object
    body: bytes


class Host:
    """A machine. Connects when first asked something; safe to share between threads."""

    def __init__(self, door: Door, account: Callable[[], Account], clock: Clock) -> None:
        self.door, self.clock, self.policy = door, clock, BRIEF
        self._account, self._lock = account, threading.RLock()
        self._connection: ssh.Connection | None = None
        self._pipe: ssh.Pipe | None = None
        self._lost: tuple[float, str] | None = None
        self.on_wait: Callable[[str], None] = lambda _: None
        """Told once for each connection that is tried again, and why."""

    def ask(self, request: Object, body: bytes = b"", on_sent: Callable[[], None] | None = None) -> Answer:
        """Return the machine's answer; a broken connection is made anew. `on_sent` is called before it is waited for.

        Raises: `ConnectionLostError`, `TargetError` with what the machine says is wrong with it.
        """
        waiting_since = self.clock.monotonic()
        with self._lock:
            began, attempt = self.clock.monotonic(), 0
            if self._lost is not None and self._lost[0] > waiting_since:
                raise ConnectionLostError(self._lost[1])  # it was found to be away while we waited for our turn
            while True:
                try:
                    return self._ask(request, body, on_sent)
                except ConnectionLostError as lost:
                    self._drop()
                    pause = self.policy.pause(attempt, None)
                    if not lost.unknown or self.clock.monotonic() - began + pause > self.policy.total_s:
                        self._lost = (self.clock.monotonic(), str(lost))
                        raise
                self.clock.sleep(pause)
                attempt += 1

    def send(
        self, files: Iterable[tuple[str, int, Callable[[], Iterator[bytes]]]], sent: Callable[[int], None]
    ) -> None:
        """Send files (SHA-256, size, content) in one stream. Those that arrived whole stay there, whatever happens.

        Raises: `ConnectionLostError`, `TargetError`, `SpecError` for one that changed meanwhile.
        """
        listed = list(files)
        head = boot.frame({"do": "receive", "objects": {key: size for key, size, _ in listed}})
        with self._lock:
            try:
                if self._pipe is None or self._connection is None or not self._connection.alive:
                    self.ask({"do": "hello"})
                pipe = self._open_pipe()
                pipe.write(head)
                try:
                    self._stream(pipe, (chunk for _, _, read in listed for chunk in read()), sent)
                except ConnectionLostError:
                    if not pipe.answered:
                        raise
                self._checked(_read(pipe))  # also of a machine that said what is wrong, and listened no longer
            except BaseException:
                self._drop()
                raise

    def _stream(self, pipe: ssh.Pipe, chunks: Iterable[bytes], sent: Callable[[int], None]) -> None:
        """Send many small pieces as few large ones; stop when the machine objects (a full disk)."""
        buffer = bytearray()
        for chunk in chunks:
            buffer += chunk
            if len(buffer) >= BUFFER:
                if pipe.answered:
                    self._checked(_read(pipe))
                pipe.write(bytes(buffer))
                sent(len(buffer))
                buffer.clear()
        pipe.write(bytes(buffer))
        sent(len(buffer))

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._drop()

    def _ask(self, request: Object, body: bytes, on_sent: Callable[[], None] | None) -> Answer:
        if self._pipe is None or self._connection is None or not self._connection.alive:
            alone = not body and on_sent is None
            answer = self._greet(request if alone else {"do": "hello"})
            if alone:
                return self._checked(answer)
            self._checked(answer)
        pipe = self._open_pipe()
        pipe.write(boot.frame(request, body))
        if on_sent is not None:
            on_sent()
        return self._checked(_read(pipe))

    def _open_pipe(self) -> ssh.Pipe:
        if self._pipe is None:
            raise ConnectionLostError(f"{self.door.where}: the connection was closed here", unknown=True)
        return self._pipe

    def _greet(self, request: Object) -> Answer:
        """Connect where need be, start `node.remote` there, and return its answer to a first request."""
        if self._connection is None or not self._connection.alive:
            self._drop()
            self._connection = ssh.connect(
                self.door, self._account, policy=self.policy, clock=self.clock, on_wait=self.on_wait
            )
        pipe = self._connection.run(COMMAND)
        key, packed = package()
        source = boot_source()
        try:
            pipe.write(b"%d\n" % len(source) + source + boot.frame({"node": key, "request": request}))
            heard = b""
            while not heard.endswith(boot.MAGIC):
                heard = (heard + pipe.read(1))[-len(boot.MAGIC) :]
            answer = _read(pipe)
            if answer.said.get("need") == "node":
                pipe.write(boot.frame({}, packed))
                answer = _read(pipe)
        except ConnectionLostError:
            self._explain(pipe)
            raise
        self._pipe = pipe
        return answer

    def _explain(self, pipe: ssh.Pipe) -> None:
        """Say why the command ended, when it did by itself. Raises `TargetError` for that."""
        code, words = pipe.last_words()
        if code is None:
            return
        if code == NOT_FOUND:
            words = "it has no python3 on the PATH of an SSH command. Install it there (apt-get install python3)"
        last = words.splitlines()[-1] if words else f"the command ended with exit code {code}"
        raise TargetError(f"{self.door.where} can't run jobs: {last}")

    def _checked(self, answer: Answer) -> Answer:
        error = wire.text(answer.said.get("error"))
        if error:
            raise TargetError(f"{self.door.where}: {error}")
        return answer

    def _drop(self) -> None:
        pipe, connection, self._pipe, self._connection = self._pipe, self._connection, None, None
        if pipe is not None:
            pipe.close()
        if connection is not None:
            connection.close()


def _read(pipe: ssh.Pipe) -> Answer:
    length, size = boot.HEAD.unpack(pipe.read(boot.HEAD.size))
    said = wire.obj(wire.parse(boot.unpacked(length, pipe.read(length & ~boot.PACKED))))
    return Answer(said, pipe.read(size) if size else b"")


@functools.cache
def package() -> tuple[str, bytes]:
    """Return the package `node` as it is sent, and the name that it has by its content."""
    folder = Path(node.__file__).parent
    files = {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in {".py", ".json"}}
    packed = zlib.compress(json.dumps(files).encode())
    return hashlib.sha256(packed).hexdigest(), packed


@functools.cache
def boot_source() -> bytes:
    """Return what is executed there first."""
    return Path(boot.__file__).read_bytes() + b"\nmain()\n"


def door_of(record: Record) -> Door:
    """Return how the machine of a run is reached. Raises `TargetError` for a run that never had one."""
    machine = record.machine
    if machine is None:
        raise TargetError(f"{record.id} was never sent to {record.target}")
    return Door(record.target, machine.address, machine.ssh_port, machine.username, machine.host_key, record.stack)


def of(site: Site, record: Record, door: Door, compute_id: str) -> Host:
    """Return the one host of a machine that this site talks to; nothing is sent."""
    key = f"{door.username}@{door.address}:{door.port} {door.host_key}"
    with _LOCK:
        if key not in site.hosts:
            site.hosts[key] = Host(door, lambda: account(site, record, door, compute_id), site.clock)
        return site.hosts[key]


_LOCK = threading.Lock()


def of_record(site: Site, record: Record) -> Host:
    """Return the host that a run is on."""
    door, machine = door_of(record), record.machine
    return of(site, record, door, machine.compute_id if machine else "")


def account(site: Site, record: Record, door: Door, compute_id: str) -> Account:
    """Ask the workspace for a machine's credentials, for the machine that it has under this name and no other.

    Raises: `RefusedError` (RBAC: computes/listKeys/action), `TargetError` where the workspace knows another address.
    """
    plane = site.plane(record)
    settings = wire.obj(wire.at(plane.get(compute_id, API), "properties", "properties"))
    address, port = wire.text(settings.get("address")), settings.get("sshPort") or SSH
    if (address, port) != (door.address, door.port):
        raise TargetError(f"not used, as the workspace has {address}:{port} for {door.name} now")
    found = wire.obj(plane.post(f"{compute_id}{arm_path('listKeys')}", {}, API).get("administratorAccount"))
    return Account(password=wire.text(found.get("password")), private_key=wire.text(found.get("privateKeyData")))


def close(site: Site) -> None:
    """End every connection of a site."""
    for host in site.hosts.values():
        host.close()
    site.hosts.clear()
