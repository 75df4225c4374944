"""Machines of Microsoft.Compute: what a body must be, what can't change, power, the door that one logs in by."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING

import pytest

from components.machine import custom_data
from emulator import virtual_machines
from emulator.ssh import Servers
from tests.emulator.arm_kit import Arm, mapping
from tests.emulator.compute_kit import MACHINE
from tests.emulator.test_compute_ssh import KEY, login
from tests.emulator.test_network_types import NIC, PIP, PLACE, STATIC, interface

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json

IMAGE: dict[str, Json] = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
HOST_KEY: dict[str, Json] = {
    "commandId": "RunShellScript",
    "script": ["cat /etc/ssh/ssh_host_ed25519_key.pub"],
}


def machine(size: str = "Standard_D2_v3", data: str | None = None, **profile: Json) -> dict[str, Json]:
    key: Json = {"path": "/home/ops/.ssh/authorized_keys", "keyData": KEY}
    whole: dict[str, Json] = {
        "computerName": "lab",
        "adminUsername": "ops",
        "customData": data,
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
        **profile,
    }
    properties: dict[str, Json] = {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {name: value for name, value in whole.items() if value is not None},
        "networkProfile": {"networkInterfaces": [{"id": NIC, "properties": {"primary": True}}]},
    }
    return {**PLACE, "properties": properties}


def changed(path: str, value: Json) -> dict[str, Json]:
    """Return the body with one member of `properties` changed, or without it."""
    body = machine()
    *parents, last = path.split(".")
    at = mapping(body["properties"])
    for name in parents:
        at = mapping(at[name])
    at[last] = value
    return body


def view(arm: Arm) -> list[Json]:
    statuses = arm.get(f"{MACHINE}/instanceView")["statuses"]
    assert isinstance(statuses, list)
    return [mapping(status)["code"] for status in statuses]


@pytest.fixture
def wired(arm: Arm) -> Arm:
    """Make a network with an interface that has no public address."""
    arm.seed()
    arm.put(NIC, interface(), 201)
    return arm


@pytest.fixture
def public(arm: Arm) -> Iterator[Arm]:
    """Make a network with an interface that has a public address, and real SSH servers."""
    arm.cloud.ssh = Servers(arm.cloud.home)
    arm.seed()
    arm.put(PIP, STATIC, 201)
    arm.put(NIC, interface(publicIPAddress={"id": PIP}), 201)
    yield arm
    for server in arm.cloud.ssh.all():
        arm.cloud.ssh.remove(server.name)
    arm.cloud.ssh.close()


def address(arm: Arm) -> str:
    return str(mapping(arm.get(PIP)["properties"])["ipAddress"])


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("hardwareProfile.vmSize", "Standard_Nothing", "InvalidParameter"),
        ("hardwareProfile", None, "InvalidParameter"),
        ("storageProfile.imageReference", None, "InvalidParameter"),
        ("osProfile.adminUsername", "root", "InvalidParameter"),
        ("osProfile.adminUsername", "other", "InvalidParameter"),
        ("osProfile.linuxConfiguration", {"disablePasswordAuthentication": True}, "InvalidParameter"),
        ("osProfile.linuxConfiguration", {}, "InvalidParameter"),
        ("osProfile.customData", "not base64!", "InvalidParameter"),
        ("networkProfile.networkInterfaces", [], "InvalidParameter"),
        ("networkProfile.networkInterfaces", [{"id": f"{NIC}2"}], "InvalidResourceReference"),
    ],
)
def test_a_body_that_azure_refuses_is_refused(wired: Arm, path: str, value: Json, code: str) -> None:
    assert wired.refused("PUT", MACHINE, changed(path, value)) == (400, code)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("storageProfile.imageReference", {**IMAGE, "sku": "minimal"}),
        ("osProfile.computerName", "other"),
        ("osProfile.customData", base64.b64encode(b"#cloud-config").decode()),
    ],
)
def test_what_a_machine_is_made_of_stays(wired: Arm, path: str, value: Json) -> None:
    wired.put(MACHINE, machine(), 201)
    assert wired.refused("PUT", MACHINE, changed(path, value)) == (409, "PropertyChangeNotAllowed")


def test_secrets_are_not_shown_and_not_needed_again(wired: Arm) -> None:
    data = custom_data(2222)
    wired.put(MACHINE, machine(data=data), 201)
    shown = mapping(mapping(wired.get(MACHINE)["properties"])["osProfile"])
    assert ("customData" in shown, shown["adminUsername"]) == (False, "ops")
    wired.put(MACHINE, machine(), 200)
    assert wired.cloud.state.get(f"{MACHINE}/__secret") == {"customData": data}


def test_an_interface_in_use_stays(wired: Arm) -> None:
    wired.put(MACHINE, machine(), 201)
    assert wired.refused("DELETE", NIC) == (400, "NicInUse")
    assert wired.refused("PUT", f"{MACHINE}2", machine()) == (400, "NicInUse")
    assert mapping(wired.get(NIC)["properties"])["virtualMachine"] == {"id": MACHINE}
    assert wired.call("DELETE", MACHINE)[0] == 202
    assert wired.call("DELETE", NIC)[0] == 202


def test_an_interface_goes_with_its_machine_where_it_says_so(wired: Arm) -> None:
    body = changed("networkProfile.networkInterfaces", [{"id": NIC, "properties": {"deleteOption": "Delete"}}])
    wired.put(MACHINE, body, 201)
    wired.call("DELETE", MACHINE)
    assert wired.refused("GET", NIC) == (404, "ResourceNotFound")


def test_power_is_switched(wired: Arm) -> None:
    wired.put(MACHINE, machine(), 201)
    seen = [view(wired)[1]]
    for verb in ("powerOff", "start", "deallocate", "powerOff", "start", "restart"):
        assert wired.call("POST", f"{MACHINE}/{verb}")[0] == 202
        seen.append(view(wired)[1])
    words = ("running", "stopped", "running", "deallocated", "deallocated", "running", "running")
    assert seen == [f"PowerState/{word}" for word in words]
    wired.call("POST", f"{MACHINE}/powerOff")
    assert wired.refused("POST", f"{MACHINE}/restart") == (409, "OperationNotAllowed")
    expanded = mapping(wired.get(MACHINE, **{"$expand": "instanceView"})["properties"])
    assert "instanceView" in expanded
    assert "instanceView" not in mapping(wired.get(MACHINE)["properties"])


def test_a_machine_that_is_being_switched_is_not_switched_again(slow: Arm) -> None:
    from emulator import operations

    slow.seed()
    operations.advance(slow.cloud)
    slow.put(NIC, interface(), 201)
    operations.advance(slow.cloud)
    slow.put(MACHINE, machine(), 201)
    operations.advance(slow.cloud)
    assert slow.call("POST", f"{MACHINE}/powerOff")[0] == 202
    assert view(slow) == ["ProvisioningState/succeeded", "PowerState/stopping"]
    assert slow.refused("POST", f"{MACHINE}/start") == (409, "OperationNotAllowed")
    operations.advance(slow.cloud)
    assert view(slow) == ["ProvisioningState/succeeded", "PowerState/stopped"]


@pytest.mark.parametrize(("data", "port"), [(custom_data(2222), 2222), (custom_data(22), 22), ("", 22), ("???", 22)])
def test_the_port_is_our_cloud_init_files(data: str | None, port: int) -> None:
    assert virtual_machines.port(data or "") == port


@pytest.mark.processes
def test_one_logs_in_while_the_machine_is_on(public: Arm) -> None:
    host = address(public)
    port = free_port(host)
    public.put(MACHINE, machine(data=custom_data(port)), 201)
    home = virtual_machines.home(public.cloud, MACHINE)
    assert login(host, port, "ops") == f"{home}\n"
    status, _ = public.call("POST", f"{MACHINE}/runCommand", HOST_KEY)
    result = mapping(public.call("GET", public.headers["Location"])[1])
    assert public.cloud.ssh is not None
    key = public.cloud.ssh.host_key(MACHINE)
    said = f"Enable succeeded: \n[stdout]\n{key}\n\n[stderr]\n"
    assert (status, [mapping(item)["message"] for item in result["value"]]) == (202, [said])  # type: ignore[union-attr]
    public.call("POST", f"{MACHINE}/deallocate")
    with pytest.raises(ConnectionRefusedError):
        login(host, port, "ops")
    assert public.refused("POST", f"{MACHINE}/runCommand", HOST_KEY) == (409, "OperationNotAllowed")
    public.call("POST", f"{MACHINE}/start")
    assert login(host, port, "ops") == f"{home}\n"
    assert public.cloud.ssh.host_key(MACHINE) == key
    public.put(NIC, interface(), 200)
    with pytest.raises(ConnectionRefusedError):
        login(host, port, "ops")
    public.call("DELETE", MACHINE)
    assert (home.exists(), public.cloud.ssh.find(MACHINE)) == (False, None)


@pytest.mark.processes
def test_a_machine_outlives_the_emulator(public: Arm, tmp_path: Path) -> None:
    host = address(public)
    port = free_port(host)
    public.put(MACHINE, machine(data=custom_data(port)), 201)
    assert public.cloud.ssh is not None
    key = public.cloud.ssh.host_key(MACHINE)
    public.cloud.ssh.close()
    public.cloud.ssh = Servers(tmp_path)
    public.cloud.ssh.resume()
    assert login(host, port, "ops", "echo here") == "here\n"
    assert public.cloud.ssh.host_key(MACHINE) == key


@pytest.mark.processes
def test_a_port_that_can_not_be_had_is_said_in_the_instance_view(public: Arm) -> None:
    host = address(public)
    with socket.socket() as other:
        other.bind((host, 0))
        other.listen()
        port = int(other.getsockname()[1])
        public.put(MACHINE, machine(data=custom_data(port)), 201)
        statuses = public.get(f"{MACHINE}/instanceView")["statuses"]
    assert isinstance(statuses, list)
    last = mapping(statuses[-1])
    message = f"The SSH server of '{MACHINE}' can't listen on {host}:{port}: Address already in use."
    assert (last["code"], last["message"]) == ("ComponentStatus/sshd/failed", message)
    public.call("POST", f"{MACHINE}/restart")
    assert view(public) == ["ProvisioningState/succeeded", "PowerState/running"]


def test_any_other_script_is_named(wired: Arm) -> None:
    wired.put(MACHINE, machine(), 201)
    body = {"commandId": "RunShellScript", "script": ["id"]}
    status, said = wired.call("POST", f"{MACHINE}/runCommand", body)
    message = (
        "The script 'id' of RunShellScript is not played by this emulator; this one is: "
        "cat /etc/ssh/ssh_host_ed25519_key.pub"
    )
    assert (status, mapping(mapping(said)["error"])["message"]) == (501, message)
