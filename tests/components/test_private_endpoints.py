from __future__ import annotations

from typing import TYPE_CHECKING

from specs.stack import StackSpec
from tests.components.conftest import SUBSCRIPTION, arm_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.components.conftest import Recorder, Rendered

ENDPOINT = "azure-native:network:PrivateEndpoint"
GROUP = "azure-native:network:PrivateDnsZoneGroup"
ZONE = "azure-native:privatedns:PrivateZone"
LINK = "azure-native:privatedns:VirtualNetworkLink"
COMPUTE = "azure-native:machinelearningservices:Compute"
SHARED = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers"
STORE = f"{SHARED}/Microsoft.Storage/storageAccounts/store"
ZONE_ID = f"{SHARED}/Microsoft.Network/privateDnsZones/privatelink.notebooks.azure.net"
COMPANY = f"{SHARED}/Microsoft.Network/virtualNetworks/company"


def stack(workspaces: Mapping[str, object], **network: object) -> StackSpec:
    subnets = {"ends": {"address_prefix": "10.0.1.0/24"}, "nodes": {"address_prefix": "10.0.2.0/24"}}
    return StackSpec.model_validate(
        {
            "cloud": "emulator",
            "location": "westeurope",
            "resource_group": "rg",
            "tags": {"owner": "team"},
            "network": {"address_space": ["10.0.0.0/16"], "subnets": subnets, **network},
            "workspaces": workspaces,
        }
    )


def names(recorder: Recorder, kind: str) -> list[str]:
    return [item.name for item in recorder.of(kind)]


def test_a_workspace_and_all_that_is_made_with_it_get_endpoints_and_names(render: Callable[..., Rendered]) -> None:
    spec = stack({"research": {"private_endpoint": {"subnet": "ends"}, "container_registry": "new"}})
    recorder = render(spec).recorder
    leads = {
        item.name: (
            item.inputs["privateLinkServiceConnections"][0]["privateLinkServiceId"],  # type: ignore[index]
            item.inputs["privateLinkServiceConnections"][0]["groupIds"],  # type: ignore[index]
        )
        for item in recorder.of(ENDPOINT)
    }
    assert leads == {
        "research-pe": (arm_id("Workspace", "research"), ["amlworkspace"]),
        "research-pe-blob": (arm_id("StorageAccount", "research-storage"), ["blob"]),
        "research-pe-file": (arm_id("StorageAccount", "research-storage"), ["file"]),
        "research-pe-registry": (arm_id("Registry", "research-registry"), ["registry"]),
        "research-pe-vault": (arm_id("Vault", "research-vault"), ["vault"]),
    }
    zones = {
        item.inputs["privateEndpointName"]: [
            config["privateDnsZoneId"].rpartition("/")[2]
            for config in item.inputs["privateDnsZoneConfigs"]  # type: ignore[attr-defined]
        ]
        for item in recorder.of(GROUP)
    }
    assert zones == {
        "research-pe": ["privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"],
        "research-pe-blob": ["privatelink.blob.core.windows.net"],
        "research-pe-file": ["privatelink.file.core.windows.net"],
        "research-pe-registry": ["privatelink.azurecr.io"],
        "research-pe-vault": ["privatelink.vaultcore.azure.net"],
    }


def test_an_endpoint_renders_the_body_that_arm_takes(render: Callable[..., Rendered]) -> None:
    recorder = render(stack({"research": {"private_endpoint": {"subnet": "ends", "dependencies": False}}})).recorder
    (endpoint,), (group,) = recorder.of(ENDPOINT), recorder.of(GROUP)
    assert endpoint.inputs == {
        "resourceGroupName": "rg",
        "privateEndpointName": "research-pe",
        "location": "westeurope",
        # The vendor's class adds its own defaults of a subnet; Azure reads the id alone.
        "subnet": {
            "id": arm_id("Subnet", "rg-vnet-ends"),
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        },
        "privateLinkServiceConnections": [
            {
                "name": "research-pe",
                "privateLinkServiceId": arm_id("Workspace", "research"),
                "groupIds": ["amlworkspace"],
            }
        ],
        "tags": {"owner": "team"},
    }
    assert group.inputs == {
        "resourceGroupName": "rg",
        "privateEndpointName": "research-pe",
        "privateDnsZoneGroupName": "default",
        "privateDnsZoneConfigs": [
            {
                "name": "privatelink-api-azureml-ms",
                "privateDnsZoneId": arm_id("PrivateZone", "privatelink.api.azureml.ms"),
            },
            {
                "name": "privatelink-notebooks-azure-net",
                "privateDnsZoneId": arm_id("PrivateZone", "privatelink.notebooks.azure.net"),
            },
        ],
    }
    zone, _ = recorder.of(ZONE)
    link, _ = recorder.of(LINK)
    assert zone.inputs == {
        "resourceGroupName": "rg",
        "privateZoneName": "privatelink.api.azureml.ms",
        "location": "global",
        "tags": {"owner": "team"},
    }
    assert link.name == "privatelink.api.azureml.ms-rg-vnet"
    assert link.inputs == {
        "resourceGroupName": "rg",
        "privateZoneName": "privatelink.api.azureml.ms",
        "virtualNetworkLinkName": "rg-vnet",
        "location": "global",
        "registrationEnabled": False,
        "virtualNetwork": {"id": arm_id("VirtualNetwork", "vnet")},
        "tags": {"owner": "team"},
    }


