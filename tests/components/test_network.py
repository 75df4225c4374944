from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from specs.stack import StackSpec
from tests.components.conftest import SUBSCRIPTION, arm_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.components.conftest import Recorder, Rendered

GROUP = "azure-native:network:NetworkSecurityGroup"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzN0Fd6SuWjAGyTYYpYXgkFPcTHRUSlAPXtVPvBjMOT team"
OUTBOUND = [
    ("aml-sign-in", 3000, "Outbound", "Tcp", "VirtualNetwork", "AzureActiveDirectory", "80,443"),
    ("aml-service", 3001, "Outbound", "Tcp", "VirtualNetwork", "AzureMachineLearning", "443,8787,18881"),
    ("aml-service-udp", 3002, "Outbound", "Udp", "VirtualNetwork", "AzureMachineLearning", "5831"),
    ("aml-resource-manager", 3003, "Outbound", "Tcp", "VirtualNetwork", "AzureResourceManager", "443"),
    ("aml-front-door", 3004, "Outbound", "Tcp", "VirtualNetwork", "AzureFrontDoor.FrontEnd", "443"),
    ("aml-images", 3005, "Outbound", "Tcp", "VirtualNetwork", "MicrosoftContainerRegistry", "443"),
    ("aml-image-layers", 3006, "Outbound", "Tcp", "VirtualNetwork", "AzureFrontDoor.FirstParty", "443"),
    ("aml-monitor", 3007, "Outbound", "Tcp", "VirtualNetwork", "AzureMonitor", "443"),
    ("aml-private-endpoints", 3008, "Outbound", "Tcp", "VirtualNetwork", "VirtualNetwork", "443,445"),
    ("aml-batch-westeurope", 3009, "Outbound", "*", "VirtualNetwork", "BatchNodeManagement.westeurope", "443"),
    ("aml-storage-westeurope", 3010, "Outbound", "Tcp", "VirtualNetwork", "Storage.westeurope", "443"),
]
VAULT_RULE = ("aml-vault-westeurope", 3011, "Outbound", "Tcp", "VirtualNetwork", "AzureKeyVault.westeurope", "443")
TO_NODES = ("aml-to-nodes", 3000, "Inbound", "Tcp", "AzureMachineLearning", "VirtualNetwork", "44224")
CLUSTER = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 2, "subnet": "nodes"}


def stack(workspace: Mapping[str, object], **network: object) -> StackSpec:
    subnets = {"nodes": {"address_prefix": "10.0.1.0/24"}}
    return StackSpec.model_validate(
        {
            "cloud": "emulator",
            "location": "westeurope",
            "resource_group": "rg",
            "network": {"address_space": ["10.0.0.0/16"], "subnets": subnets, **network},
            "workspaces": {"research": workspace},
        }
    )


def rules(recorder: Recorder, subnet: str = "nodes") -> list[tuple[object, ...]]:
    """List a group's rules; all of them allow, from any port."""
    (group,) = [item for item in recorder.of(GROUP) if item.name == f"rg-vnet-{subnet}-nsg"]
    assert group.inputs["networkSecurityGroupName"] == group.name
    found: list[tuple[object, ...]] = []
    for rule in group.inputs["securityRules"]:  # type: ignore[attr-defined]
        assert rule["access"] == "Allow"
        assert rule["sourcePortRange"] == "*"
        sources = rule.get("sourceAddressPrefixes") or [rule["sourceAddressPrefix"]]
        ports = rule.get("destinationPortRanges") or [rule["destinationPortRange"]]
        found.append(
            (
                rule["name"],
                rule["priority"],
                rule["direction"],
                rule["protocol"],
                ",".join(sources),
                rule["destinationAddressPrefix"],
                ",".join(ports),
            )
        )
    return found


def test_nodes_without_public_addresses_need_no_way_in(render: Callable[..., Rendered]) -> None:
    assert rules(render(stack({"computes": {"cpu": CLUSTER}})).recorder) == OUTBOUND


def test_the_service_calls_nodes_with_public_addresses(render: Callable[..., Rendered]) -> None:
    workspace = {"public_network_access": "Enabled", "computes": {"cpu": CLUSTER}}
    assert rules(render(stack(workspace)).recorder) == [TO_NODES, *OUTBOUND]


def test_nodes_of_a_workspace_with_hbi_reach_the_regions_vaults(render: Callable[..., Rendered]) -> None:
    workspace = {"hbi_workspace": True, "computes": {"cpu": CLUSTER}}
    assert rules(render(stack(workspace)).recorder) == [*OUTBOUND, VAULT_RULE]


def test_serverless_nodes_are_nodes(render: Callable[..., Rendered]) -> None:
    workspace = {"hbi_workspace": True, "serverless_compute": {"subnet": "nodes", "no_public_ip": False}}
    assert rules(render(stack(workspace)).recorder) == [TO_NODES, *OUTBOUND, VAULT_RULE]


def test_nodes_of_a_workspace_in_another_region_reach_both(render: Callable[..., Rendered]) -> None:
    spec = stack({}).model_dump(mode="json", exclude_unset=True)
    there = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    cluster = {**CLUSTER, "location": "westeurope"}
    existing = {"theirs": {"workspace": there, "location": "northeurope", "computes": {"cpu": cluster}}}
    both = rules(render(StackSpec.model_validate({**spec, "existing_workspaces": existing})).recorder)
    assert [rule[5] for rule in both[9:]] == [
        "BatchNodeManagement.northeurope",
        "Storage.northeurope",
        "BatchNodeManagement.westeurope",
        "Storage.westeurope",
    ]


