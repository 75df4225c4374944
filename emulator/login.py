"""The sign-in service and the cloud's metadata: what a client reads first, and the tokens that every other call shows.

Plays `GET /metadata/endpoints` (ARM), the v2.0 endpoints of Microsoft Entra (openid-configuration, token with the
client credentials grant) and the check of a bearer token. Tokens are JWTs signed with HS256: nobody but this process
has to verify them, and clients only decode the claims.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from emulator.constants import CLIENT_ID, CLOUD_NAME, OBJECT_ID, TENANT_ID
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.cloud import Cloud
    from emulator.routing import Call, Json

LIFETIME_S = 3600
"""Entra's own tokens live 60 to 90 minutes."""
STORAGE_AUDIENCES = ("https://storage.azure.com", "https://storage.azure.com/")
ML_AUDIENCES = ("https://ml.azure.com", "https://ml.azure.com/", "https://ml.azure.localhost")


def routes() -> list[Route]:
    """Return the rows of the table; none of them asks for a token, for they are how one gets it."""
    row = partial(Route, auth=False, api_version=False)
    return [
        row("GET", "/metadata/endpoints", _metadata),
        row("GET", "/{tenant}/v2.0/.well-known/openid-configuration", _openid),
        row("GET", "/{tenant}/discovery/v2.0/keys", _keys),
        row("POST", "/{tenant}/oauth2/v2.0/token", _token),
    ]


def client_secret(cloud: Cloud) -> str:
    """Return the service principal's secret, derived from the cloud's own: nothing more to keep."""
    return _encode(hmac.new(cloud.secret, b"client-secret", hashlib.sha256).digest())


def arm_audiences(cloud: Cloud) -> tuple[str, str]:
    """Return the two spellings of ARM's audience."""
    return cloud.origin, f"{cloud.origin}/"


def mint(cloud: Cloud, audience: str, lifetime_s: int = LIFETIME_S) -> str:
    """Return a signed token for `audience`, valid from now on for `lifetime_s` seconds."""
    now = int(cloud.now().timestamp())
    claims: dict[str, Json] = {
        "aud": audience,
        "iss": f"{cloud.origin}/{TENANT_ID}/v2.0",
        "iat": now,
        "nbf": now,
        "exp": now + lifetime_s,
        "appid": CLIENT_ID,
        "azp": CLIENT_ID,
        "idtyp": "app",
        "oid": OBJECT_ID,
        "sub": OBJECT_ID,
        "tid": TENANT_ID,
        "uti": uuid.uuid4().hex,
        "ver": "1.0",
    }
    head = _encode(json.dumps({"typ": "JWT", "alg": "HS256", "kid": "trainyard"}).encode())
    signed = f"{head}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_sign(cloud, signed)}"


def verify(cloud: Cloud, authorization: str, audiences: Iterable[str]) -> dict[str, str]:
    """Check an `Authorization` header; return the token's claims. Raises `Refusal` 401 with `WWW-Authenticate`."""
    scheme, _, token = authorization.partition(" ")
    if not authorization:
        message = "Authentication failed. The 'Authorization' header is missing."
        raise unauthorized(cloud, "AuthenticationFailed", message)
    if scheme.lower() != "bearer" or token.count(".") != 2:  # noqa: PLR2004 - a JWT has three parts
        message = "The authentication scheme must be 'Bearer' and the token a JWT."
        raise unauthorized(cloud, "AuthenticationFailedInvalidHeader", message)
    signed, _, signature = token.strip().rpartition(".")
    if not hmac.compare_digest(_sign(cloud, signed).encode(), signature.encode()):
        raise unauthorized(cloud, "InvalidAuthenticationToken", "The access token is invalid.")
    claims = json.loads(_decode(signed.partition(".")[2]))
    now = cloud.now().timestamp()
    if not claims["nbf"] - 300 <= now < claims["exp"]:
        message = "The access token expiry UTC time is earlier than the current UTC time, or it is not valid yet."
        raise unauthorized(cloud, "ExpiredAuthenticationToken", message)
    accepted = list(audiences)
    if claims["aud"] not in accepted:
        message = (
            f"The access token has been obtained for wrong audience or resource '{claims['aud']}'. "
            f"It should exactly match one of the allowed audiences: {', '.join(accepted)}."
        )
        raise unauthorized(cloud, "InvalidAuthenticationTokenAudience", message)
    return {key: str(value) for key, value in claims.items()}


