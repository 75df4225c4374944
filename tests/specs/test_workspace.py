"""Workspaces that are taken; those that are not are in the corpus."""

from __future__ import annotations

import pytest

from specs.stack import StackSpec
from specs.workspace import FqdnRule, ManagedNetwork, ServiceTagDestination, WorkspaceSpec

ID = "/subscriptions/s/resourceGroups/g/providers"


def test_what_is_not_said_is_closed_and_without_keys() -> None:
    found = WorkspaceSpec()
    assert found.private is True
    assert found.system_datastores_auth_mode == "Identity"
    assert found.soft_deleted == "refuse"
    assert found.identity.type == "SystemAssigned"


@pytest.mark.parametrize("host", ["packages.example.com", "*.example.com", "a.b.c-d.example"])
def test_hosts_and_all_hosts_below_one_are_taken(host: str) -> None:
    assert FqdnRule(type="FQDN", destination=host).destination == host


@pytest.mark.parametrize("ports", ["443", "*", "80, 8080-8089", "80,443,8000-8010"])
def test_ports_are_one_a_range_or_several(ports: str) -> None:
    assert ServiceTagDestination(service_tag="DataFactory", protocol="TCP", port_ranges=ports).port_ranges == ports


def test_private_endpoints_go_with_both_modes() -> None:
    rule = {
        "type": "PrivateEndpoint",
        "destination": {"service_resource_id": f"{ID}/a/b/c", "subresource_target": "blob"},
    }
    for mode in ("AllowInternetOutbound", "AllowOnlyApprovedOutbound"):
        found = ManagedNetwork.model_validate({"isolation_mode": mode, "outbound_rules": {"data": rule}})
        assert list(found.outbound_rules) == ["data"]


def test_the_customers_key_is_of_its_vault_in_any_cloud_and_read_by_an_identity_of_the_workspace() -> None:
    for host in ("Sealed.vault.azure.net", "sealed.vault.azure.cn", "sealed.vault.usgovcloudapi.net:443"):
        spec = StackSpec.model_validate(
            {
                "cloud": "azure", "location": "westeurope", "resource_group": "rg", "identities": {"reader": {}},
                "workspaces": {
                    "research": {
                        "identity": {"type": "UserAssigned", "user_assigned_identities": ["reader"]},
                        "encryption": {
                            "key_vault_arm_id": f"{ID}/Microsoft.KeyVault/vaults/sealed",
                            "key_identifier": f"https://{host}/keys/k/0123",
                            "user_assigned_identity": "reader",
                        },
                    }
                },
            }
        )  # fmt: skip
        assert spec.workspaces["research"].encryption is not None


def test_tags_of_a_resource_and_its_stack_are_counted_once_where_they_are_the_same() -> None:
    tags = {f"t{index}": "x" for index in range(50)}
    spec = StackSpec.model_validate(
        {
            "cloud": "azure", "location": "westeurope", "resource_group": "rg", "tags": tags,
            "workspaces": {"research": {"tags": {"T0": "y"}}},
        }
    )  # fmt: skip
    assert len(spec.tags) == 50
