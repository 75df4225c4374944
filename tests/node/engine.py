"""A stand-in for Docker: a client on PATH that hands everything to an engine in the test's own process.

The client and a container are, as with the real one, no relatives: who kills the client leaves the container running.
A container here is a process of this machine with an environment of its own, at the paths that were mounted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = """#!{python} -S
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
try:
    line.connect("\\0{name}")
except OSError:
    sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
socket.send_fds(line, [json.dumps([sys.argv[1:], os.getcwd()]).encode()], [0, 1, 2])
signal.signal(signal.SIGTERM, lambda *_: line.send(b"T"))
sys.exit(int(line.recv(16)))
"""
VALUED = {
    "--network", "--label", "--workdir", "--env", "--ulimit", "--user", "--mount", "--shm-size", "--gpus",
    "--cpuset-cpus", "--entrypoint", "--pull", "--memory",
}  # fmt: skip
NO_CONDA = "no-conda"


@dataclass
class Engine:
    """Images and containers, and everything that was asked for."""

    folder: Path
    images: set[str] = field(default_factory=set)
    calls: list[list[str]] = field(default_factory=list)
    dockerfiles: list[str] = field(default_factory=list)
    containers: dict[str, tuple[str, subprocess.Popen[bytes]]] = field(default_factory=dict)
    rootless: bool = False
    name: str = field(default_factory=lambda: f"trainyard-test-{secrets.token_hex(8)}")

    def install(self) -> Path:
        """Write the client; return the folder to put on PATH."""
        client = self.folder / "docker"
        client.write_text(CLIENT.format(python=sys.executable, name=self.name))
        client.chmod(0o755)
        return self.folder

    def start(self) -> socket.socket:
        """Answer from now on, until the socket is closed."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"\0{self.name}")
        listening.listen()
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def runs(self) -> list[list[str]]:
        return [call for call in self.calls if call[0] == "run"]

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listening.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        raw, fds, _, _ = socket.recv_fds(line, 1 << 20, 3)
        argv, _cwd = json.loads(raw)
        self.calls.append(argv)
        answer: Callable[[list[str], list[int], socket.socket], int] = getattr(self, f"_{argv[0]}")
        try:
            code = answer(argv[1:], fds, line)
        finally:
            for fd in fds:
                os.close(fd)
        with contextlib.suppress(OSError):
            line.send(str(code).encode())
        line.close()

    def _version(self, _argv: list[str], fds: list[int], _line: socket.socket) -> int:
        os.write(fds[1], b"27.5.1\n")
        return 0

    def _info(self, _argv: list[str], fds: list[int], _line: socket.socket) -> int:
        os.write(fds[1], b'["name=rootless"]\n' if self.rootless else b'["name=seccomp,profile=builtin"]\n')
        return 0

    def _image(self, argv: list[str], fds: list[int], _line: socket.socket) -> int:
        if argv[-1] not in self.images:
            os.write(fds[2], b"No such image\n")
            return 1
        if argv[0] == "rm":
            self.images.remove(argv[-1])
        os.write(fds[1], b"sha256:4a1c\n")
        return 0

    def _pull(self, argv: list[str], fds: list[int], _line: socket.socket) -> int:
        if "private" in argv[-1]:
            os.write(fds[2], b"Error response from daemon: pull access denied for private\n")
            return 1
        if "large" in argv[-1]:
            os.write(fds[2], b"failed to register layer: write /usr/lib/x: no space left on device\n")
            return 1
        os.write(fds[1], b"a1b2: Pulling fs layer\na1b2: Pull complete\n")
        self.images.add(argv[-1])
        return 0

    def _build(self, argv: list[str], fds: list[int], _line: socket.socket) -> int:
        text = Path(argv[argv.index("--file") + 1]).read_text()
        self.dockerfiles.append(text)
        os.write(fds[2], b"#5 [2/4] RUN conda env create\n")
        if NO_CONDA in text:
            os.write(fds[2], b"#5 0.4 error: the image has no conda, and its conda_file needs one\n")
            return 1
        self.images.add(argv[argv.index("--tag") + 1])
        return 0

    def _run(self, argv: list[str], fds: list[int], line: socket.socket) -> int:
        options, rest = list[tuple[str, str]](), [*argv]
        while rest[0].startswith("-"):
            name = rest.pop(0)
            options.append((name, rest.pop(0) if name in VALUED else ""))
        if rest[0] == "broken":
            os.write(fds[2], b"docker: Error response from daemon: no such runtime\n")
            return 125
        given = dict(options)
        variables = dict(value.split("=", 1) for name, value in options if name == "--env")
        process = subprocess.Popen(
            [given["--entrypoint"], *rest[1:]],
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
            cwd=given["--workdir"],
            env={"PATH": os.defpath, "IMAGE": rest[0], **variables},
            start_new_session=True,
        )
        self.containers[secrets.token_hex(6)] = (given["--label"], process)
        threading.Thread(target=_forward, args=(line, process), daemon=True).start()
        code = process.wait()
        return code if code >= 0 else 128 - code

    def _ps(self, argv: list[str], fds: list[int], _line: socket.socket) -> int:
        label = argv[-1].removeprefix("label=")
        found = [key for key, (own, process) in self.containers.items() if own == label and process.poll() is None]
        os.write(fds[1], "".join(f"{key}\n" for key in found).encode())
        return 0

    def _rm(self, argv: list[str], _fds: list[int], _line: socket.socket) -> int:
        for key in argv[1:]:
            os.killpg(self.containers[key][1].pid, signal.SIGKILL)
        return 0


def _forward(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Hand a signal of the client on to the container's processes, as its init does."""
    with contextlib.suppress(OSError):
        while line.recv(1):
            os.killpg(process.pid, signal.SIGTERM)
