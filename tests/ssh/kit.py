"""A machine for tests: Debian's own sshd on a loopback port, with a home, keys and a host key in a temporary folder."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import control, processes, reading
from node import status as statuses
from runtime import hosts, ssh, submitters, wire
from runtime.clock import SYSTEM
from runtime.errors import TrainyardError
from runtime.retry import Policy
from runtime.site import Options, Site, open_site
from runtime.submit import submit
from specs.targets import VirtualMachineTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.events import Event
    from runtime.project import Project
    from runtime.runs import Run
    from runtime.wire import Json
    from specs.outputs import StackOutputs

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
VM = f"{kit.WORKSPACE}/computes/gpu-box"
SYSTEM_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
"""Where a machine's python3 is."""
PLAIN: Json = {"image": "python:3.11-slim", "conda_file": {"dependencies": ["python=3.11"]}}
DEADLINE_S = 90.0
REFUSED = {"error": {"code": "AuthorizationFailed", "message": "The client may not perform the action"}}


def key_pair(path: Path) -> str:
    """Write a private key (0600) and return the public one, one OpenSSH line."""
    private = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


def raw(line: str) -> bytes:
    """Return the bytes of a public key's line."""
    return base64.b64decode(line.split()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """One sshd with a home of its own. Its settings take effect at the next `start`."""

    folder: Path
    path: str = SYSTEM_PATH
    more: list[str] = field(default_factory=list)
    """Further lines of sshd_config."""
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.home = self.folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.host_key = key_pair(self.folder / "host_key")
        self.authorized = self.folder / "authorized_keys"
        self.authorized.touch()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def kept(self) -> Path:
        """What we keep on it."""
        return self.home / ".trainyard"

    def run_dir(self, run: str, attempt: int = 1) -> Path:
        return self.kept / "runs" / run / f"attempt-{attempt}"

    def objects(self) -> dict[str, int]:
        """Return the inode by name of every file that it keeps by content."""
        return {path.name: path.stat().st_ino for path in self.kept.glob("objects/*/*")}

    def let_in(self, public: str) -> None:
        with self.authorized.open("a") as file:
            file.write(public + "\n")

    def start(self) -> None:
        variables = {"HOME": str(self.home), "PATH": self.path, **self.variables}
        lines = [
            *self.more,
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host_key",
            f"PidFile {self.folder}/pid",
            f"AuthorizedKeysFile {self.authorized}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "PrintMotd no",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")], stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "sshd.log").read_text())
            time.sleep(0.01)

    def kill(self) -> None:
        """End sshd and every connection to it at once, as a crash would; what was detached goes on."""
        if self._process is None:
            return
        for pid in [self._process.pid, *processes.descendants(self._process.pid)]:
            if "sshd" in _name(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def clean(self) -> None:
        """End what runs there, and sshd."""
        for run_dir in self.kept.glob("runs/*/attempt-*"):
            if (run_dir / "status.json").exists() and not reading.status(run_dir).terminal:
                control.cancel(run_dir)
                deadline = time.monotonic() + DEADLINE_S
                while not reading.status(run_dir).terminal and time.monotonic() < deadline:
                    time.sleep(0.02)
            if run_dir.is_dir():
                control.settle(run_dir)
                status = statuses.read(run_dir)
                assert status is None or status.mark is None or processes.marked(status.mark) == []
        self.kill()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def outputs_of(machine: Machine | Known, port: int | None = None) -> StackOutputs:
    """Return a stack whose one machine is this, or is reached over another port."""
    target = VirtualMachineTarget(
        name="gpu-box",
        id=VM,
        workspace="research",
        address="127.0.0.1",
        ssh_port=port or machine.port,
        username=getuser(),
        host_key=machine.host_key,
        resource_id=None,
        made_here=False,
    )
    known = kit.some_outputs()
    return known.model_copy(update={"targets": {**known.targets, "gpu-box": target}})


@dataclass
class Client:
    """A clone that submits to a machine; its workspace refuses everything, so that nothing but SSH is used."""

    project: Project
    machine: Machine | Known
    port: int | None = None
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.site = open_site(self.project)
        self.cloud = kit.FakeTransport(on=lambda _request: (403, REFUSED))
        self.site.planes["emulator"] = kit.fake_plane(self.cloud, kit.HeldClock())

    def submit(self, job: Path, options: Options | None = None, known: StackOutputs | None = None) -> Run:
        return submit(
            job,
            "gpu-box",
            stack=known or outputs_of(self.machine, self.port),
            project=self.project,
            on_event=self.events.append,
            site=self.site,
            options=options or Options(),
        )

    def said(self, topic: str) -> list[str]:
        return [event.text for event in self.events if event.topic == topic]

    def impatient(self) -> None:
        """Don't wait long for a machine that is away."""
        for host in self.site.hosts.values():
            host.policy = Policy(total_s=0.3, first_s=0.1)

    def close(self) -> None:
        hosts.close(self.site)


def door(machine: Machine, port: int | None = None, username: str | None = None) -> ssh.Door:
    return ssh.Door("gpu-box", "127.0.0.1", port or machine.port, username or getuser(), machine.host_key, "local")


def preflight_of(made: Client, needed: int) -> list[Json]:
    """Ask a machine what is wrong with it for a run of so many bytes."""
    host = hosts.Host(door(made.machine), ssh.Account, SYSTEM)
    try:
        return wire.items(host.ask({"do": "preflight", "copied": needed}).said.get("problems"))
    finally:
        host.close()


@dataclass(frozen=True)
class Known:
    """A machine that another process started."""

    port: int
    host_key: str


def log_of(run: Run, name: str = "user_logs/std_log.txt") -> bytes:
    return submitters.of(run.record.kind).read_log(run.site, run.record, name, 0)


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def message(act: Callable[[], object]) -> str:
    """Return what an act is refused with."""
    try:
        act()
    except TrainyardError as error:
        return str(error)
    raise AssertionError("it was not refused")


@contextlib.contextmanager
def client(folder: Path, machine: Machine | Known, port: int | None = None) -> Iterator[Client]:
    made = Client(kit.a_project(folder), machine, port)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def clone(emulated: Project, folder: Path) -> Iterator[Site]:
    """Make a clone that knows the emulator of another project, and nothing else."""
    project = kit.a_project(folder)
    project.emulator_home.mkdir(parents=True)
    shutil.copy(emulated.emulator_home / "endpoint.json", project.emulator_home / "endpoint.json")
    site = open_site(project)
    try:
        yield site
    finally:
        hosts.close(site)


def submitted(site: Site, job: Path, machine: Machine) -> Run:
    return submit(job, "gpu-box", stack=outputs_of(machine), project=site.project, site=site)


def a_job(folder: Path, command: str, **changes: object) -> Path:
    """Write a job file without packages."""
    path = kit.a_job(folder, command=command, **{"environment": PLAIN, "inputs": None, **changes})  # type: ignore[arg-type]
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False), "utf-8")
    return path
