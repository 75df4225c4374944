"""The SDK's functions (`getClientConfig`, `getWorkspace`, `listWorkspaceKeys` …): what Invoke answers.

A getter needs no row of its own: it is the GET of its resource type.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from emulator.provider import wire
from emulator.provider.values import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.provider.arm_client import Call
    from emulator.provider.engine_calls import Session
    from emulator.provider.table import ResourceType, Table
    from emulator.routing import Json

CLIENT_CONFIG = "azure-native:authorization:getClientConfig"


class UnknownFunctionError(Exception):
    """No function of that token is played here."""


def invoke(table: Table, session: Session, token: str, args: dict[str, Json], call: Call) -> dict[str, Json]:
    """Call a function. Raises `UnknownFunctionError`, `ArmError`, `ValueError` (a path parameter is missing)."""
    getters: dict[str, ResourceType] = {_getter(name): row for name, row in table.types.items()}
    if token == CLIENT_CONFIG:
        return _client_config(session, call)
    if action := table.actions.get(token):
        path = wire.resource_path(action.path, session.settings.subscription_id, args)
        answer = without_nulls(session.arm.post(path, action.api_version, {}, call))
        return answer if isinstance(answer, dict) else {}
    if row := getters.get(token):
        path = wire.resource_path(row.path, session.settings.subscription_id, args)
        document = session.arm.get(path, row.api_version, call)
        return {**wire.outputs(row, document), "id": document.get("id", path)}
    known = ", ".join(sorted([CLIENT_CONFIG, *table.actions, *getters]))
    raise UnknownFunctionError(f"the emulator's provider doesn't play the function '{token}'; it plays {known}")


def _getter(token: str) -> str:
    package, module, name = token.split(":")
    return f"{package}:{module}:get{name}"


def _client_config(session: Session, call: Call) -> dict[str, Json]:
    # The identity is read out of a token's claims, as the vendor does (auth_getclientconfig.go).
    payload = session.arm.claims_token(call).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claim: Callable[[str], str] = lambda name: str(claims.get(name, ""))  # noqa: E731 - three uses below, no other
    return {
        "clientId": claim("appid"),
        "objectId": claim("oid"),
        "tenantId": claim("tid"),
        "subscriptionId": session.settings.subscription_id,
    }
