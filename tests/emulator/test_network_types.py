"""Interfaces, public addresses, private endpoints, DNS zones: who has which address, and what can't go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.arm_kit import NSG, RG, STORAGE, SUBNET, VAULT, VNET, WS, Arm, mapping

if TYPE_CHECKING:
    from emulator.routing import Json

NET = f"{RG}/providers/Microsoft.Network"
NIC, PIP, PE = f"{NET}/networkInterfaces/nic", f"{NET}/publicIPAddresses/ip", f"{NET}/privateEndpoints/pe"
ZONE = f"{NET}/privateDnsZones/privatelink.vaultcore.azure.net"
GROUP = f"{PE}/privateDnsZoneGroups/default"
PLACE: dict[str, Json] = {"location": "westeurope"}
STATIC: dict[str, Json] = {
    **PLACE,
    "sku": {"name": "Standard"},
    "properties": {"publicIPAllocationMethod": "Static"},
}


def interface(subnet: str = SUBNET, **properties: Json) -> dict[str, Json]:
    configuration: Json = {"name": "primary", "properties": {"subnet": {"id": subnet}, **properties}}
    return {**PLACE, "properties": {"ipConfigurations": [configuration]}}


def endpoint(to: str, *parts: str, subnet: str = SUBNET) -> dict[str, Json]:
    inner: dict[str, Json] = {"privateLinkServiceId": to, "groupIds": [*parts]}
    connection: Json = {"name": "pe", "properties": inner}
    return {**PLACE, "properties": {"subnet": {"id": subnet}, "privateLinkServiceConnections": [connection]}}


def rule(name: str = "r", priority: int = 100, **properties: Json) -> dict[str, Json]:
    whole: dict[str, Json] = {
        "access": "Allow",
        "direction": "Inbound",
        "protocol": "Tcp",
        "priority": priority,
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "VirtualNetwork",
        "destinationPortRange": "22",
        **properties,
    }
    return {"name": name, "properties": whole}


def configuration(arm: Arm, nic: str) -> dict[str, Json]:
    items = mapping(arm.get(nic)["properties"])["ipConfigurations"]
    assert isinstance(items, list)
    return mapping(mapping(items[0])["properties"])


def answer(arm: Arm, method: str, path: str, body: object = None) -> tuple[int, Json, Json]:
    status, said = arm.call(method, path, body)
    error = mapping(mapping(said)["error"])
    return status, error["code"], error["message"]


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(), rule("other")], "SecurityRuleConflict"),
        ([rule(), rule("R", 101)], "DuplicateResourceName"),
        ([rule(priority=99)], "InvalidRequestContent"),
        ([rule(priority=4097)], "InvalidRequestContent"),
        ([rule(sourceAddressPrefix="any")], "SecurityRuleInvalidAddressPrefix"),
        ([rule(sourceAddressPrefix="10.0.0.1/8")], "SecurityRuleInvalidAddressPrefix"),
        ([rule(sourceAddressPrefix="Storage.mars")], "SecurityRuleInvalidAddressPrefix"),
        ([rule(destinationPortRange="80-22")], "SecurityRuleInvalidPortRange"),
        ([rule(destinationPortRange="65536")], "SecurityRuleInvalidPortRange"),
        ([rule(destinationPortRanges=["22"])], "InvalidRequestContent"),
        ([rule(sourceAddressPrefix=None)], "InvalidRequestContent"),
        ([rule(protocol="Sctp")], "InvalidRequestContent"),
    ],
)
def test_a_rule_that_azure_refuses_is_refused(arm: Arm, rules: list[Json], code: str) -> None:
    arm.put(RG, PLACE)
    assert arm.refused("PUT", NSG, {**PLACE, "properties": {"securityRules": rules}}) == (400, code)


def test_a_group_shows_its_rules_azures_and_its_users(arm: Arm) -> None:
    arm.seed()
    rules = [rule(), rule("out", direction="Outbound", destinationAddressPrefix="Storage.WestEurope")]
    arm.put(NSG, {**PLACE, "properties": {"securityRules": rules}}, 201)
    arm.put(
        NIC, {**interface(), "properties": {**mapping(interface()["properties"]), "networkSecurityGroup": {"id": NSG}}}
    )
    shown = mapping(arm.get(NSG)["properties"])
    own, azures = shown["securityRules"], shown["defaultSecurityRules"]
    assert isinstance(own, list)
    assert isinstance(azures, list)
    assert [mapping(item)["id"] for item in own] == [f"{NSG}/securityRules/r", f"{NSG}/securityRules/out"]
    assert [mapping(mapping(item)["properties"])["priority"] for item in azures] == [65000, 65001, 65500] * 2
    assert shown["networkInterfaces"] == [{"id": NIC}]
    assert arm.refused("DELETE", NSG) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")


def test_an_interface_takes_the_lowest_address_and_keeps_it(arm: Arm) -> None:
    arm.seed()
    arm.put(NIC, interface(), 201)
    arm.put(f"{NIC}2", interface(), 201)
    assert [configuration(arm, nic)["privateIPAddress"] for nic in (NIC, f"{NIC}2")] == ["10.0.1.4", "10.0.1.5"]
    arm.call("DELETE", NIC)
    arm.put(f"{NIC}2", {**interface(), "tags": {"a": "b"}}, 200)
    assert configuration(arm, f"{NIC}2")["privateIPAddress"] == "10.0.1.5"
    assert mapping(arm.get(SUBNET)["properties"])["ipConfigurations"] == [{"id": f"{NIC}2/ipConfigurations/primary"}]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.2.9", "PrivateIPAddressNotInSubnet"),
        ("10.0.1.3", "PrivateIPAddressInReservedRange"),
        ("10.0.1.255", "PrivateIPAddressInReservedRange"),
        ("10.0.1.4", "PrivateIPAddressIsAllocated"),
        ("ten", "PrivateIPAddressNotInSubnet"),
    ],
)
def test_a_static_address_must_be_free(arm: Arm, address: str, code: str) -> None:
    arm.seed()
    arm.put(NIC, interface(), 201)
    body = interface(privateIPAllocationMethod="Static", privateIPAddress=address)
    assert arm.refused("PUT", f"{NIC}2", body) == (400, code)


def test_a_full_subnet_takes_nobody_and_a_used_one_stays(arm: Arm) -> None:
    arm.seed()
    small = f"{VNET}/subnets/small"
    arm.put(small, {"properties": {"addressPrefix": "10.0.9.0/29"}}, 201)
    for number in range(3):
        arm.put(f"{NIC}{number}", interface(small), 201)
    message = "Subnet small with address prefix 10.0.9.0/29 does not have enough capacity for 1 IP addresses."
    assert answer(arm, "PUT", f"{NIC}3", interface(small)) == (400, "SubnetIsFull", message)
    assert arm.refused("DELETE", small) == (400, "InUseSubnetCannotBeDeleted")
    assert arm.refused("DELETE", VNET) == (400, "InUseSubnetCannotBeDeleted")


def test_a_public_address_is_this_machines_own_and_stays_while_it_is_used(arm: Arm) -> None:
    arm.seed()
    first = mapping(arm.put(PIP, STATIC, 201)["properties"])["ipAddress"]
    second = mapping(arm.put(f"{PIP}2", STATIC, 201)["properties"])["ipAddress"]
    assert first != second
    assert str(first).startswith("127.77.")
    assert mapping(arm.put(PIP, {**STATIC, "tags": {"a": "b"}}, 200)["properties"])["ipAddress"] == first
    arm.put(NIC, interface(publicIPAddress={"id": PIP}), 201)
    assert arm.refused("PUT", f"{NIC}2", interface(publicIPAddress={"id": PIP})) == (400, "PublicIPAddressInUse")
    message = (
        f"Public IP address {PIP} can not be deleted since it is still allocated to resource "
        f"{NIC}/ipConfigurations/primary. In order to delete the public IP, disassociate/detach the Public IP address "
        "from the resource.  To learn how to do this, see aka.ms/deletepublicip."
    )
    assert answer(arm, "DELETE", PIP) == (400, "PublicIPAddressCannotBeDeleted", message)
    arm.put(NIC, interface(), 200)
    assert arm.call("DELETE", PIP)[0] == 202


def test_a_basic_public_address_can_not_be_had_any_more(arm: Arm) -> None:
    arm.put(RG, PLACE)
    assert arm.refused("PUT", PIP, PLACE) == (400, "IPv4BasicSkuPublicIpCountLimitReached")
    standard = {**PLACE, "sku": {"name": "Standard"}}
    assert arm.refused("PUT", PIP, standard) == (400, "StandardSkuPublicIPAddressMustBeStatic")


@pytest.mark.parametrize(
    ("to", "parts", "code"),
    [
        (VAULT, ("blob",), "InvalidValuesForRequestParameters"),
        (VAULT, (), "InvalidValuesForRequestParameters"),
        (STORAGE, ("blob", "file"), "OnlyOneGroupIdPermitted"),
        (f"{VAULT}2", ("vault",), "InvalidResourceReference"),
        (VNET, ("vault",), "InvalidResourceReference"),
    ],
)
def test_an_endpoint_leads_to_a_part_of_what_is_there(arm: Arm, to: str, parts: tuple[str, ...], code: str) -> None:
    arm.seed()
    assert arm.refused("PUT", PE, endpoint(to, *parts)) == (400, code)


@pytest.mark.parametrize(("to", "part", "count"), [(VAULT, "vault", 1), (STORAGE, "file", 1), (WS, "amlworkspace", 3)])
def test_an_endpoint_has_an_interface_and_its_target_shows_it(arm: Arm, to: str, part: str, count: int) -> None:
    arm.seed()
    made = mapping(arm.put(PE, endpoint(to, part), 201)["properties"])
    nics = made["networkInterfaces"]
    assert isinstance(nics, list)
    nic = str(mapping(nics[0])["id"])
    configurations = mapping(arm.get(nic)["properties"])["ipConfigurations"]
    assert isinstance(configurations, list)
    taken = [mapping(mapping(item)["properties"])["privateIPAddress"] for item in configurations]
    assert taken == ["10.0.1.4", "10.0.1.5", "10.0.1.6"][:count]
    shown = mapping(arm.get(to)["properties"])["privateEndpointConnections"]
    assert isinstance(shown, list)
    properties = mapping(mapping(shown[0])["properties"])
    assert properties["privateEndpoint"] == {"id": PE}
    assert mapping(properties["privateLinkServiceConnectionState"])["status"] == "Approved"
    assert mapping(arm.get(SUBNET)["properties"])["privateEndpoints"] == [{"id": PE}]
    assert arm.refused("DELETE", nic) == (400, "NicInUse")
    assert arm.refused("DELETE", SUBNET) == (400, "InUseSubnetCannotBeDeleted")
    assert arm.call("DELETE", PE)[0] == 202
    assert arm.refused("GET", nic) == (404, "ResourceNotFound")
    assert mapping(arm.get(to)["properties"]).get("privateEndpointConnections", []) == []


def test_an_endpoint_whose_target_is_gone_leads_nowhere_even_to_a_new_one(arm: Arm) -> None:
    arm.seed()
    arm.put(PE, endpoint(STORAGE, "blob"), 201)
    arm.call("DELETE", WS, forceToPurge="true")
    arm.call("DELETE", STORAGE)
    arm.clock.forward(minutes=1)
    arm.put(STORAGE, {**PLACE, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    items = mapping(arm.get(PE)["properties"])["privateLinkServiceConnections"]
    assert isinstance(items, list)
    state = mapping(mapping(mapping(items[0])["properties"])["privateLinkServiceConnectionState"])["status"]
    assert (state, mapping(arm.get(STORAGE)["properties"]).get("privateEndpointConnections")) == ("Disconnected", None)


def test_an_endpoint_is_never_moved(arm: Arm) -> None:
    arm.seed()
    other = f"{VNET}/subnets/other"
    arm.put(other, {"properties": {"addressPrefix": "10.0.2.0/24"}}, 201)
    arm.put(PE, endpoint(VAULT, "vault"), 201)
    assert arm.refused("PUT", PE, endpoint(VAULT, "vault", subnet=other)) == (400, "PrivateEndpointCannotBeUpdated")
    assert arm.refused("PUT", PE, endpoint(STORAGE, "blob")) == (400, "PrivateEndpointCannotBeUpdated")


def test_zones_links_and_groups(arm: Arm) -> None:
    arm.seed()
    assert arm.refused("PUT", ZONE, PLACE) == (400, "LocationNotAvailableForResourceType")
    arm.put(ZONE, {"location": "global"}, 202)
    link: dict[str, Json] = {"location": "global", "properties": {"virtualNetwork": {"id": VNET}}}
    arm.put(f"{ZONE}/virtualNetworkLinks/a", link, 202)
    message = (
        "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link virtual "
        "network with 'privatelink.vaultcore.azure.net' and 'privatelink.vaultcore.azure.net' zones."
    )
    assert answer(arm, "PUT", f"{ZONE}/virtualNetworkLinks/b", link) == (400, "BadRequest", message)
    arm.put(PE, endpoint(VAULT, "vault"), 201)
    named: Json = {"name": "vault", "properties": {"privateDnsZoneId": ZONE}}
    group = mapping(arm.put(GROUP, {"properties": {"privateDnsZoneConfigs": [named]}}, 201)["properties"])
    configs = group["privateDnsZoneConfigs"]
    assert isinstance(configs, list)
    records = mapping(mapping(configs[0])["properties"])["recordSets"]
    assert isinstance(records, list)
    record = mapping(records[0])
    assert (record["fqdn"], record["ipAddresses"]) == ("kv-one.privatelink.vaultcore.azure.net", ["10.0.1.4"])
    code = "MoreThanOnePrivateDnsZoneGroupPerPrivateEndpointNotAllowed"
    assert arm.refused("PUT", GROUP.replace("default", "other"), {}) == (400, code)
    shown = mapping(arm.get(ZONE)["properties"])
    assert (shown["numberOfRecordSets"], shown["numberOfVirtualNetworkLinks"]) == (2, 1)
    assert arm.refused("DELETE", ZONE) == (409, "CannotDeleteResource")
    assert arm.call("DELETE", f"{ZONE}/virtualNetworkLinks/a")[0] == 202
    assert arm.call("DELETE", ZONE)[0] == 202
