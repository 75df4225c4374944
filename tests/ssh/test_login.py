"""Who gets in to a machine, and with what; which machine is believed to be it; what is never tried twice."""

from __future__ import annotations

import os
import subprocess
from getpass import getuser
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from emulator.ssh import Server, Servers
from runtime import ssh
from runtime.errors import RefusedError
from runtime.retry import Policy
from specs.targets import VirtualMachineTarget
from tests.runtime import kit as runtime_kit
from tests.ssh import kit
from tests.ssh.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.transport import Request
    from runtime.wire import Object

ONCE = Policy(total_s=0.0)


def nothing() -> ssh.Account:
    raise RefusedError("The client may not perform the action", code="AuthorizationFailed", status=403)


def refused(machine: kit.Machine, port: int | None = None) -> str:
    words = kit.message(lambda: ssh.connect(kit.door(machine, port), nothing))
    return words.replace(f"127.0.0.1:{port or machine.port}", "HOST")


def test_another_host_key_is_refused_before_anything_is_sent_and_only_once(
    client: kit.Client, machine: kit.Machine, tmp_path: Path
) -> None:
    pinned, machine.host_key = machine.host_key, kit.key_pair(tmp_path / "other")
    proxy = Proxy(machine.port)
    try:
        client.port = proxy.port
        words = kit.message(lambda: client.submit(kit.a_job(tmp_path / "job", "true")))
        there, here = (ssh.fingerprint(kit.raw(line)) for line in (pinned, machine.host_key))
        assert words == (
            f"gpu-box (127.0.0.1:{proxy.port}) answered with another host key than the one pinned in the stack.\n"
            f"  pinned  {here}   got  {there}\n"
            "  If the machine was rebuilt, change host_key in stacks/local.yaml and run invoke up. Nothing was sent."
        )
        assert proxy.connections == 1
        assert "Accepted" not in (machine.folder / "sshd.log").read_text()
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(machine.folder / "host_key")], capture_output=True, text=True, check=True
        )
        assert there in shown.stdout.split()
    finally:
        proxy.close()


def test_a_machine_whose_key_is_not_pinned_is_not_connected_to(client: kit.Client, tmp_path: Path) -> None:
    known = kit.outputs_of(client.machine)
    target = known.targets["gpu-box"].model_copy(update={"host_key": None})
    known = known.model_copy(update={"targets": {**known.targets, "gpu-box": target}})
    job = kit.a_job(tmp_path / "job", "true")
    assert kit.message(lambda: client.submit(job, known=known)) == (
        "the host key of gpu-box is not pinned, so nobody could tell whether it is that machine. "
        "First: invoke host-key gpu-box"
    )
    assert client.site.store.all() == []


def test_nobody_let_in_names_all_that_was_tried_and_asks_once(
    machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "stranger"
    monkeypatch.setenv("HOME", str(home))
    kit.key_pair(home / ".ssh/id_ed25519")
    kit.key_pair(home / ".ssh/id_open")
    (home / ".ssh/id_open").chmod(0o644)
    (home / ".ssh/id_rubbish").write_text("not a key")
    (home / ".ssh/id_rubbish").chmod(0o600)
    locked(home / ".ssh/id_locked")
    proxy = Proxy(machine.port)
    try:
        assert refused(machine, proxy.port) == (
            f"gpu-box (HOST) let nobody in as {getuser()}. Nothing was sent.\n"
            "  tried  ssh-agent: none is running (SSH_AUTH_SOCK is not set)\n"
            "         ~/.ssh/id_ed25519: refused\n"
            "         ~/.ssh/id_locked: has a passphrase. Open it for the agent: ssh-add ~/.ssh/id_locked\n"
            "         ~/.ssh/id_open: others can read it, so it is not used. Repair: chmod 600 ~/.ssh/id_open\n"
            "         ~/.ssh/id_rubbish: can't be read as a private key\n"
            "         listKeys of the workspace: The client may not perform the action. [AuthorizationFailed]\n"
            "  Add a key to your agent (ssh-add), or ask for "
            "Microsoft.MachineLearningServices/workspaces/computes/listKeys/action on the workspace."
        )
        assert proxy.connections == 1
    finally:
        proxy.close()


def locked(path: Path) -> None:
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    path.chmod(0o600)


def test_the_agent_comes_before_the_files(
    machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "stranger"))
    machine.let_in(kit.key_pair(tmp_path / "in the agent"))
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        kit.until(socket.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(tmp_path / "in the agent")], check=True, env=os.environ)
        ssh.connect(kit.door(machine), nothing, policy=ONCE).close()
    finally:
        agent.terminate()
        agent.wait()


