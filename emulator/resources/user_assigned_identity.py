"""Plays Microsoft.ManagedIdentity/userAssignedIdentities (UserAssignedIdentities_CreateOrUpdate, 2023-01-31)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator.constants import TENANT_ID
from emulator.resources.base import Name, Type

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write


def _shape(write: Write) -> Document:
    return {
        "tenantId": TENANT_ID,
        "principalId": write.kept("principalId", lambda: str(uuid4())),
        "clientId": write.kept("clientId", lambda: str(uuid4())),
    }


TYPE = Type(
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    Name(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}", "3-128 letters, digits, '-' and '_', starting with a letter or digit"),
    _shape,
)
