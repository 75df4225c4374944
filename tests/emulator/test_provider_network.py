"""A network, an endpoint and a machine through the provider and the emulator: made, read, not different, deleted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from emulator.constants import CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID
from emulator.provider.arm_client import Response
from emulator.provider.service import Provider
from emulator.provider.values import from_struct, to_struct
from tests.emulator.arm_kit import NSG, ORIGIN, SUBNET, VAULT, VNET, Arm
from tests.emulator.test_compute_ssh import KEY
from tests.emulator.test_network_types import NIC, PIP, ZONE
from tests.emulator.test_virtual_machine import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.routing import Json

NATIVE = "azure-native"
RULE: dict[str, Json] = {
    "name": "ssh",
    "priority": 1000,
    "direction": "Inbound",
    "access": "Allow",
    "protocol": "Tcp",
    "sourceAddressPrefixes": ["192.0.2.0/24"],
    "sourcePortRange": "*",
    "destinationAddressPrefix": "*",
    "destinationPortRange": "22",
}
CONFIGURATION: dict[str, Json] = {
    "name": "primary",
    "primary": True,
    "privateIPAllocationMethod": "Dynamic",
    "subnet": {"id": SUBNET},
    "publicIPAddress": {"id": PIP},
}
KEYS: list[Json] = [{"path": "/home/ops/.ssh/authorized_keys", "keyData": KEY}]
HERE: dict[str, Json] = {"resourceGroupName": "rg", "location": "westeurope", "tags": {"a": "b"}}
ALL: list[tuple[str, dict[str, Json]]] = [
    (f"{NATIVE}:network:NetworkSecurityGroup", {**HERE, "networkSecurityGroupName": "nsg", "securityRules": [RULE]}),
    (
        f"{NATIVE}:network:Subnet",
        {
            "resourceGroupName": "rg",
            "virtualNetworkName": "vnet",
            "subnetName": "extra",
            "addressPrefix": "10.0.7.0/24",
            "networkSecurityGroup": {"id": NSG},
            "serviceEndpoints": [{"service": "Microsoft.Storage"}],
        },
    ),
    (
        f"{NATIVE}:network:PublicIPAddress",
        {**HERE, "publicIpAddressName": "ip", "sku": {"name": "Standard"}, "publicIPAllocationMethod": "Static"},
    ),
    (
        f"{NATIVE}:network:NetworkInterface",
        {
            **HERE,
            "networkInterfaceName": "nic",
            "ipConfigurations": [CONFIGURATION],
            "networkSecurityGroup": {"id": NSG},
        },
    ),
    (
        f"{NATIVE}:compute:VirtualMachine",
        {
            **HERE,
            "vmName": "lab",
            "hardwareProfile": {"vmSize": "Standard_D2_v3"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage", "diskSizeGB": 64}},
            "osProfile": {
                "computerName": "lab",
                "adminUsername": "ops",
                "customData": "I2Nsb3VkLWNvbmZpZwo=",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": KEYS}},
            },
            "networkProfile": {"networkInterfaces": [{"id": NIC, "primary": True}]},
        },
    ),
    (
        f"{NATIVE}:network:PrivateEndpoint",
        {
            **HERE,
            "privateEndpointName": "pe",
            "subnet": {"id": SUBNET},
            "privateLinkServiceConnections": [
                {"name": "pe", "privateLinkServiceId": VAULT, "groupIds": ["vault"]},
            ],
        },
    ),
    (f"{NATIVE}:privatedns:PrivateZone", {**HERE, "location": "global", "privateZoneName": ZONE.rpartition("/")[2]}),
    (
        f"{NATIVE}:privatedns:VirtualNetworkLink",
        {
            **HERE,
            "location": "global",
            "privateZoneName": ZONE.rpartition("/")[2],
            "virtualNetworkLinkName": "l",
            "registrationEnabled": False,
            "virtualNetwork": {"id": VNET},
        },
    ),
    (
        f"{NATIVE}:network:PrivateDnsZoneGroup",
        {
            "resourceGroupName": "rg",
            "privateEndpointName": "pe",
            "privateDnsZoneGroupName": "default",
            "privateDnsZoneConfigs": [{"name": "vault", "privateDnsZoneId": ZONE}],
        },
    ),
]


@pytest.fixture
def engine(arm: Arm, tmp_path: Path) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """Connect a provider to the emulator, in process; its sign-in is not the question here."""

    def send(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        if url.endswith("/oauth2/v2.0/token"):
            token = {"access_token": arm.token, "expires_in": 3600, "token_type": "Bearer"}
            return Response(200, {}, json.dumps(token).encode())
        answer = arm.send(method, url, body or b"", headers)
        assert not isinstance(answer.body, bytes | Path)
        sent = b"" if answer.body is None else json.dumps(answer.body).encode()
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, sent)

    keys = {"subscription_id": SUBSCRIPTION_ID, "tenant_id": TENANT_ID, "client_id": CLIENT_ID}
    (tmp_path / "endpoint.json").write_text(json.dumps({**keys, "client_secret": "s", "metadata_host": ORIGIN}))
    server = grpc.server(ThreadPoolExecutor(2))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(tmp_path, lambda _: send), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest(sends_old_inputs=True, sends_old_inputs_to_delete=True))
        yield stub
    server.stop(None).wait()


def test_all_are_made_read_alike_and_deleted(engine: provider_pb2_grpc.ResourceProviderStub, arm: Arm) -> None:
    arm.seed()
    made = []
    for token, inputs in ALL:
        urn = f"urn:pulumi:dev::p::{token}::x"
        checked = engine.Check(provider_pb2.CheckRequest(urn=urn, news=to_struct(inputs)))
        assert list(checked.failures) == []
        response = engine.Create(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs))
        made.append((urn, response.id, checked.inputs, response.properties))
    for urn, id_, inputs_, state in made:
        read = engine.Read(provider_pb2.ReadRequest(id=id_, urn=urn, inputs=inputs_, properties=state))
        assert from_struct(read.inputs) == from_struct(inputs_), urn
        request = provider_pb2.DiffRequest(urn=urn, old_inputs=inputs_, olds=read.properties, news=inputs_)
        assert engine.Diff(request).changes == provider_pb2.DiffResponse.DIFF_NONE
        again = engine.Update(provider_pb2.UpdateRequest(id=id_, urn=urn, olds=state, old_inputs=inputs_, news=inputs_))
        read = engine.Read(provider_pb2.ReadRequest(id=id_, urn=urn, inputs=inputs_, properties=again.properties))
        assert from_struct(read.inputs) == from_struct(inputs_), urn
    for urn, id_, inputs_, state in reversed(made):
        engine.Delete(provider_pb2.DeleteRequest(id=id_, urn=urn, properties=state, old_inputs=inputs_))
        assert arm.call("GET", id_)[0] == 404


@pytest.mark.parametrize(
    ("token", "old", "new", "replaced"),
    [
        ("network:PrivateEndpoint", {"subnet": {"id": "a"}}, {"subnet": {"id": "b"}}, ["subnet.id"]),
        ("network:PublicIPAddress", {"sku": {"name": "a"}}, {"sku": {"name": "b"}}, ["sku.name"]),
        ("network:NetworkInterface", {"nicType": "a"}, {"nicType": "b"}, []),
        ("compute:VirtualMachine", {"location": "a"}, {"location": "b"}, ["location"]),
    ],
)
def test_what_replaces(
    engine: provider_pb2_grpc.ResourceProviderStub,
    token: str,
    old: dict[str, Json],
    new: dict[str, Json],
    replaced: list[str],
) -> None:
    urn = f"urn:pulumi:dev::p::{NATIVE}:{token}::x"
    request = provider_pb2.DiffRequest(urn=urn, old_inputs=to_struct(old), news=to_struct(new))
    found = engine.Diff(request).detailedDiff
    assert [path for path, diff in found.items() if diff.kind == provider_pb2.PropertyDiff.UPDATE_REPLACE] == replaced