def challenge(cloud: Cloud, detail: str) -> str:
    """Return the value of `WWW-Authenticate`, as ARM words it."""
    uri = f"{cloud.origin}/{TENANT_ID}"
    return f'Bearer authorization_uri="{uri}", error="invalid_token", error_description="{detail}"'


def unauthorized(cloud: Cloud, code: str, message: str) -> Refusal:
    """Return a 401 in ARM's shape."""
    return Refusal(401, code, message, headers={"WWW-Authenticate": challenge(cloud, message)})


def _metadata(call: Call) -> Answer:
    """Play ARM `GET /metadata/endpoints`: 2019-05-01 answers a list of clouds, 2022-09-01 one cloud.

    azure-ai-ml 1.35.2 takes the cloud whose `resourceManager` occurs in the URL that it asked, and makes the audience
    of the workspace's own service from the portal's host without its first two labels.
    """
    version = call.query.get("api-version")
    if not version:
        raise Refusal(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.")
    origin = call.cloud.origin
    cloud: dict[str, Json] = {
        "name": CLOUD_NAME,
        "portal": "https://portal.azure.localhost",
        "resourceManager": f"{origin}/",
        "authentication": {
            "loginEndpoint": f"{origin}/",
            "audiences": [origin, f"{origin}/"],
            "tenant": TENANT_ID,
            "identityProvider": "AAD",
        },
        "graph": f"{origin}/graph",
        "graphAudience": f"{origin}/graph",
        "microsoftGraphResourceId": f"{origin}/graph",
        "suffixes": {
            "storage": "core." + origin.removeprefix("https://"),
            "keyVaultDns": "vault." + origin.removeprefix("https://"),
        },
    }
    return Answer(200, [cloud] if version < "2022-01-01" else cloud)


def _openid(call: Call) -> Answer:
    """Play Entra `GET /{tenant}/v2.0/.well-known/openid-configuration`."""
    _require_tenant(call)
    base = f"{call.cloud.origin}/{TENANT_ID}"
    return Answer(
        200,
        {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["token"],
            "scopes_supported": ["openid"],
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "tenant_region_scope": None,
            "cloud_instance_name": call.cloud.origin.removeprefix("https://"),
        },
    )


def _keys(call: Call) -> Answer:
    """Play Entra `GET /{tenant}/discovery/v2.0/keys`: no public keys, for the signature is symmetric."""
    _require_tenant(call)
    return Answer(200, {"keys": []})


def _token(call: Call) -> Answer:
    """Play Entra `POST /{tenant}/oauth2/v2.0/token`, the client credentials grant with a secret."""
    _require_tenant(call)
    form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    if form.get("grant_type") != "client_credentials":
        return _refused(
            400, "unsupported_grant_type", 70003, f"The grant type '{form.get('grant_type')}' is not played."
        )
    if form.get("client_id", "").lower() != CLIENT_ID:
        text = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
        return _refused(400, "unauthorized_client", 700016, text)
    if not hmac.compare_digest(form.get("client_secret", "").encode(), client_secret(call.cloud).encode()):
        return _refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
    audience = form.get("scope", "").partition(" ")[0]
    if not audience.endswith("/.default"):
        return _refused(400, "invalid_scope", 1002012, f"The scope '{audience}' must end with '/.default'.")
    audience = audience.removesuffix("/.default")
    origin = call.cloud.origin
    if audience not in {*arm_audiences(call.cloud), *STORAGE_AUDIENCES, *ML_AUDIENCES, f"{origin}/graph"}:
        text = f"The resource principal named {audience} was not found in the tenant."
        return _refused(400, "invalid_resource", 500011, text)
    token = mint(call.cloud, audience)
    return Answer(
        200,
        {"token_type": "Bearer", "expires_in": LIFETIME_S - 1, "ext_expires_in": LIFETIME_S - 1, "access_token": token},
        {"Cache-Control": "no-store"},
    )


def _require_tenant(call: Call) -> None:
    if call.args["tenant"].lower() not in {TENANT_ID, "common", "organizations"}:
        raise Refusal(400, "invalid_request", f"AADSTS90002: Tenant '{call.args['tenant']}' not found.")


def _refused(status: int, error: str, number: int, text: str) -> Answer:
    return Answer(status, {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]})


def _sign(cloud: Cloud, signed: str) -> str:
    return _encode(hmac.new(cloud.secret, signed.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
