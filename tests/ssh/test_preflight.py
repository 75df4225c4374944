"""What keeps a machine from running jobs is said in one line, before anything is sent."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from node import preflight
from tests.ssh import kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refused(client: kit.Client, tmp_path: Path) -> str:
    words = kit.message(lambda: client.submit(kit.a_job(tmp_path / "job", "true")))
    (record,) = client.site.store.all()
    assert (record.state, record.phase) == ("Failed", "intent")
    return words.replace(f"127.0.0.1:{client.machine.port}", "HOST").replace(str(client.machine.home), "HOME")


def restarted(client: kit.Client) -> None:
    client.machine.kill()
    client.machine.start()


def test_no_python(client: kit.Client, tmp_path: Path) -> None:
    client.machine.path = str(tmp_path / "nothing")
    restarted(client)
    assert refused(client, tmp_path) == (
        "gpu-box (HOST) can't run jobs: it has no python3 on the PATH of an SSH command. "
        "Install it there (apt-get install python3)"
    )


def test_a_python_that_is_too_old(client: kit.Client, tmp_path: Path) -> None:
    old = tmp_path / "bin/python3"
    old.parent.mkdir()
    # The greeting's own check runs in a real Python that says it is another version.
    old.write_text(
        f"#!/bin/sh\nfor last; do :; done\nexec {os.path.realpath('/proc/self/exe')} -S -c "
        '"import sys; sys.version_info = (3, 8, 10)\n$last"\n'
    )
    old.chmod(0o755)
    client.machine.path = f"{old.parent}:/usr/bin:/bin"
    restarted(client)
    assert refused(client, tmp_path) == "gpu-box (HOST) can't run jobs: python3 there is 3.8; 3.10 or newer is needed"


def test_a_home_that_can_not_be_written_to(client: kit.Client, tmp_path: Path) -> None:
    (client.machine.home / ".trainyard").write_text("a file")
    assert (
        refused(client, tmp_path)
        == "gpu-box (HOST): its home can't be written to: HOME/.trainyard/node: Not a directory"
    )


def test_a_disk_without_room_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_bavail, f_frsize, f_flag = 1024, 4096, os.ST_NOEXEC

    monkeypatch.setattr(os, "statvfs", lambda _path: Disk)
    assert preflight.problems(tmp_path, 1 << 30) == [
        f"its disk has 0.00 GiB free at {tmp_path}, where 1.06 GiB are needed",
        f"{tmp_path} is on a file system that forbids programs (noexec): no environment can be built there",
    ]


def test_all_that_is_wrong_is_said_at_once(client: kit.Client, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "job", "true", inputs={"d": {"type": "uri_file", "path": "huge.bin"}})
    with (tmp_path / "job/huge.bin").open("wb") as file:
        disk = os.statvfs(client.machine.home)
        file.truncate(1 << 20)
    free = disk.f_bavail * disk.f_frsize
    host_said = kit.preflight_of(client, needed=free + (1 << 40))
    assert [line.partition(" has ")[0] for line in host_said] == ["its disk"]
    assert client.submit(job).wait(120).state == "Completed"


def test_what_a_shell_says_at_its_start_is_no_answer_of_ours(client: kit.Client, tmp_path: Path) -> None:
    (client.machine.home / ".bashrc").write_text("echo 'Welcome to the machine!'; echo -n 'no newline'\n")
    assert client.submit(kit.a_job(tmp_path / "job", "true")).wait(120).state == "Completed"


def test_a_home_with_a_space_and_quotes(client: kit.Client, tmp_path: Path) -> None:
    machine = client.machine
    machine.home = machine.folder / "my 'home' ü"
    machine.home.mkdir()
    restarted(client)
    run = client.submit(kit.a_job(tmp_path / "job", "echo up")).wait(120)
    assert (run.state, kit.log_of(run)) == ("Completed", b"up\n"), run.record.reason


@pytest.fixture
def small_disk(client: kit.Client) -> Iterator[Path]:
    """Put the machine's home on a file system of 100 MiB that forbids programs."""
    home = client.machine.home
    command = ["mount", "-t", "tmpfs", "-o", "size=100m,noexec", "tmpfs", str(home)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system here, so a full disk can't be tried")
    yield home
    client.machine.clean()
    subprocess.run(["umount", str(home)], check=True)


def test_a_file_system_that_forbids_programs_or_has_no_room(
    client: kit.Client, tmp_path: Path, small_disk: Path
) -> None:
    job = kit.a_job(tmp_path / "job", "true")
    (tmp_path / "job/src/big.bin").write_bytes(bytes(30 << 20))
    words = kit.message(lambda: client.submit(job)).replace(str(small_disk), "HOME")
    assert words.splitlines()[1:] == [
        "  its disk has 0.10 GiB free at HOME/.trainyard, where 0.12 GiB are needed",
        "  HOME/.trainyard is on a file system that forbids programs (noexec): no environment can be built there",
    ]
    assert not (small_disk / ".trainyard/objects").exists()


def test_a_disk_that_fills_while_files_are_sent_is_said_and_what_is_freed_is_used(
    client: kit.Client, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,exec", str(small_disk)], check=True)
    job = kit.a_job(tmp_path / "job", "wc -c < big.bin")
    (tmp_path / "job/src/big.bin").write_bytes(os.urandom(8 << 20))

    def fill(name: str) -> None:
        if name == "environment":
            with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
                file.write(bytes(97 << 20))
                file.write(bytes(97 << 20))

    with monkeypatch.context() as patch:
        patch.setattr("runtime.crash.point", fill)
        words = kit.message(lambda: client.submit(job)).replace(f"127.0.0.1:{client.machine.port}", "HOST")
    assert words == f"gpu-box (HOST): its disk is full ({small_disk}/.trainyard)"
    assert [path.name for path in small_disk.glob(".trainyard/objects/*/*")] == []
    assert list(small_disk.glob(".trainyard/runs/*")) == []
    (small_disk / "filler").unlink()
    run = client.submit(job).wait(120)
    assert (run.state, kit.log_of(run)) == ("Completed", b"8388608\n"), run.record.reason
