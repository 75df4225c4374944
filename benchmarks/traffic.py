"""What goes over the wire: a TCP proxy on loopback that counts bytes and can add the time that a real way takes.

Not a benchmark. The proxy is a process of its own (this file, run), so that it takes no time from who is measured.
Azure's services give out addresses with the emulator's own port, so a client is not sent here by another address:
`redirect` has this process's connections to a port go to another one, and TLS doesn't notice.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 16
WAITING = 256
"""Chunks under way in one direction; more are not read, so that a proxy holds 16 MiB a connection at most."""
CONNECT = socket.socket.connect


class Counts(NamedTuple):
    """Bytes to the server and back."""

    up: int
    down: int

    def since(self, before: Counts) -> Counts:
        """Return what was added."""
        return Counts(self.up - before.up, self.down - before.down)


@dataclass
class Wire:
    """A proxy as its user has it."""

    port: int
    _process: subprocess.Popen[str]

    @property
    def counts(self) -> Counts:
        """Ask what went through so far."""
        asked, said = self._process.stdin, self._process.stdout
        if asked is None or said is None:
            sys.exit("no pipes")
        asked.write("\n")
        asked.flush()
        up, down = said.readline().split()
        return Counts(int(up), int(down))


@contextlib.contextmanager
def through(port: int, one_way_s: float = 0.0) -> Iterator[Wire]:
    """Have a proxy before a loopback port. Each byte arrives `one_way_s` after it was sent, however many are sent."""
    line = [sys.executable, __file__, str(port), str(one_way_s)]
    with subprocess.Popen(line, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or process.stdin is None:
            sys.exit("no pipes")
        yield Wire(int(process.stdout.readline()), process)
        process.stdin.close()  # it ends with its input


def redirect(port: int, to: int) -> None:
    """Have every connection of this process to a port go to another one, for the life of the process."""

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        inside = isinstance(address, tuple) and address[1] == port
        CONNECT(self, (address[0], to, *address[2:]) if inside else address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]  # a benchmark's own process


class _Proxy:
    """Passes connections on to a loopback port."""

    def __init__(self, port_behind: int, one_way_s: float) -> None:
        self.one_way_s = one_way_s
        self._behind = port_behind
        self._passed = {"up": 0, "down": 0}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def counts(self) -> Counts:
        with self._lock:
            return Counts(self._passed["up"], self._passed["down"])

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._behind), 10)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink, name in ((client, server, "up"), (server, client, "down")):
                line: queue.Queue[tuple[float, bytes]] = queue.Queue(WAITING)
                threading.Thread(target=self._take, args=(source, line, name), daemon=True).start()
                threading.Thread(target=_give, args=(sink, line), daemon=True).start()

    def _take(self, source: socket.socket, line: queue.Queue[tuple[float, bytes]], name: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                with self._lock:
                    self._passed[name] += len(data)
                line.put((time.monotonic() + self.one_way_s, data))
        line.put((time.monotonic() + self.one_way_s, b""))


def _give(sink: socket.socket, line: queue.Queue[tuple[float, bytes]]) -> None:
    """Hand on what has come, each at its time; after a broken pipe nothing, until the other side has ended too."""
    broken = False
    while True:
        due, data = line.get()
        if (pause := due - time.monotonic()) > 0:
            time.sleep(pause)
        if not data:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
            return
        if not broken:
            try:
                sink.sendall(data)
            except OSError:
                broken = True


def _main() -> None:
    proxy = _Proxy(int(sys.argv[1]), float(sys.argv[2]))
    print(proxy.port, flush=True)
    for _ in sys.stdin:
        print(*proxy.counts, flush=True)


if __name__ == "__main__":
    _main()
