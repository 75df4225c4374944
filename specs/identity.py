"""User-assigned managed identities and what they may do."""

from __future__ import annotations

from typing import Annotated, Literal

from specs.base import ArmId, Spec, Tags, Wire, named

Role = Literal[
    "Reader",
    "Contributor",
    "AcrPull",
    "AcrPush",
    "AzureML Compute Operator",
    "AzureML Data Scientist",
    "AzureML Registry User",
    "Azure AI Administrator",
    "Key Vault Administrator",
    "Key Vault Crypto Service Encryption User",
    "Key Vault Secrets User",
    "Managed Identity Operator",
    "Storage Blob Data Contributor",
    "Storage Blob Data Reader",
    "Storage File Data Privileged Contributor",
]
"""Built-in roles that a training platform gives (azure-docs built-in-roles)."""
ROLE_IDS: dict[str, str] = {
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "AcrPush": "8311e382-0749-4cb8-b61a-304f252e45ec",
    "AzureML Compute Operator": "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815",
    "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "AzureML Registry User": "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
    "Azure AI Administrator": "b78c5d69-af96-48a3-bf8d-a8b4d589de94",
    "Key Vault Administrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483",
    "Key Vault Crypto Service Encryption User": "e147488a-f6f5-4113-8e2d-b22465e65bf6",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage File Data Privileged Contributor": "69566ab7-960f-475b-8e7c-b3118f30c6bd",
}
"""Ids of the role definitions, the same in every tenant (azure-docs built-in-roles)."""
SCOPE_PARTS = ("storage_account", "key_vault", "container_registry", "application_insights")
Scope = (
    ArmId
    | Annotated[
        str,
        named(
            "scope",
            rf"resource_group|workspaces\.[A-Za-z0-9-]+(\.({'|'.join(SCOPE_PARTS)}))?",
            f"must be resource_group, workspaces.NAME, workspaces.NAME.PART ({', '.join(SCOPE_PARTS)}), or an ARM id",
        ),
    ]
)


class RoleAssignment(Spec):
    """One thing that an identity may do, and where."""

    role: Role
    """Azure's own name of the role."""
    scope: Scope
    """Where it holds: as narrow as will do."""


class IdentitySpec(Spec):
    """A user-assigned managed identity. What the computes and workspaces that use it need is given by itself."""

    role_assignments: Annotated[list[RoleAssignment], Wire(None)] = []
    """What more it may do. A changed one is taken away and given anew."""
    tags: Annotated[Tags, Wire("tags")] = {}
    """Added to the stack's tags."""
