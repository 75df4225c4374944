"""Starts, finds and stops the two processes of a home: the emulator itself and Pulumi's provider in front of it.

Standard library only. Safe when many commands call it at once: one starts, the others wait for the same processes.
That a process lives is proved by the lock it holds; that the answer on the port is ours, by its certificate and the
home's id.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import endpoint, health, homes
from emulator.endpoint import Endpoint
from emulator.homes import HomeError
from node import processes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.processes import Identity

__all__ = ["Endpoint", "HomeError", "ensure", "find", "stop"]

PROVIDER = "provider.lock"
MODULES = {"lock": "emulator", PROVIDER: "emulator.provider"}
"""What holds which lock while it lives."""
START_S = 60.0
"""A cold start on a busy machine; half a second is usual."""
STOP_S = 10.0
POLL_S = 0.02
LOG_BYTES = 4 * 1024 * 1024
FOREIGN = ("ARM_", "AZURE_", "AZUREML_", "MLFLOW_", "PULUMI_", "TRAINYARD_EMULATOR")
"""Prefixes of variables that the processes don't inherit: they would reach the jobs that nodes run."""


def ensure(home: Path) -> Endpoint:
    """Return the running emulator of this home; start what is missing. Blocking, idempotent.

    Raises `HomeError` with what to do when it can't be started.
    """
    home = homes.prepare(home)
    found = find(home)
    if found is not None:
        return found
    with homes.locked(home / "start.lock"):
        found = find(home)
        if found is not None:
            return found
        started = {lock: _start(home, lock) for lock in MODULES}
        try:
            _wait(home, started)
        except HomeError:
            for process in started.values():
                if process is not None and processes.is_alive(process):
                    os.kill(process.pid, signal.SIGKILL)
            raise
        return endpoint.write(home)


def find(home: Path) -> Endpoint | None:
    """Return the emulator of this home when both of its processes answer, else None. Starts nothing."""
    home = home.expanduser().absolute()
    if not (home / "ports.json").exists() or not _server_answers(home) or not _provider_answers(home):
        return None
    return endpoint.current(home)


def stop(home: Path) -> bool:
    """End both processes; True when there was one. What was acknowledged is kept.

    Raises `HomeError` for a process that nobody can prove to be ours.
    """
    home = home.expanduser().absolute()
    if not home.is_dir():
        return False
    with homes.locked(home / "start.lock"):
        ended = [_end(home / "provider.lock", home / "provider.json"), _end(home / "lock", home / "lock")]
    return any(ended)


def _start(home: Path, lock: str) -> Identity | None:
    """Start the module of a lock detached unless the lock's holder lives; return who was started."""
    if processes.is_locked(home / lock):
        return None
    module = MODULES[lock]
    arguments = ["--home", str(home)]
    if lock == PROVIDER:
        arguments += ["--port", str(homes.ports(home).provider)]
    log = home / f"{module}.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    done = subprocess.run(
        [sys.executable, "-m", "emulator.detach", str(log), module, *arguments],
        cwd=Path(__file__).parents[1],
        env=_environment(os.environ, endpoint.current(home) if module == "emulator.provider" else None),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode != 0:
        raise HomeError(f"Could not start python -m {module}: {done.stderr.strip()}")
    process = processes.identity(int(done.stdout))
    if process is None:
        raise _ended(home, lock)
    if lock == PROVIDER:
        homes.write(home / "provider.json", homes.described(process))
    return process


def _environment(inherited: Mapping[str, str], target: Endpoint | None) -> dict[str, str]:
    """Return what a process gets: the caller's variables without any cloud's; the provider also this cloud's."""
    kept = {key: value for key, value in inherited.items() if not key.startswith(FOREIGN)}
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        # A bundle of some emulator says nothing about the package index that environments are built from.
        if kept.get(name, "").endswith("/tls/bundle.pem"):
            del kept[name]
    own = target.environment() if target else {}
    return {**kept, **{key: value for key, value in own.items() if key.startswith("ARM_")}}


def _wait(home: Path, started: dict[str, Identity | None]) -> None:
    """Wait until both answer. Raises `HomeError` when one of them ended or takes too long.

    A killed process can hold its lock for a moment more: one that was taken for alive is started once its lock is free.
    """
    deadline = time.monotonic() + START_S
    while not (_server_answers(home) and _provider_answers(home)):
        for lock, process in started.items():
            if process is None:
                started[lock] = _start(home, lock)
            elif not processes.is_alive(process) and not processes.is_locked(home / lock):
                raise _ended(home, lock)
        if time.monotonic() > deadline:
            raise HomeError(f"The emulator did not answer within {START_S:.0f} s; its logs are in {home}.")
        time.sleep(POLL_S)


def _ended(home: Path, lock: str) -> HomeError:
    """Say that a process ended while it started, in its own last words."""
    log = home / f"{MODULES[lock]}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    said = lines[-1] if lines else "without a word"
    return HomeError(f"The process python -m {MODULES[lock]} ended while starting: {said} (log: {log})")


def _server_answers(home: Path) -> bool:
    ca = home / "tls" / "ca.pem"
    if not processes.is_locked(home / "lock") or not ca.exists():
        return False
    try:
        context = ssl.create_default_context(cafile=str(ca))
        port = homes.ports(home).server
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return bool(body == {"service": health.SERVICE, "home": health.home_id(homes.secret(home))})


def _provider_answers(home: Path) -> bool:
    if not processes.is_locked(home / "provider.lock"):
        return False
    try:
        with socket.create_connection(("127.0.0.1", homes.ports(home).provider), timeout=5):
            return True
    except OSError:
        return False


def _end(lock: Path, record: Path) -> bool:
    if not processes.is_locked(lock):
        return False
    holder = homes.owner(record)
    if holder is None or not processes.is_alive(holder):
        raise HomeError(f"A process holds {lock}, but nothing proves which one it is. End it by hand.")
    for number, patience in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        if processes.is_alive(holder):
            os.kill(holder.pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not processes.is_locked(lock) and not processes.is_alive(holder):
                return True
            time.sleep(POLL_S)
    raise HomeError(f"The process {holder.pid} that holds {lock} does not end.")
