"""Configure: whom to talk to and as whom, and the interlock: never anything but the emulator.

As the vendor's: Pulumi config wins over variables. Here, what the emulator wrote about itself stands between the two,
because this process serves engines whose variables it can't see.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from emulator.constants import SUBSCRIPTION_ID
from emulator.provider.values import is_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "azure-native:config:"
LEAVE = (
    "This engine is attached to Trainyard's emulator because PULUMI_DEBUG_PROVIDERS names it: to work with Azure,"
    " unset PULUMI_DEBUG_PROVIDERS and the emulator's ARM_* and AZURE_* variables (or open a new shell)."
)
VARIABLES = {
    "subscriptionId": "ARM_SUBSCRIPTION_ID",
    "tenantId": "ARM_TENANT_ID",
    "clientId": "ARM_CLIENT_ID",
    "clientSecret": "ARM_CLIENT_SECRET",
    "metadataHost": "ARM_METADATA_HOSTNAME",
}
ENDPOINT = {
    "subscriptionId": "subscription_id",
    "tenantId": "tenant_id",
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "metadataHost": "metadata_host",
}


class RefusedError(Exception):
    """The configuration asks for what this provider must not do; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One engine's configuration."""

    subscription_id: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    metadata_host: str
    """`https://localhost:PORT`"""
    ca_file: str
    location: str | None
    """Where a resource goes that names no location; None: where its resource group is."""


def configure(variables: Mapping[str, str], home: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of one engine. Raises `RefusedError`, also where the interlock holds."""
    config = {key.removeprefix(PREFIX): value for key, value in variables.items() if value and not is_unknown(value)}
    endpoint = _endpoint(home)

    def setting(key: str) -> tuple[str, str]:
        if key in config:
            return config[key], f"the configuration azure-native:{key} (or the variable {VARIABLES[key]})"
        if endpoint.get(ENDPOINT[key]):
            return endpoint[ENDPOINT[key]], "endpoint.json of the emulator"
        return environment.get(VARIABLES[key], ""), f"the variable {VARIABLES[key]}"

    subscription, source = setting("subscriptionId")
    if subscription.lower() != SUBSCRIPTION_ID:
        raise RefusedError(
            f"The emulator plays the subscription {SUBSCRIPTION_ID} and no other, but {source} says"
            f" {_said(subscription)}. {LEAVE} To work with the emulator, remove that setting."
        )
    host, source = setting("metadataHost")
    if not is_loopback(host):
        raise RefusedError(
            f"The emulator's metadata host is on this machine, but {source} says {_said(host)}."
            f" {LEAVE} To work with the emulator, remove that setting."
        )
    return Settings(
        subscription_id=subscription,
        tenant_id=setting("tenantId")[0],
        client_id=setting("clientId")[0],
        client_secret=setting("clientSecret")[0],
        metadata_host=host if "://" in host else f"https://{host}",
        ca_file=endpoint.get("ca_file") or environment.get("SSL_CERT_FILE", ""),
        location=config.get("location"),
    )


def is_loopback(host: str) -> bool:
    """Whether a host (`localhost:8443`, `https://127.0.0.1:8443/…`) is this machine."""
    try:
        name = urlsplit(host if "://" in host else f"https://{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _said(value: str) -> str:
    return repr(value) if value else "nothing"


def _endpoint(home: Path) -> dict[str, str]:
    try:
        document = json.loads((home / "endpoint.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}
