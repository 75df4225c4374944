"""The virtual network of a stack: its subnets, the rules that guard them, and the zones that name private endpoints."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from specs.base import ArmId, Cidr, Fault, Location, SecurityRuleName, Spec, SubnetName, Wire, raise_faults, worded

if TYPE_CHECKING:
    from specs.stack import StackSpec

RESERVED_ADDRESSES = 5
"""Azure keeps five addresses of every subnet (virtual-networks-faq)."""
SMALLEST_SUBNET = 29
"""virtual-networks-faq: /29 to /2."""
KEPT_RANGES = tuple(
    ipaddress.IPv4Network(text)
    for text in ("224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32")
)
"""virtual-networks-faq: ranges that can't be added."""
PRIVATE = "10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
DOCKER = ipaddress.IPv4Network("172.17.0.0/16")
LAST_PORT = 65_535
SERVICE_PRIORITIES = (3000, 3999)
"""Kept for the rules that the service needs."""
PortRange = Annotated[str, worded(r"\*|[0-9]{1,5}(-[0-9]{1,5})?", "must be a port (443), a range (8000-8010), or *")]


ServiceEndpoint = Annotated[
    str, worded(r"Microsoft\.[A-Za-z.]+", "must be a service such as Microsoft.Storage or Microsoft.KeyVault")
]


class SecurityRule(Spec):
    """One rule of a network security group, beside those that the service needs."""

    priority: Annotated[int, Field(ge=100, le=4096)]
    """Lower comes first. 3000 to 3999 are kept for the rules that the service needs."""
    direction: Literal["Inbound", "Outbound"]
    """Which way."""
    access: Literal["Allow", "Deny"]
    """What happens."""
    protocol: Literal["Tcp", "Udp", "Icmp", "*"]
    """To which protocol."""
    source_address_prefix: Annotated[str, Field(min_length=1)]
    """A range, a service tag such as `VirtualNetwork`, or `*`."""
    source_port_range: PortRange = "*"
    """A port, a range, or `*`."""
    destination_address_prefix: Annotated[str, Field(min_length=1)]
    """A range, a service tag, or `*`."""
    destination_port_range: PortRange
    """A port, a range, or `*`."""
    description: Annotated[str, Field(max_length=140)] | None = None
    """Free text."""


class Subnet(Spec):
    """One subnet."""

    address_prefix: Annotated[Cidr, Wire("addressPrefix")]
    """Its range, inside the network's address space, e.g. `10.20.1.0/24`."""
    network_security_group: Annotated[Literal["service", "none"] | ArmId, Wire("networkSecurityGroup")] = "service"
    """`service`: one is made with the rules that Azure Machine Learning needs of what stands in the subnet. `none`: no
    group. Or the ARM id of an existing one, whose rules are then yours."""
    security_rules: Annotated[dict[SecurityRuleName, SecurityRule], Wire(None)] = {}
    """More rules, by name, for the group that is made here."""
    service_endpoints: Annotated[list[ServiceEndpoint], Wire("serviceEndpoints")] = []
    """Azure services reached without leaving Azure's network, e.g. `Microsoft.Storage`."""

    @property
    def room(self) -> int:
        """How many machines fit."""
        return max(0, ipaddress.ip_network(self.address_prefix, strict=False).num_addresses - RESERVED_ADDRESSES)