def test_a_subnet_that_nothing_here_uses_is_ready_for_other_stacks_nodes(render: Callable[..., Rendered]) -> None:
    assert rules(render(stack({})).recorder) == OUTBOUND


def test_ssh_is_open_to_a_machines_own_ranges_and_to_nobody_else(render: Callable[..., Rendered]) -> None:
    made = {"vm_size": "Standard_D2s_v3", "admin_public_key": KEY, "subnet": "nodes"}
    account = {"username": "azureuser", "private_key": "machine-key"}
    machine = {"kind": "VirtualMachine", "administrator_account": account}
    ranges = ["203.0.113.0/24", "198.51.100.7/32"]
    computes = {
        "open-box": {**machine, "virtual_machine": {**made, "public_ip": True, "allow_ssh_from": ranges}},
        "shut-box": {**machine, "virtual_machine": made},
    }
    assert rules(render(stack({"computes": computes})).recorder) == [
        ("ssh-to-open-box", 3100, "Inbound", "Tcp", "203.0.113.0/24,198.51.100.7/32", "10.0.1.0/24", "22")
    ]


def test_private_endpoints_need_no_rules(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": "nodes", "dependencies": False}}
    assert rules(render(stack(workspace)).recorder) == []


def test_a_users_rules_come_first_as_they_are_written(render: Callable[..., Rendered]) -> None:
    rule = {
        "priority": 4096,
        "direction": "Outbound",
        "access": "Deny",
        "protocol": "*",
        "source_address_prefix": "*",
        "destination_address_prefix": "Internet",
        "destination_port_range": "*",
        "description": "Only what the service needs.",
    }
    subnets = {"nodes": {"address_prefix": "10.0.1.0/24", "security_rules": {"nothing-else": rule}}}
    (group,) = render(stack({}, subnets=subnets)).recorder.of(GROUP)
    first, *others = list(group.inputs["securityRules"])  # type: ignore[call-overload]
    assert first == {
        "name": "nothing-else",
        "priority": 4096,
        "direction": "Outbound",
        "access": "Deny",
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "Internet",
        "destinationPortRange": "*",
        "description": "Only what the service needs.",
    }
    assert len(others) == len(OUTBOUND)


def test_the_services_own_priorities_are_refused_to_users() -> None:
    rule = {
        "priority": 3999,
        "direction": "Inbound",
        "access": "Deny",
        "protocol": "*",
        "source_address_prefix": "*",
        "destination_address_prefix": "*",
        "destination_port_range": "*",
    }
    with pytest.raises(ValidationError) as refused:
        stack({}, subnets={"nodes": {"address_prefix": "10.0.1.0/24", "security_rules": {"mine": rule}}})
    (error,) = refused.value.errors()
    assert error["msg"] == (
        "subnets.nodes.security_rules.mine.priority: 3000 to 3999 are kept for the rules that the service needs. "
        "Take another."
    )


def test_subnets_are_written_one_after_the_other_with_their_groups(render: Callable[..., Rendered]) -> None:
    given = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/company"
    subnets = {
        "nodes": {"address_prefix": "10.0.1.0/24", "service_endpoints": ["Microsoft.Storage", "Microsoft.KeyVault"]},
        "bare": {"address_prefix": "10.0.2.0/24", "network_security_group": "none"},
        "guarded": {"address_prefix": "10.0.3.0/24", "network_security_group": given},
    }
    recorder = render(stack({}, subnets=subnets)).recorder
    assert [item.name for item in recorder.of(GROUP)] == ["rg-vnet-nodes-nsg"]
    shown = {
        item.inputs["subnetName"]: (item.inputs.get("networkSecurityGroup"), item.inputs.get("serviceEndpoints"))
        for item in recorder.of("azure-native:network:Subnet")
    }
    assert shown == {
        "nodes": (
            {"id": arm_id("NetworkSecurityGroup", "rg-vnet-nodes-nsg")},
            [{"service": "Microsoft.Storage"}, {"service": "Microsoft.KeyVault"}],
        ),
        "bare": (None, None),
        "guarded": ({"id": given}, None),
    }
    after = {name: recorder.options["azure-native:network:Subnet", f"rg-vnet-{name}"].after for name in subnets}
    assert after == {
        "nodes": ("rg", "rg-vnet", "rg-vnet-nodes-nsg"),
        "bare": ("rg", "rg-vnet", "rg-vnet-nodes"),
        "guarded": ("rg", "rg-vnet", "rg-vnet-bare"),
    }


def test_an_existing_network_is_taken_as_it_is(render: Callable[..., Rendered]) -> None:
    network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/company"
    spec = stack({"computes": {"cpu": CLUSTER}}, id=network, address_space=[])
    rendered = render(spec)
    assert [item.type for item in rendered.recorder.resources if ":network:" in item.type] == []
    (cluster,) = rendered.recorder.of("azure-native:machinelearningservices:Compute")
    assert cluster.inputs["properties"]["properties"]["subnet"] == {"id": f"{network}/subnets/nodes"}  # type: ignore[index]
    assert rendered.document["subnets"] == {"nodes": f"{network}/subnets/nodes"}
