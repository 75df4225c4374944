"""The two processes of a home: started once, found again, back after kill -9, gone when told or when the home goes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import homes, launch, tls
from node import processes
from tests.emulator.arm_kit import RG
from tests.emulator.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Name a home whose processes end with the test."""
    folder = tmp_path / "home"
    yield folder
    launch.stop(folder)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_many_commands_at_once_get_the_same_processes(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from emulator import launch; print(launch.ensure(Path(sys.argv[1])).pid)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in started]
    endpoint = launch.find(home)
    assert endpoint is not None
    assert said == [str(endpoint.pid)] * 4
    open_to_others = [path for path in [home, *home.rglob("*")] if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []
    assert os.getsid(endpoint.pid) == endpoint.pid
    assert os.getsid(endpoint.provider_pid) == endpoint.provider_pid
    assert launch.ensure(home) == endpoint


def test_after_kill_9_everything_acknowledged_is_back_on_the_same_port(home: Path) -> None:
    first = launch.ensure(home)
    Wire(first).put(RG, {"location": "westeurope"})
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not processes.is_locked(home / "lock"))
    assert launch.find(home) is None
    second = launch.ensure(home)
    assert (second.resource_manager, second.provider_pid) == (first.resource_manager, first.provider_pid)
    assert second.pid != first.pid
    assert Wire(second).get(RG)[0] == 200
    os.kill(second.provider_pid, signal.SIGKILL)
    until(lambda: not processes.is_locked(home / "provider.lock"))
    third = launch.ensure(home)
    assert (third.pid, third.provider_port) == (second.pid, second.provider_port)
    assert third.provider_pid != second.provider_pid
    assert launch.stop(home)
    assert not launch.stop(home)
    assert launch.find(home) is None


def test_a_process_ends_when_its_home_is_deleted(tmp_path: Path) -> None:
    endpoint = launch.ensure(tmp_path / "home")
    owners = [processes.identity(pid) for pid in (endpoint.pid, endpoint.provider_pid)]
    assert all(owners)
    shutil.rmtree(tmp_path / "home")
    until(lambda: not any(processes.is_alive(owner) for owner in owners if owner))


def test_a_port_that_is_taken_is_said_in_a_sentence(home: Path) -> None:
    port = homes.ports(homes.prepare(home)).server
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(homes.HomeError, match=rf"Port {port} of this emulator is taken by another program"):
            launch.ensure(home)
    until(lambda: not processes.is_locked(home / "provider.lock"))


def test_nothing_is_started_by_looking(tmp_path: Path) -> None:
    assert launch.find(tmp_path / "home") is None
    assert not launch.stop(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_other_clouds_variables_do_not_reach_the_processes(tmp_path: Path) -> None:
    inherited = {
        "PATH": "/bin",
        "ARM_CLIENT_SECRET": "real",
        "AZURE_CLIENT_SECRET": "real",
        "PULUMI_CONFIG_PASSPHRASE": "real",
        "REQUESTS_CA_BUNDLE": "/old/tls/bundle.pem",
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
    }
    kept = {"PATH": "/bin", "SSL_CERT_FILE": "/etc/ssl/company.pem"}
    assert launch._environment(inherited, None) == kept


def test_the_home_keeps_its_ports_and_secret(tmp_path: Path) -> None:
    home = homes.prepare(tmp_path / "home")
    ports = homes.ports(home)
    assert homes.ports(home) == ports
    assert ports.server != ports.provider
    assert homes.secret(home) == homes.secret(home)
    (home / "secret").write_bytes(b"short")
    with pytest.raises(homes.HomeError, match="is damaged"):
        homes.secret(home)


def test_a_file_in_the_homes_way_is_said_in_a_sentence(tmp_path: Path) -> None:
    data = tmp_path / ".trainyard"
    data.touch()
    for home in (data / "emulator", data):
        with pytest.raises(launch.HomeError) as caught:
            launch.ensure(home)
        assert str(caught.value) == f"The emulator's folder {home} can't be made: {data} is a file. Move it away."
        assert launch.find(home) is None
        assert not launch.stop(home)


def test_certificates_are_kept_and_renewed_before_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = homes.prepare(tmp_path / "home")
    found = tls.ensure(home)
    first = (found.ca.read_bytes(), found.certificate.read_bytes())
    tls.ensure(home)
    assert (found.ca.read_bytes(), found.certificate.read_bytes()) == first
    monkeypatch.setattr(tls, "RENEW_DAYS", tls.SERVER_DAYS + 1)
    tls.ensure(home)
    assert found.ca.read_bytes() == first[0]
    assert found.certificate.read_bytes() != first[1]
    assert found.bundle.read_bytes().startswith(first[0].strip())
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in found.ca.parent.iterdir()} == dict.fromkeys(
        ("ca.key", "ca.pem", "bundle.pem", "server.pem", "server.key"), 0o600
    )
