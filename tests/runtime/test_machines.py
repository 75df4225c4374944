from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime import machines
from runtime.errors import NotFoundError, SpecError, TargetError
from runtime.machines import Login, Node
from specs.targets import ComputeInstanceTarget, LocalTarget, VirtualMachineTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.site import Site
    from runtime.wire import Json, Object
    from specs.outputs import StackOutputs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd1bGxpdmVyZ3VsbGl2ZXJndWxsaXZlcmd1bGxpdmU="
CI = f"{kit.WORKSPACE}/computes/ada-box"
VM = f"{kit.WORKSPACE}/computes/gpu-box"
MACHINE = f"{kit.RG}/providers/Microsoft.Compute/virtualMachines/gpu-box"
OPEN: Object = {
    "remoteLoginPortPublicAccess": "Enabled",
    "userAccountCredentials": {"adminUserName": "ada"},
}
FIRST: Object = {
    "nodeId": "tvm-1",
    "nodeState": "running",
    "runId": "digits-quiet-heron",
    "publicIpAddress": "20.1.2.3",
    "privateIpAddress": "10.0.0.5",
    "port": 50000,
}
SECOND: Object = {**FIRST, "nodeId": "tvm-2", "nodeState": "idle", "runId": None, "port": 50001}
YOUNG: Object = {"nodeId": "tvm-3", "nodeState": "preparing"}


def some_machine(**changes: object) -> VirtualMachineTarget:
    given: dict[str, object] = {
        "name": "gpu-box",
        "id": VM,
        "workspace": "research",
        "address": "10.0.2.4",
        "ssh_port": 2222,
        "username": "ada",
        "host_key": KEY,
        "resource_id": None,
        "made_here": False,
    }
    return VirtualMachineTarget.model_validate({**given, **changes})


def stack(machine: VirtualMachineTarget | None = None) -> StackOutputs:
    known = kit.some_outputs()
    instance = ComputeInstanceTarget(name="ada-box", id=CI, workspace="research", vm_size="Standard_DS3_v2")
    targets = {**known.targets, "ada-box": instance, "gpu-box": machine or some_machine()}
    return known.model_copy(update={"targets": targets})


@pytest.fixture
def plane(site: Site) -> ControlPlane:
    return site.cloud("emulator")


def compute(settings: Json) -> Object:
    return {"properties": {"provisioningState": "Succeeded", "properties": settings}}


def an_instance(**settings: Json) -> Object:
    ssh: Json = {"sshPublicAccess": "Enabled", "adminUserName": "azureuser", "sshPort": 50002}
    where: Json = {"publicIpAddress": "20.9.9.9", "privateIpAddress": "10.0.0.4"}
    return compute({"state": "Running", "sshSettings": ssh, "connectivityEndpoints": where, **settings})


def power_of(code: str) -> Object:
    statuses: Json = [{"code": "ProvisioningState/succeeded"}, {"code": f"PowerState/{code}"}]
    return {"properties": {"instanceView": {"statuses": statuses}}}


def test_nodes_of_a_cluster_come_with_the_command_that_logs_in(
    plane: ControlPlane, transport: kit.FakeTransport
) -> None:
    known = stack()
    transport.replies["GET", kit.CPU] = [(200, compute(OPEN))]
    more = f"https://localhost:1{kit.CPU}/listNodes?api-version=2025-12-01&$skip=2"
    transport.replies["POST", f"{kit.CPU}/listNodes"] = [(200, {"nodes": [FIRST, SECOND], "nextLink": more})]
    transport.replies["GET", f"{kit.CPU}/listNodes"] = [(200, {"nodes": [YOUNG]})]
    found = machines.nodes(plane, known, known.targets["cpu-cluster"])
    assert found == [
        Node("tvm-1", "running", "20.1.2.3", 50000, "ada", "digits-quiet-heron"),
        Node("tvm-2", "idle", "20.1.2.3", 50001, "ada"),
        Node("tvm-3", "preparing", user="ada"),
    ]
    assert [node.connection for node in found] == ["ssh -p 50000 ada@20.1.2.3", "ssh -p 50001 ada@20.1.2.3", None]


