"""The protocol itself, over a real gRPC connection, against a small ARM in process."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from emulator.constants import CLIENT_ID, OBJECT_ID, SUBSCRIPTION_ID, TENANT_ID
from emulator.provider.service import Provider
from emulator.provider.values import UNKNOWN, from_struct, to_struct
from tests.emulator.fake_arm import GROUP, ORIGIN, WORKSPACE, FakeArm, answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json

COMPUTE = "urn:pulumi:dev::p::trainyard:index:Workspace$azure-native:machinelearningservices:Compute::cpu"
VNET = "urn:pulumi:dev::p::azure-native:network:VirtualNetwork::net"
INPUTS: dict[str, Json] = {
    "resourceGroupName": "rg",
    "workspaceName": "ws",
    "computeName": "cpu",
    "location": "westeurope",
    "azureApiVersion": "2025-12-01",
    "properties": {
        "computeType": "AmlCompute",
        "properties": {
            "vmSize": "S",
            "scaleSettings": {"maxNodeCount": 4},
            "userAccountCredentials": {"adminUserName": "u", "adminUserPassword": "canary"},
        },
    },
}
CPU = f"{WORKSPACE}/computes/cpu"
ENDPOINT = {
    "subscription_id": SUBSCRIPTION_ID,
    "tenant_id": TENANT_ID,
    "client_id": CLIENT_ID,
    "client_secret": "secret",
    "metadata_host": ORIGIN,
}


@pytest.fixture
def arm() -> FakeArm:
    return FakeArm()


@pytest.fixture
def port(tmp_path: Path, arm: FakeArm) -> Iterator[int]:
    (tmp_path / "endpoint.json").write_text(json.dumps(ENDPOINT))
    server = grpc.server(ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(tmp_path, lambda _: arm), server)
    number = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield number
    server.stop(None).wait()


@contextlib.contextmanager
def attached(port: int, **config: str) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """Connect as an engine of its own does: no connection is shared."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        variables = {f"azure-native:config:{key}": value for key, value in config.items()}
        response = stub.Configure(
            provider_pb2.ConfigureRequest(variables=variables, sends_old_inputs=True, sends_old_inputs_to_delete=True)
        )
        assert (response.acceptSecrets, response.supportsPreview) == (False, True)
        yield stub


@pytest.fixture
def engine(port: int) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    with attached(port) as stub:
        yield stub


def created(engine: provider_pb2_grpc.ResourceProviderStub) -> dict[str, Json]:
    response = engine.Create(provider_pb2.CreateRequest(urn=COMPUTE, properties=to_struct(INPUTS)))
    assert response.id == CPU
    return from_struct(response.properties)


def test_a_preview_asks_arm_nothing(engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm) -> None:
    request = provider_pb2.CreateRequest(urn=COMPUTE, properties=to_struct(INPUTS), preview=True)
    response = engine.Create(request)
    assert from_struct(response.properties)["name"] == UNKNOWN
    assert (response.id, arm.requests) == ("", [])


def test_a_create_looks_puts_and_reads_once(engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm) -> None:
    outputs = created(engine)
    assert arm.requests == [("GET", CPU), ("PUT", CPU), ("GET", CPU)]
    assert arm.bodies == [{"location": "westeurope", "properties": INPUTS["properties"]}]
    assert "canary" not in json.dumps(outputs)
    assert outputs["name"] == "cpu"


def test_a_second_create_fails(engine: provider_pb2_grpc.ResourceProviderStub) -> None:
    created(engine)
    with pytest.raises(grpc.RpcError) as caught:
        created(engine)
    assert caught.value.details() == (f"Status=409 Message=\"cannot create already existing resource '{CPU}'\"")


