"""SSH servers of the emulated machines: a real client (asyncssh's, and OpenSSH's where it is) against real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from emulator.ssh import FIRST_PORT, Server, Servers, SshError, password_fits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes
KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key("openssh").decode().strip()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    for server in made.all():
        made.remove(server.name)
    made.close()


def machine(tmp_path: Path, name: str = "/subscriptions/s/vm-one", **more: object) -> Server:
    return replace(Server(name, str(tmp_path / "home"), "ops", keys=(PUBLIC,)), **more)  # type: ignore[arg-type]


async def talk(servers: Servers, server: Server, **how: object) -> asyncssh.SSHClientConnection:
    """Connect as a client that pinned the host key."""
    options: dict[str, object] = {"username": server.username, "client_keys": [KEY], "agent_path": None, **how}
    pinned = asyncssh.import_public_key(servers.host_key(server.name))
    known: object = ([pinned], [], [])
    return await asyncssh.connect(server.address, server.port, known_hosts=known, config=[], **options)


async def run(servers: Servers, server: Server, command: str, **how: object) -> tuple[int | None, str, str]:
    """Run one command; return its exit code and its output."""
    async with await talk(servers, server, **how) as connection:
        done = await connection.run(command)
    return done.exit_status, str(done.stdout), str(done.stderr)


def test_a_command_runs_in_the_machines_folder_with_an_environment_of_its_own(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "canary")
    server = servers.start(machine(tmp_path))
    home = str(tmp_path / "home")
    line = 'echo "$PWD $HOME $USER"; echo "[$ARM_CLIENT_SECRET]" >&2; exit 7'
    assert asyncio.run(run(servers, server, line)) == (7, f"{home} {home} ops\n", "[]\n")
    assert server.port >= FIRST_PORT
    assert servers.listening(server.name.upper())
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_input_goes_in_and_every_byte_comes_out(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))

    async def copy() -> bytes:
        async with await talk(servers, server) as connection:
            done = await connection.run("cat", input=bytes(range(256)) * 4096, encoding=None)
        assert isinstance(done.stdout, bytes)
        return done.stdout

    assert asyncio.run(copy()) == bytes(range(256)) * 4096


def test_only_the_declared_key_or_password_gets_in(servers: Servers, tmp_path: Path) -> None:
    keyed = servers.start(machine(tmp_path))
    worded = servers.start(Server("two", str(tmp_path / "two"), "ops", password="canary-4711"))
    shut = servers.start(Server("three", str(tmp_path / "three"), "ops"))
    refused: list[tuple[Server, dict[str, object]]] = [
        (keyed, {"client_keys": [OTHER]}),
        (keyed, {"username": "root"}),
        (keyed, {"client_keys": None, "password": "canary-4711"}),
        (worded, {"client_keys": None, "password": "canary"}),
        (worded, {"client_keys": [KEY]}),
        (worded, {"client_keys": None, "username": "root", "password": "canary-4711"}),
        (shut, {"client_keys": [KEY]}),
        (shut, {"client_keys": None, "password": ""}),
    ]
    for server, how in refused:
        with pytest.raises(asyncssh.PermissionDenied):
            asyncio.run(run(servers, server, "true", **how))
    assert asyncio.run(run(servers, keyed, "echo in")) == (0, "in\n", "")
    assert asyncio.run(run(servers, worded, "echo in", client_keys=None, password="canary-4711")) == (0, "in\n", "")


def test_a_password_is_kept_as_a_hash(servers: Servers, tmp_path: Path) -> None:
    started = servers.start(Server("two", str(tmp_path / "two"), "ops", password="canary-4711"))
    written = "".join(path.read_text() for path in (tmp_path / "ssh").rglob("*") if path.is_file())
    assert "canary" not in written
    assert password_fits(started.password, "canary-4711")
    assert not password_fits(started.password, "canary")
    assert not password_fits("", "")
    assert servers.start(Server("two", str(tmp_path / "two"), "ops", password="canary-4711")) == started


def test_a_terminal_is_one(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))

    async def shell() -> str:
        async with await talk(servers, server) as connection:
            process = await connection.create_process(term_type="xterm", term_size=(101, 33))
            process.stdin.write("stty size; test -t 0 && echo it-is-a-$((40+2)) $TERM; exit 3\n")
            output = await process.stdout.read()
            done = await process.wait()
        assert done.exit_status == 3
        return str(output)

    output = asyncio.run(shell())
    assert "33 101\r\n" in output
    assert "it-is-a-42 xterm\r\n" in output


def test_a_terminal_hangs_up_with_its_connection(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))

    async def leave() -> int:
        async with await talk(servers, server) as connection:
            process = await connection.create_process("echo $$; exec sleep 600", term_type="xterm")
            pid = int(await process.stdout.readline())
            assert servers.sessions(server.name) == 1
        return pid

    pid = asyncio.run(leave())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() or servers.sessions(server.name):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signal_reaches_the_command(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))

    async def interrupted() -> tuple[str, object]:
        async with await talk(servers, server) as connection:
            process = await connection.create_process("echo ready; exec sleep 600")
            assert await process.stdout.readline() == "ready\n"
            process.send_signal("TERM")
            done = await process.wait()
        return str(done.stdout), done.exit_signal and done.exit_signal[0]

    assert asyncio.run(interrupted()) == ("", "TERM")


def test_files_go_both_ways(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))
    (tmp_path / "sent").write_text("hello")

    async def exchange() -> tuple[str, str, list[str]]:
        async with await talk(servers, server) as connection, connection.start_sftp_client() as sftp:
            await sftp.makedirs("a/b")
            await sftp.put(str(tmp_path / "sent"), "a/b/file")
            async with sftp.open("a/b/file") as file:
                content = str(await file.read())
            names = [str(name) for name in await sftp.listdir("a/b") if name not in {".", ".."}]
            here = str(await sftp.realpath("."))
        return here, content, names

    assert asyncio.run(exchange()) == (str(tmp_path / "home"), "hello", ["file"])
    assert (tmp_path / "home/a/b/file").read_text() == "hello"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no OpenSSH client here")
def test_openssh_connects_with_the_pinned_key(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))
    KEY.write_private_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {servers.host_key(server.name)}\n")
    options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path / 'known'}", "BatchMode=yes"]
    argv = ["ssh", "-F", "none", "-i", str(tmp_path / "key"), "-p", str(server.port)]
    for option in options:
        argv += ["-o", option]
    done = subprocess.run(
        [*argv, "ops@127.0.0.1", "cat; exit 5"], input="over\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (5, "over\n"), done.stderr


def test_a_machine_is_the_same_after_a_restart_of_the_emulator(servers: Servers, tmp_path: Path) -> None:
    server, stopped = servers.start(machine(tmp_path)), servers.start(machine(tmp_path, "two"))
    servers.stop("two")
    key = servers.host_key(server.name)
    servers.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.address, server.port), timeout=5)
    again = Servers(tmp_path)
    try:
        again.resume()
        assert again.find(server.name) == server
        assert (again.listening(server.name), again.listening("two")) == (True, False)
        assert again.host_key(server.name) == key
        assert asyncio.run(run(again, server, "echo in")) == (0, "in\n", "")
        assert again.start(machine(tmp_path, "two")).port == stopped.port
    finally:
        again.stop("two")
        again.close()


def test_a_taken_port_is_not_shared(servers: Servers, tmp_path: Path) -> None:
    one = servers.start(machine(tmp_path))
    two = servers.start(machine(tmp_path, "two", port=one.port))
    assert two.port > one.port
    with pytest.raises(SshError) as caught:
        servers.start(machine(tmp_path, "three", port=one.port, exact=True))
    wanted = f"The SSH server of 'three' can't listen on 127.0.0.1:{one.port}: Address already in use."
    assert str(caught.value) == wanted
    assert servers.find("three") is None
    other = servers.start(machine(tmp_path, "four", address="127.77.0.4", port=one.port, exact=True))
    assert (other.address, other.port) == ("127.77.0.4", one.port)


def test_what_runs_on_a_machine_ends_with_it_and_not_before(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))
    line = "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!"
    _, output, _ = asyncio.run(run(servers, server, line))
    pid = int(output)
    os.kill(pid, 0)
    servers.start(replace(server, username="dev"))
    os.kill(pid, 0)
    servers.stop(server.name)
    assert not Path(f"/proc/{pid}/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    assert servers.find(server.name) == replace(server, username="dev", on=False)
    servers.remove(server.name)
    assert servers.find(server.name) is None
    assert list((tmp_path / "ssh").iterdir()) == []


def test_the_server_of_a_machine_that_is_gone_is_swept_away(servers: Servers, tmp_path: Path) -> None:
    kept, gone = servers.start(machine(tmp_path)), servers.start(machine(tmp_path, "gone"))
    servers.sweep(lambda name: name != "gone")
    assert servers.all() == [kept]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((gone.address, gone.port), timeout=5)


def test_a_new_account_takes_effect_at_once(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(machine(tmp_path))
    changed = servers.start(machine(tmp_path, keys=(OTHER.export_public_key("openssh").decode(),)))
    assert changed.port == server.port
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(run(servers, changed, "true"))
    assert asyncio.run(run(servers, changed, "echo in", client_keys=[OTHER])) == (0, "in\n", "")