def test_nodes_of_a_closed_cluster_have_no_login(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", kit.CPU] = [(200, compute({"remoteLoginPortPublicAccess": "Disabled"}))]
    transport.replies["POST", f"{kit.CPU}/listNodes"] = [(200, {"nodes": [FIRST]})]
    (node,) = machines.nodes(plane, known, known.targets["cpu-cluster"])
    assert (node.state, node.connection) == ("running", None)


def test_an_instance_is_one_node(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = [(200, an_instance())]
    assert machines.nodes(plane, known, known.targets["ada-box"]) == [
        Node("ada-box", "Running", "20.9.9.9", 50002, "azureuser")
    ]


def test_a_stopped_instance_without_ssh_has_no_address(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    closed: Json = {"sshPublicAccess": "Disabled", "adminUserName": "azureuser", "sshPort": 22}
    transport.replies["GET", CI] = [(200, an_instance(state="Stopped", sshSettings=closed, connectivityEndpoints=None))]
    assert machines.nodes(plane, known, known.targets["ada-box"]) == [Node("ada-box", "Stopped")]


def test_an_attached_machine_outside_azure_is_taken_as_it_is(plane: ControlPlane) -> None:
    known = stack()
    assert machines.nodes(plane, known, known.targets["gpu-box"]) == [
        Node("gpu-box", "Attached", "10.0.2.4", 2222, "ada")
    ]


def test_a_machine_of_the_stack_says_whether_it_is_on(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack(some_machine(made_here=True))
    transport.replies["GET", MACHINE] = [(200, power_of("deallocated"))]
    assert [node.state for node in machines.nodes(plane, known, known.targets["gpu-box"])] == ["Stopped"]


def test_an_attached_machine_in_azure_that_is_closed_to_us_is_only_attached(
    plane: ControlPlane, transport: kit.FakeTransport
) -> None:
    known = stack(some_machine(resource_id=MACHINE))
    transport.replies["GET", MACHINE] = [(403, {"error": {"code": "AuthorizationFailed", "message": "no"}})]
    assert [node.state for node in machines.nodes(plane, known, known.targets["gpu-box"])] == ["Attached"]


def test_a_target_that_was_deleted_outside_is_gone(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = [(404, {"error": {"code": "ResourceNotFound", "message": "no"}})]
    with pytest.raises(NotFoundError) as error:
        machines.nodes(plane, known, known.targets["ada-box"])
    assert str(error.value) == (
        "ada-box is gone: it was deleted outside the stack. To make it again: invoke refresh --revert"
    )


def test_an_unknown_target_is_answered_with_those_there_are() -> None:
    with pytest.raises(SpecError) as error:
        machines.find(stack(), "gpu-cluster")
    assert str(error.value) == (
        'the command: target = "gpu-cluster"\n'
        "  no such target in stack local. Allowed: cpu-cluster, ada-box, gpu-box, local.   [rule unknown-target]"
    )


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (None, Login("cpu-cluster-tvm-1", "20.1.2.3", 50000, "ada", None)),
        ("1", Login("cpu-cluster-tvm-1", "20.1.2.3", 50000, "ada", None)),
        ("tvm-2", Login("cpu-cluster-tvm-2", "20.1.2.3", 50001, "ada", None)),
        ("2", Login("cpu-cluster-tvm-2", "20.1.2.3", 50001, "ada", None)),
    ],
)
def test_a_login_goes_to_the_node_that_was_named(
    plane: ControlPlane, transport: kit.FakeTransport, node: str | None, expected: Login
) -> None:
    known = stack()
    transport.replies["GET", kit.CPU] = [(200, compute(OPEN))]
    transport.replies["POST", f"{kit.CPU}/listNodes"] = [(200, {"nodes": [YOUNG, FIRST, SECOND]})]
    assert machines.login(plane, known, known.targets["cpu-cluster"], node) == expected


@pytest.mark.parametrize(
    ("cluster", "node", "message"),
    [
        (
            ({}, [FIRST]),
            None,
            "nobody can log in to the nodes of cpu-cluster: its SSH is off. In the stack's file give it "
            "remote_login_port_public_access: Enabled, user_account_credentials and disable_local_auth: false; "
            "they are fixed at creation, so the cluster is replaced",
        ),
        (
            ({"remoteLoginPortPublicAccess": "Enabled"}, [FIRST]),
            None,
            "nobody can log in to the nodes of cpu-cluster: it has no SSH account. In the stack's file give it "
            "remote_login_port_public_access: Enabled, user_account_credentials and disable_local_auth: false; "
            "they are fixed at creation, so the cluster is replaced",
        ),
        (
            (OPEN, []),
            None,
            "cpu-cluster has no node now; it gets one when a job is sent. See: invoke nodes cpu-cluster",
        ),
        ((OPEN, [FIRST, SECOND]), "tvm-9", "cpu-cluster has no node tvm-9 (any more). There is: tvm-1, tvm-2"),
        ((OPEN, [YOUNG]), None, "node tvm-3 of cpu-cluster is preparing and can't be reached. Try again"),
    ],
)
def test_a_node_that_nobody_can_log_in_to_says_why(
    plane: ControlPlane,
    transport: kit.FakeTransport,
    cluster: tuple[Object, list[Json]],
    node: str | None,
    message: str,
) -> None:
    known, (settings, nodes) = stack(), cluster
    transport.replies["GET", kit.CPU] = [(200, compute(settings))]
    transport.replies["POST", f"{kit.CPU}/listNodes"] = [(200, {"nodes": nodes})]
    with pytest.raises((TargetError, NotFoundError)) as error:
        machines.login(plane, known, known.targets["cpu-cluster"], node)
    assert str(error.value) == message


def test_a_login_to_an_instance(plane: ControlPlane, transport: kit.FakeTransport) -> None:
    known = stack()
    transport.replies["GET", CI] = [(200, an_instance())]
    login = machines.login(plane, known, known.targets["ada-box"])
    assert login == Login("ada-box", "20.9.9.9", 50002, "azureuser", None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sshSettings": {"sshPublicAccess": "Disabled"}},
            "nobody can log in to ada-box: its SSH is off. In the stack's file give it ssh_settings "
            "(ssh_public_access: Enabled, admin_public_key) and disable_local_auth: false; they are fixed at creation, "
            "so the instance is replaced",
        ),
        ({"state": "Stopped"}, "ada-box is Stopped. First: invoke start ada-box"),
        ({"connectivityEndpoints": None}, "ada-box has no address that can be reached from here"),
    ],
)
def test_an_instance_that_nobody_can_log_in_to_says_why(
    plane: ControlPlane, transport: kit.FakeTransport, settings: Object, message: str
) -> None:
    known = stack()
    transport.replies["GET", CI] = [(200, an_instance(**settings))]
    with pytest.raises(TargetError) as error:
        machines.login(plane, known, known.targets["ada-box"])
    assert str(error.value) == message


def test_a_login_to_a_machine_has_its_pinned_key_and_asks_nobody(plane: ControlPlane) -> None:
    known = stack()
    login = machines.login(plane, known, known.targets["gpu-box"])
    assert login == Login("gpu-box", "10.0.2.4", 2222, "ada", KEY)


def test_a_machine_without_a_pinned_key_is_refused(plane: ControlPlane) -> None:
    known = stack(some_machine(host_key=None, made_here=True))
    with pytest.raises(TargetError) as error:
        machines.login(plane, known, known.targets["gpu-box"])
    assert str(error.value) == (
        "the host key of gpu-box is not pinned, so nobody could tell whether it is that machine. "
        "First: invoke host-key gpu-box --stack local"
    )


def test_this_machine_and_a_node_of_one_machine_are_refused(plane: ControlPlane) -> None:
    known = stack()
    with pytest.raises(TargetError, match=r"^local is this machine: there is nothing to log in to\.$"):
        machines.login(plane, known, LocalTarget(name="local"))
    with pytest.raises(TargetError, match=r"^gpu-box is one machine\. Leave --node out\.$"):
        machines.login(plane, known, known.targets["gpu-box"], "0")
