"""A kill between a document and the record of its operation leaves nothing between two states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import arm
from tests.emulator.arm_kit import RG, VNET, mapping

if TYPE_CHECKING:
    from tests.emulator.arm_kit import Arm

NETWORK = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}


def forget_operations(slow: Arm) -> None:
    for key, _ in slow.cloud.state.all("operation"):
        slow.cloud.state.delete(key)


def test_what_was_being_made_is_there_and_what_was_being_deleted_is_gone(slow: Arm) -> None:
    slow.put(RG, {"location": "westeurope"})
    slow.put(VNET, NETWORK, 201)
    slow.put(f"{RG}2", {"location": "westeurope"})
    assert slow.call("DELETE", f"{RG}2")[0] == 202
    forget_operations(slow)
    assert arm.resume(slow.cloud) == 0
    assert mapping(slow.get(VNET)["properties"])["provisioningState"] == "Succeeded"
    assert slow.refused("GET", f"{RG}2") == (404, "ResourceGroupNotFound")
    assert slow.call("DELETE", VNET)[0] == 202
    forget_operations(slow)
    arm.resume(slow.cloud)
    assert slow.refused("GET", VNET) == (404, "ResourceNotFound")
