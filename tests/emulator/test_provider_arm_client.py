"""The client of ARM: existence, long-running operations, throttling, errors; time is held."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from emulator.constants import CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID
from emulator.provider.arm_client import ArmClient, ArmError, Call, GoneError
from emulator.provider.settings import Settings
from tests.emulator.fake_arm import GROUP, ORIGIN, FakeArm, answer, token

VERSION = "2024-03-01"
OPERATION = f"{ORIGIN}/subscriptions/{SUBSCRIPTION_ID}/operations/1?api-version={VERSION}"


@dataclass
class Time:
    """A clock that moves only by sleeping."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def arm() -> FakeArm:
    return FakeArm()


@pytest.fixture
def held() -> Time:
    return Time()


@pytest.fixture
def client(arm: FakeArm, held: Time) -> ArmClient:
    settings = Settings(SUBSCRIPTION_ID, TENANT_ID, CLIENT_ID, "secret", ORIGIN, "", None)
    return ArmClient(settings, arm, held.sleep, held.clock)


def test_a_put_that_is_done_at_once_is_one_request(arm: FakeArm, client: ArmClient) -> None:
    assert client.put(GROUP, VERSION, {"location": "x"}, Call())["location"] == "x"
    assert arm.requests == [("PUT", GROUP)]


def test_an_asynchronous_operation_is_polled_until_it_succeeds(arm: FakeArm, client: ArmClient, held: Time) -> None:
    arm.queued = [
        answer(201, {"id": GROUP}, azure_asyncoperation=OPERATION, retry_after="1"),
        answer(200, {"status": "InProgress"}, retry_after="0"),
        answer(200, {"status": "Running"}),
        answer(200, {"status": "Succeeded"}),
    ]
    assert client.put(GROUP, VERSION, {}, Call()) == {"id": GROUP}
    path = f"/subscriptions/{SUBSCRIPTION_ID}/operations/1"
    assert arm.requests == [("PUT", GROUP), ("GET", path), ("GET", path), ("GET", path)]
    assert held.slept == [1.0, 0.02, *[1.0] * 10]


