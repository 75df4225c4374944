"""Signing in: the metadata, the token endpoint, and which tokens hold."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

import pytest

from emulator import login
from emulator.constants import CLIENT_ID, OBJECT_ID, TENANT_ID
from tests.emulator.arm_kit import ORIGIN, SUB, Arm, mapping

GROUPS = f"{SUB}/resourceGroups?api-version=2024-03-01"


def sign_in(arm: Arm, tenant: str = TENANT_ID, **changes: str) -> tuple[int, dict[str, object]]:
    """Ask for a token with the right form, but for the changes."""
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": login.client_secret(arm.cloud),
        "scope": f"{ORIGIN}/.default",
    }
    answer = arm.send("POST", f"/{tenant}/oauth2/v2.0/token", urlencode(form | changes).encode())
    return answer.status, dict(mapping(answer.body))  # type: ignore[arg-type]


def use(arm: Arm, token: str, scheme: str = "Bearer") -> tuple[int, str]:
    """Read with this token; return status and, for a refusal, its code."""
    answer = arm.send("GET", GROUPS, headers={"authorization": f"{scheme} {token}"})
    body = mapping(answer.body)  # type: ignore[arg-type]
    return answer.status, str(mapping(body["error"])["code"]) if "error" in body else ""


def test_a_token_says_who_one_is_and_opens_arm(arm: Arm) -> None:
    status, answer = sign_in(arm)
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3599)
    token = str(answer["access_token"])
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert {key: claims[key] for key in ("aud", "appid", "oid", "tid", "exp")} == {
        "aud": ORIGIN,
        "appid": CLIENT_ID,
        "oid": OBJECT_ID,
        "tid": TENANT_ID,
        "exp": int(arm.clock.now().timestamp()) + 3600,
    }
    assert use(arm, token) == (200, "")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": TENANT_ID}, 400, "unauthorized_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": ORIGIN}, 400, "invalid_scope"),
        ({"scope": "https://management.azure.com/.default"}, 400, "invalid_resource"),
    ],
)
def test_a_wrong_sign_in_is_refused_as_entra_does(arm: Arm, changes: dict[str, str], status: int, error: str) -> None:
    got, answer = sign_in(arm, **changes)
    assert (got, answer["error"]) == (status, error)
    assert str(answer["error_description"]).startswith("AADSTS")


def test_another_tenant_is_not_found(arm: Arm) -> None:
    assert sign_in(arm, "contoso")[0] == 400


def test_a_token_ends_with_its_hour(arm: Arm) -> None:
    token = str(sign_in(arm)[1]["access_token"])
    arm.clock.forward(seconds=3599)
    assert use(arm, token) == (200, "")
    arm.clock.forward(seconds=1)
    assert use(arm, token) == (401, "ExpiredAuthenticationToken")
    assert arm.headers["WWW-Authenticate"].startswith(f'Bearer authorization_uri="{ORIGIN}/{TENANT_ID}", error=')


def test_a_token_for_something_else_does_not_open_arm(arm: Arm) -> None:
    assert use(arm, login.mint(arm.cloud, "https://storage.azure.com")) == (401, "InvalidAuthenticationTokenAudience")
    assert use(arm, login.mint(arm.cloud, "https://ml.azure.com")) == (401, "InvalidAuthenticationTokenAudience")
    assert use(arm, login.mint(arm.cloud, f"{ORIGIN}/")) == (200, "")


def test_a_forged_token_is_refused(arm: Arm) -> None:
    head, claims, signature = arm.token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    other = arm.token.replace(claims, claims[:-2] + ("AA" if claims[-2:] != "AA" else "BB"))
    for forged in (f"{head}.{claims}.{signature[:-2]}", f"{head}.{claims}.", f"{none}.{claims}.", other):
        assert use(arm, forged) == (401, "InvalidAuthenticationToken")
    assert use(arm, "abc") == (401, "AuthenticationFailedInvalidHeader")
    assert use(arm, arm.token, "Basic") == (401, "AuthenticationFailedInvalidHeader")
    assert use(arm, "é.ü.ß") == (401, "InvalidAuthenticationToken")


def test_the_metadata_is_a_list_for_old_versions_and_one_cloud_for_new_ones(arm: Arm) -> None:
    old = arm.send("GET", "/metadata/endpoints?api-version=2019-05-01").body
    new = mapping(arm.send("GET", "/metadata/endpoints?api-version=2022-09-01").body)  # type: ignore[arg-type]
    assert old == [new]
    assert new["resourceManager"] == f"{ORIGIN}/"
    assert mapping(new["authentication"])["loginEndpoint"] == f"{ORIGIN}/"
    assert arm.send("GET", "/metadata/endpoints").status == 400


def test_the_openid_configuration_leads_to_the_token_endpoint(arm: Arm) -> None:
    found = mapping(arm.send("GET", f"/{TENANT_ID}/v2.0/.well-known/openid-configuration").body)  # type: ignore[arg-type]
    assert found["token_endpoint"] == f"{ORIGIN}/{TENANT_ID}/oauth2/v2.0/token"
    assert found["issuer"] == f"{ORIGIN}/{TENANT_ID}/v2.0"
    assert arm.send("GET", f"/{TENANT_ID}/discovery/v2.0/keys").body == {"keys": []}
