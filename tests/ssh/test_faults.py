"""Connections that break: in mid-run, in mid-upload, between a launch and its answer, silently; an sshd that dies."""

from __future__ import annotations

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from node import reading
from runtime import hosts, ssh
from runtime.clock import SYSTEM
from runtime.errors import ConnectionLostError
from runtime.retry import Policy
from runtime.stream import stream
from tests.ssh import kit
from tests.ssh.proxy import TO_CLIENT, TO_SERVER, Direction, Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.runs import Run

HASTY = Policy(total_s=90.0, first_s=0.02, most_s=0.1)
LINES = b"".join(b"line %d\n" % number for number in range(200))
TALK = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.005; done"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once, so that the tests don't wait."""
    monkeypatch.setattr(hosts, "PATIENT", HASTY)
    monkeypatch.setattr(hosts, "BRIEF", HASTY)


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice silence within a second."""
    assert ssh.QUIET_S + ssh.ANSWER_S <= 60
    monkeypatch.setattr(ssh, "QUIET_S", 0.3)
    monkeypatch.setattr(ssh, "ANSWER_S", 0.7)


@pytest.fixture
def proxy(machine: kit.Machine) -> Iterator[Proxy]:
    made = Proxy(machine.port)
    yield made
    made.close()


@pytest.fixture
def client(tmp_path: Path, machine: kit.Machine, proxy: Proxy) -> Iterator[kit.Client]:
    with kit.client(tmp_path / "project", machine, proxy.port) as made:
        yield made


def on_node(machine: kit.Machine, run: Run) -> bytes:
    return (machine.run_dir(run.id) / "user_logs/std_log.txt").read_bytes()


def build_log(machine: kit.Machine, run: Run) -> bytes:
    return (machine.run_dir(run.id) / "azureml-logs/20_image_build_log.txt").read_bytes()


def test_a_log_has_no_gap_and_no_repeat_when_its_connection_is_cut(
    client: kit.Client, proxy: Proxy, tmp_path: Path
) -> None:
    run = client.submit(kit.a_job(tmp_path / "job", TALK))
    proxy.faults = [Fault(after, TO_CLIENT) for after in (0, 100, 2000, 2500, 3000, 3500)]
    written = list[bytes]()

    def write(chunk: bytes) -> None:
        written.append(chunk)
        proxy.cut()

    assert stream(run, write).state == "Completed"
    assert b"".join(written) == build_log(client.machine, run) + LINES
    assert on_node(client.machine, run) == LINES
    assert (proxy.faults, proxy.connections > 6) == ([], True)


def test_a_log_goes_on_when_sshd_was_killed_and_restarted(client: kit.Client, tmp_path: Path) -> None:
    run = client.submit(kit.a_job(tmp_path / "job", TALK))
    written = list[bytes]()

    def write(chunk: bytes) -> None:
        if b"line" in chunk and not any(b"line" in before for before in written):
            client.machine.kill()
            client.machine.start()
        written.append(chunk)

    assert stream(run, write).state == "Completed"
    assert b"".join(written) == build_log(client.machine, run) + LINES


def witnessed(folder: Path) -> Path:
    """Write a job that leaves a line each time that it is executed, and has a megabyte to be sent."""
    job = kit.a_job(folder, f"echo once >> {folder}/witness; sha256sum < blob.bin")
    (folder / "src/blob.bin").write_bytes(random.Random(5).randbytes(1 << 20))  # noqa: S311
    for number in range(40):
        (folder / f"src/{number}.txt").write_text(f"{number}" * 100)
    return job


@pytest.mark.parametrize("seed", range(30))
def test_an_upload_that_is_cut_anywhere_ends_in_one_whole_run(
    client: kit.Client, proxy: Proxy, tmp_path: Path, seed: int
) -> None:
    job = witnessed(tmp_path / "job")
    chance = random.Random(seed)  # noqa: S311
    # From the first bytes of the greeting to the last of the launch; sometimes twice.
    proxy.faults = [Fault(chance.randrange(1, 1_120_000), TO_SERVER) for _ in range(chance.choice([1, 1, 2]))]
    run = client.submit(job).wait(120)
    assert run.state == "Completed", run.record.reason
    expected = hashlib.sha256((tmp_path / "job/src/blob.bin").read_bytes()).hexdigest()
    assert kit.log_of(run) == f"{expected}  -\n".encode()
    assert (tmp_path / "job/witness").read_text() == "once\n"
    assert proxy.connections >= 2


@pytest.mark.parametrize("arriving", [0, 1, 20, 60])
def test_a_launch_whose_answer_is_cut_off_is_asked_again_and_not_repeated(
    client: kit.Client, proxy: Proxy, tmp_path: Path, arriving: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def cut(name: str) -> None:
        if name == "uploaded":
            proxy.hold(arriving)
        if name == "put-sent":
            asked.append(name)
            if len(asked) == 1:
                kit.until((tmp_path / "job/witness").exists)  # it runs, and its answer is held back
                proxy.cut()

    monkeypatch.setattr("runtime.crash.point", cut)
    run = client.submit(witnessed(tmp_path / "job")).wait(120)
    assert (run.state, asked) == ("Completed", ["put-sent", "put-sent"])
    assert (tmp_path / "job/witness").read_text() == "once\n"
    assert len(list(client.machine.kept.glob("runs/*/attempt-*"))) == 1


@pytest.mark.usefixtures("attentive", "user")
def test_a_machine_that_falls_silent_is_given_up_and_asked_on_a_new_connection(
    machine: kit.Machine, proxy: Proxy
) -> None:
    proxy.faults = [Fault(7000, TO_CLIENT, "silent")]
    host = hosts.Host(kit.door(machine, proxy.port), ssh.Account, SYSTEM)
    try:
        for _ in range(40):
            assert host.ask({"do": "hello"}).said == {}
        kit.until(lambda: proxy.connections == 2 or host.ask({"do": "hello"}).said != {})
    finally:
        host.close()


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize(("after", "to"), [(400_000, TO_SERVER), (900_000, TO_SERVER), (9_000, TO_CLIENT)])
def test_an_upload_into_silence_goes_on_over_a_new_connection(
    client: kit.Client, proxy: Proxy, tmp_path: Path, after: int, to: Direction
) -> None:
    proxy.faults = [Fault(after, to, "silent")]
    run = client.submit(witnessed(tmp_path / "job")).wait(120)
    assert run.state == "Completed", run.record.reason
    assert (tmp_path / "job/witness").read_text() == "once\n"
    assert proxy.connections >= 2


def test_a_server_that_is_busy_or_away_is_tried_again_within_the_patience(machine: kit.Machine, proxy: Proxy) -> None:
    proxy.faults = [Fault(0, TO_CLIENT, "refuse"), Fault(5, TO_CLIENT), Fault(300, TO_CLIENT), Fault(1200, TO_SERVER)]
    connection = ssh.connect(kit.door(machine, proxy.port), ssh.Account, policy=HASTY)
    connection.close()
    assert proxy.connections == 5
    machine.kill()
    with pytest.raises(ConnectionLostError) as raised:
        ssh.connect(kit.door(machine), ssh.Account, policy=Policy(total_s=0.2, first_s=0.1))
    assert str(raised.value) == f"gpu-box (127.0.0.1:{machine.port}): Connection refused"


def test_a_launch_that_was_given_up_is_never_carried_out(client: kit.Client, tmp_path: Path) -> None:
    """Its submitter was killed, the next command judged it, and then the launch arrives after all."""
    run = client.submit(witnessed(tmp_path / "job")).wait(120)
    host = next(iter(client.site.hosts.values()))
    late = {"run": "late", "attempt": 1}
    assert host.ask({"do": "look", "give_up": True, **late}).said == {"found": False}
    said = host.ask({"do": "launch", "token": "t", **late}, b'{"code": [], "job": {"run_id": "late"}}').said
    assert said == {"never": "its submission was interrupted"}
    assert not client.machine.run_dir("late").exists()
    assert reading.status(client.machine.run_dir(run.id)).state == "Completed"


def test_a_machine_that_is_away_is_waited_for_once_however_many_ask(
    machine: kit.Machine, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.kill()
    host = hosts.Host(kit.door(machine), ssh.Account, SYSTEM)
    host.policy = Policy(total_s=0.5, first_s=0.1)

    def ask(_: int) -> str:
        return kit.message(lambda: host.ask({"do": "hello"}))

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        said = set(pool.map(ask, range(8)))
    assert said == {f"gpu-box (127.0.0.1:{machine.port}): Connection refused"}
    assert time.monotonic() - began < 1.5
    machine.start()
    assert host.ask({"do": "hello"}).said == {}
    host.close()


def test_a_machine_that_is_waited_for_is_said_to_be_away_once(machine: kit.Machine, user: str) -> None:
    machine.kill()
    host = hosts.Host(kit.door(machine), ssh.Account, SYSTEM)
    host.policy, said = Policy(total_s=0.5, first_s=0.1), list[str]()
    host.on_wait = said.append
    assert kit.message(lambda: host.ask({"do": "hello"})) == said[0]
    assert said == [f"gpu-box (127.0.0.1:{machine.port}): Connection refused"]
