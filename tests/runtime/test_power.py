from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import power
from runtime.errors import RefusedError, TargetError
from specs.targets import LocalTarget
from tests.runtime.test_machines import CI, KEY, MACHINE, an_instance, plane, power_of, some_machine, stack

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.power import Verb
    from runtime.wire import Json, Object
    from tests.runtime import kit

__all__ = ["plane"]
MONITOR = "/subscriptions/x/monitor"


def in_state(*states: str) -> list[kit.Reply]:
    return [(200, an_instance(state=state)) for state in states]


def powered(*codes: str) -> list[kit.Reply]:
    return [(200, power_of(code)) for code in codes]


@pytest.mark.parametrize(
    ("verb", "states", "expected"),
    [
        ("start", ["Stopped", "Starting", "Running"], "Running"),
        ("stop", ["Running", "Stopping", "Stopped"], "Stopped"),
        ("restart", ["Running", "Restarting", "Running"], "Running"),
        ("start", ["Stopping", "Stopped", "Running"], "Running"),
    ],
)
def test_an_instance_is_switched_and_waited_for(
    plane: ControlPlane, transport: kit.FakeTransport, verb: Verb, states: list[str], expected: str
) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state(*states)
    transport.replies["POST", f"{CI}/{verb}"] = [(200, None)]
    said: list[str] = []
    assert power.switch(plane, known, known.targets["ada-box"], verb, said.append) == (expected, True)
    assert ("POST", f"{CI}/{verb}") in transport.asked


@pytest.mark.parametrize(("verb", "state"), [("start", "Running"), ("stop", "Stopped")])
def test_what_is_as_wanted_already_is_left_alone(
    plane: ControlPlane, transport: kit.FakeTransport, verb: Verb, state: str
) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state(state)
    assert power.switch(plane, known, known.targets["ada-box"], verb, lambda _: None) == (state, False)
    assert transport.asked == [("GET", CI)]


def test_an_operation_is_followed_to_its_location(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    known = stack()
    transport.headers = {"location": f"https://localhost:1{MONITOR}", "retry-after": "3"}
    transport.replies["GET", CI] = in_state("Stopped", "Running")
    transport.replies["POST", f"{CI}/start"] = [(202, None)]
    transport.replies["GET", MONITOR] = [(202, None), (200, None)]
    assert power.switch(plane, known, known.targets["ada-box"], "start", lambda _: None) == ("Running", True)
    assert clock.slept == [3.0, 3.0]


def test_a_state_that_does_not_end_is_given_up_on(
    plane: ControlPlane, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state("Starting")
    with pytest.raises(TargetError) as error:
        power.switch(plane, known, known.targets["ada-box"], "start", lambda _: None)
    assert str(error.value) == (
        "ada-box is still Starting after 15 minutes, and goes on by itself. See: invoke targets --stack local"
    )
    assert clock.seconds > 900


def test_an_instance_that_comes_to_another_state_is_an_error(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state("Stopped", "Unusable")
    transport.replies["POST", f"{CI}/start"] = [(200, None)]
    with pytest.raises(TargetError) as error:
        power.switch(plane, known, known.targets["ada-box"], "start", lambda _: None)
    assert str(error.value) == "ada-box is Unusable, not Running. See: invoke targets --stack local"


def test_a_stopped_instance_is_not_restarted(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state("Stopped")
    with pytest.raises(TargetError) as error:
        power.switch(plane, known, known.targets["ada-box"], "restart", lambda _: None)
    assert str(error.value) == "ada-box is Stopped. To turn it on: invoke start ada-box"


def test_the_services_refusal_reaches_the_user(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = in_state("Stopped")
    transport.replies["POST", f"{CI}/start"] = [
        (403, {"error": {"code": "AuthorizationFailed", "message": "No role."}})
    ]
    with pytest.raises(RefusedError, match=r"^No role\. \[AuthorizationFailed\]"):
        power.switch(plane, known, known.targets["ada-box"], "start", lambda _: None)


@pytest.mark.parametrize(
    ("verb", "codes", "done"),
    [
        ("stop", ["running", "deallocated"], ("deallocate", "Stopped")),
        ("stop", ["stopped", "deallocating", "deallocated"], ("deallocate", "Stopped")),
        ("start", ["deallocated", "starting", "running"], ("start", "Running")),
        ("restart", ["running", "running"], ("restart", "Running")),
    ],
)
def test_a_machine_of_the_stack_is_switched_as_azures_machine(
    plane: ControlPlane, transport: kit.FakeTransport, verb: Verb, codes: list[str], done: tuple[str, str]
) -> None:
    known, (action, expected) = stack(some_machine(made_here=True)), done
    transport.replies["GET", MACHINE] = powered(*codes)
    transport.replies["POST", f"{MACHINE}/{action}"] = [(200, None)]
    assert power.switch(plane, known, known.targets["gpu-box"], verb, lambda _: None) == (expected, True)


def test_what_is_not_ours_or_has_no_switch_is_refused(plane: ControlPlane) -> None:
    known = stack()
    refusals = {}
    for target in (known.targets["gpu-box"], known.targets["cpu-cluster"], LocalTarget(name="local")):
        with pytest.raises(TargetError) as error:
            power.switch(plane, known, target, "stop", lambda _: None)
        refusals[target.name] = str(error.value)
    assert refusals == {
        "gpu-box": "gpu-box is attached, not made by this stack: it is not ours to stop.",
        "cpu-cluster": "cpu-cluster is a cluster: its nodes come and go by themselves. "
        "To keep some: min_node_count in the stack's file",
        "local": "local is this machine, and always on while you read this.",
    }


def test_a_host_key_is_read_through_azure(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack(some_machine(made_here=True, host_key=None))
    message = f"Enable succeeded: \n[stdout]\n{KEY} root@gpu-box\n\n[stderr]\n"
    answer: Json = {"value": [{"code": "ProvisioningState/succeeded", "level": "Info", "message": message}]}
    transport.replies["POST", f"{MACHINE}/runCommand"] = [(200, answer)]
    assert power.host_key(plane, known, known.targets["gpu-box"]) == KEY
    asked: Object = {"commandId": "RunShellScript", "script": ["cat /etc/ssh/ssh_host_ed25519_key.pub"]}
    assert transport.bodies == [asked]


def test_a_machine_that_does_not_say_its_host_key_is_an_error(
    plane: ControlPlane, transport: kit.FakeTransport
) -> None:
    known = stack(some_machine(made_here=True, host_key=None))
    message = "Enable succeeded: \n[stdout]\n\n[stderr]\ncat: no such file\n"
    transport.replies["POST", f"{MACHINE}/runCommand"] = [(200, {"value": [{"message": message}]})]
    with pytest.raises(TargetError) as error:
        power.host_key(plane, known, known.targets["gpu-box"])
    assert str(error.value) == "gpu-box did not say its host key. Is it on? See: invoke targets --stack local"


def test_only_a_machine_of_the_stack_is_asked_for_its_host_key(plane: ControlPlane) -> None:
    known = stack()
    with pytest.raises(TargetError) as error:
        power.host_key(plane, known, known.targets["gpu-box"])
    assert str(error.value) == (
        "gpu-box is attached, not made by this stack. On it, type: cat /etc/ssh/ssh_host_ed25519_key.pub"
    )
    with pytest.raises(TargetError, match=r"^ada-box is no VirtualMachine: it has no host_key\.$"):
        power.host_key(plane, known, known.targets["ada-box"])
