"""The private endpoints of a stack's workspaces: which there are, in which network, with which zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.private_endpoint import ZONES, Leads, PrivateEndpoint, PrivateZones

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from components.base import Place
    from components.workspace import Workspace
    from specs.stack import StackSpec
    from specs.workspace import WorkspaceSpec

PARTS = {"blob": "storage_account", "file": "storage_account", "vault": "key_vault", "registry": "container_registry"}
"""What an endpoint beside the workspace's own leads to: a field of the workspace."""


class Endpoints:
    """Makes the endpoints of one workspace after the other.

    Each is a write on its network, of which the service takes one at a time, and two on one account are refused too.
    """

    def __init__(
        self,
        spec: StackSpec,
        subnet_ids: Mapping[str, pulumi.Input[str]],
        place: Place,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._spec, self._subnet_ids, self._place, self._opts = spec, subnet_ids, place, opts
        self._before = list(after)
        given = dict(spec.network.private_dns_zones) if spec.network else {}
        missing = [zone for zone in needed_zones(spec) if zone not in given]
        self._zone_ids: dict[str, pulumi.Input[str]] = {**given}
        if missing:
            zones = PrivateZones(f"{spec.resource_group}-zones", missing, self._networks(), place, opts)
            self._zone_ids |= zones.ids
            self._before += zones.links

    def of(self, key: str, item: WorkspaceSpec, workspace: Workspace) -> list[pulumi.Resource]:
        """Make the endpoints of a workspace; returns what stands when all its names lead to them."""
        if item.private_endpoint is None:
            return []
        subnet = item.private_endpoint.subnet
        network = self._spec.network
        own = network is not None and subnet in network.subnets
        location = (network.location if network and own else None) or self._place.location
        for part in parts(item):
            name = f"{key}-pe" if part == "amlworkspace" else f"{key}-pe-{part}"
            leads = Leads(
                to=workspace.scopes[PARTS.get(part, "")].id,
                part=part,
                subnet_id=subnet if subnet.startswith("/") else self._subnet_ids[subnet],
                location=location,
                zone_ids=self._zone_ids,
                after=self._before,
                anew_with=[workspace.resource] if part == "amlworkspace" else [],
            )
            endpoint = PrivateEndpoint(name, leads, self._place, self._opts)
            self._before = [endpoint.ready]
        return list(self._before)

    def _networks(self) -> dict[str, pulumi.Input[str]]:
        """Return the ids of the networks in which endpoints stand, by the name of the zones' link to them."""
        network = self._spec.network
        own = (network.id if network else None) or f"{self._spec.resource_group}-vnet"
        found: dict[str, pulumi.Input[str]] = {}
        for item in self._spec.workspaces.values():
            if item.private_endpoint is None:
                continue
            subnet = item.private_endpoint.subnet
            if subnet.startswith("/"):
                network_id = network_of(subnet)
                found[network_id.rpartition("/")[2]] = network_id
            else:
                _, _, stack = subnet.partition("@")
                found[stack or own.rpartition("/")[2]] = pulumi.Output.from_input(self._subnet_ids[subnet]).apply(
                    network_of
                )
        return found


def parts(item: WorkspaceSpec) -> Iterator[str]:
    """List what of a workspace gets an endpoint: itself, and what is made with it, unless its spec says no."""
    if item.private_endpoint is None:
        return
    yield "amlworkspace"
    if item.private_endpoint.dependencies:
        if item.storage_account is None:
            yield from ("blob", "file")
        if item.key_vault is None:
            yield "vault"
        if item.container_registry == "new":
            yield "registry"


def needed_zones(spec: StackSpec) -> Sequence[str]:
    """List the zones that a stack's endpoints need, each once."""
    return list(
        dict.fromkeys(zone for item in spec.workspaces.values() for part in parts(item) for zone in ZONES[part])
    )


def network_of(subnet_id: str) -> str:
    """Return the id of a subnet's network."""
    return subnet_id.partition("/subnets/")[0]
