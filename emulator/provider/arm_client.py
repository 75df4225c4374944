"""ARM over HTTPS: token, retries, long-running operations. The vendor's counterpart is its client_azcore.go.

Nothing here leaves the machine: every URL, also those that the service hands out to poll, must be on loopback.
Request and response bodies are never logged; they hold secrets.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from emulator.provider.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.provider.settings import Settings
    from emulator.routing import Json

ACCEPTED = frozenset({200, 201, 202})
DELETED = frozenset({200, 202, 204})
NOT_FOUND = 404
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
RETRIES = 5
BACKOFF_S = 0.8
"""First wait where the service names none; doubles (azcore's default)."""
UPDATE_POLL_S = 10.0
DELETE_POLL_S = 30.0
"""The vendor's polling intervals where the service names none (client_azcore.go)."""
SHORTEST_POLL_S = 0.02
EARLY_S = 60.0
"""A token is renewed this long before it lapses."""


class ArmError(Exception):
    """An error that ARM answered, in the vendor's words (PulumiAzcoreResponseError)."""

    def __init__(self, status: int, code: str, message: str, *, accepted: bool = False) -> None:
        named = f' Code="{code}"' if code else ""
        super().__init__(f'Status={status}{named} Message="{message}"')
        self.status, self.code, self.accepted = status, code, accepted


class GoneError(Exception):
    """The engine that asked is no longer there."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Json]:
        """Parse the body; {} where there is none or it is no object."""
        try:
            value = json.loads(self.body) if self.body else {}
        except ValueError as error:
            raise ArmError(self.status, "", f"unexpected response, not JSON: {error}") from error
        return value if isinstance(value, dict) else {}


class Transport(Protocol):
    """Sends one request; tests put a function in its place."""

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Send it. Raises `OSError` where no answer came."""


@dataclass(slots=True)
class Call:
    """What bounds one call of the engine: its deadline, and whether it still listens."""

    timeout_s: float = 7200.0
    active: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class ArmClient:
    """One identity at one cloud; used by many threads."""

    settings: Settings
    transport: Transport
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cloud: dict[str, str] = field(default_factory=dict)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)

    def get(self, id_: str, version: str, call: Call | None = None) -> dict[str, Json]:
        """GET a resource. Raises `ArmError`."""
        response = self.send("GET", self._url(id_, {"api-version": version}), None, call)
        if response.status != 200:  # noqa: PLR2004 - the one status that the vendor takes
            raise _error(response)
        return response.json()

    def ensure_absent(self, id_: str, version: str, call: Call) -> None:
        """Check that a resource doesn't exist: 404 and 204 pass, all else is an error (client_azcore.go, CanCreate)."""
        response = self.send("GET", self._url(id_, {"api-version": version}), None, call)
        if response.status in (204, NOT_FOUND) or (response.status == 200 and not response.json()):  # noqa: PLR2004
            return
        if response.status == 200:  # noqa: PLR2004
            raise ArmError(409, "", f"cannot create already existing resource '{id_}'")
        text = response.body.decode(errors="replace")
        message = f"cannot check existence of resource '{id_}': status code {response.status}, {text}"
        raise ArmError(response.status, "", message)

    def put(self, id_: str, version: str, body: dict[str, Json], call: Call) -> dict[str, Json]:
        """PUT a resource and wait until it is settled. `ArmError.accepted` tells whether the service took it first."""
        url = self._url(id_, {"api-version": version})
        deadline = self.clock() + call.timeout_s
        _still_wanted(call)
        response = self.send("PUT", url, body, call)
        if response.status not in ACCEPTED:
            raise _error(response)
        try:
            self._settle(response, url, UPDATE_POLL_S, deadline, call)
        except ArmError as error:
            error.accepted = True
            raise
        return response.json()

    def delete(self, id_: str, query: Mapping[str, str], call: Call) -> None:
        """DELETE a resource and wait until it is gone; one that is gone already is no error."""
        url = self._url(id_, query)
        deadline = self.clock() + call.timeout_s
        _still_wanted(call)
        response = self.send("DELETE", url, None, call)
        if response.status == NOT_FOUND:
            return
        if response.status not in DELETED:
            raise _error(response)
        if response.status != 202 and "azure-asyncoperation" not in response.headers:  # noqa: PLR2004
            return
        try:
            self._settle(response, url, DELETE_POLL_S, deadline, call)
        except ArmError as error:
            if error.status != NOT_FOUND:
                raise

    def post(self, path: str, version: str, body: dict[str, Json], call: Call) -> dict[str, Json]:
        """POST an action. Raises `ArmError`."""
        response = self.send("POST", self._url(path, {"api-version": version}), body, call)
        if response.status not in (200, 201):
            raise _error(response)
        return response.json()

    def claims_token(self, call: Call) -> str:
        """Return a token for the directory, whose claims say who we are (auth_getclientconfig.go)."""
        return self._token(self._metadata(call).get("graph", ""), call)

    def send(self, method: str, url: str, body: dict[str, Json] | None, call: Call | None) -> Response:
        """Send with a token; throttling and passing trouble are waited out, `Retry-After` first."""
        call = call or Call()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "User-Agent": "pulumi-azure-native/3.29.0 trainyard-emulator"}
        if data is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        for attempt in range(RETRIES + 1):
            headers["Authorization"] = f"Bearer {self._token(self._metadata(call)['audience'], call)}"
            response = self._transport(method, url, headers, data, call)
            if response.status not in RETRIED or attempt == RETRIES:
                return response
            self._wait(_retry_after(response, BACKOFF_S * 2**attempt), call)
        raise AssertionError("unreachable")  # pragma: no cover

    def _transport(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None, call: Call) -> Response:
        if not is_loopback(url):
            raise ArmError(0, "NotLoopback", f"the emulator's provider talks to this machine only, not to {url!r}")
        for attempt in range(RETRIES + 1):
            try:
                return self.transport(method, url, headers, data)
            except OSError as error:
                if attempt == RETRIES:
                    host = urlsplit(url).netloc
                    message = f"the emulator at {host} does not answer: {error}. Start it: invoke emulator.start"
                    raise ArmError(0, "Unreachable", message) from error
                self._wait(BACKOFF_S * 2**attempt / 4, call)
        raise AssertionError("unreachable")  # pragma: no cover

    def _wait(self, seconds: float, call: Call) -> None:
        end = self.clock() + seconds
        while True:
            if not call.active():
                raise GoneError
            left = end - self.clock()
            if left <= 0:
                return
            self.sleep(min(left, 1.0))

    def _settle(self, response: Response, url: str, interval: float, deadline: float, call: Call) -> None:
        """Poll as azcore does: Azure-AsyncOperation, else Location, else the resource's own provisioningState."""
        judge = _state_done
        target = url
        if operation := response.headers.get("azure-asyncoperation"):
            target, judge = operation, _operation_done
        elif (location := response.headers.get("location")) and response.status != 200:  # noqa: PLR2004
            target, judge = location, _location_done
        elif response.status != 202 and judge(response):  # noqa: PLR2004
            return
        while True:
            if self.clock() > deadline:
                raise ArmError(0, "Timeout", f"the operation did not end in {call.timeout_s:g} s")
            self._wait(max(_retry_after(response, interval), SHORTEST_POLL_S), call)
            response = self.send("GET", self._absolute(target, url), None, call)
            if response.status not in ACCEPTED | DELETED:
                raise _error(response)
            if judge(response):
                return

    def _absolute(self, target: str, url: str) -> str:
        # A relative Location was seen at user-assigned identities (client_azcore.go, normalizeLocationHeader).
        absolute = urljoin(url, target)
        if "api-version" in parse_qs(urlsplit(absolute).query):
            return absolute
        version = parse_qs(urlsplit(url).query)["api-version"][0]
        return f"{absolute}{'&' if urlsplit(absolute).query else '?'}{urlencode({'api-version': version})}"

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return f"{self._metadata(Call())['resource_manager'].rstrip('/')}/{path.lstrip('/')}?{urlencode(query)}"

    def _metadata(self, call: Call) -> dict[str, str]:
        with self._lock:
            if self._cloud:
                return self._cloud
        url = f"{self.settings.metadata_host.rstrip('/')}/metadata/endpoints?api-version=2022-09-01"
        response = self._transport("GET", url, {"Accept": "application/json"}, None, call)
        document = response.json()
        login = document.get("authentication")
        if response.status != 200 or not isinstance(login, dict):  # noqa: PLR2004
            raise ArmError(response.status, "Metadata", f"no cloud metadata at {url}")
        audiences = login.get("audiences")
        cloud = {
            "resource_manager": str(document.get("resourceManager", "")),
            "login": str(login.get("loginEndpoint", "")),
            "audience": str(audiences[0]) if isinstance(audiences, list) and audiences else "",
            "graph": str(document.get("microsoftGraphResourceId", "")),
        }
        with self._lock:
            self._cloud = cloud
        return cloud

    def _token(self, resource: str, call: Call) -> str:
        with self._lock:
            token, lapses = self._tokens.get(resource, ("", 0.0))
        if token and self.clock() < lapses - EARLY_S:
            return token
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
            "scope": f"{resource.rstrip('/')}/.default",
        }
        url = f"{self._metadata(call)['login'].rstrip('/')}/{self.settings.tenant_id}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        response = self._transport("POST", url, headers, urlencode(form).encode(), call)
        answer = response.json()
        if response.status != 200 or "access_token" not in answer:  # noqa: PLR2004
            raise ArmError(response.status, str(answer.get("error", "")), str(answer.get("error_description", "")))
        token, seconds = str(answer["access_token"]), float(str(answer.get("expires_in", 3600)))
        with self._lock:
            self._tokens[resource] = (token, self.clock() + seconds)
        return token


