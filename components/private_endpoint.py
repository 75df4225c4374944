"""Private addresses in a network: endpoints, and the DNS zones that make names lead to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import network, privatedns

from components.base import Component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.base import Place

ZONES: Mapping[str, tuple[str, ...]] = {
    "amlworkspace": ("privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"),
    "blob": ("privatelink.blob.core.windows.net",),
    "file": ("privatelink.file.core.windows.net",),
    "vault": ("privatelink.vaultcore.azure.net",),
    "registry": ("privatelink.azurecr.io",),
}
"""What names each part of a resource goes by, in Azure's public cloud (azure-docs private-endpoint-dns)."""
GROUP = "default"


@dataclass(frozen=True, slots=True)
class Leads:
    """Where an endpoint stands, and what it leads to."""

    to: pulumi.Input[str]
    """ARM id of the resource."""
    part: str
    """Its part, a key of `ZONES`."""
    subnet_id: pulumi.Input[str]
    location: str
    """Region of the subnet's network, which the endpoint shares."""
    zone_ids: Mapping[str, pulumi.Input[str]]
    """By zone; those of the part at least."""
    after: Sequence[pulumi.Resource] = ()
    """What must stand before."""
    anew_with: Sequence[pulumi.Resource] = ()
    """Whose replacement it must follow: once what it led to is gone, an endpoint is Disconnected for good (azure-docs
    private-endpoint-overview)."""


class PrivateEndpoint(Component):
    """One endpoint, its names in their zones. `ready` stands when names resolve."""

    id: pulumi.Output[str]
    ready: pulumi.Resource

    def __init__(
        self,
        name: str,
        leads: Leads,
        place: Place,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("PrivateEndpoint", name, opts)
        endpoint = network.PrivateEndpoint(
            name,
            network.PrivateEndpointArgs(
                resource_group_name=place.resource_group,
                private_endpoint_name=name,
                location=leads.location,
                subnet=network.SubnetArgs(id=leads.subnet_id),
                private_link_service_connections=[
                    network.PrivateLinkServiceConnectionArgs(
                        name=name, private_link_service_id=leads.to, group_ids=[leads.part]
                    )
                ],
                tags=place.tagged({}),
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=list(leads.after),
                delete_before_replace=True,
                replace_with=list(leads.anew_with),
            ),
        )
        self.id = endpoint.id
        self.ready = network.PrivateDnsZoneGroup(
            f"{name}-dns",
            network.PrivateDnsZoneGroupArgs(
                resource_group_name=place.resource_group,
                private_endpoint_name=endpoint.name,
                private_dns_zone_group_name=GROUP,
                private_dns_zone_configs=[
                    network.PrivateDnsZoneConfigArgs(
                        name=zone.replace(".", "-"), private_dns_zone_id=leads.zone_ids[zone]
                    )
                    for zone in ZONES[leads.part]
                ],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"id": self.id})


class PrivateZones(Component):
    """The DNS zones that a stack's endpoints need and nobody has made yet, linked to the endpoints' networks."""

    ids: dict[str, pulumi.Output[str]]
    links: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        zones: Sequence[str],
        networks: Mapping[str, pulumi.Input[str]],
        place: Place,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("PrivateZones", name, opts)
        self.ids, self.links = {}, []
        for zone in zones:
            made = privatedns.PrivateZone(
                zone,
                privatedns.PrivateZoneArgs(
                    resource_group_name=place.resource_group,
                    private_zone_name=zone,
                    location="global",
                    tags=place.tagged({}),
                ),
                pulumi.ResourceOptions(parent=self),
            )
            self.ids[zone] = made.id
            for link, network_id in networks.items():
                self.links.append(
                    privatedns.VirtualNetworkLink(
                        f"{zone}-{link}",
                        privatedns.VirtualNetworkLinkArgs(
                            resource_group_name=place.resource_group,
                            private_zone_name=made.name,
                            virtual_network_link_name=link,
                            location="global",
                            registration_enabled=False,
                            virtual_network=privatedns.SubResourceArgs(id=network_id),
                            tags=place.tagged({}),
                        ),
                        pulumi.ResourceOptions(parent=self),
                    )
                )
        self.register_outputs({})
