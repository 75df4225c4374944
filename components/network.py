"""A virtual network with its subnets and the groups that guard them, made here or taken as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import network

from components.base import Component
from components.security_rules import Uses, service_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.base import Place
    from components.security_rules import Rule
    from specs.network import Network as NetworkSpec
    from specs.network import SecurityRule, Subnet


class Network(Component):
    """The stack's virtual network; `subnet_ids` by subnet name."""

    id: pulumi.Output[str]
    subnet_ids: dict[str, pulumi.Output[str]]
    ready: list[pulumi.Resource]
    """What stands when nothing writes on the network any more."""

    def __init__(
        self,
        name: str,
        spec: NetworkSpec,
        uses: Mapping[str, Uses],
        place: Place,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
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
        self.ready = [vnet]
        for subnet_name, subnet_spec in spec.subnets.items():
            group = self._group(f"{name}-{subnet_name}-nsg", subnet_spec, uses.get(subnet_name, Uses()), place)
            # One after the other: two writes at once on one network are refused (AnotherOperationInProgress).
            subnet = network.Subnet(
                f"{name}-{subnet_name}",
                network.SubnetInitArgs(
                    resource_group_name=place.resource_group,
                    virtual_network_name=vnet.name,
                    subnet_name=subnet_name,
                    address_prefix=subnet_spec.address_prefix,
                    network_security_group=network.NetworkSecurityGroupArgs(id=group) if group else None,
                    service_endpoints=[
                        network.ServiceEndpointPropertiesFormatArgs(service=service)
                        for service in subnet_spec.service_endpoints
                    ]
                    or None,
                ),
                pulumi.ResourceOptions(parent=self, depends_on=self.ready),
            )
            self.ready = [subnet]
            self.subnet_ids[subnet_name] = subnet.id
        self.register_outputs({"id": self.id})

    def _group(self, name: str, spec: Subnet, use: Uses, place: Place) -> pulumi.Input[str] | None:
        """Return the id of the subnet's group: made with its rules, named by the spec, or none."""
        if spec.network_security_group != "service":
            return None if spec.network_security_group == "none" else spec.network_security_group
        rules = [_own_rule(rule, given) for rule, given in spec.security_rules.items()]
        rules += [_rule(number, rule) for number, rule in service_rules(use, spec.address_prefix, place.location)]
        group = network.NetworkSecurityGroup(
            name,
            network.NetworkSecurityGroupInitArgs(
                resource_group_name=place.resource_group,
                network_security_group_name=name,
                location=place.location,
                security_rules=rules,
                tags=place.tagged({}),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        group_id: pulumi.Output[str] = group.id
        return group_id


def _own_rule(name: str, spec: SecurityRule) -> network.SecurityRuleArgs:
    return network.SecurityRuleArgs(
        name=name,
        priority=spec.priority,
        direction=spec.direction,
        access=spec.access,
        protocol=spec.protocol,
        source_address_prefix=spec.source_address_prefix,
        source_port_range=spec.source_port_range,
        destination_address_prefix=spec.destination_address_prefix,
        destination_port_range=spec.destination_port_range,
        description=spec.description,
    )


def _rule(priority: int, rule: Rule) -> network.SecurityRuleArgs:
    one_source, one_port = len(rule.sources) == 1, len(rule.ports) == 1
    return network.SecurityRuleArgs(
        name=rule.name,
        priority=priority,
        direction=rule.direction,
        access="Allow",
        protocol=rule.protocol,
        source_address_prefix=rule.sources[0] if one_source else None,
        source_address_prefixes=None if one_source else list(rule.sources),
        source_port_range="*",
        destination_address_prefix=rule.destination,
        destination_port_range=rule.ports[0] if one_port else None,
        destination_port_ranges=None if one_port else list(rule.ports),
    )