def test_a_diff_names_paths_and_no_top_level_names(engine: provider_pb2_grpc.ResourceProviderStub) -> None:
    news = json.loads(json.dumps(INPUTS))
    news["properties"]["properties"]["vmSize"] = "T"
    request = provider_pb2.DiffRequest(urn=COMPUTE, old_inputs=to_struct(INPUTS), news=to_struct(news))
    response = engine.Diff(request)
    assert response.hasDetailedDiff
    assert {path: diff.kind for path, diff in response.detailedDiff.items()} == {
        "properties.properties.vmSize": provider_pb2.PropertyDiff.UPDATE
    }
    assert (list(response.diffs), list(response.replaces), response.deleteBeforeReplace) == ([], [], False)
    same = engine.Diff(provider_pb2.DiffRequest(urn=COMPUTE, old_inputs=to_struct(INPUTS), news=to_struct(INPUTS)))
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_refresh_finds_drift_in_the_inputs_and_keeps_the_secret(
    engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm
) -> None:
    state = created(engine)
    refresh = provider_pb2.ReadRequest(id=CPU, urn=COMPUTE, inputs=to_struct(INPUTS), properties=to_struct(state))
    assert from_struct(engine.Read(refresh).inputs) == INPUTS
    drifted = json.loads(json.dumps(INPUTS))
    drifted["properties"]["properties"]["scaleSettings"]["maxNodeCount"] = 9
    arm.play("PUT", CPU, {"location": "westeurope", "properties": drifted["properties"]})
    assert from_struct(engine.Read(refresh).inputs) == drifted
    arm.documents.clear()
    assert engine.Read(refresh).id == ""


def test_an_import_needs_the_id_only(engine: provider_pb2_grpc.ResourceProviderStub) -> None:
    created(engine)
    inputs = from_struct(engine.Read(provider_pb2.ReadRequest(id=CPU, urn=COMPUTE)).inputs)
    expected = json.loads(json.dumps({key: value for key, value in INPUTS.items() if key != "azureApiVersion"}))
    del expected["properties"]["properties"]["userAccountCredentials"]["adminUserPassword"]
    assert inputs == expected


def test_an_update_of_a_network_keeps_the_subnets_of_others(
    engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm
) -> None:
    inputs: dict[str, Json] = {"resourceGroupName": "rg", "virtualNetworkName": "v", "location": "x"}
    made = engine.Create(provider_pb2.CreateRequest(urn=VNET, properties=to_struct(inputs)))
    arm.play("PUT", f"{made.id}/subnets/s", {"properties": {"addressPrefix": "10.0.0.0/24"}})
    refresh = provider_pb2.ReadRequest(id=made.id, urn=VNET, inputs=to_struct(inputs), properties=made.properties)
    assert from_struct(engine.Read(refresh).inputs) == inputs
    news = {**inputs, "tags": {"a": "b"}}
    engine.Update(provider_pb2.UpdateRequest(id=made.id, urn=VNET, olds=made.properties, news=to_struct(news)))
    sent = arm.bodies[-1]["properties"]
    assert isinstance(sent, dict)
    assert [subnet["name"] for subnet in sent["subnets"] if isinstance(subnet, dict)] == ["s"]  # type: ignore[union-attr] # a list


def test_a_failure_after_acceptance_leaves_the_resource_in_the_engines_memory(
    engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm
) -> None:
    arm.queued = [
        answer(404),
        answer(201, {}, azure_asyncoperation=f"{ORIGIN}/o?api-version=1", retry_after="0"),
        answer(200, {"status": "Failed", "error": {"code": "Quota", "message": "none left"}}),
        answer(200, {"id": CPU, "name": "cpu", "properties": {"provisioningState": "Failed"}}),
    ]
    with pytest.raises(grpc.RpcError) as caught:
        created(engine)
    text = 'Status=200 Code="Quota" Message="none left"'
    assert caught.value.details() == text
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons), from_struct(detail.inputs)) == (CPU, [text], INPUTS)
    assert from_struct(detail.properties)["name"] == "cpu"


def test_a_delete_deletes(engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm) -> None:
    state = to_struct(created(engine))
    engine.Delete(provider_pb2.DeleteRequest(id=CPU, urn=COMPUTE, properties=state))
    engine.Delete(provider_pb2.DeleteRequest(id=CPU, urn=COMPUTE, properties=state))
    assert arm.documents == {}
    assert arm.queries[-1] == "api-version=2025-12-01&underlyingResourceAction=Delete"


