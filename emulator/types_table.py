"""The list of resource types that are played, parents before children. One line a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.resources import (
    app_insights,
    key_vault,
    log_analytics,
    ml_compute,
    ml_workspace,
    network_security_group,
    storage_account,
    user_assigned_identity,
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
    user_assigned_identity.TYPE,
    network_security_group.TYPE,
    virtual_network.TYPE,
    virtual_network.SUBNET,
    ml_workspace.TYPE,
    ml_compute.TYPE,
)
BY_NAME = {kind.name.lower(): kind for kind in TYPES}
PROVIDERS = {
    provider: ["/".join(kind.segments) for kind in TYPES if kind.provider == provider]
    for provider in dict.fromkeys(kind.provider for kind in TYPES)
}
