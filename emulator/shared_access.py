"""Who may touch a blob: shared access signatures, the account's key, a bearer token. Checked on every call.

Signatures are Azure's own: a token that the vendor's SDK made from the account key is verified against the string to
sign of its service version ("Create a service SAS", "Authorize with Shared Key"), in constant time. Not played, hence
refused: user delegation keys, stored access policies, address ranges.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from emulator import accounts, login
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.accounts import Account
    from emulator.cloud import Cloud
    from emulator.routing import Call

VERSION = "2021-12-02"
OLDEST = "2018-11-09"
WITH_SCOPES = "2020-12-06"
"""From this service version on the string to sign has a line for the encryption scope."""
SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
SKEW = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Target:
    """What a call wants to touch: the account alone, a container, or a blob in it."""

    account: Account
    container: str = ""
    blob: str = ""


def sign(cloud: Cloud, target: Target, permissions: str, lifetime: timedelta) -> str:
    """Return a signed query string for a container (`sr=c`) or, when the target names one, a blob (`sr=b`)."""
    fields = {
        "sp": permissions,
        "st": _iso(cloud.now() - timedelta(minutes=5)),
        "se": _iso(cloud.now() + lifetime),
        "spr": "https",
        "sv": VERSION,
        "sr": "b" if target.blob else "c",
    }
    key = accounts.keys(cloud, target.account)[0]
    return urlencode({**fields, "sig": _signature(key, _service_string(fields, target))}, quote_via=quote)


def authorize(call: Call, target: Target) -> frozenset[str]:
    """Return the permissions (letters of a SAS) that this call carries for the target. Raises `Refusal` 401 or 403."""
    if "sig" in call.query:
        return _by_signature(call, target)
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "sharedkey":
            _by_key(call, target, value)
        case "bearer":
            login.verify(call.cloud, f"Bearer {value}", login.STORAGE_AUDIENCES)
        case _:
            headers = {"WWW-Authenticate": login.challenge(call.cloud, "no credentials")}
            text = "Server failed to authenticate the request. Please refer to the information in the www-authenticate"
            raise Refusal(401, "NoAuthenticationInformation", text + " header.", headers=headers)
    return frozenset("racwdlx*")


def _by_signature(call: Call, target: Target) -> frozenset[str]:
    query = call.query
    account_wide = "ss" in query
    version = query.get("sv", "")
    if version < OLDEST or "skoid" in query or "si" in query or "sip" in query:
        raise denied("This form of shared access signature is not played here")
    if not target.account.shared_key:
        raise Refusal(403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted.")
    if account_wide:
        string = _account_string(query, target)
    else:
        if query.get("sr") not in {"c", "b"}:
            raise denied("The signed resource must be a container or a blob")
        scope = target if query["sr"] == "b" else Target(target.account, target.container)
        string = _service_string(query, scope)
    given = query["sig"]
    keys = accounts.keys(call.cloud, target.account)
    fits = [hmac.compare_digest(_signature(key, string).encode(), given.encode()) for key in keys]
    if not any(fits):
        raise denied("Signature did not match")
    _in_time(call, query)
    if account_wide and ("b" not in query["ss"] or _level(target) not in query.get("srt", "")):
        raise Refusal(403, "AuthorizationResourceTypeMismatch", "The signature does not cover this type of resource.")
    letters = frozenset(query.get("sp", ""))
    return letters | {"*"} if account_wide else letters


def _in_time(call: Call, query: Mapping[str, str]) -> None:
    now = call.cloud.now()
    try:
        end = _moment(query["se"])
        start = _moment(query["st"]) if "st" in query else now
    except (KeyError, ValueError) as error:
        raise denied("Signed expiry time is missing or malformed") from error
    if not start <= now < end:
        raise denied(f"Signature not valid in the specified time frame: start [{start}], expiry [{end}], now [{now}]")


def _service_string(fields: Mapping[str, str], target: Target) -> str:
    path = f"/blob/{target.account.name}/{target.container}" + (f"/{target.blob}" if target.blob else "")
    names = ["si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct"]
    if fields.get("sv", "") < WITH_SCOPES:
        names.remove("ses")
    head = [fields.get("sp", ""), fields.get("st", ""), fields.get("se", ""), path]
    return "\n".join([*head, *(fields.get(name, "") for name in names)])


def _account_string(fields: Mapping[str, str], target: Target) -> str:
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if fields.get("sv", "") >= WITH_SCOPES:
        names.append("ses")
    return "\n".join([target.account.name, *(fields.get(name, "") for name in names), ""])


def _level(target: Target) -> str:
    return "o" if target.blob else "c" if target.container else "s"


def _by_key(call: Call, target: Target, value: str) -> None:
    name, _, given = value.partition(":")
    if not target.account.shared_key:
        raise Refusal(403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted.")
    headers = {key.lower(): content for key, content in call.headers.items()}
    _fresh(call, headers)
    keys = accounts.keys(call.cloud, target.account)
    strings = [_shared_key_string(call, headers, name, path) for path in _paths(call.path, target)]
    fits = [hmac.compare_digest(_signature(key, string).encode(), given.encode()) for key in keys for string in strings]
    if name != target.account.name or not any(fits):
        raise denied("The MAC signature found in the HTTP request is not the same as any computed signature")


def _paths(path: str, target: Target) -> tuple[str, ...]:
    """Return the path as sent in both styles: below the account's own host, and with the account as first segment."""
    prefix = f"/{target.account.name}.blob"
    return (path, path.removeprefix(prefix) or "/") if path.startswith(prefix) else (path,)


def _fresh(call: Call, headers: Mapping[str, str]) -> None:
    try:
        sent = parsedate_to_datetime(headers.get("x-ms-date") or headers.get("date", ""))
    except ValueError as error:
        raise denied("The date header is missing or malformed") from error
    if abs(call.cloud.now() - sent) > SKEW:
        raise denied("The date header in the request is too old or too far ahead")


def _shared_key_string(call: Call, headers: Mapping[str, str], account: str, path: str) -> str:
    lines = [call.method]
    for name in SIGNED_HEADERS:
        value = headers.get(name, "")
        lines.append("" if name == "content-length" and value == "0" else value)
    if "x-ms-date" in headers:
        lines[1 + SIGNED_HEADERS.index("date")] = ""
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    lines.append(f"/{account}{path}")
    lines += [f"{name.lower()}:{call.query[name]}" for name in sorted(call.query)]
    return "\n".join(lines)


def denied(detail: str) -> Refusal:
    """Return Azure's 403 for credentials that don't hold."""
    text = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
    return Refusal(403, "AuthenticationFailed", f"{text} including the signature. {detail}.")


def _signature(key: str, string: str) -> str:
    digest = hmac.new(base64.b64decode(key), string.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(value: str) -> datetime:
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
