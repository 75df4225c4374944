"""Logging in to nodes and instances: a door where the cluster opens one, and only as long as the machine is there."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncssh
import pytest

from emulator.clusters import Clusters
from emulator.ssh import FIRST_PORT, Servers
from tests.emulator.arm_kit import CPU, Arm, cluster, mapping
from tests.emulator.compute_kit import CI, inner, instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from emulator.routing import Json

pytestmark = pytest.mark.processes
PRIVATE = asyncssh.generate_private_key("ssh-ed25519")
KEY = PRIVATE.export_public_key("openssh").decode().strip()
ACCOUNT: dict[str, Json] = {"adminUserName": "ops", "adminUserSshPublicKey": KEY}
TWO: dict[str, Json] = {"minNodeCount": 2, "maxNodeCount": 2}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Arm]:
    """Make a cloud with real nodes and real SSH servers, whose clock stands."""
    made = Arm(tmp_path)
    made.cloud.ssh = Servers(tmp_path)
    made.cloud.clusters = Clusters(made.cloud)
    made.seed()
    yield made
    made.cloud.clusters.stop()
    for server in made.cloud.ssh.all():
        made.cloud.ssh.remove(server.name)
    made.cloud.ssh.close()
    made.cloud.state.close()


def settle(arm: Arm) -> None:
    """Let the clusters look until nothing more happens."""
    assert isinstance(arm.cloud.clusters, Clusters)
    for _ in range(3):
        arm.cloud.clusters.tick()


def nodes(arm: Arm) -> list[dict[str, Json]]:
    status, answer = arm.call("POST", f"{CPU}/listNodes")
    found = mapping(answer)["nodes"]
    assert status == 200
    assert isinstance(found, list)
    return [mapping(node) for node in found]


def login(address: Json, port: Json, user: str, command: str = "pwd", **how: object) -> str:
    """Run a command over SSH; the host key is not the question here."""

    async def talk() -> str:
        options: dict[str, object] = {"client_keys": [PRIVATE], "agent_path": None, **how}
        known: object = None
        connection = await asyncssh.connect(
            str(address), int(str(port)), username=user, known_hosts=known, config=[], **options
        )
        async with connection:
            done = await connection.run(command, check=True)
        return str(done.stdout)

    return asyncio.run(talk())


def eventually(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_logs_in_to_the_nodes_of_an_open_cluster(site: Arm, tmp_path: Path) -> None:
    site.put(
        CPU, cluster(remoteLoginPortPublicAccess="Enabled", userAccountCredentials=ACCOUNT, scaleSettings=TWO), 201
    )
    settle(site)
    found = nodes(site)
    assert [(node["nodeState"], node["publicIpAddress"]) for node in found] == [("idle", "127.0.0.1")] * 2
    ports = [int(str(node["port"])) for node in found]
    assert ports == sorted(set(ports))
    assert ports[0] >= FIRST_PORT
    homes = [f"{tmp_path}/nodes/cpu-cluster/{node['nodeId']}/home\n" for node in found]
    assert [login(node["publicIpAddress"], node["port"], "ops") for node in found] == homes
    with pytest.raises(asyncssh.PermissionDenied):
        login("127.0.0.1", ports[0], "root")
    site.call("DELETE", CPU, underlyingResourceAction="Delete")
    for port in ports:
        with pytest.raises(OSError, match=r"refused|failed"):
            login("127.0.0.1", port, "ops")
    assert list((tmp_path / "ssh").iterdir()) == []


def test_a_password_opens_a_node_as_well(site: Arm) -> None:
    account: dict[str, Json] = {"adminUserName": "ops", "adminUserPassword": "canary-4711"}
    body = cluster(remoteLoginPortPublicAccess="Enabled", userAccountCredentials=account, scaleSettings=TWO)
    site.put(CPU, body, 201)
    settle(site)
    port = nodes(site)[0]["port"]
    assert login("127.0.0.1", port, "ops", "echo in", client_keys=None, password="canary-4711") == "in\n"
    with pytest.raises(asyncssh.PermissionDenied):
        login("127.0.0.1", port, "ops")


@pytest.mark.parametrize(
    "settings",
    [
        {"remoteLoginPortPublicAccess": "Disabled", "userAccountCredentials": ACCOUNT},
        {"remoteLoginPortPublicAccess": "Enabled"},
    ],
)
def test_a_closed_cluster_has_no_door(site: Arm, settings: dict[str, Json]) -> None:
    site.put(CPU, cluster(scaleSettings=TWO, **settings), 201)
    settle(site)
    assert [(node["publicIpAddress"], node["port"]) for node in nodes(site)] == [(None, 50000), (None, 50001)]
    assert site.cloud.ssh is not None
    assert site.cloud.ssh.all() == []


def test_local_accounts_can_be_switched_off(site: Arm) -> None:
    body = cluster(remoteLoginPortPublicAccess="Enabled", userAccountCredentials=ACCOUNT, scaleSettings=TWO)
    mapping(body["properties"])["disableLocalAuth"] = True
    site.put(CPU, body, 201)
    settle(site)
    assert [node["publicIpAddress"] for node in nodes(site)] == [None, None]


def test_a_node_that_goes_takes_its_door_along(site: Arm, tmp_path: Path) -> None:
    open_: dict[str, Json] = {"remoteLoginPortPublicAccess": "Enabled", "userAccountCredentials": ACCOUNT}
    site.put(CPU, cluster(scaleSettings=TWO, **open_), 201)
    settle(site)
    assert len(list((tmp_path / "ssh").iterdir())) == 2
    site.put(CPU, cluster(scaleSettings={"minNodeCount": 0, "maxNodeCount": 1}, **open_), 200)
    settle(site)
    assert (len(nodes(site)), len(list((tmp_path / "ssh").iterdir()))) == (1, 1)
    site.clock.forward(seconds=121)
    settle(site)
    assert (nodes(site), list((tmp_path / "ssh").iterdir())) == ([], [])


def test_one_logs_in_to_an_instance_while_it_is_on(site: Arm, tmp_path: Path) -> None:
    site.put(CI, instance(sshSettings={"sshPublicAccess": "Enabled", "adminPublicKey": KEY}), 201)
    shown = inner(site, CI)
    address, port = mapping(shown["connectivityEndpoints"])["publicIpAddress"], mapping(shown["sshSettings"])["sshPort"]
    assert login(address, port, "azureuser", "echo kept > file; cat file") == "kept\n"
    site.call("POST", f"{CI}/stop")
    with pytest.raises(OSError, match=r"refused|failed"):
        login(address, port, "azureuser")
    site.call("POST", f"{CI}/start")
    assert mapping(inner(site, CI)["sshSettings"])["sshPort"] == port
    assert login(address, port, "azureuser", "cat file") == "kept\n"
    site.call("POST", f"{CI}/restart")
    assert login(address, port, "azureuser", "cat file") == "kept\n"
    site.call("DELETE", CI, underlyingResourceAction="Delete")
    assert (list((tmp_path / "ssh").iterdir()), list((tmp_path / "instances").iterdir())) == ([], [])


def test_a_restart_ends_what_runs_on_an_instance(site: Arm) -> None:
    site.put(CI, instance(sshSettings={"sshPublicAccess": "Enabled", "adminPublicKey": KEY}), 201)
    port = mapping(inner(site, CI)["sshSettings"])["sshPort"]
    line = "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!"
    pid = int(login("127.0.0.1", port, "azureuser", line))
    site.call("POST", f"{CI}/restart")
    eventually(lambda: login("127.0.0.1", port, "azureuser", f"kill -0 {pid} 2>/dev/null && echo there; true") == "")


def test_a_closed_instance_has_no_door(site: Arm) -> None:
    site.put(CI, instance(), 201)
    assert site.cloud.ssh is not None
    assert site.cloud.ssh.all() == []
