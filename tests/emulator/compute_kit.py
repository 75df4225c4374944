"""Bodies of compute instances and attached machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.emulator.arm_kit import RG, SUB, WS, mapping

if TYPE_CHECKING:
    from emulator.routing import Json
    from tests.emulator.arm_kit import Arm

CI = f"{WS}/computes/anna-ci"
VM = f"{WS}/computes/lab-vm"
MACHINE = f"{RG}/providers/Microsoft.Compute/virtualMachines/lab"
LOCATION = f"{SUB}/providers/Microsoft.MachineLearningServices/locations/westeurope"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIn4KVjc4nSPgxVBUGEBsRZKcaH9brN1iCSUnDmZfQpj"
ON_ITS_OWN: dict[str, Json] = {"triggerType": "Cron", "cron": {"expression": "30 18 * * *", "timeZone": "UTC"}}


def instance(**settings: Json) -> dict[str, Json]:
    """Return the body of a ComputeInstance."""
    inner: dict[str, Json] = {"vmSize": "Standard_D2_v3", **settings}
    return {"location": "westeurope", "properties": {"computeType": "ComputeInstance", "properties": inner}}


def machine(resource: Json = None, **settings: Json) -> dict[str, Json]:
    """Return the body of an attached VirtualMachine."""
    account: Json = {"username": "ops", "privateKeyData": "canary-key"}
    inner: dict[str, Json] = {"address": "10.1.2.3", "sshPort": 2222, "administratorAccount": account, **settings}
    outer: dict[str, Json] = {"computeType": "VirtualMachine", "resourceId": resource, "properties": inner}
    return {"location": "westeurope", "properties": outer}


def inner(arm: Arm, path: str) -> dict[str, Json]:
    """Return `properties.properties` of a compute."""
    return mapping(mapping(arm.get(path)["properties"])["properties"])


def message(arm: Arm, method: str, path: str, body: object = None, **query: str) -> str:
    """Send what must be refused; return what is said."""
    return str(mapping(mapping(arm.call(method, path, body, **query)[1])["error"])["message"])
