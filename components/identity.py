"""User-assigned managed identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import managedidentity

from components.base import Component

if TYPE_CHECKING:
    from components.base import Place
    from specs.identity import IdentitySpec


class UserAssignedIdentity(Component):
    """One identity: its ARM id, and the principal that roles are given to."""

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    resource: pulumi.Resource

    def __init__(self, name: str, spec: IdentitySpec, place: Place, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("UserAssignedIdentity", name, opts)
        identity = managedidentity.UserAssignedIdentity(
            name,
            pulumi.ResourceOptions(parent=self),
            # Not as …Args: the vendor's class passes its field resource_name on beside its own first parameter.
            resource_group_name=place.resource_group,
            resource_name_=name,
            location=place.location,
            tags=place.tagged(spec.tags),
        )
        self.id = identity.id
        self.principal_id = identity.principal_id
        self.resource = identity
        self.register_outputs({"id": self.id, "principalId": self.principal_id})
