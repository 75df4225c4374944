"""Who may do what: the role assignments of a stack, each given once and under a name that can be found again.

What is declared under an identity's `role_assignments`, and what identities need by themselves: computes to reach their
workspace's data and images, a workspace to work with its own resources.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import authorization

from specs.identity import ROLE_IDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACE = uuid.UUID("7a1c4b0e-52d6-4c43-9a55-0c6b1f2f7d11")
"""Ours, drawn once: with it a role assignment's name follows from what it says."""
OWN_ROLES: Mapping[str, tuple[str, ...]] = {
    "storage_account": ("Contributor", "Storage Blob Data Contributor"),
    "key_vault": ("Contributor", "Key Vault Administrator"),
    "container_registry": ("Contributor",),
    "application_insights": ("Contributor",),
    "": ("Contributor",),
}
"""What a workspace's user-assigned identity needs, by part; "" is the workspace itself (azure-docs
how-to-identity-based-service-authentication, "User-assigned managed identity, Workspace"). A system-assigned one gets
its roles from the service."""
FILE_ROLE = "Storage File Data Privileged Contributor"
"""The same for file shares where no key is used (azure-docs how-to-disable-local-auth-storage)."""
DATA_ROLE = "Storage Blob Data Contributor"
"""What the identity of a compute needs where no key is used: the page asks for a Reader at least, and runs write."""
IMAGE_ROLE = "AcrPull"
"""What the identity of a compute needs of a registry without an admin account (the same page, "Azure Container Registry
without admin user")."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a role holds."""

    key: str
    """As an identity's spec names it: `resource_group`, `workspaces.research.key_vault`, or an ARM id."""
    id: pulumi.Input[str]
    """ARM id."""

    @property
    def existing(self) -> bool:
        """Whether the stack did not make it."""
        return self.key.startswith("/")


@dataclass(frozen=True, slots=True)
class Grants:
    """What every role assignment of a stack shares."""

    subscription_id: str
    place: str
    """Subscription and resource group: two stacks never share a name."""
    opts: pulumi.ResourceOptions


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a role is given to."""

    id: pulumi.Input[str]
    made_here: pulumi.Resource | None = None
    """The identity's own resource, where this stack makes it."""


class Roles:
    """The role assignments of a stack; asking twice for one gives it once, as the service demands."""

    def __init__(self, grants: Grants, principals: Mapping[str, Principal]) -> None:
        self._grants, self._principals = grants, principals
        self._given: dict[tuple[str, str, str], pulumi.Resource] = {}

    def give(self, identity: str, roles: Sequence[str], scope: Scope, former_name: str = "") -> list[pulumi.Resource]:
        """Let an identity do something; a no-op where nobody here knows its principal: then its owner gives roles.

        An identity of another stack gets none on what was there before: that stack, or a third one, may have given it
        already, and the service refuses a second assignment that says the same (RoleAssignmentExists).
        """
        principal = self._principals.get(identity)
        if principal is None or ("@" in identity and scope.existing):
            return []
        return [self._one(identity, role, scope, former_name) for role in roles]

    def _one(self, identity: str, role: str, scope: Scope, former_name: str) -> pulumi.Resource:
        key = (identity, role, scope.key.lower())
        if key not in self._given:
            whom = self._principals[identity]
            role_id = f"/providers/Microsoft.Authorization/roleDefinitions/{ROLE_IDS[role]}"
            self._given[key] = authorization.RoleAssignment(
                logical_name(identity, role, scope.key),
                authorization.RoleAssignmentArgs(
                    role_assignment_name=assignment_name(self._grants.place, *key),
                    principal_id=whom.id,
                    principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
                    role_definition_id=f"/subscriptions/{self._grants.subscription_id}{role_id}",
                    scope=scope.id,
                ),
                pulumi.ResourceOptions.merge(
                    self._grants.opts,
                    # Its name stays when principal or scope change, and the service takes no second one of a name.
                    pulumi.ResourceOptions(
                        delete_before_replace=True,
                        # A principal lives as long as its identity. A plan knows it as unknown whenever anything of
                        # the identity changes, and would announce every role of it as replaced.
                        ignore_changes=["principalId"] if whom.made_here else None,
                        replace_with=[whom.made_here] if whom.made_here else None,
                        aliases=[pulumi.Alias(name=former_name)] if former_name else None,
                    ),
                ),
            )
        return self._given[key]


def assignment_name(place: str, identity: str, role: str, scope_key: str) -> str:
    """Return the UUID under which the service keeps an assignment: the same at every run, so that it is found again."""
    return str(uuid.uuid5(NAMESPACE, f"{place.lower()}\n{scope_key.lower()}\n{identity}\n{role}"))


def logical_name(identity: str, role: str, scope_key: str) -> str:
    """Name an assignment in the stack, e.g. `training-research-key-vault-key-vault-secrets-user`."""
    where = scope_key.removeprefix("workspaces.")
    if scope_key.startswith("/"):
        where = f"{scope_key.rpartition('/')[2]}-{uuid.uuid5(NAMESPACE, scope_key.lower()).hex[:8]}"
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part) for part in (identity, where, role.lower()))
