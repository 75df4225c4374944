"""A workspace's options: what its body must be, its managed network and rules, what GET says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import login
from tests.emulator.arm_kit import (
    CPU,
    ORIGIN,
    RG,
    STORAGE,
    SUBNET,
    USER,
    VAULT,
    WS,
    Arm,
    cluster,
    mapping,
    vault,
    workspace,
)

if TYPE_CHECKING:
    from emulator.routing import Json

CMK = f"{RG}/providers/Microsoft.KeyVault/vaults/cmk-vault"
OTHER_CMK = f"{RG}/providers/Microsoft.KeyVault/vaults/cmk-other"
KEYS = "https://cmk-vault.vault.localhost:21000/keys/"
KEY = f"{KEYS}train/{'0' * 32}"
NEWER = f"{KEYS}train/{'1' * 32}"
NEW = f"{WS}2"
RULE = f"{WS}/outboundRules/pypi"
ALL: dict[str, Json] = {
    "friendlyName": "Research",
    "description": "for all",
    "hbiWorkspace": True,
    "publicNetworkAccess": "Disabled",
    "v1LegacyMode": True,
    "systemDatastoresAuthMode": "Identity",
    "imageBuildCompute": "cpu-cluster",
    "provisionNetworkNow": True,
    "managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound", "firewallSku": "Basic"},
    "primaryUserAssignedIdentity": USER,
}


@pytest.fixture
def ready(arm: Arm) -> Arm:
    """Make a workspace, and two vaults that could hold its key."""
    arm.seed()
    for id_ in (CMK, OTHER_CMK):
        arm.put(id_, vault_of(enablePurgeProtection=True))
    return arm


def vault_of(**more: Json) -> dict[str, Json]:
    body = vault()
    mapping(body["properties"]).update(more)
    return body


def as_user(**properties: Json) -> dict[str, Json]:
    identity: dict[str, Json] = {"type": "UserAssigned", "userAssignedIdentities": {USER: {}}}
    return {**workspace(**properties), "identity": identity}


def key(identifier: str = KEY, holder: str = CMK, **more: Json) -> dict[str, Json]:
    return {"status": "Enabled", "keyVaultProperties": {"keyVaultArmId": holder, "keyIdentifier": identifier}, **more}


def said(arm: Arm, method: str, path: str, body: object) -> tuple[int, str, str]:
    status, answer = arm.call(method, path, body)
    error = mapping(mapping(answer)["error"])
    return status, str(error["code"]), str(error["message"])


def network(arm: Arm, id_: str = WS) -> dict[str, Json]:
    return mapping(mapping(arm.get(id_)["properties"])["managedNetwork"])


def test_every_option_is_kept_and_echoed(ready: Arm) -> None:
    body = {**as_user(**ALL), "tags": {"a": "b"}, "sku": {"name": "Standard"}}
    ready.put(NEW, body, 202)
    found = ready.get(NEW)
    properties = mapping(found["properties"])
    plain = {name: value for name, value in ALL.items() if name != "managedNetwork"}
    assert {name: properties[name] for name in plain} == plain
    assert network(ready, NEW) == {
        "isolationMode": "AllowOnlyApprovedOutbound",
        "firewallSku": "Basic",
        "status": {"status": "Active", "sparkReady": False},
        "networkId": network(ready, NEW)["networkId"],
    }
    assert (found["sku"], found["kind"], found["tags"]) == (
        {"name": "Standard", "tier": "Standard"},
        "Default",
        {"a": "b"},
    )
    assert (properties["privateLinkCount"], properties["storageHnsEnabled"]) == (0, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"publicNetworkAccess": "Closed"}, "Allowed values: Enabled, Disabled."),
        ({"systemDatastoresAuthMode": "Password"}, "Allowed values: AccessKey, Identity, UserDelegationSAS."),
        ({"v1LegacyMode": "yes"}, "The value of 'properties.v1LegacyMode' must be a boolean; got 'yes'."),
        ({"description": 7}, "The value of 'properties.description' must be a string; got 7."),
        ({"managedNetwork": {"isolationMode": "Open"}}, "Allowed values: Disabled, AllowInternetOutbound, AllowOnly"),
        (
            {"managedNetwork": {"isolationMode": "AllowInternetOutbound", "firewallSku": "Gold"}},
            "Allowed values: Standard, Basic.",
        ),
        ({"serverlessComputeSettings": {"serverlessComputeNoPublicIP": "no"}}, "must be a boolean; got 'no'."),
    ],
)
def test_a_word_that_the_service_does_not_know_is_refused(ready: Arm, change: dict[str, Json], message: str) -> None:
    status, code, text = said(ready, "PUT", NEW, workspace(**change))
    assert (status, code) == (400, "InvalidRequestContent")
    assert message in text


def test_an_unknown_sku_is_refused(ready: Arm) -> None:
    body = {**workspace(), "sku": {"name": "Enterprise"}}
    assert ready.refused("PUT", NEW, body) == (400, "InvalidRequestContent")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("storageAccount", "Microsoft.Storage/storageAccounts"),
        ("keyVault", "Microsoft.KeyVault/vaults"),
        ("applicationInsights", "microsoft.insights/components"),
        ("containerRegistry", "Microsoft.ContainerRegistry/registries"),
    ],
)
def test_what_a_workspace_stands_on_must_exist(ready: Arm, name: str, kind: str) -> None:
    gone = f"{RG}/providers/{kind}/nothere"
    body = workspace(**{name: gone})
    assert ready.refused("PUT", NEW, body) == (400, "InvalidResourceReference")
    assert ready.refused("PUT", NEW, workspace(**{name: WS})) == (400, "InvalidResourceReference")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "BlobStorage"}, "A storage account of kind BlobStorage"),
        ({"sku": {"name": "Premium_LRS"}}, "A premium storage account"),
        ({"properties": {"isHnsEnabled": True}}, "A storage account with hierarchical namespace"),
    ],
)
def test_not_every_storage_account_will_do(ready: Arm, change: dict[str, Json], why: str) -> None:
    account = f"{STORAGE}b"
    plain: dict[str, Json] = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ready.put(account, plain | change)
    text = f"{why} can't be a workspace's default storage account."
    assert said(ready, "PUT", NEW, workspace(storageAccount=account)) == (400, "ValidationError", text)


@pytest.mark.parametrize(
    "properties", [{"publicNetworkAccess": "Disabled"}, {"networkAcls": {"defaultAction": "Deny"}}]
)
def test_a_storage_account_without_public_access_is_closed_to_this_machine(
    ready: Arm, properties: dict[str, Json]
) -> None:
    token = login.mint(ready.cloud, "https://storage.azure.com")
    bearer = {"authorization": f"Bearer {token}", "x-ms-version": "2024-08-04"}
    url = f"{ORIGIN}/acct.blob/data?restype=container&comp=list"
    assert ready.send("GET", url, headers=bearer).headers["x-ms-error-code"] == "ContainerNotFound"
    account = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ready.put(STORAGE, {**account, "properties": properties}, 200)
    closed = ready.send("GET", url, headers=bearer)
    assert (closed.status, closed.headers["x-ms-error-code"]) == (403, "AuthorizationFailure")
    assert ready.get(STORAGE)["name"] == "acct"


def test_what_another_subscription_has_is_believed(ready: Arm) -> None:
    away = "/subscriptions/99999999-2222-4333-8444-555555555555/resourceGroups/shared/providers"
    body = workspace(containerRegistry=f"{away}/Microsoft.ContainerRegistry/registries/shared")
    ready.put(NEW, body, 202)


def test_user_assigned_identities_alone_need_a_primary_one_among_them(ready: Arm) -> None:
    code = (400, "ValidationError")
    missing = "Missing primaryUserAssignedIdentity: a workspace with user-assigned identities alone needs it."
    assert said(ready, "PUT", NEW, as_user()) == (*code, missing)
    other = USER.replace("trainer", "other")
    ready.put(other, {"location": "westeurope"}, 201)
    stranger = f"primaryUserAssignedIdentity '{other}' is not among the workspace's userAssignedIdentities."
    assert said(ready, "PUT", NEW, as_user(primaryUserAssignedIdentity=other)) == (*code, stranger)
    both = as_user(primaryUserAssignedIdentity=USER)
    mapping(both["identity"])["type"] = "SystemAssigned,UserAssigned"
    beside = "primaryUserAssignedIdentity can't be given when the identity's type has SystemAssigned."
    assert said(ready, "PUT", NEW, both) == (*code, beside)
    ready.put(NEW, as_user(primaryUserAssignedIdentity=USER), 202)


def test_a_customers_key_needs_a_vault_that_cant_be_purged(ready: Arm) -> None:
    purgeable = key(KEY.replace("cmk-vault", "kv-one"), VAULT)
    message = "CMK workspaces should have purge protection enabled on their CMK keyvault."
    assert said(ready, "PUT", NEW, workspace(encryption=purgeable)) == (400, "BadRequest", message)
    gone = key(holder=f"{CMK}-none")
    assert ready.refused("PUT", NEW, workspace(encryption=gone)) == (400, "InvalidResourceReference")
    elsewhere = key(KEY.replace("cmk-vault", "cmk-other"))
    expected = f"keyIdentifier must be a key with its version in the vault 'cmk-vault': {KEYS}NAME/VERSION."
    assert said(ready, "PUT", NEW, workspace(encryption=elsewhere)) == (400, "ValidationError", expected)
    reader = key(identity={"userAssignedIdentity": USER})
    assert ready.refused("PUT", NEW, workspace(encryption=reader)) == (400, "ValidationError")
    ready.put(NEW, as_user(encryption=reader, primaryUserAssignedIdentity=USER), 202)


def test_a_customers_key_is_for_good_but_may_be_another_of_its_vault(ready: Arm) -> None:
    ready.put(NEW, workspace(encryption=key()), 202)
    made = mapping(ready.get(NEW)["properties"])
    assert made["serviceProvisionedResourceGroup"] == f"azureml-rg-mlw2_{made['workspaceId']}"
    ready.put(NEW, workspace(encryption=key(NEWER)), 200)
    assert mapping(ready.get(NEW)["properties"])["encryption"] == key(NEWER)
    moved = key(KEY.replace("cmk-vault", "cmk-other"), OTHER_CMK)
    text = "The key of the workspace 'mlw2' can only be changed to another of the same vault."
    assert said(ready, "PUT", NEW, workspace(encryption=moved)) == (400, "ValidationError", text)
    without = "The encryption of the workspace 'mlw2' can't be added or removed after it was created."
    assert said(ready, "PUT", NEW, workspace()) == (400, "ValidationError", without)
    added = without.replace("mlw2", "mlw")
    assert said(ready, "PUT", WS, workspace(encryption=key())) == (400, "ValidationError", added)


def test_a_patch_may_name_the_key_alone(ready: Arm) -> None:
    ready.put(NEW, workspace(encryption=key()), 202)
    patch = {"properties": {"encryption": {"keyVaultProperties": {"keyIdentifier": NEWER}}}}
    assert ready.call("PATCH", NEW, patch)[0] == 200
    assert mapping(ready.get(NEW)["properties"])["encryption"] == key(NEWER)


@pytest.mark.parametrize("name", ["storageAccount", "keyVault", "hbiWorkspace"])
def test_what_is_fixed_stays(ready: Arm, name: str) -> None:
    other = STORAGE + "b"
    ready.put(other, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    values: dict[str, Json] = {"storageAccount": other, "keyVault": CMK, "hbiWorkspace": True}
    value = values[name]
    text = f"'{name}' of the workspace 'mlw' cannot be changed after it was created."
    assert said(ready, "PUT", WS, workspace(**{name: value})) == (400, "ValidationError", text)
    assert said(ready, "PATCH", WS, {"properties": {name: value}}) == (400, "ValidationError", text)


def test_a_managed_network_is_never_opened_again(ready: Arm) -> None:
    modes = ("AllowInternetOutbound", "AllowOnlyApprovedOutbound")
    for mode in modes:
        ready.put(WS, workspace(managedNetwork={"isolationMode": mode}), 200)
        assert network(ready)["isolationMode"] == mode
    for mode in ("Disabled", modes[0]):
        text = (
            f"The managed network of the workspace 'mlw' can't be changed from {modes[1]} to {mode}: it can't be "
            "disabled, nor opened again, once it is set."
        )
        assert said(ready, "PUT", WS, workspace(managedNetwork={"isolationMode": mode})) == (
            400,
            "ValidationError",
            text,
        )
    ready.put(WS, workspace(), 200)
    assert network(ready)["isolationMode"] == modes[1]


def test_a_managed_network_takes_no_computes_nor_subnets_that_are_there(ready: Arm) -> None:
    ready.put(CPU, cluster(), 201)
    closed: dict[str, Json] = {"isolationMode": "AllowInternetOutbound"}
    text = (
        "The managed network of the workspace 'mlw' can't be enabled while it has computes: cpu-cluster. Delete them "
        "first."
    )
    assert said(ready, "PUT", WS, workspace(managedNetwork=closed)) == (400, "ValidationError", text)
    own: dict[str, Json] = {"serverlessComputeCustomSubnet": SUBNET}
    both = workspace(managedNetwork=closed, serverlessComputeSettings=own)
    assert ready.refused("PUT", NEW, both) == (400, "ValidationError")
    ready.put(NEW, workspace(serverlessComputeSettings=own), 202)
    nowhere = workspace(serverlessComputeSettings={"serverlessComputeCustomSubnet": f"{SUBNET}-none"})
    assert ready.refused("PUT", WS, nowhere) == (400, "InvalidResourceReference")


def test_serverless_nodes_without_addresses_need_a_subnet_in_a_private_workspace(ready: Arm) -> None:
    hidden: dict[str, Json] = {"serverlessComputeNoPublicIP": True}
    private = workspace(publicNetworkAccess="Disabled", serverlessComputeSettings=hidden)
    text = "serverlessComputeNoPublicIP needs a serverlessComputeCustomSubnet where publicNetworkAccess is Disabled."
    assert said(ready, "PUT", NEW, private) == (400, "ValidationError", text)
    placed = {**hidden, "serverlessComputeCustomSubnet": SUBNET}
    ready.put(NEW, workspace(publicNetworkAccess="Disabled", serverlessComputeSettings=placed), 202)
    ready.put(f"{NEW}b", workspace(serverlessComputeSettings=hidden), 202)


def test_a_managed_network_is_provisioned_on_request_or_by_its_first_compute(ready: Arm) -> None:
    refused = ready.refused("POST", f"{WS}/provisionManagedNetwork", {})
    assert refused == (400, "ValidationError")
    ready.put(WS, workspace(managedNetwork={"isolationMode": "AllowInternetOutbound"}), 200)
    assert network(ready)["status"] == {"status": "Inactive", "sparkReady": False}
    done = {"status": "Active", "sparkReady": True}
    assert ready.call("POST", f"{WS}/provisionManagedNetwork", {"includeSpark": True}) == (200, done)
    ready.put(WS, workspace(), 200)
    assert network(ready)["status"] == done
    ready.put(NEW, workspace(managedNetwork={"isolationMode": "AllowInternetOutbound"}), 202)
    ready.put(CPU.replace("/mlw/", "/mlw2/"), cluster(), 201)
    assert network(ready, NEW)["status"] == {"status": "Active", "sparkReady": False}


FQDN: dict[str, Json] = {"type": "FQDN", "destination": "packages.example.com"}
BLOB: dict[str, Json] = {
    "type": "PrivateEndpoint",
    "destination": {"serviceResourceId": STORAGE, "subresourceTarget": "blob", "sparkEnabled": False},
}
TAG: dict[str, Json] = {
    "type": "ServiceTag",
    "destination": {"serviceTag": "DataFactory", "protocol": "TCP", "portRanges": "80, 8080-8089"},
}


def test_rules_are_made_listed_and_deleted_and_the_workspace_shows_them(ready: Arm) -> None:
    approved: dict[str, Json] = {"isolationMode": "AllowOnlyApprovedOutbound", "outboundRules": {"blob": BLOB}}
    ready.put(WS, workspace(managedNetwork=approved), 200)
    for name, rule in (("pypi", FQDN), ("tag", TAG)):
        ready.put(f"{WS}/outboundRules/{name}", {"properties": rule}, 202)
    shown = {"blob": BLOB, "pypi": FQDN, "tag": TAG}
    assert network(ready)["outboundRules"] == {
        name: {**rule, "category": "UserDefined"} for name, rule in shown.items()
    }
    listed = ready.get(f"{WS}/outboundRules")["value"]
    assert [mapping(item)["name"] for item in listed] == ["blob", "pypi", "tag"]  # type: ignore[union-attr]
    one = mapping(ready.get(RULE)["properties"])
    assert one == {**FQDN, "category": "UserDefined", "status": "Inactive"}
    ready.call("POST", f"{WS}/provisionManagedNetwork", {})
    assert mapping(ready.get(RULE)["properties"])["status"] == "Active"
    ready.put(WS, workspace(), 200)
    assert sorted(mapping(network(ready)["outboundRules"])) == ["blob", "pypi", "tag"]
    assert ready.call("DELETE", RULE)[0] == 202
    assert ready.call("DELETE", RULE) == (204, None)
    assert sorted(mapping(network(ready)["outboundRules"])) == ["blob", "tag"]


@pytest.mark.parametrize(
    ("mode", "rule", "code"),
    [
        ("Disabled", BLOB, "ValidationError"),
        ("AllowInternetOutbound", FQDN, "ValidationError"),
        ("AllowInternetOutbound", TAG, "ValidationError"),
        (
            "AllowOnlyApprovedOutbound",
            {**FQDN, "destination": "https://packages.example.com/simple"},
            "ValidationError",
        ),
        ("AllowOnlyApprovedOutbound", {"type": "FQDN"}, "InvalidRequestContent"),
        ("AllowOnlyApprovedOutbound", {"type": "Any", "destination": "x"}, "InvalidRequestContent"),
        (
            "AllowOnlyApprovedOutbound",
            {"type": "PrivateEndpoint", "destination": {"serviceResourceId": f"{STORAGE}x", "subresourceTarget": "b"}},
            "ValidationError",
        ),
        (
            "AllowOnlyApprovedOutbound",
            {"type": "ServiceTag", "destination": {"serviceTag": "S", "protocol": "TCP", "portRanges": "http"}},
            "ValidationError",
        ),
        (
            "AllowOnlyApprovedOutbound",
            {"type": "ServiceTag", "destination": {"serviceTag": "S", "protocol": "SCTP", "portRanges": "1"}},
            "InvalidRequestContent",
        ),
    ],
)
def test_a_rule_must_fit_its_network(ready: Arm, mode: str, rule: dict[str, Json], code: str) -> None:
    ready.put(WS, workspace(managedNetwork={"isolationMode": mode}), 200)
    assert ready.refused("PUT", RULE, {"properties": rule}) == (400, code)
    inline: dict[str, Json] = {"isolationMode": mode, "outboundRules": {"pypi": rule}}
    assert ready.refused("PUT", WS, workspace(managedNetwork=inline)) == (400, code)
    assert ready.refused("GET", RULE) == (404, "ResourceNotFound")


PARTS = {WS: "amlworkspace", STORAGE: "blob", VAULT: "vault"}


@pytest.mark.parametrize("target", list(PARTS))
def test_private_endpoints_are_shown_where_they_lead(ready: Arm, target: str) -> None:
    assert mapping(ready.get(target)["properties"]).get("privateEndpointConnections") is None
    endpoint: dict[str, Json] = {
        "id": f"{RG}/providers/Microsoft.Network/privateEndpoints/door",
        "name": "door",
        "type": "Microsoft.Network/privateEndpoints",
        "properties": {
            "privateLinkServiceConnections": [
                {"name": "door", "properties": {"privateLinkServiceId": target, "groupIds": [PARTS[target]]}}
            ]
        },
    }
    made = mapping(ready.get(target)["systemData"])["createdAt"]
    ready.cloud.state.put(str(endpoint["id"]), endpoint)
    ready.cloud.state.put(f"{endpoint['id']}/__secret", {"made": made}, "secret")
    properties = mapping(ready.get(target)["properties"])
    shown = [mapping(item) for item in properties["privateEndpointConnections"]]  # type: ignore[union-attr]
    assert [mapping(item["properties"])["privateEndpoint"] for item in shown] == [{"id": endpoint["id"]}]
    if target == WS:
        assert properties["privateLinkCount"] == 1
        assert mapping(properties["notebookInfo"])["isPrivateLinkEnabled"] is True
