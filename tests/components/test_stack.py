from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
import pytest
import yaml

from components.base import drop_vendor_aliases, unique_name
from components.workspace_parts import vault_logical_name
from specs.checks import load_stack
from specs.outputs import StackOutputs
from specs.stack import StackSpec
from tests.components.conftest import arm_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.components.conftest import Rendered

ROOT = Path(__file__).parents[2]
ML = "azure-native:machinelearningservices"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"


@pytest.fixture
def local() -> StackSpec:
    return load_stack(ROOT / "stacks/local.yaml")


def changed(spec: StackSpec, compute: str, **fields: object) -> StackSpec:
    document = spec.model_dump(mode="json", exclude_unset=True)
    document["workspaces"]["research"]["computes"][compute].update(fields)
    return StackSpec.model_validate(document)


def test_the_local_stack_declares_exactly_the_resources_of_its_file(
    render: Callable[[StackSpec], Rendered], local: StackSpec
) -> None:
    rendered = render(local)
    assert sorted((item.type, item.name) for item in rendered.recorder.resources) == [
        ("azure-native:applicationinsights:Component", "research-insights"),
        ("azure-native:keyvault:Vault", "research-vault"),
        (f"{ML}:Compute", "cpu-cluster"),
        (f"{ML}:Compute", "spot-cluster"),
        (f"{ML}:Workspace", "research"),
        ("azure-native:managedidentity:UserAssignedIdentity", "training"),
        ("azure-native:network:NetworkSecurityGroup", "trainyard-local-vnet-training-nsg"),
        ("azure-native:network:Subnet", "trainyard-local-vnet-training"),
        ("azure-native:network:VirtualNetwork", "trainyard-local-vnet"),
        ("azure-native:operationalinsights:Workspace", "research-logs"),
        ("azure-native:resources:ResourceGroup", "trainyard-local"),
        ("azure-native:storage:StorageAccount", "research-storage"),
        ("trainyard:index:AmlCompute", "cpu-cluster"),
        ("trainyard:index:AmlCompute", "spot-cluster"),
        ("trainyard:index:Network", "trainyard-local-vnet"),
        ("trainyard:index:Stack", "test"),
        ("trainyard:index:UserAssignedIdentity", "training"),
        ("trainyard:index:Workspace", "research"),
    ]


def test_a_cluster_renders_the_body_that_arm_takes(render: Callable[[StackSpec], Rendered], local: StackSpec) -> None:
    cpu, spot = render(local).recorder.of(f"{ML}:Compute")
    assert cpu.inputs == {
        "resourceGroupName": "trainyard-local",
        "workspaceName": "research",
        "computeName": "cpu-cluster",
        "location": "westeurope",
        "tags": {"owner": "platform-team"},
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": [arm_id("UserAssignedIdentity", "training")],
        },
        "properties": {
            "computeType": "AmlCompute",
            "disableLocalAuth": True,
            "properties": {
                "vmSize": "Standard_D2_v2",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {
                    "minNodeCount": 0,
                    "maxNodeCount": 4,
                    "nodeIdleTimeBeforeScaleDown": "PT15S",
                },
                "subnet": {"id": arm_id("Subnet", "trainyard-local-vnet-training")},
                "enableNodePublicIp": True,
                "remoteLoginPortPublicAccess": "Disabled",
            },
        },
    }
    assert spot.inputs["properties"]["properties"]["vmPriority"] == "LowPriority"  # type: ignore[index]


def test_nodes_of_a_private_workspace_get_no_public_address(
    render: Callable[[StackSpec], Rendered],
) -> None:
    rendered = render(load_stack(ROOT / "stacks/prod.yaml"))
    (compute,) = rendered.recorder.of(f"{ML}:Compute")
    assert compute.inputs["properties"]["properties"]["enableNodePublicIp"] is False  # type: ignore[index]


def test_a_password_reaches_the_engine_as_a_secret_and_never_the_document(
    render: Callable[[StackSpec], Rendered], local: StackSpec
) -> None:
    account = {"admin_user_name": "azureuser", "admin_user_password": "cluster-password"}
    spec = changed(local, "cpu-cluster", user_account_credentials=account, disable_local_auth=False)
    rendered = render(spec)
    cpu, _ = rendered.recorder.of(f"{ML}:Compute")
    # The engine marks the whole of `properties` when one member is a secret.
    assert cpu.inputs["properties"][SECRET_SIGNATURE] == "1b47061264138c4ac30d75fd1eb44270"  # type: ignore[index]
    properties = cpu.inputs["properties"]["value"]["properties"]  # type: ignore[index]
    assert properties["userAccountCredentials"] == {
        "adminUserName": "azureuser",
        "adminUserPassword": "secret:cluster-password",
    }
    assert not rendered.document_is_secret
    assert "secret:" not in str(rendered.document)


def test_the_exported_document_is_the_contract(render: Callable[[StackSpec], Rendered], local: StackSpec) -> None:
    outputs = StackOutputs.model_validate(render(local).document)
    assert outputs.names() == ["cpu-cluster", "spot-cluster", "local"]
    assert outputs.default_target == "cpu-cluster"
    assert outputs.workspaces["research"].name == "research"


def test_the_vendors_aliases_are_dropped_and_the_users_kept() -> None:
    mine = pulumi.Alias(name="old-name")
    opts = pulumi.ResourceOptions(
        aliases=[pulumi.Alias(type_="azure-native:machinelearningservices/v20200101:Compute"), mine]
    )
    args = pulumi.ResourceTransformationArgs(
        resource=None,
        type_=f"{ML}:Compute",
        name="c",
        props={},
        opts=opts,  # type: ignore[arg-type]
    )
    result = drop_vendor_aliases(args)
    assert result is not None
    assert result.opts.aliases == [mine]


def test_names_that_must_be_unique_stay_in_their_limits() -> None:
    assert unique_name("st", "research", "sub/rg", 24) == unique_name("st", "research", "sub/rg", 24)
    assert len(unique_name("st", "a-very-long-workspace-name-here", "sub/rg", 24)) == 24
    assert unique_name("st", "research", "sub/rg", 24) != unique_name("st", "research", "sub/other", 24)
    assert len(vault_logical_name("a-very-long-workspace-name-here")) == 16
    assert vault_logical_name("research") == "research-vault"


def test_the_shipped_stacks_name_their_schema() -> None:
    for path in sorted((ROOT / "stacks").glob("*.yaml")):
        if not path.name.startswith("Pulumi."):
            assert path.read_text().startswith("# yaml-language-server: $schema=stack.schema.json\n")
            assert isinstance(yaml.safe_load(path.read_text()), dict)