def test_more_keys_than_a_server_hears_at_once_are_offered_on_new_connections(
    machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.kill()
    machine.more = ["MaxAuthTries 2"]
    machine.start()
    home = tmp_path / "many"
    monkeypatch.setenv("HOME", str(home))
    for number in range(5):
        public = kit.key_pair(home / f".ssh/id_{number}")
    machine.let_in(public)
    ssh.connect(kit.door(machine), nothing, policy=ONCE).close()


def test_the_workspaces_own_key_opens_when_the_users_do_not(
    client: kit.Client, machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "stranger"))
    machine.let_in(kit.key_pair(tmp_path / "kept"))
    keep(client, machine.port, {"privateKeyData": (tmp_path / "kept").read_text()})
    run = client.submit(kit.a_job(tmp_path / "job", "echo in")).wait(120)
    assert (run.state, kit.log_of(run)) == ("Completed", b"in\n")
    assert ("POST", f"{kit.VM}/listKeys") in client.cloud.asked
    held = [path for path in client.project.root.rglob("*") if path.is_file() and b"OPENSSH" in path.read_bytes()]
    assert held == []


def keep(client: kit.Client, port: int, secret: Object, address: str = "127.0.0.1") -> None:
    """Have the workspace keep a credential for its machine at an address."""
    settings = {"address": address, "sshPort": port, "administratorAccount": {"username": getuser()}}

    def answer(request: Request) -> runtime_kit.Reply:
        if request.url.partition("?")[0].endswith("/listKeys"):
            account = {"username": getuser(), **secret}
            return 200, {"computeType": "VirtualMachine", "administratorAccount": account}
        if "/computes/gpu-box" in request.url:
            return 200, {"properties": {"computeType": "VirtualMachine", "properties": settings}}
        return 403, kit.REFUSED

    client.cloud.on = answer


def test_a_credential_goes_to_no_other_address_than_the_workspaces(
    client: kit.Client, machine: kit.Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "stranger"))
    keep(client, 22, {"password": "canary"}, "10.0.2.4")
    words = kit.message(lambda: client.submit(kit.a_job(tmp_path / "job", "true")))
    assert words.splitlines()[3] == (
        "         listKeys of the workspace: not used, as the workspace has 10.0.2.4:22 for gpu-box now"
    )
    assert ("POST", f"{kit.VM}/listKeys") not in client.cloud.asked


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path / "emulated")
    yield made
    for server in made.all():
        made.remove(server.name)
    made.close()


@pytest.mark.processes
def test_an_account_with_a_password_works_by_list_keys(servers: Servers, user: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = servers.start(Server("gpu-box", str(home), "ops", password="correct horse"))
    target = VirtualMachineTarget(
        name="gpu-box",
        id=kit.VM,
        workspace="research",
        address="127.0.0.1",
        ssh_port=server.port,
        username="ops",
        host_key=servers.host_key("gpu-box"),
        resource_id=None,
        made_here=False,
    )
    known = runtime_kit.some_outputs()
    known = known.model_copy(update={"targets": {"gpu-box": target}, "default_target": "gpu-box"})
    with kit.client(tmp_path / "project", kit.Known(server.port, target.host_key or "")) as client:
        keep(client, server.port, {"password": "correct horse"})
        run = client.submit(kit.a_job(tmp_path / "job", "echo in"), known=known).wait(120)
        assert (run.state, kit.log_of(run)) == ("Completed", b"in\n"), run.record.reason
    assert b"correct horse" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "weak", ["Ciphers aes128-cbc,3des-cbc", "MACs hmac-sha1,hmac-md5", "KexAlgorithms diffie-hellman-group14-sha1"]
)
def test_a_machine_that_knows_weak_algorithms_only_is_refused_and_not_tried_again(
    machine: kit.Machine, weak: str
) -> None:
    machine.kill()
    machine.more = [weak, *([] if weak.startswith("Ciphers") else ["Ciphers aes128-ctr"])]
    machine.start()
    proxy = Proxy(machine.port)
    try:
        words = refused(machine, proxy.port)
        assert words.startswith("gpu-box (HOST) knows no way of encryption that is safe today (")
        assert words.endswith("). Update its SSH server. Nothing was sent.")
        assert proxy.connections == 1
    finally:
        proxy.close()


def test_what_is_weak_is_never_offered() -> None:
    paramiko = ssh.load()
    off = ssh.weak(paramiko)
    assert off["ciphers"] == ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"]
    assert off["macs"] == ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"]
    assert [off[word] for word in ("kex", "keys", "pubkeys")] == [[], [], []]
