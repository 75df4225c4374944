"""A TCP proxy that breaks connections on purpose: after so many bytes in one direction, silently, or slowly."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

TO_SERVER, TO_CLIENT = "to server", "to client"
Direction = Literal["to server", "to client"]


@dataclass
class Fault:
    """What happens to one connection."""

    after: int
    """Bytes in that direction that still go through."""
    direction: Direction = "to server"
    how: Literal["cut", "silent", "refuse"] = "cut"
    """`cut`: both ends see a reset; `silent`: nothing passes any more, and nobody is told; `refuse`: closed at once."""


@dataclass
class Proxy:
    """Listens on loopback and passes on to a port; each connection takes the next fault, then there are none."""

    port_behind: int
    faults: list[Fault] = field(default_factory=list)
    delay_s: float = 0.0
    connections: int = 0
    passed: dict[str, int] = field(default_factory=lambda: {TO_SERVER: 0, TO_CLIENT: 0})

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._left: dict[int, int] = {}
        self._dead: set[int] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(5)

    def cut(self) -> None:
        """Break every connection that is open now."""
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.pop(0) if self.faults else None
            if fault and fault.how == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.port_behind), 5)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._open.update(pair)
            pumps = [
                threading.Thread(target=self._pump, args=(pair, direction, fault), daemon=True)
                for direction in (TO_SERVER, TO_CLIENT)
            ]
            self._threads += pumps
            for pump in pumps:
                pump.start()

    def hold(self, arriving: int) -> None:
        """Let only so many bytes more reach the client over the connections that are open now."""
        self._left = {id(end): arriving for end in self._open}

    def _pump(self, ends: tuple[socket.socket, socket.socket], direction: Direction, fault: Fault | None) -> None:
        source, sink = ends if direction == TO_SERVER else ends[::-1]
        left = fault.after if fault and fault.direction == direction else None
        try:
            while data := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if direction == TO_CLIENT and id(sink) in self._left:
                    data, self._left[id(sink)] = data[: self._left[id(sink)]], max(0, self._left[id(sink)] - len(data))
                if fault is not None and left is not None and len(data) > left:
                    sink.sendall(data[:left])
                    if fault.how == "cut":
                        return
                    self._dead |= {id(end) for end in ends}
                    left = None
                elif id(source) not in self._dead:
                    sink.sendall(data)
                    left = None if left is None else left - len(data)
                    self.passed[direction] += len(data)
        except OSError:
            return
        finally:
            self._end(ends)

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            for end in pair:
                self._open.discard(end)
                self._dead.discard(id(end))
                self._left.pop(id(end), None)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
