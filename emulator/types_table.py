"""The list of resource types that are played, parents before children. One line a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.resources import (
    app_insights,
    container_registry,
    key_vault,
    log_analytics,
    ml_compute,
    ml_workspace,
    network_interface,
    network_security_group,
    outbound_rule,
    private_dns_zone,
    private_endpoint,
    public_ip_address,
    storage_account,
    user_assigned_identity,
    virtual_machine,
    virtual_network,
)

if TYPE_CHECKING:
    from emulator.resources.base import Type

TYPES: tuple[Type, ...] = (
    storage_account.TYPE,
    storage_account.CONTAINER,
    key_vault.TYPE,
    log_analytics.TYPE,
    app_insights.TYPE,
    container_registry.TYPE,
    user_assigned_identity.TYPE,
    network_security_group.TYPE,
    virtual_network.TYPE,
    virtual_network.SUBNET,
    public_ip_address.TYPE,
    network_interface.TYPE,
    private_dns_zone.TYPE,
    private_dns_zone.LINKS_TYPE,
    virtual_machine.TYPE,
    ml_workspace.TYPE,
    outbound_rule.TYPE,
    private_endpoint.TYPE,
    private_dns_zone.GROUP_TYPE,
    ml_compute.TYPE,
)
BY_NAME = {kind.name.lower(): kind for kind in TYPES}
PROVIDERS = {
    provider: ["/".join(kind.segments) for kind in TYPES if kind.provider == provider]
    for provider in dict.fromkeys(kind.provider for kind in TYPES)
}
