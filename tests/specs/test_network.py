"""Networks that are taken; those that are not are in the corpus."""

from __future__ import annotations

import pytest

from specs.network import KEPT_RANGES, Network, Subnet, docker_faults
from specs.stack import StackSpec

V = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"


@pytest.mark.parametrize(
    ("prefix", "room"), [("10.0.0.0/29", 3), ("10.0.0.0/28", 11), ("10.0.0.0/24", 251), ("10.0.0.0/8", 2**24 - 5)]
)
def test_azure_keeps_five_addresses_of_a_subnet(prefix: str, room: int) -> None:
    assert Subnet(address_prefix=prefix).room == room


@pytest.mark.parametrize(
    "space", [["10.0.0.0/8"], ["172.16.0.0/12"], ["192.168.0.0/16"], ["10.0.0.0/24", "10.0.1.0/24"], ["100.64.0.0/10"]]
)
def test_ranges_beside_one_another_are_taken(space: list[str]) -> None:
    assert Network(address_space=space).address_space == space


def test_subnets_may_fill_their_network() -> None:
    halves = {"low": {"address_prefix": "10.0.0.0/25"}, "high": {"address_prefix": "10.0.0.128/25"}}
    found = Network.model_validate({"address_space": ["10.0.0.0/24"], "subnets": halves})
    assert [subnet.room for subnet in found.subnets.values()] == [123, 123]


def test_an_existing_network_needs_no_ranges() -> None:
    found = Network.model_validate(
        {"id": V, "location": "northeurope", "subnets": {"a": {"address_prefix": "10.0.0.0/24"}}}
    )
    assert found.address_space == []


def rule(priority: int, direction: str, port: str) -> dict[str, object]:
    return {
        "priority": priority, "direction": direction, "access": "Allow", "protocol": "*",
        "source_address_prefix": "VirtualNetwork", "destination_address_prefix": "*", "destination_port_range": port,
    }  # fmt: skip


def test_rules_of_two_directions_may_share_a_priority_and_ports_may_be_any() -> None:
    rules = {
        "in": rule(100, "Inbound", "0-65535"),
        "out": rule(100, "Outbound", "*"),
        "low": rule(2999, "Outbound", "443"),
        "last": rule(4096, "Outbound", "8000-8000"),
    }
    found = Network.model_validate(
        {"address_space": ["10.0.0.0/16"], "subnets": {"a": {"address_prefix": "10.0.0.0/24", "security_rules": rules}}}
    )
    assert list(found.subnets["a"].security_rules) == ["in", "out", "low", "last"]


def test_ranges_that_no_network_may_use_are_those_of_the_page() -> None:
    assert [str(item) for item in KEPT_RANGES] == [
        "224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32",
    ]  # fmt: skip


def test_dockers_range_is_warned_of_in_the_subnets_of_an_existing_network() -> None:
    spec = StackSpec.model_validate(
        {
            "cloud": "azure", "location": "westeurope", "resource_group": "rg", "workspaces": {"research": {}},
            "network": {
                "id": V,
                "subnets": {"a": {"address_prefix": "172.17.4.0/24"}, "b": {"address_prefix": "172.18.0.0/24"}},
            },
        }
    )  # fmt: skip
    assert [(fault.at, fault.severity) for fault in docker_faults(spec)] == [
        (("network", "subnets", "a", "address_prefix"), "warning")
    ]