def test_an_operation_that_fails_says_why_and_that_it_was_accepted(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [
        answer(201, {}, azure_asyncoperation=OPERATION, retry_after="0"),
        answer(200, {"status": "Failed", "error": {"code": "QuotaExceeded", "message": "too many"}}),
    ]
    with pytest.raises(ArmError) as caught:
        client.put(GROUP, VERSION, {}, Call())
    assert str(caught.value) == 'Status=200 Code="QuotaExceeded" Message="too many"'
    assert caught.value.accepted


def test_a_relative_location_without_a_version_is_polled_until_it_is_no_202(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [
        answer(202, {}, location=f"{GROUP}/operationresults/1", retry_after_ms="5"),
        answer(202, {}, retry_after="0"),
        answer(200, {}),
    ]
    client.put(GROUP, VERSION, {}, Call())
    assert [path for _, path in arm.requests] == [GROUP, *[f"{GROUP}/operationresults/1"] * 2]


def test_without_headers_the_resources_own_state_is_polled(arm: FakeArm, client: ArmClient, held: Time) -> None:
    arm.queued = [
        answer(201, {"properties": {"provisioningState": "Creating"}}),
        answer(200, {"properties": {"provisioningState": "Succeeded"}}),
    ]
    client.put(GROUP, VERSION, {}, Call())
    assert arm.requests == [("PUT", GROUP), ("GET", GROUP)]
    assert sum(held.slept) == 10.0


def test_a_resource_that_settles_as_failed_is_an_error(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(200, {"properties": {"provisioningState": "Failed"}})]
    with pytest.raises(ArmError, match=r"the resource's provisioning state is Failed"):
        client.put(GROUP, VERSION, {}, Call())


def test_an_operation_that_takes_too_long_is_given_up(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(201, {}, azure_asyncoperation=OPERATION), *[answer(200, {"status": "Running"})] * 9]
    with pytest.raises(ArmError, match=r"the operation did not end in 30 s"):
        client.put(GROUP, VERSION, {}, Call(timeout_s=30))


def test_throttling_is_waited_out(arm: FakeArm, client: ArmClient, held: Time) -> None:
    arm.queued = [answer(429, {}, retry_after="2"), answer(503, {}), answer(200, {"id": "x"})]
    assert client.get(GROUP, VERSION) == {"id": "x"}
    assert sum(held.slept) == pytest.approx(2.0 + 1.6)


def test_throttling_without_end_is_an_error(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(429, {"error": {"code": "TooManyRequests", "message": "slow"}}, retry_after="1")] * 6
    with pytest.raises(ArmError, match=r'^Status=429 Code="TooManyRequests" Message="slow"$'):
        client.get(GROUP, VERSION)


def test_a_refused_request_is_not_repeated(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(400, {"error": {"code": "InvalidParameter", "message": "vmSize"}})]
    with pytest.raises(ArmError) as caught:
        client.put(GROUP, VERSION, {}, Call())
    assert str(caught.value) == 'Status=400 Code="InvalidParameter" Message="vmSize"'
    assert not caught.value.accepted
    assert arm.requests == [("PUT", GROUP)]


def test_a_lost_connection_is_tried_again_and_a_dead_emulator_is_named(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [ConnectionResetError("lost"), answer(200, {"id": "x"})]
    assert client.get(GROUP, VERSION) == {"id": "x"}
    arm.queued = [ConnectionRefusedError("nobody")] * 6
    with pytest.raises(ArmError, match=r"does not answer: nobody. Start it: invoke emulator.start"):
        client.get(GROUP, VERSION)


def test_polling_stops_when_the_engine_is_gone(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(201, {}, azure_asyncoperation=OPERATION)]
    still_there = iter([True, False])
    with pytest.raises(GoneError):
        client.put(GROUP, VERSION, {}, Call(active=lambda: next(still_there)))
    assert arm.requests == [("PUT", GROUP)]


def test_nothing_is_changed_for_an_engine_that_is_gone(arm: FakeArm, client: ArmClient) -> None:
    gone = Call(active=lambda: False)
    with pytest.raises(GoneError):
        client.put(GROUP, VERSION, {}, gone)
    with pytest.raises(GoneError):
        client.delete(GROUP, {"api-version": VERSION}, gone)
    assert arm.requests == []


def test_a_service_that_points_elsewhere_is_not_followed(arm: FakeArm, client: ArmClient) -> None:
    arm.queued = [answer(202, {}, location="https://management.azure.com/x?api-version=1", retry_after="0")]
    with pytest.raises(ArmError, match=r"talks to this machine only"):
        client.put(GROUP, VERSION, {}, Call())


def test_what_exists_already_is_not_created_and_what_cannot_be_looked_up_neither(
    arm: FakeArm, client: ArmClient
) -> None:
    client.ensure_absent(GROUP, VERSION, Call())
    arm.play("PUT", GROUP, {})
    with pytest.raises(ArmError, match=rf"cannot create already existing resource '{GROUP}'"):
        client.ensure_absent(GROUP, VERSION, Call())
    arm.queued = [answer(403, {"error": {}})]
    with pytest.raises(ArmError, match=rf"cannot check existence of resource '{GROUP}': status code 403"):
        client.ensure_absent(GROUP, VERSION, Call())


def test_a_delete_that_ends_in_404_is_done_and_one_of_nothing_too(arm: FakeArm, client: ArmClient) -> None:
    client.delete(GROUP, {"api-version": VERSION}, Call())
    arm.queued = [
        answer(202, None, location=f"{ORIGIN}{GROUP}/r?api-version=1", retry_after="0"),
        answer(404, {"error": {"code": "ResourceNotFound", "message": "gone"}}),
    ]
    client.delete(GROUP, {"api-version": VERSION}, Call())
    assert [method for method, _ in arm.requests] == ["DELETE", "DELETE", "GET"]


def test_a_token_is_kept_until_it_is_about_to_lapse(arm: FakeArm, client: ArmClient, held: Time) -> None:
    asked: list[str] = []

    def transport(method: str, url: str, headers: dict[str, str], body: bytes | None) -> object:
        asked.append(url)
        return arm(method, url, headers, body)

    client.transport = transport  # type: ignore[assignment] # counts, then does the same
    arm.play("PUT", GROUP, {})
    for now in (0.0, 3000.0, 3550.0):
        held.now = now
        client.get(GROUP, VERSION)
    assert [url for url in asked if url.endswith("/token")] == [f"{ORIGIN}/{TENANT_ID}/oauth2/v2.0/token"] * 2
    assert client.claims_token(Call()) == token()