class Network(Spec):
    """A virtual network that the stack owns, or one that exists."""

    id: Annotated[ArmId | None, Wire(None, "replace")] = None
    """ARM id of an existing network. Its subnets are then named here as they are, and nothing of it is made."""
    location: Annotated[Location | None, Wire("location", "replace")] = None
    """Region of an existing network that lies elsewhere; absent: the stack's."""
    address_space: Annotated[list[Cidr], Wire("addressSpace.addressPrefixes")] = []
    """Its ranges, e.g. `[10.20.0.0/16]`; needed for a network that is made."""
    subnets: Annotated[dict[SubnetName, Subnet], Wire(None)] = {}
    """Its subnets by name; a compute names one in its `subnet`."""
    private_dns_zones: Annotated[dict[str, ArmId], Wire(None)] = {}
    """Existing private DNS zones by name, e.g. `privatelink.api.azureml.ms`. Those that a private endpoint needs and
    that are not here are made, and linked to this network."""

    @model_validator(mode="after")
    def _ranges_fit(self) -> Network:
        faults = self._ownership()
        spaces = [
            (index, network)
            for index, text in enumerate(self.address_space)
            if (network := _range(text, ("address_space", index), faults)) is not None
        ]
        faults += _spaces(spaces)
        taken: list[tuple[str, ipaddress.IPv4Network]] = []
        for name, subnet in self.subnets.items():
            at = ("subnets", name, "address_prefix")
            network = _range(subnet.address_prefix, at, faults)
            if network is None:
                continue
            if network.prefixlen > SMALLEST_SUBNET:
                message = f"is too small: {RESERVED_ADDRESSES} addresses are Azure's. Take /{SMALLEST_SUBNET} or wider."
                faults.append(Fault(at=at, message=message, rule="subnet-size"))
            if spaces and not any(network.subnet_of(space) for _, space in spaces):
                allowed = ", ".join(self.address_space)
                message = f"lies outside the network's address_space. Allowed: ranges in {allowed}."
                faults.append(Fault(at=at, message=message, rule="subnet-outside"))
            for other, range_ in taken:
                if network.overlaps(range_):
                    faults.append(
                        Fault(
                            at=at,
                            message=f"overlaps subnet {other} ({range_}). Give one a range of its own.",
                            rule="subnet-overlap",
                        )
                    )
            taken.append((name, network))
        raise_faults(faults)
        return self

    def _ownership(self) -> list[Fault]:
        if self.id and self.address_space:
            message = "belongs to a network that is made here; with id the network exists. Delete one of the two."
            return [Fault(at=("address_space",), message=message, rule="network-owner")]
        if not self.id and not self.address_space:
            message = "needs address_space for a network to make, or id of an existing one."
            return [Fault(at=(), message=message, rule="network-owner")]
        if not self.id and self.location:
            message = "is for existing networks (id); one that is made lies in the stack's region. Delete it."
            return [Fault(at=("location",), message=message, rule="network-owner")]
        faults = []
        first, last = SERVICE_PRIORITIES
        for name, subnet in self.subnets.items():
            for rule, given in subnet.security_rules.items():
                faults += [
                    Fault(at=("subnets", name, "security_rules", rule, field), message=words, rule="port-range")
                    for field, words in _ports(given)
                ]
                if first <= given.priority <= last:
                    at: tuple[str, ...] = ("subnets", name, "security_rules", rule, "priority")
                    message = f"{first} to {last} are kept for the rules that the service needs. Take another."
                    faults.append(Fault(at=at, message=message, rule="rule-priority"))
            for rule, other in _same_priority(subnet.security_rules):
                at = ("subnets", name, "security_rules", rule, "priority")
                faults.append(
                    Fault(at=at, message=f"is {other}'s too, in this direction. Take another.", rule="rule-priority")
                )
            if subnet.security_rules and (self.id or subnet.network_security_group != "service"):
                at = ("subnets", name, "security_rules")
                message = "go into a group that is made here; this subnet has none of ours. Delete them."
                faults.append(Fault(at=at, message=message, rule="rules-owner"))
        return faults


def _same_priority(rules: dict[str, SecurityRule]) -> list[tuple[str, str]]:
    """Pair each rule with an earlier one of its priority and direction; the service refuses two."""
    first: dict[tuple[str, int], str] = {}
    found = []
    for name, rule in rules.items():
        other = first.setdefault((rule.direction, rule.priority), name)
        if other != name:
            found.append((name, other))
    return found


def _spaces(spaces: list[tuple[int, ipaddress.IPv4Network]]) -> list[Fault]:
    """Check a network's ranges against what Azure keeps, and against one another."""
    faults = []
    for position, (index, space) in enumerate(spaces):
        at = ("address_space", index)
        if kept := next((range_ for range_ in KEPT_RANGES if space.overlaps(range_)), None):
            message = f"has addresses of {kept}, which no network may use. Take some of {PRIVATE}."
            faults.append(Fault(at=at, message=message, rule="address-space"))
        if other := next((range_ for _, range_ in spaces[:position] if space.overlaps(range_)), None):
            message = f"overlaps {other}. Delete one, or give it a range of its own."
            faults.append(Fault(at=at, message=message, rule="address-space"))
    return faults


def _ports(given: SecurityRule) -> list[tuple[str, str]]:
    """Say which of a rule's ports can't be, by field."""
    found = []
    for field in ("source_port_range", "destination_port_range"):
        text = getattr(given, field)
        ports = [int(part) for part in text.split("-")] if text != "*" else []
        if ports and (ports[-1] > LAST_PORT or ports != sorted(ports)):
            found.append(
                (field, f"must be a port of 0 to {LAST_PORT:,}, or a range of them that begins with the lower.")
            )
    return found


def docker_faults(spec: StackSpec) -> list[Fault]:
    """Warn of ranges that Docker uses inside every node (azure-docs how-to-secure-workspace-vnet: do not use)."""
    network = spec.network
    ranges: list[tuple[tuple[str | int, ...], str]] = []
    if network:
        ranges = [(("network", "address_space", index), text) for index, text in enumerate(network.address_space)]
        if network.id:
            at = "network", "subnets"
            ranges = [
                ((*at, name, "address_prefix"), subnet.address_prefix) for name, subnet in network.subnets.items()
            ]
    message = f"has addresses of {DOCKER}, which Docker uses inside every node: those are not reached. Take others."
    return [
        Fault(at=at, message=message, rule="docker-range", severity="warning")
        for at, text in ranges
        if ipaddress.IPv4Network(text).overlaps(DOCKER)
    ]


def _no_range(text: str, error: ValueError) -> str:
    try:
        whole = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return f"is not an IPv4 range: {error}. Write one such as 10.20.0.0/16."
    return f"begins inside its range. Write {whole}."


def _range(text: str, at: tuple[str | int, ...], faults: list[Fault]) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        faults.append(Fault(at=at, message=_no_range(text, error), rule="cidr"))
        return None