def test_a_machine_that_was_attached_is_detached_not_deleted(
    engine: provider_pb2_grpc.ResourceProviderStub, arm: FakeArm
) -> None:
    state = to_struct({"properties": {"computeType": "VirtualMachine"}})
    engine.Delete(provider_pb2.DeleteRequest(id=CPU, urn=COMPUTE, properties=state))
    assert arm.queries == ["api-version=2025-12-01&underlyingResourceAction=Detach"]


def test_a_type_or_a_function_that_is_not_played_is_named(engine: provider_pb2_grpc.ResourceProviderStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.Check(provider_pb2.CheckRequest(urn="urn:pulumi:dev::p::azure-native:web:WebApp::w"))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details().startswith(
        "the emulator's provider doesn't play the resource type 'azure-native:web:WebApp'; it plays azure-native:"
    )
    with pytest.raises(grpc.RpcError) as caught:
        engine.Invoke(provider_pb2.InvokeRequest(tok="azure-native:web:listWebApp"))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details().startswith("the emulator's provider doesn't play the function 'azure-native:web:lis")


def test_the_functions_answer(engine: provider_pb2_grpc.ResourceProviderStub) -> None:
    def invoke(token: str, **args: Json) -> dict[str, Json]:
        response = engine.Invoke(provider_pb2.InvokeRequest(tok=f"azure-native:{token}", args=to_struct(args)))
        return from_struct(getattr(response, "return"))

    assert invoke("authorization:getClientConfig") == {
        "clientId": CLIENT_ID,
        "objectId": OBJECT_ID,
        "tenantId": TENANT_ID,
        "subscriptionId": SUBSCRIPTION_ID,
    }
    keys = invoke("storage:listStorageAccountKeys", resourceGroupName="rg", accountName="st")
    assert keys == {"keys": [{"keyName": "key1", "value": "shown"}]}
    created(engine)
    got = invoke("machinelearningservices:getCompute", resourceGroupName="rg", workspaceName="ws", computeName="cpu")
    assert (got["id"], got["name"]) == (CPU, "cpu")


def test_engines_with_different_settings_do_not_disturb_each_other(port: int, arm: FakeArm) -> None:
    arm.play("PUT", GROUP, {"location": "where-the-group-is"})
    news = {key: value for key, value in INPUTS.items() if key != "location"}
    request = provider_pb2.CheckRequest(urn=COMPUTE, news=to_struct(news))
    with attached(port, location="here") as one, attached(port) as two:
        answers = [from_struct(stub.Check(request).inputs)["location"] for stub in (one, two, one)]
        one.Cancel(empty_pb2.Empty())
        answers.append(from_struct(two.Check(request).inputs)["location"])
    assert answers == ["here", "where-the-group-is", "here", "where-the-group-is"]


def test_an_engine_that_this_process_has_not_configured_is_told_to_start_again(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Delete(provider_pb2.DeleteRequest(id=CPU, urn=COMPUTE))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details().endswith("Run the command again.")


def test_another_subscription_is_refused(port: int) -> None:
    with pytest.raises(grpc.RpcError) as caught, attached(port, subscriptionId="11111111-2222"):
        pass
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "unset PULUMI_DEBUG_PROVIDERS" in caught.value.details()


@pytest.mark.processes
def test_the_process_serves_silently_holds_its_lock_and_stops_when_told(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = [sys.executable, "-m", "emulator.provider", "--home", str(tmp_path), "--port", str(number)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        impatient = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20)]
        with grpc.insecure_channel(f"127.0.0.1:{number}", options=impatient) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            info = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty())
        assert info.version == "3.29.0"
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert (second.returncode, second.stderr) == (1, f"a provider already serves {tmp_path}\n")
        started = time.monotonic()
        first.send_signal(signal.SIGTERM)
        assert first.communicate(timeout=20)[0] == ""
        assert (first.returncode, time.monotonic() - started < 5.0) == (0, True)
    finally:
        first.kill()
        first.wait()
