"""Who we are and where the control plane is: the seam to azure-identity.

A client secret (the emulator's, or a pipeline's service principal) is exchanged by one POST of our own, because
importing azure-identity costs 0.35 s; every other way to sign in (az login, managed identity, workload identity) is
azure-identity's DefaultAzureCredential. Tokens live in memory only.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urlsplit

from runtime import wire
from runtime.errors import ConnectionLostError, RefusedError
from runtime.transport import NotSentError, Request, Transport, UnansweredError
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.cloud import emulator_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.project import Project

AZURE = "https://management.azure.com/"
STORAGE_SCOPE = "https://storage.azure.com/.default"
RENEW_S = 300.0
"""A token is renewed this long before it ends."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A service principal's credentials. Never shown."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    authority: str = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Access:
    """A control plane and the way to sign in to it."""

    cloud: Literal["azure", "emulator"]
    resource_manager: str
    """Origin with a slash at the end."""
    subscription_id: str
    ca_file: str | None = None
    secret: Secret | None = field(default=None, repr=False)
    _tokens: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def discover(cls, cloud: Literal["azure", "emulator"], project: Project, environ: Mapping[str, str]) -> Access:
        """Find the control plane of a stack. Raises `RefusedError`. Touches files only; nothing is sent."""
        if cloud == "azure":
            return _azure(environ)
        home = environ.get("TRAINYARD_EMULATOR")
        if environ.get("ARM_SUBSCRIPTION_ID") == EMULATOR_SUBSCRIPTION_ID:
            return _endpoint(Path(home)) if home else _from_environment(environ)
        return _endpoint(project.emulator_home)

    @property
    def arm_scope(self) -> str:
        """The scope of control plane tokens."""
        return f"{self.resource_manager}.default"

    def token(self, scope: str, *, renew: bool = False) -> str:
        """Return a bearer token, from memory while it lasts. Raises `RefusedError`, `ConnectionLostError`."""
        with self._lock:
            known = self._tokens.get(scope)
            if known and not renew and known[0] - time.monotonic() > RENEW_S:
                return known[1]
            lifetime, token = _exchange(self.secret, scope, self.ca_file) if self.secret else _default(scope)
            self._tokens[scope] = (time.monotonic() + lifetime, token)
            return token


def _azure(environ: Mapping[str, str]) -> Access:
    found = emulator_variables(environ)
    if found:
        raise RefusedError(
            f"this shell points at the emulator ({', '.join(found)}), and the stack is in Azure. Nothing was sent",
            advice="Open a new shell, or unset these variables.",
        )
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    tenant, client, password = (environ.get(name) or environ.get(name.replace("AZURE", "ARM", 1)) for name in names)
    secret = Secret(tenant, client, password) if tenant and client and password else None
    subscription = environ.get("ARM_SUBSCRIPTION_ID") or environ.get("AZURE_SUBSCRIPTION_ID") or ""
    return Access("azure", AZURE, subscription, environ.get("REQUESTS_CA_BUNDLE"), secret)


def _endpoint(home: Path) -> Access:
    """Read the file that the emulator keeps for its own clients (0600)."""
    path = home / "endpoint.json"
    try:
        document = json.loads(path.read_bytes())
        values = {name: str(document[name]) for name in ("resource_manager", "subscription_id", "ca_file")}
        secret = {name: str(document[name]) for name in ("tenant_id", "client_id", "client_secret")}
    except FileNotFoundError:
        raise ConnectionLostError("the emulator was never started here. Start it: invoke emulator.start") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            f"{path} can't be read ({error!r})", advice="Start the emulator anew: invoke emulator.start"
        ) from None
    origin = values["resource_manager"].rstrip("/")
    return Access(
        "emulator", f"{origin}/", values["subscription_id"], values["ca_file"], Secret(**secret, authority=origin)
    )


def _from_environment(environ: Mapping[str, str]) -> Access:
    names = (
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_AUTHORITY_HOST",
        "ARM_CLOUD_METADATA_URL",
    )
    missing = [name for name in names if not environ.get(name)]
    if missing:
        advice = 'Set all of them at once: eval "$(invoke env STACK)"'
        raise RefusedError(f"this shell points at the emulator, but lacks {', '.join(missing)}", advice=advice)
    tenant, client, password, authority, metadata = (environ[name] for name in names)
    parts = urlsplit(metadata)
    secret = Secret(tenant, client, password, authority.rstrip("/"))
    origin = f"{parts.scheme}://{parts.netloc}/"
    return Access("emulator", origin, EMULATOR_SUBSCRIPTION_ID, environ.get("REQUESTS_CA_BUNDLE"), secret)


def _exchange(secret: Secret, scope: str, ca_file: str | None) -> tuple[float, str]:
    """Get a token by the client credentials flow (Microsoft identity platform, OAuth 2.0, v2.0 endpoint)."""
    form = {
        "grant_type": "client_credentials",
        "client_id": secret.client_id,
        "client_secret": secret.client_secret,
        "scope": scope,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{secret.authority}/{secret.tenant_id}/oauth2/v2.0/token"
    transport = Transport(ca_file)
    try:
        answer = transport.send(Request("POST", url, headers, urlencode(form).encode()))
        document = wire.obj(wire.parse(answer.body))
    except (NotSentError, UnansweredError) as error:
        raise ConnectionLostError(f"can't sign in: {error}") from None
    except ValueError:
        raise RefusedError(f"{secret.authority} did not answer with a token", status=answer.status) from None
    finally:
        transport.close()
    token, lifetime = wire.text(document.get("access_token")), document.get("expires_in")
    if not token:
        said = wire.text(document.get("error_description")) or f"HTTP {answer.status}"
        raise RefusedError(f"can't sign in: {said.splitlines()[0]}", code=wire.text(document.get("error")) or "login")
    return float(lifetime) if isinstance(lifetime, (int, float, str)) else RENEW_S, token


def _default(scope: str) -> tuple[float, str]:
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    try:
        token = DefaultAzureCredential().get_token(scope)
    except AzureError as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RefusedError(f"can't sign in to Azure: {first}", code="login", advice="Sign in: az login") from None
    return token.expires_on - time.time(), token.token
