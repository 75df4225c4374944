"""A virtual network with its subnets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import network

from components.base import Component

if TYPE_CHECKING:
    from components.base import Place
    from specs.network import Network as NetworkSpec


class Network(Component):
    """The stack's virtual network; `subnet_ids` by subnet name."""

    id: pulumi.Output[str]
    subnet_ids: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, spec: NetworkSpec, place: Place, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("Network", name, opts)
        vnet = network.VirtualNetwork(
            name,
            network.VirtualNetworkInitArgs(
                resource_group_name=place.resource_group,
                virtual_network_name=name,
                location=place.location,
                address_space=network.AddressSpaceArgs(address_prefixes=spec.address_space),
                tags=place.tagged({}),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.id = vnet.id
        self.subnet_ids = {}
        before: list[pulumi.Resource] = []
        for subnet_name, subnet_spec in spec.subnets.items():
            # One after the other: two writes at once on one network are refused (AnotherOperationInProgress).
            subnet = network.Subnet(
                f"{name}-{subnet_name}",
                network.SubnetInitArgs(
                    resource_group_name=place.resource_group,
                    virtual_network_name=vnet.name,
                    subnet_name=subnet_name,
                    address_prefix=subnet_spec.address_prefix,
                ),
                pulumi.ResourceOptions(parent=self, depends_on=before),
            )
            before = [subnet]
            self.subnet_ids[subnet_name] = subnet.id
        self.register_outputs({"id": self.id})