def test_zones_are_made_once_a_stack_and_endpoints_one_after_the_other(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": "ends"}, "key_vault": f"{SHARED}/Microsoft.KeyVault/vaults/v"}
    recorder = render(stack({"first": workspace, "second": workspace})).recorder
    assert names(recorder, ZONE) == [
        "privatelink.api.azureml.ms",
        "privatelink.blob.core.windows.net",
        "privatelink.file.core.windows.net",
        "privatelink.notebooks.azure.net",
    ]
    assert len(names(recorder, LINK)) == 4
    order = {name: recorder.options[ENDPOINT, name].after for name in names(recorder, ENDPOINT)}
    before = {name: [item for item in after if item.endswith(("-dns", "-nodes"))] for name, after in order.items()}
    assert before == {
        "first-pe": ["rg-vnet-nodes"],
        "first-pe-blob": ["first-pe-dns"],
        "first-pe-file": ["first-pe-blob-dns"],
        "second-pe": ["first-pe-file-dns"],
        "second-pe-blob": ["second-pe-dns"],
        "second-pe-file": ["second-pe-blob-dns"],
    }


def test_existing_zones_are_used_and_not_linked(render: Callable[..., Rendered]) -> None:
    spec = stack(
        {"research": {"private_endpoint": {"subnet": "ends", "dependencies": False}}},
        private_dns_zones={"privatelink.notebooks.azure.net": ZONE_ID},
    )
    recorder = render(spec).recorder
    (group,) = recorder.of(GROUP)
    assert names(recorder, ZONE) == ["privatelink.api.azureml.ms"]
    assert names(recorder, LINK) == ["privatelink.api.azureml.ms-rg-vnet"]
    assert [item["privateDnsZoneId"] for item in group.inputs["privateDnsZoneConfigs"]] == [  # type: ignore[attr-defined]
        arm_id("PrivateZone", "privatelink.api.azureml.ms"),
        ZONE_ID,
    ]


def test_what_existed_before_gets_no_endpoint(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": "ends"}, "storage_account": STORE}
    assert names(render(stack({"research": workspace})).recorder, ENDPOINT) == ["research-pe", "research-pe-vault"]


def test_in_an_existing_network_endpoints_and_links_are_its(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": "ends", "dependencies": False}}
    spec = stack({"research": workspace}, id=COMPANY, address_space=[], location="northeurope")
    recorder = render(spec).recorder
    (endpoint,) = recorder.of(ENDPOINT)
    link, _ = recorder.of(LINK)
    assert endpoint.inputs["location"] == "northeurope"
    assert endpoint.inputs["subnet"]["id"] == f"{COMPANY}/subnets/ends"  # type: ignore[index]
    assert link.inputs["virtualNetwork"] == {"id": COMPANY}
    assert link.inputs["virtualNetworkLinkName"] == "company"


def test_an_endpoint_in_a_subnet_by_its_id_links_that_network(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": f"{COMPANY}/subnets/ends", "dependencies": False}}
    link, _ = render(stack({"research": workspace})).recorder.of(LINK)
    assert link.name == "privatelink.api.azureml.ms-company"
    assert link.inputs["virtualNetwork"] == {"id": COMPANY}


def test_computes_of_a_private_workspace_wait_for_its_names(render: Callable[..., Rendered]) -> None:
    cluster = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 1}
    workspace = {"private_endpoint": {"subnet": "ends", "dependencies": False}, "computes": {"cpu": cluster}}
    recorder = render(stack({"research": workspace})).recorder
    assert recorder.options[COMPUTE, "cpu"].after == ("research", "research-pe-dns", "rg")
    assert [item for item in recorder.options[ENDPOINT, "research-pe"].after if item.startswith("privatelink")] == [
        "privatelink.api.azureml.ms-rg-vnet",
        "privatelink.notebooks.azure.net-rg-vnet",
    ]


def test_computes_of_an_open_workspace_wait_for_no_endpoint(render: Callable[..., Rendered]) -> None:
    cluster = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 1}
    workspace = {
        "public_network_access": "Enabled",
        "private_endpoint": {"subnet": "ends", "dependencies": False},
        "computes": {"cpu": cluster},
    }
    recorder = render(stack({"research": workspace})).recorder
    assert recorder.options[COMPUTE, "cpu"].after == ("research", "rg")


def test_an_endpoint_follows_the_replacement_of_its_workspace(render: Callable[..., Rendered]) -> None:
    recorder = render(stack({"research": {"private_endpoint": {"subnet": "ends"}}})).recorder
    options = {name: recorder.options[ENDPOINT, name] for name in names(recorder, ENDPOINT)}
    assert {name: item.replace_with for name, item in options.items()} == {
        "research-pe": ("research",),
        "research-pe-blob": (),
        "research-pe-file": (),
        "research-pe-vault": (),
    }
    assert all(item.delete_before_replace for item in options.values())
