"""Sockets that carry one number a line: enough to see whether processes find each other."""

import contextlib
import socket
import time


def connect(address, port, patience):
    """Connect to a process that may not listen yet."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), timeout=patience)
        if time.monotonic() > deadline:
            raise SystemExit(f"nobody listens at {address}:{port} after {patience:g} s")
        time.sleep(0.05)


def send(connection, number):
    connection.sendall(b"%d\n" % number)


def receive(connection):
    line = b""
    while not line.endswith(b"\n"):
        chunk = connection.recv(1)
        if not chunk:
            raise SystemExit("the other process is gone")
        line += chunk
    return int(line)
