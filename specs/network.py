"""The virtual network of a stack and its subnets."""

from __future__ import annotations

import ipaddress

from pydantic import Field, model_validator

from specs.base import Cidr, Fault, Spec, SubnetName, raise_faults

RESERVED_ADDRESSES = 5
"""Azure keeps five addresses of every subnet (virtual-networks-faq)."""


class Subnet(Spec):
    """One subnet."""

    address_prefix: Cidr
    """Its range, inside the network's address space, e.g. `10.20.1.0/24`."""

    @property
    def room(self) -> int:
        """How many machines fit."""
        return max(0, ipaddress.ip_network(self.address_prefix, strict=False).num_addresses - RESERVED_ADDRESSES)


class Network(Spec):
    """A virtual network that the stack owns."""

    address_space: list[Cidr] = Field(min_length=1)
    """Its ranges, e.g. `[10.20.0.0/16]`."""
    subnets: dict[SubnetName, Subnet] = {}
    """Its subnets by name; a cluster names one in its `subnet`."""

    @model_validator(mode="after")
    def _ranges_fit(self) -> Network:
        faults: list[Fault] = []
        spaces = [
            (index, network)
            for index, text in enumerate(self.address_space)
            if (network := _range(text, ("address_space", index), faults)) is not None
        ]
        taken: list[tuple[str, ipaddress.IPv4Network]] = []
        for name, subnet in self.subnets.items():
            at = ("subnets", name, "address_prefix")
            network = _range(subnet.address_prefix, at, faults)
            if network is None:
                continue
            if not any(network.subnet_of(space) for _, space in spaces):
                allowed = ", ".join(self.address_space)
                faults.append(
                    Fault(
                        at=at, message=f"lies outside the network's address_space ({allowed}).", rule="subnet-outside"
                    )
                )
            for other, range_ in taken:
                if network.overlaps(range_):
                    faults.append(Fault(at=at, message=f"overlaps subnet {other} ({range_}).", rule="subnet-overlap"))
            taken.append((name, network))
        raise_faults(faults)
        return self


def _range(text: str, at: tuple[str | int, ...], faults: list[Fault]) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        faults.append(Fault(at=at, message=f"is not an IPv4 range: {error}.", rule="cidr"))
        return None
