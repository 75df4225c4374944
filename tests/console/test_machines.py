from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from console import listings, live, machines
from console.commands.machines import after_dashes
from console.machines import Place
from console.yard import Yard
from emulator.ssh import Server, Servers
from runtime.errors import SpecError
from runtime.machines import Login, Node
from specs.capabilities import capabilities
from specs.targets import LocalTarget
from tests.runtime import kit
from tests.runtime.test_machines import CI, KEY, an_instance, compute, some_machine, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.targets import Target, VirtualMachineTarget

NODE = Login("cpu-cluster-tvm-1", "20.1.2.3", 50000, "ada", None)
MACHINE = Login("gpu-box", "10.0.2.4", 2222, "ada", KEY)


def place(tmp_path: Path, target: Target, transport: kit.FakeTransport | None = None) -> Place:
    plane = kit.fake_plane(transport or kit.FakeTransport(), kit.HeldClock())
    return Place(Yard(kit.a_project(tmp_path / "project")), stack(), target, plane)


def test_a_pinned_host_key_is_the_only_one() -> None:
    assert machines.options(MACHINE, Path("/data/a b/100%.pinned"), None) == [
        *("-p", "2222"),
        *("-o", "HostKeyAlias=gpu-box"),
        *("-o", 'UserKnownHostsFile="/data/a b/100%%.pinned"'),
        *("-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "UpdateHostKeys=no"),
        *("-o", "CheckHostIP=no"),
        *("-o", "HashKnownHosts=no"),
        *("-o", "ConnectTimeout=15"),
    ]


def test_a_host_key_that_azure_does_not_publish_is_asked_about_and_never_taken_unseen() -> None:
    found = machines.options(NODE, Path("/k"), "~/keys/ada")
    assert found[found.index("StrictHostKeyChecking=ask") - 1] == "-o"
    assert found[-4:] == ["-o", "IdentitiesOnly=yes", "-i", str(Path("~/keys/ada").expanduser())]


def test_the_pinned_key_is_written_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    argv = machines.ssh_command(place(tmp_path, some_machine()), None, None, ["nvidia-smi", "-L"])
    known = tmp_path / "project/.trainyard/ssh/local-gpu-box.pinned"
    assert argv == [
        str(shutil.which("ssh")),
        *machines.options(MACHINE, known, None),
        *("--", "ada@10.0.2.4", "nvidia-smi", "-L"),
    ]
    assert known.read_text() == f"gpu-box {KEY}\n"
    assert [oct(path.stat().st_mode & 0o777) for path in (known, known.parent)] == ["0o600", "0o700"]


def test_answers_about_nodes_are_kept_by_workspace(tmp_path: Path) -> None:
    transport = kit.FakeTransport({("GET", CI): [(200, an_instance())]})
    here = place(tmp_path, stack().targets["ada-box"], transport)
    known = tmp_path / "project/.trainyard/ssh/local-research.asked"
    machines.ssh_command(here, None, None, [])
    known.write_text("ada-box ssh-ed25519 AAAA\n")
    argv = machines.ssh_command(here, None, None, [])
    assert argv[1:] == [
        *machines.options(Login("ada-box", "20.9.9.9", 50002, "azureuser", None), known, None),
        *("--", "azureuser@20.9.9.9"),
    ]
    assert known.read_text() == "ada-box ssh-ed25519 AAAA\n"


def test_a_key_file_that_is_not_there_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        machines.ssh_command(place(tmp_path, some_machine()), None, "nowhere", [])
    assert str(error.value) == 'the command: --identity = "nowhere"\n  no such file.   [rule identity]'


def test_a_command_after_dashes_keeps_its_words() -> None:
    assert after_dashes(["invoke", "ssh", "gpu-box", "--", "echo", "a  b", "--", "c"]) == ["echo", "a  b", "--", "c"]
    assert after_dashes(["invoke", "ssh", "gpu-box"]) == []


def test_nodes_are_listed_with_their_logins() -> None:
    found = [Node("tvm-1", "running", "20.1.2.3", 50000, "ada", "digits-quiet-heron"), Node("tvm-2", "preparing")]
    assert listings.nodes(found, "cpu-cluster") == [
        "     NODE   STATE      RUN                 LOGIN",
        "  0  tvm-1  running    digits-quiet-heron  ssh -p 50000 ada@20.1.2.3",
        "  1  tvm-2  preparing  -                   -",
    ]
    assert listings.nodes([], "cpu-cluster") == ["  cpu-cluster has no node now; it gets one when a job is sent"]


def a_row(name: str, kind: str, state: str, nodes: str, cost: live.Cost | None) -> live.Row:
    found = {"AmlCompute": capabilities("AmlCompute"), "Local": capabilities("Local")}[kind]
    return live.Row(
        name=name, kind=kind, workspace=None, state=state, nodes=nodes, size="s", gpus=0, default=False,
        capabilities=dict(found.items()), cost=cost,
    )  # fmt: skip


def test_targets_are_listed_with_the_documents_table_and_what_the_marks_mean() -> None:
    note = "USD an hour, Linux, eastus, 2026-01-01; westeurope differs"
    cost = live.Cost(least=0, most=0.58, currency="USD", region="eastus", as_of="2026-01-01", note=note)
    rows = [
        a_row("cpu-cluster", "AmlCompute", "Succeeded", "0/4", cost),
        a_row("local", "Local", "ready", "-", None),
    ]
    assert listings.targets(rows) == [
        "  TARGET       KIND        STATE      NODES  SIZE  GPU  TRAIN  SWEEP  AUTOML  PIPELINE  TEST  REALTIME  BATCH"
        "  COST/H",
        "  cpu-cluster  AmlCompute  Succeeded  0/4    s     ✓    ✓      ✓      ✓       ✓         ✓     -         ✓    "
        "  $0.00–0.58",  # noqa: RUF001 - from the least to the most
        "  local        Local       ready      -      s     ?    ✓      +      ✓       +         ✓     ✓         -    "
        "  -",
        "  ✓ yes, ? if the machine has one, + here, beyond Azure's documents",
        f"  cost: {note}",
    ]


def test_the_live_state_of_every_kind_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = {"maxNodeCount": 2}
    transport = kit.FakeTransport(
        {
            ("GET", kit.CPU): [(200, compute({"scaleSettings": scale, "currentNodeCount": 1}))],
            ("GET", CI): [(200, an_instance(state="Stopped"))],
            ("GET", some_machine().id): [(404, {"error": {"code": "ResourceNotFound", "message": "no"}})],
        }
    )
    plane = kit.fake_plane(transport, kit.HeldClock())
    monkeypatch.setattr("runtime.control_plane.connect", lambda _cloud, _project: plane)
    known = stack().model_copy(update={"local": LocalTarget(name="local", cpus=1, memory_gib=0.5)})
    rows = live.targets(kit.a_project(tmp_path), known)
    assert [(row["name"], row["kind"], row["state"], row["nodes"], row["size"], row["default"]) for row in rows] == [
        ("cpu-cluster", "AmlCompute", "Succeeded", "1/2", "Standard_D2_v2", True),
        ("ada-box", "ComputeInstance", "Stopped", "0/1", "Standard_DS3_v2", False),
        ("gpu-box", "VirtualMachine", "gone", "-", "10.0.2.4:2222", False),
        ("local", "Local", "ready", "-", "1 core, 0.5 GiB", False),
    ]
    cost = rows[0]["cost"]
    assert cost is not None
    assert (cost["least"], cost["currency"], cost["note"].endswith("westeurope differs")) == (0.0, "USD", True)
    assert (rows[0]["capabilities"]["batch"], [row["gpus"] for row in rows]) == ("yes", [0, 0, None, None])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[VirtualMachineTarget, Path]]:
    """Make a machine with a real SSH server, and the file of the key that may log in."""
    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH
    identity = tmp_path / "id"
    identity.touch(0o600)
    identity.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    servers = Servers(tmp_path / "emulator")
    try:
        server = servers.start(Server("m", str(tmp_path / "home"), "ada", keys=(public.decode(),)))
        pinned = servers.host_key(server.name)
        yield some_machine(address=server.address, ssh_port=server.port, host_key=pinned), identity
    finally:
        servers.remove("m")
        servers.close()


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    words = [argv[0], "-F", "/dev/null", "-o", "BatchMode=yes", *argv[1:]]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.processes
def test_openssh_logs_in_to_the_machine_whose_key_is_pinned(
    tmp_path: Path, machine: tuple[VirtualMachineTarget, Path]
) -> None:
    target, identity = machine
    done = run(machines.ssh_command(place(tmp_path, target), None, str(identity), ["echo", "hello"]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.processes
def test_openssh_refuses_a_machine_with_another_host_key(
    tmp_path: Path, machine: tuple[VirtualMachineTarget, Path]
) -> None:
    target, identity = machine
    other = Ed25519PrivateKey.generate().public_key()
    key = other.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    false = target.model_copy(update={"host_key": key})
    done = run(machines.ssh_command(place(tmp_path, false), None, str(identity), ["echo", "hello"]))
    assert (done.returncode, done.stdout) == (255, "")
    assert done.stderr.splitlines()[-1] == "Host key verification failed."