def _still_wanted(call: Call) -> None:
    """Change nothing for an engine that died: whoever recovers looks at the cloud once. Raises `GoneError`."""
    if not call.active():
        raise GoneError


def _operation_done(response: Response) -> bool:
    status = str(response.json().get("status", ""))
    if status in ("Failed", "Canceled"):
        raise _error(response, fallback=f"the operation ended as {status}")
    return status == "Succeeded"


def _location_done(response: Response) -> bool:
    return response.status != 202  # noqa: PLR2004 - 202 means "poll on"


def _state_done(response: Response) -> bool:
    if response.status == 204 or not response.body:  # noqa: PLR2004
        return True
    properties = response.json().get("properties")
    state = properties.get("provisioningState", "Succeeded") if isinstance(properties, dict) else "Succeeded"
    if state in ("Failed", "Canceled"):
        raise _error(response, fallback=f"the resource's provisioning state is {state}")
    return state == "Succeeded" or not state


def _retry_after(response: Response, otherwise: float) -> float:
    for header, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = response.headers.get(header, "")
        if value.replace(".", "", 1).isdigit():
            return float(value) * unit
    return otherwise


def _error(response: Response, fallback: str = "") -> ArmError:
    document = response.json() if response.body[:1] == b"{" else {}
    error = document.get("error")
    if isinstance(error, dict):
        return ArmError(response.status, str(error.get("code", "")), str(error.get("message", "")))
    return ArmError(response.status, "", fallback or response.body.decode(errors="replace"))
