"""The web services of this machine: one folder an endpoint, in it a run folder per deployment made, and a state file.

    .trainyard/services/<endpoint>/service.json   which deployment is answering, on which port
    .trainyard/services/<endpoint>/<n>/           the n-th deployment, under the node supervisor like any run
    .trainyard/services/<endpoint>/lock           held while one is being made or taken down

Whether a service lives is never recorded, it is looked up: the supervisor's lock is the truth.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from node import control, layout, reading
from runtime import wire
from runtime.errors import NotFoundError, StoreError
from runtime.project import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.status import Status
    from runtime.project import Project

State: TypeAlias = Literal["Running", "Starting", "Failed", "Stopped"]
STATE_FILE = "service.json"
READY = "ready"
LOOPBACK = "127.0.0.1"
_TAIL_BYTES = 20_000
_STOP_S = 30.0
_POLL_S = 0.05
_ENDED = frozenset({"Completed", "Failed", "Canceled", "NotStarted"})


@dataclass(frozen=True, slots=True)
class Service:
    """An endpoint on this machine and the deployment behind it."""

    endpoint: str
    deployment: str
    port: int
    model: str
    fidelity: str
    """How true its environment is: `translated` or `substituted`."""
    created: str
    state: State
    reason: str | None
    """Why it does not run."""
    run_dir: Path

    @property
    def url(self) -> str:
        """Where to send requests."""
        return f"http://{LOOPBACK}:{self.port}/score"

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines that the server and the scoring script wrote."""
        return tail(self.run_dir, lines)


def tail(run_dir: Path, lines: int = 20) -> str:
    """Return the last lines of a deployment's log; of its environment's, when it never came further."""
    for name in (layout.USER_LOG, layout.BUILD_LOG):
        try:
            with (run_dir / name).open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace").strip()
        except FileNotFoundError:
            continue
        if text:
            return "\n".join(text.splitlines()[-lines:])
    return ""


def list_services(project: Project) -> list[Service]:
    """Return the endpoints of a project by name, each as it is now. Raises: StoreError."""
    homes = sorted(path for path in (project.data / "services").glob("*") if path.is_dir())
    return [service for home in homes if (service := _tidied(home))]


def find(project: Project, endpoint: str) -> Service:
    """Return one endpoint. Raises: NotFoundError naming those that exist, StoreError."""
    home = project.data / "services" / endpoint
    service = _tidied(home) if "/" not in endpoint and home.is_dir() else None
    if service is None:
        known = ", ".join(service.endpoint for service in list_services(project)) or "none"
        raise NotFoundError(f"no endpoint {endpoint} on this machine (there is: {known}). First: invoke deploy FILE")
    return service


def _tidied(home: Path) -> Service | None:
    """Read an endpoint; a deployment whose client was killed before it took over is stopped first."""
    with locked(home, wait=False) as mine:
        if mine:
            stop_strays(home)
        return read(home)


def folder(project: Project, endpoint: str) -> Path:
    """Return the folder of an endpoint; made when it is not there."""
    return private_folder(private_folder(project.data / "services") / endpoint)


@contextmanager
def locked(home: Path, *, wait: bool = True) -> Iterator[bool]:
    """Be the only one who changes an endpoint; yields False where another one is at it and `wait` is off."""
    fd = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def read(home: Path) -> Service | None:
    """Return an endpoint as it is now; ends what a killed supervisor left behind. Raises: StoreError."""
    try:
        document = layout.read_json(home / STATE_FILE)
    except ValueError as error:
        raise StoreError(f"{home.name}: {error}. Remove that folder and deploy again") from None
    if document is None:
        return None
    run_dir = home / wire.text(document.get("run"))
    state, reason = _state(run_dir)
    port = document.get("port")
    return Service(
        endpoint=home.name,
        deployment=wire.text(document.get("deployment")),
        port=port if isinstance(port, int) else 0,
        model=wire.text(document.get("model")),
        fidelity=wire.text(document.get("fidelity")),
        created=wire.text(document.get("created")),
        state=state,
        reason=reason,
        run_dir=run_dir,
    )


def _state(run_dir: Path) -> tuple[State, str | None]:
    try:
        status = reading.status(run_dir)
        if status.terminal:
            status = control.settle(run_dir)
    except ValueError as error:
        return "Failed", str(error)
    return state_of(status, run_dir)


def state_of(status: Status, run_dir: Path) -> tuple[State, str | None]:
    """Say in a service's words what its run's status means."""
    match status.state:
        case "Running":
            return ("Running", None) if (run_dir / READY).exists() else ("Starting", None)
        case "Canceled":
            return "Stopped", status.reason
        case "Completed" | "Failed":
            return "Failed", status.reason or "the server ended by itself"
        case _:
            return "Starting", None


def write(home: Path, document: dict[str, wire.Json]) -> None:
    """Make a deployment the one that answers; durable."""
    layout.write_json(home / STATE_FILE, document)


def next_run(home: Path) -> Path:
    """Return the folder for the next deployment, under the endpoint's lock; removes those that don't answer."""
    stop_strays(home)
    current = read(home)
    numbers = [path for path in _deployments(home) if current is None or path != current.run_dir]
    for run_dir in numbers:
        shutil.rmtree(run_dir, ignore_errors=True)
    last = max([int(path.name) for path in numbers] + ([int(current.run_dir.name)] if current else [0]))
    return home / str(last + 1)


def stop_strays(home: Path) -> None:
    """Stop, under the endpoint's lock, every deployment that is not the one that answers."""
    current = read(home)
    for run_dir in _deployments(home):
        if current is None or run_dir != current.run_dir:
            stop(run_dir, "it never took the endpoint over")


def _deployments(home: Path) -> list[Path]:
    return sorted((path for path in home.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def stop(run_dir: Path, reason: str) -> None:
    """End a deployment's processes, if it has any; returns when they are gone, or after half a minute."""
    try:
        control.cancel(run_dir, reason)
        deadline = time.monotonic() + _STOP_S
        while (status := reading.status(run_dir)).state not in _ENDED and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if status.terminal:
            control.settle(run_dir)
    except (OSError, ValueError):
        return  # a folder without a run in it, or with a damaged one: nothing of it can be running under our eyes


def delete(project: Project, endpoint: str) -> None:
    """Stop an endpoint and remove everything that it kept. Raises: NotFoundError."""
    find(project, endpoint)
    home = folder(project, endpoint)
    with locked(home):
        (home / STATE_FILE).unlink(missing_ok=True)
        for run_dir in _deployments(home):
            stop(run_dir, "the endpoint was deleted")
            shutil.rmtree(run_dir, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def port_for(home: Path) -> int:
    """Return the endpoint's port: the one it has, where that is still its own or free; else a free one."""
    service = read(home)
    if service and service.port and (service.state == "Running" or _bindable(service.port)):
        return service.port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
