from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runtime import retry
from runtime.control_plane import path
from runtime.errors import ConnectionLostError, RefusedError
from runtime.transport import NotSentError, Request, Transport, UnansweredError
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane

JOB = "/x/jobs/a"


@pytest.fixture
def plane(transport: kit.FakeTransport, clock: kit.HeldClock) -> ControlPlane:
    return kit.fake_plane(transport, clock)


def test_trouble_is_retried_until_an_answer(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    transport.replies["GET", JOB] = [(503, None), UnansweredError("cut"), NotSentError("refused"), (200, {"a": 1})]
    assert plane.get(JOB, "1") == {"a": 1}
    assert transport.asked == [("GET", JOB)] * 4


def test_a_throttled_request_waits_as_long_as_it_was_told(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    transport.replies["GET", JOB] = [(429, None), (200, {})]
    transport.headers = {"retry-after": "7"}
    plane.get(JOB, "1")
    assert len(clock.slept) == 1
    assert 7 <= clock.slept[0] <= 7.1


def test_a_service_that_stays_away_is_given_up_after_the_deadline(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    transport.replies["GET", JOB] = [(503, None)]
    with pytest.raises(ConnectionLostError, match="localhost: HTTP 503") as lost:
        plane.get(JOB, "1")
    assert not lost.value.unknown
    assert 50 < clock.seconds <= 60


def test_no_connection_at_all_is_said_within_seconds(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    transport.replies["GET", JOB] = [NotSentError("localhost:1: Connection refused")]
    with pytest.raises(ConnectionLostError) as lost:
        plane.get(JOB, "1")
    assert str(lost.value) == "no answer: localhost:1: Connection refused. Start it: invoke emulator.start"
    assert clock.seconds <= 5


def test_a_sign_in_that_does_not_answer_is_tried_again_for_as_long(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: object, _scope: str, *, renew: bool = False) -> str:
        if clock.seconds < 2:
            raise ConnectionLostError("can't sign in: localhost:1: Connection refused")
        return "token"

    monkeypatch.setattr(kit.FakeAccess, "token", away)
    transport.replies["PUT", JOB] = [(201, {"id": "j"})]
    assert plane.put_once(JOB, {}, "1") == {"id": "j"}
    assert (2 <= clock.seconds <= 5, transport.asked) == (True, [("PUT", JOB)])
    monkeypatch.setattr(clock, "seconds", -10.0)
    with pytest.raises(ConnectionLostError, match=r"^no answer: can't sign in: localhost:1: Connection refused\."):
        plane.put_once(JOB, {}, "1")


@pytest.mark.parametrize("reply", [UnansweredError("cut"), (500, None), (504, None)])
def test_what_must_not_run_twice_is_not_repeated_after_an_unknown_outcome(
    plane: ControlPlane, transport: kit.FakeTransport, reply: kit.Reply
) -> None:
    transport.replies["PUT", JOB] = [reply]
    with pytest.raises(ConnectionLostError) as lost:
        plane.put_once(JOB, {}, "1")
    assert lost.value.unknown
    assert transport.asked == [("PUT", JOB)]


def test_what_must_not_run_twice_is_repeated_when_it_was_not_sent_or_throttled(
    plane: ControlPlane, transport: kit.FakeTransport
) -> None:
    transport.replies["PUT", JOB] = [NotSentError("refused"), (429, None), (201, {"id": "j"})]
    assert plane.put_once(JOB, {}, "1") == {"id": "j"}


def test_an_expired_token_is_renewed_once(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    denied: kit.Reply = (401, {"error": {"code": "InvalidAuthenticationToken", "message": "expired"}})
    transport.replies["GET", JOB] = [denied, denied, (200, {})]
    with pytest.raises(RefusedError) as refused:
        plane.get(JOB, "1")
    assert str(refused.value) == "expired. [InvalidAuthenticationToken]\n  Sign in again: az login"
    assert len(transport.asked) == 2


def test_a_refusal_keeps_the_services_code_and_words(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    transport.replies["PUT", JOB] = [(400, {"error": {"code": "UserError", "message": "no such compute."}})]
    with pytest.raises(RefusedError) as refused:
        plane.put(JOB, {}, "1")
    assert (refused.value.code, refused.value.status, str(refused.value)) == (
        "UserError",
        400,
        "no such compute. [UserError]",
    )


def test_a_page_of_html_is_a_refusal(plane: ControlPlane) -> None:
    class Html(kit.FakeTransport):
        def send(self, request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN202
            from runtime.transport import Response

            return Response(200, {}, b"<html>portal</html>")

    plane.transport = Html()  # type: ignore[assignment]  # the one method used
    with pytest.raises(RefusedError, match="did not answer in JSON: <html>portal</html>"):
        plane.get(JOB, "1")


def test_every_page_of_a_list_is_read_and_no_token_goes_elsewhere(
    plane: ControlPlane, transport: kit.FakeTransport
) -> None:
    transport.replies["GET", "/x"] = [(200, {"value": [{"n": 1}], "nextLink": "https://localhost:1/y?p=2"})]
    transport.replies["GET", "/y"] = [(200, {"value": [{"n": 2}], "nextLink": None})]
    assert plane.list("/x", "1") == [{"n": 1}, {"n": 2}]
    transport.replies["GET", "/y"] = [(200, {"value": [], "nextLink": "https://evil.example/y"})]
    with pytest.raises(RefusedError, match=r"another host \(evil.example\)"):
        plane.list("/x", "1")


def test_an_asynchronous_operation_is_polled_to_its_end(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    transport.headers = {"azure-asyncoperation": "https://localhost:1/op", "retry-after": "3"}
    transport.replies["PUT", JOB] = [(201, {"id": "j"})]
    transport.replies["GET", "/op"] = [(200, {"status": "InProgress"}), (200, {"status": "Succeeded"})]
    assert plane.put(JOB, {}, "1") == {"id": "j"}
    assert clock.slept == [3.0, 3.0]


def test_nothing_is_sent_without_tls() -> None:
    with pytest.raises(RefusedError, match="is not HTTPS: no token or data is sent there"):
        Transport().send(Request("GET", "http://example.com/x"))


def test_a_closed_port_is_not_sent() -> None:
    with pytest.raises(NotSentError, match="localhost:1: Connection refused"):
        Transport().send(Request("GET", "https://localhost:1/x"))


def test_a_name_can_not_leave_its_segment() -> None:
    assert path("jobs", "../../x?y#z") == "/jobs/..%2F..%2Fx%3Fy%23z"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250", "retry-after": "2"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], expected: float | None) -> None:
    assert retry.retry_after(headers, datetime(2026, 11, 21, 10, 0, tzinfo=UTC)) == expected
