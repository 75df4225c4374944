"""A killed emulator comes back with the same doors: ports, host keys, and who is on."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncssh
import pytest

from emulator import homes, launch
from emulator.ssh import Servers
from tests.emulator import arm_kit as kit
from tests.emulator.compute_kit import CI, instance
from tests.emulator.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Json

pytestmark = pytest.mark.processes
PRIVATE = asyncssh.generate_private_key("ssh-ed25519")
SSH: dict[str, Json] = {
    "sshPublicAccess": "Enabled",
    "adminPublicKey": PRIVATE.export_public_key("openssh").decode().strip(),
}


async def said(port: int, host_key: str, command: str) -> str:
    """Run a command on the instance, which must have this host key."""
    known: object = ([asyncssh.import_public_key(host_key)], [], [])
    options: dict[str, object] = {"client_keys": [PRIVATE], "agent_path": None, "config": []}
    connection = await asyncssh.connect("127.0.0.1", port, username="azureuser", known_hosts=known, **options)
    async with connection:
        done = await connection.run(command, check=True)
    return str(done.stdout)


def test_an_instance_is_the_same_after_a_kill(tmp_path: Path) -> None:
    endpoint = launch.ensure(tmp_path)
    try:
        wire = Wire(endpoint)
        wire.put(kit.RG, {"location": "westeurope"})
        wire.put(kit.STORAGE, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
        wire.put(kit.VAULT, kit.vault())
        wire.put(kit.WS, kit.workspace(applicationInsights=None))
        wire.put(CI, instance(sshSettings=SSH))
        wire.put(f"{CI}b", instance(sshSettings=SSH))
        wire.send("POST", f"{CI}b/stop?api-version=2025-12-01")
        before = wire.send("GET", f"{CI}?api-version=2025-12-01")[1]
        servers = Servers(tmp_path)
        port, host_key = (servers.find(CI) or pytest.fail("no server")).port, servers.host_key(CI)
        asyncio.run(said(port, host_key, "echo kept > file"))
        os.kill(endpoint.pid, signal.SIGKILL)
        with homes.locked(tmp_path / "lock"):  # until the kernel has buried it
            pass
        again = launch.ensure(tmp_path)
        assert again.pid != endpoint.pid
        assert Wire(again).send("GET", f"{CI}?api-version=2025-12-01")[1] == before
        assert asyncio.run(said(port, host_key, "cat file")) == "kept\n"
        assert "kept" not in (tmp_path / "emulator.log").read_text()
        stopped = servers.find(f"{CI}b")
        assert stopped is not None
        assert not stopped.on
        with pytest.raises(OSError, match=r"refused|failed"):
            asyncio.run(said(stopped.port, host_key, "true"))
    finally:
        launch.stop(tmp_path)
