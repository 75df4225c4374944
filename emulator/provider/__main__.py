"""`python -m emulator.provider --home HOME --port N`: serve until told to stop, or until HOME is no more.

Holds `HOME/provider.lock` for its life: who wants to know whether a provider serves this home asks for that lock.
Prints nothing; a second one for the same home, or a port that is taken, ends with one line on stderr and exit code 1.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from emulator.provider.service import Provider

THREADS = 128
"""An operation that is polled holds a thread; an engine has up to 16 a core in flight."""
WATCH_S = 5.0
GRACE_S = 2.0
OPTIONS = [
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),  # the engine's own limit (rpcutil.GrpcChannelOptions)
    ("grpc.max_send_message_length", 400 * 1024 * 1024),
    ("grpc.so_reuseport", 0),  # a port that is taken must fail
]


def main() -> int:
    """Serve; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulator.provider")
    parser.add_argument("--home", type=Path, required=True, help="the emulator's home")
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    arguments = parser.parse_args()
    lock = arguments.home / "provider.lock"
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return _fail(f"no home of an emulator at {arguments.home}: {error.strerror}")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _fail(f"a provider already serves {arguments.home}")
    server = grpc.server(ThreadPoolExecutor(THREADS, thread_name_prefix="call"), options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(arguments.home), server)
    try:
        server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    except RuntimeError:
        return _fail(f"port {arguments.port} of 127.0.0.1 is taken")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    while not stop.wait(WATCH_S) and _is_ours(lock, handle):
        pass
    server.stop(GRACE_S).wait()
    return 0


def _is_ours(lock: Path, handle: int) -> bool:
    # A clone that was deleted takes its provider with it.
    try:
        return os.path.samestat(lock.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
