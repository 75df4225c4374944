from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pytest
from pydantic import ValidationError

from components.base import Account
from components.references import look_up, parse_workspace
from specs.outputs import StackOutputs
from specs.stack import StackSpec
from tests.components.conftest import SUBSCRIPTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.components.conftest import Rendered

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/platform"
ML = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/platform-vnet"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/training"
ACCOUNT = Account(subscription_id=SUBSCRIPTION, tenant_id="tenant")
PLATFORM = StackOutputs.model_validate(
    {
        "stack": "platform",
        "cloud": "emulator",
        "subscription_id": SUBSCRIPTION,
        "tenant_id": "tenant",
        "resource_group": "platform",
        "location": "westeurope",
        "workspaces": {
            "research": {
                "id": f"{ML}/research",
                "name": "research",
                "location": "westeurope",
                "storage_account": f"{GROUP}/providers/Microsoft.Storage/storageAccounts/store",
            }
        },
        "targets": {},
        "default_target": "local",
        "subnets": {"training": f"{VNET}/subnets/training", "ends": f"{VNET}/subnets/ends"},
        "identities": {"training": {"id": IDENTITY, "principal_id": "principal-of-platforms-training"}},
    }
).model_dump(mode="json")
DOCUMENTS = {"organization/trainyard/platform": PLATFORM}
CLUSTER = {
    "kind": "AmlCompute",
    "vm_size": "Standard_D2_v2",
    "max_node_count": 1,
    "subnet": "training@platform",
    "identity": {"type": "UserAssigned", "user_assigned_identities": ["training@platform"]},
}


def stack(**more: object) -> StackSpec:
    return StackSpec.model_validate(
        {"cloud": "emulator", "location": "northeurope", "resource_group": "tenant", **more}
    )


def test_a_cluster_uses_the_workspace_the_subnet_and_the_identity_of_another_stack(
    render: Callable[..., Rendered],
) -> None:
    there = {"workspace": "research@platform", "location": "westeurope", "computes": {"cpu": CLUSTER}}
    rendered = render(stack(existing_workspaces={"ours": there}, default_target="cpu"), DOCUMENTS)
    (cluster,) = rendered.recorder.of("azure-native:machinelearningservices:Compute")
    taken = {name: cluster.inputs[name] for name in ("resourceGroupName", "workspaceName", "location", "identity")}
    assert taken == {
        "resourceGroupName": "platform",
        "workspaceName": "research",
        "location": "westeurope",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]},
    }
    assert cluster.inputs["properties"]["properties"]["subnet"] == {"id": f"{VNET}/subnets/training"}  # type: ignore[index]
    assert rendered.recorder.of("azure-native:authorization:RoleAssignment") == []
    outputs = StackOutputs.model_validate(rendered.document)
    assert outputs.workspaces["ours"].model_dump() == {
        "id": f"{ML}/research",
        "name": "research",
        "location": "westeurope",
        "storage_account": "",
        "fixed": {},
        "serverless": False,
    }
    assert outputs.targets["cpu"].workspace == "ours"
    assert (outputs.subnets, outputs.identities) == ({}, {})


def test_a_workspace_by_its_arm_id_needs_no_other_stack(render: Callable[..., Rendered]) -> None:
    plain = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 1}
    there = {"workspace": f"{ML}/research", "computes": {"cpu": plain}}
    rendered = render(stack(existing_workspaces={"ours": there}))
    (cluster,) = rendered.recorder.of("azure-native:machinelearningservices:Compute")
    assert (cluster.inputs["resourceGroupName"], cluster.inputs["workspaceName"]) == ("platform", "research")
    assert cluster.inputs["location"] == "northeurope"
    assert [item.type for item in rendered.recorder.resources if item.type.startswith("pulumi:")] == []


def test_an_identity_of_another_stack_gets_roles_on_what_this_one_makes_only(
    render: Callable[..., Rendered],
) -> None:
    store = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/store"
    made = {"computes": {"cpu": CLUSTER}}
    existing = {"computes": {"cpu-two": CLUSTER}, "storage_account": store}
    recorder = render(stack(workspaces={"made": made, "existing": existing}), DOCUMENTS).recorder
    (role,) = recorder.of("azure-native:authorization:RoleAssignment")
    assert role.name == "training-platform-made-storage-account-storage-blob-data-contributor"
    assert role.inputs["principalId"] == "principal-of-platforms-training"


def test_an_endpoint_in_another_stacks_subnet_links_that_stacks_network(render: Callable[..., Rendered]) -> None:
    workspace = {"private_endpoint": {"subnet": "ends@platform", "dependencies": False}}
    link, _ = render(stack(workspaces={"made": workspace}), DOCUMENTS).recorder.of(
        "azure-native:privatedns:VirtualNetworkLink"
    )
    assert link.inputs["virtualNetworkLinkName"] == "platform"
    assert link.inputs["virtualNetwork"] == {"id": VNET}


def test_a_stack_that_is_not_up_is_named(render: Callable[..., Rendered]) -> None:
    there = {"workspace": "research@platform"}
    with pytest.raises(pulumi.RunError) as refused:
        render(stack(existing_workspaces={"ours": there}, workspaces={"mine": {"computes": {"cpu": CLUSTER}}}))
    says = "stack platform is not up, so nothing of it can be used. Type: invoke up --stack platform"
    assert str(refused.value) == says


def refusal(document: object, *wanted: tuple[str, str], cloud: str = "emulator") -> str:
    with pytest.raises(pulumi.RunError) as refused:
        look_up(document, "platform", wanted, cloud, ACCOUNT)
    return str(refused.value)


def test_one_message_names_all_that_is_missing_and_what_there_is() -> None:
    wanted = (("subnet", "trainin"), ("subnet", "training"), ("identity", "jobs"), ("workspace", "other"))
    assert refusal(PLATFORM, *wanted) == (
        "stack platform has no subnet trainin. It has: ends, training.\n"
        "stack platform has no identity jobs. It has: training.\n"
        "stack platform has no workspace other. It has: research."
    )


def test_a_stack_that_exports_nothing_of_a_kind_says_none() -> None:
    older = {key: value for key, value in PLATFORM.items() if key != "subnets"}
    assert refusal(older, ("subnet", "training")) == "stack platform has no subnet training. It has: none."


def test_the_emulators_and_azures_things_do_not_mix() -> None:
    assert refusal(PLATFORM, cloud="azure") == (
        "stack platform is in emulator, this one in azure: neither can use what the other has."
    )


def test_a_workspace_in_another_subscription_is_refused() -> None:
    elsewhere = Account(subscription_id="99999999-2222-4333-8444-555555555555", tenant_id="tenant")
    with pytest.raises(pulumi.RunError) as refused:
        parse_workspace(f"{ML}/research", elsewhere)
    assert str(refused.value) == (
        f"workspace research lies in subscription {SUBSCRIPTION}, this stack in {elsewhere.subscription_id}: a compute "
        "is made in its workspace's subscription. Declare it in a stack of that subscription."
    )


def test_an_id_of_something_else_is_no_workspace() -> None:
    with pytest.raises(ValidationError) as refused:
        stack(existing_workspaces={"ours": {"workspace": f"{VNET}/subnets/training"}})
    (error,) = refused.value.errors()
    assert error["msg"] == (
        "workspace: is no workspace's ARM id, which ends in /Microsoft.MachineLearningServices/workspaces/NAME."
    )
