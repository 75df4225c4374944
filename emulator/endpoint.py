"""Where the emulator answers and how to sign in: the content of `endpoint.json`, and the variables made of it.

Standard library only: every command of a local stack reads it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from emulator import homes
from emulator.constants import CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running emulator. The secret makes the file that holds this 0600."""

    home: Path
    resource_manager: str
    metadata_host: str
    ca_file: str
    bundle_file: str
    subscription_id: str
    tenant_id: str
    client_id: str
    client_secret: str
    provider_port: int
    pid: int
    provider_pid: int

    def environment(self) -> dict[str, str]:
        """Return the variables that point Azure's clients, Pulumi and the provider at this emulator."""
        origin = self.resource_manager.rstrip("/")
        return {
            "ARM_SUBSCRIPTION_ID": self.subscription_id,
            "ARM_TENANT_ID": self.tenant_id,
            "ARM_CLIENT_ID": self.client_id,
            "ARM_CLIENT_SECRET": self.client_secret,
            "ARM_METADATA_HOSTNAME": self.metadata_host,
            "ARM_DISABLE_INSTANCE_DISCOVERY": "true",
            "ARM_CLOUD_METADATA_URL": f"{origin}/metadata/endpoints?api-version=2019-05-01",
            "AZURE_SUBSCRIPTION_ID": self.subscription_id,
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.client_secret,
            "AZURE_AUTHORITY_HOST": origin,
            "REQUESTS_CA_BUNDLE": self.bundle_file,
            "SSL_CERT_FILE": self.bundle_file,
            "PULUMI_DEBUG_PROVIDERS": f"azure-native:{self.provider_port}",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "TRAINYARD_EMULATOR": str(self.home),
        }


def cache_folder() -> Path:
    """Return the user's cache folder: TRAINYARD_CACHE, or `trainyard` below XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("TRAINYARD_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trainyard"


def current(home: Path) -> Endpoint:
    """Return what the home's files say; it does not say whether anybody answers."""
    ports = homes.ports(home)
    server, provider = homes.owner(home / "lock"), homes.owner(home / "provider.json")
    digest = hmac.new(homes.secret(home), b"client-secret", hashlib.sha256).digest()
    return Endpoint(
        home=home,
        resource_manager=f"https://localhost:{ports.server}/",
        metadata_host=f"localhost:{ports.server}",
        ca_file=str(home / "tls" / "ca.pem"),
        bundle_file=str(home / "tls" / "bundle.pem"),
        subscription_id=SUBSCRIPTION_ID,
        tenant_id=TENANT_ID,
        client_id=CLIENT_ID,
        client_secret=urlsafe_b64encode(digest).rstrip(b"=").decode(),
        provider_port=ports.provider,
        pid=server.pid if server else 0,
        provider_pid=provider.pid if provider else 0,
    )


def write(home: Path) -> Endpoint:
    """Write `endpoint.json` (0600) from what the home's files say now."""
    found = current(home)
    content = {key: value for key, value in asdict(found).items() if key != "home"}
    homes.write(home / "endpoint.json", (json.dumps(content, indent=2) + "\n").encode())
    return found
