"""Azure Resource Manager and the workspace's own services over HTTPS: the one place where requests are made.

Answers are JSON objects. Every refusal becomes `RefusedError` with the service's code and words; no answer becomes
`ConnectionLostError`, which says whether the request may have been carried out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from runtime import retry, wire
from runtime.access import Access, Secret
from runtime.clock import SYSTEM
from runtime.errors import ConnectionLostError, RefusedError
from runtime.retry import Policy
from runtime.transport import NotSentError, Request, Response, Transport, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.clock import Clock
    from runtime.project import Project
    from runtime.wire import Object

__all__ = ["Access", "ControlPlane", "Secret", "connect", "path", "refusal"]

NOT_FOUND, ACCEPTED, UNAUTHORIZED, ERROR = 404, 202, 401, 400
ADVICE = {
    "AuthorizationFailed": "Ask for the role AzureML Data Scientist on the workspace.",
    "InvalidAuthenticationToken": "Sign in again: az login",
    "ResourceNotFound": "It may have been deleted outside: invoke refresh --revert makes it again.",
    "ResourceGroupNotFound": "It may have been deleted outside: invoke refresh --revert makes it again.",
    "EnvironmentNotFound": "Write it out in the job, with image and conda_file, or register it in the workspace.",
    "QuotaExceeded": "Ask for quota in the portal, or choose a target with another vm_size.",
}


class _Again(NamedTuple):
    """Why a request is tried again, for how long, and how soon at the earliest."""

    words: str
    patience: float
    pause: float | None = None
    unknown: bool = False


def path(*parts: str) -> str:
    """Join the segments of an ARM path; every one is quoted whole, so no name can leave its place."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class ControlPlane:
    """A control plane that we may call. Safe to share between threads."""

    def __init__(
        self,
        access: Access,
        *,
        clock: Clock = SYSTEM,
        policy: Policy | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.access, self.clock, self.policy = access, clock, policy or Policy()
        self.transport = transport or Transport(access.ca_file)

    def get(self, resource: str, api: str, query: Mapping[str, str] | None = None) -> Object:
        """GET a resource."""
        return _object(self.call(Request("GET", self._url(resource, api, query))))

    def find(self, resource: str, api: str, query: Mapping[str, str] | None = None) -> Object | None:
        """GET a resource that may not be there: then None."""
        answer = self.exchange(Request("GET", self._url(resource, api, query)))
        if answer.status == NOT_FOUND:
            return None
        return _object(_checked(answer))

    def list(self, resource: str, api: str, query: Mapping[str, str] | None = None) -> list[Object]:
        """GET every page of a collection."""
        url, found = self._url(resource, api, query), list[wire.Json]()
        while url:
            page = _object(self.call(Request("GET", url)))
            found += wire.items(page.get("value"))
            url = self._same_host(wire.text(page.get("nextLink")))
        return [wire.obj(item) for item in found]

    def put(self, resource: str, body: Object, api: str, query: Mapping[str, str] | None = None) -> Object:
        """PUT a resource; repeating the same body is harmless. Waits for an asynchronous operation."""
        return self._write("PUT", resource, body, api, query)

    def patch(self, resource: str, body: Object, api: str) -> Object:
        """PATCH a resource with absolute values. Waits for an asynchronous operation."""
        return self._write("PATCH", resource, body, api)

    def post(self, resource: str, body: Object, api: str) -> Object:
        """POST an action that is harmless to repeat (listSecrets, startPendingUpload, cancel). Doesn't wait."""
        request = Request("POST", self._url(resource, api), {}, wire.dump(body))
        return _object(self.call(request))

    def act(self, resource: str, body: Object, api: str) -> Object:
        """POST an action and wait for its end (start, stop, runCommand); return what it answers in the end.

        Such operations end at their `Location` (final-state-via, azure-rest-api-specs).
        """
        answer = self.call(Request("POST", self._url(resource, api), {}, wire.dump(body)))
        location = self._same_host(answer.headers.get("location", ""))
        if not location:
            return self._settle(answer)
        while answer.status == ACCEPTED:
            self.clock.sleep(_pause(answer, self.clock))
            answer = self.call(Request("GET", location))
        return _object(answer)

    def delete(self, resource: str, api: str, query: Mapping[str, str] | None = None) -> bool:
        """DELETE a resource and wait for it; False when it was not there, which is as good."""
        answer = self.exchange(Request("DELETE", self._url(resource, api, query)))
        if answer.status == NOT_FOUND:
            return False
        self._settle(_checked(answer))
        return True

    def put_once(self, resource: str, body: Object, api: str, on_sent: Callable[[], None] | None = None) -> Object:
        """PUT what must not be sent twice.

        Raises `ConnectionLostError`; its `unknown` is true when the service may have got it.
        """
        url = self._url(resource, api)
        return _object(self.call(Request("PUT", url, {}, wire.dump(body), once=True, on_sent=on_sent)))

    def call(self, request: Request) -> Response:
        """Send with a token of the control plane; any status from 400 on raises `RefusedError`."""
        return _checked(self.exchange(request))

    def exchange(self, request: Request, scope: str | None = "") -> Response:
        """Send, repeating what may be repeated, and return whatever the service finally says.

        `scope`: of the token; empty is the control plane's, None sends none (the URL is signed).
        """
        start, attempt, renewed = self.clock.monotonic(), 0, False
        while True:
            tried = self._try(request, scope, renew=renewed)
            if isinstance(tried, Response):
                if tried.status != UNAUTHORIZED or scope is None or renewed:
                    return tried
                renewed = True
                continue
            wait = self.policy.pause(attempt, tried.pause)
            if self.clock.monotonic() - start + wait > tried.patience:
                raise ConnectionLostError(f"no answer: {tried.words}{self._hint(request.url)}", unknown=tried.unknown)
            self.clock.sleep(wait)
            attempt += 1

    def _try(self, request: Request, scope: str | None, *, renew: bool) -> Response | _Again:
        """Send once. Raises `ConnectionLostError` when the outcome is unknown and the request must not run twice."""
        try:
            headers = self._headers(request, scope, renew=renew)
        except ConnectionLostError as away:  # whoever signs us in: nothing of the request was sent
            return _Again(str(away), self.policy.connect_s)
        try:
            answer = self.transport.send(_with(request, headers))
        except NotSentError as error:
            return _Again(str(error), self.policy.connect_s)
        except UnansweredError as error:
            if request.once:
                raise ConnectionLostError(str(error), unknown=True) from None
            return _Again(str(error), self.policy.total_s, unknown=True)
        judged = retry.outcome(answer.status, once=request.once)
        if judged == "settled":
            return answer
        words = f"{urlsplit(request.url).hostname}: HTTP {answer.status}"
        if judged == "unknown":
            raise ConnectionLostError(words, unknown=True)
        pause = retry.retry_after(answer.headers, self.clock.now())
        return _Again(words, self.policy.total_s, pause=pause)

    def _write(
        self, method: str, resource: str, body: Object, api: str, query: Mapping[str, str] | None = None
    ) -> Object:
        request = Request(method, self._url(resource, api, query), {}, wire.dump(body))
        return self._settle(self.call(request))

    def _settle(self, answer: Response) -> Object:
        """Wait for an asynchronous operation (ARM: Azure-AsyncOperation, else Location); return the last body."""
        monitor = self._same_host(answer.headers.get("azure-asyncoperation", ""))
        location = self._same_host(answer.headers.get("location", "")) if answer.status == ACCEPTED else ""
        first = answer
        while monitor or location:
            self.clock.sleep(_pause(answer, self.clock))
            answer = self.call(Request("GET", monitor or location))
            state = wire.text(_object(answer).get("status")) or "Succeeded"
            if monitor and state in {"Failed", "Canceled"}:
                raise refusal(answer)
            if (monitor and state == "Succeeded") or (not monitor and answer.status != ACCEPTED):
                break
        return _object(first if monitor else answer)

    def _headers(self, request: Request, scope: str | None, *, renew: bool) -> dict[str, str]:
        headers = {"User-Agent": "trainyard", "Accept": "application/json", **request.headers}
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json")
        elif request.method in {"PUT", "POST", "PATCH"}:
            headers["Content-Length"] = "0"
        if scope is not None:
            token = self.access.token(scope or self.access.arm_scope, renew=renew)
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _url(self, resource: str, api: str, query: Mapping[str, str] | None = None) -> str:
        base = self.access.resource_manager.rstrip("/")
        return f"{base}{resource}?{urlencode({'api-version': api, **(query or {})}, quote_via=quote)}"

    def _same_host(self, url: str) -> str:
        """Return the URL if the token may go there: the control plane's own host."""
        if not url:
            return ""
        if urlsplit(url).netloc != urlsplit(self.access.resource_manager).netloc:
            raise RefusedError(f"the service points to another host ({urlsplit(url).netloc}); no token is sent there")
        return url

    def _hint(self, url: str) -> str:
        """Say what to do where it is the emulator that is away, not somebody else's storage."""
        host, own = urlsplit(url).hostname or "", urlsplit(self.access.resource_manager).hostname
        ours = self.access.cloud == "emulator" and (host == own or host.endswith(".localhost"))
        return ". Start it: invoke emulator.start" if ours else ""


def connect(cloud: str, project: Project, clock: Clock = SYSTEM) -> ControlPlane:
    """Return the control plane of a stack's cloud, found from this process's environment. Nothing is sent."""
    return ControlPlane(
        Access.discover("emulator" if cloud == "emulator" else "azure", project, os.environ), clock=clock
    )


def refusal(answer: Response) -> RefusedError:
    """Translate an error answer of ARM or of the workspace's services."""
    try:
        error = wire.obj(_object(answer).get("error"))
    except RefusedError:
        error = {}
    code = wire.text(error.get("code")) or f"HTTP {answer.status}"
    message = wire.text(error.get("message")) or answer.body[:200].decode("utf-8", "replace") or "no message"
    return RefusedError(message, code=code, status=answer.status, advice=ADVICE.get(code, ""))


def _checked(answer: Response) -> Response:
    if answer.status >= ERROR:
        raise refusal(answer)
    return answer


def _object(answer: Response) -> Object:
    if not answer.body:
        return {}
    try:
        return wire.obj(wire.parse(answer.body))
    except ValueError:
        head = answer.body[:80].decode("utf-8", "replace")
        raise RefusedError(f"the service did not answer in JSON: {head}", status=answer.status) from None


def _pause(answer: Response, clock: Clock) -> float:
    asked = retry.retry_after(answer.headers, clock.now())
    return 2.0 if asked is None else asked


def _with(request: Request, headers: Mapping[str, str]) -> Request:
    return Request(request.method, request.url, headers, request.body, request.once, request.on_sent)
