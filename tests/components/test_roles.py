from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from components.roles import NAMESPACE, assignment_name, logical_name
from specs.identity import ROLE_IDS
from specs.stack import StackSpec
from tests.components.conftest import PROVIDERS, SUBSCRIPTION, arm_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.components.conftest import Recorder, Rendered

ROLE = "azure-native:authorization:RoleAssignment"
WORKSPACE = "azure-native:machinelearningservices:Workspace"
STORE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.Storage/storageAccounts/Store"
ROLE_NAMES = {value: key for key, value in ROLE_IDS.items()}


def stack(workspace: Mapping[str, object], identities: Mapping[str, object]) -> StackSpec:
    return StackSpec.model_validate(
        {
            "cloud": "emulator",
            "location": "westeurope",
            "resource_group": "rg",
            "identities": identities,
            "workspaces": {"research": workspace},
        }
    )


def cluster(*identities: str) -> dict[str, object]:
    return {
        "kind": "AmlCompute",
        "vm_size": "Standard_D2_v2",
        "max_node_count": 1,
        "identity": {"type": "UserAssigned", "user_assigned_identities": list(identities)},
    }


def given(recorder: Recorder) -> list[tuple[str, str, str]]:
    """List who may do what and where, in order."""
    return sorted(
        (
            str(item.inputs["principalId"]).removeprefix("principal-of-"),
            ROLE_NAMES[str(item.inputs["roleDefinitionId"]).rpartition("/")[2]],
            str(item.inputs["scope"]).removeprefix(f"{PROVIDERS}/"),
        )
        for item in recorder.of(ROLE)
    )


def test_an_assignment_has_a_name_by_which_it_is_found_again(render: Callable[..., Rendered]) -> None:
    recorder = render(stack({"computes": {"cpu": cluster("training")}}, {"training": {}})).recorder
    (role,) = recorder.of(ROLE)
    said = f"{SUBSCRIPTION}/rg\nworkspaces.research.storage_account\ntraining\nStorage Blob Data Contributor"
    assert role.name == "training-research-storage-account-storage-blob-data-contributor"
    assert role.inputs == {
        "roleAssignmentName": str(uuid.uuid5(NAMESPACE, said)),
        "principalId": "principal-of-training",
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "scope": arm_id("StorageAccount", "research-storage"),
    }
    options = recorder.options[ROLE, role.name]
    assert (options.parent, options.delete_before_replace) == ("test", True)
    assert options.aliases == ("research-training-storage",)


def test_with_keys_the_identities_of_computes_need_nothing(render: Callable[..., Rendered]) -> None:
    spec = stack(
        {"system_datastores_auth_mode": "AccessKey", "computes": {"cpu": cluster("training")}}, {"training": {}}
    )
    assert given(render(spec).recorder) == []


def test_identities_of_computes_reach_data_and_images_each_once(render: Callable[..., Rendered]) -> None:
    computes = {"one": cluster("training", "other"), "two": cluster("training")}
    spec = stack({"container_registry": "new", "computes": computes}, {"training": {}, "other": {}, "nobody": {}})
    assert given(render(spec).recorder) == [
        ("other", "AcrPull", "Registry/research-registry"),
        ("other", "Storage Blob Data Contributor", "StorageAccount/research-storage"),
        ("training", "AcrPull", "Registry/research-registry"),
        ("training", "Storage Blob Data Contributor", "StorageAccount/research-storage"),
    ]


def test_a_workspaces_own_identity_gets_what_is_documented_before_the_workspace_is_made(
    render: Callable[..., Rendered],
) -> None:
    identity = {"type": "UserAssigned", "user_assigned_identities": ["own"]}
    plain = {"kind": "AmlCompute", "vm_size": "Standard_D2_v2", "max_node_count": 1}
    workspace = {"identity": identity, "container_registry": "new", "computes": {"cpu": plain}}
    recorder = render(stack(workspace, {"own": {}})).recorder
    assert given(recorder) == [
        ("own", "Contributor", "Component/research-insights"),
        ("own", "Contributor", "Registry/research-registry"),
        ("own", "Contributor", "StorageAccount/research-storage"),
        ("own", "Contributor", "Vault/research-vault"),
        ("own", "Contributor", "Workspace/research"),
        ("own", "Key Vault Administrator", "Vault/research-vault"),
        ("own", "Storage Blob Data Contributor", "StorageAccount/research-storage"),
        ("own", "Storage File Data Privileged Contributor", "StorageAccount/research-storage"),
    ]
    waits = {name for name in recorder.options[WORKSPACE, "research"].after if name.startswith("own-")}
    assert {item.name for item in recorder.of(ROLE)} - waits == {"own-research-contributor"}
    cluster = recorder.options["azure-native:machinelearningservices:Compute", "cpu"]
    assert cluster.after == ("own-research-contributor", "research", "rg")


def test_only_the_identity_that_a_workspace_acts_as_gets_its_roles(render: Callable[..., Rendered]) -> None:
    identity = {"type": "UserAssigned", "user_assigned_identities": ["first", "second"]}
    workspace = {
        "identity": identity,
        "primary_user_assigned_identity": "second",
        "system_datastores_auth_mode": "AccessKey",
    }
    assert given(render(stack(workspace, {"first": {}, "second": {}})).recorder) == [
        ("second", "Contributor", "Component/research-insights"),
        ("second", "Contributor", "StorageAccount/research-storage"),
        ("second", "Contributor", "Vault/research-vault"),
        ("second", "Contributor", "Workspace/research"),
        ("second", "Key Vault Administrator", "Vault/research-vault"),
        ("second", "Storage Blob Data Contributor", "StorageAccount/research-storage"),
    ]


def test_declared_roles_hold_where_they_say(render: Callable[..., Rendered]) -> None:
    asked = [
        {"role": "Reader", "scope": "resource_group"},
        {"role": "AzureML Data Scientist", "scope": "workspaces.research"},
        {"role": "Storage Blob Data Reader", "scope": "workspaces.research.storage_account"},
        {"role": "Key Vault Secrets User", "scope": "workspaces.research.key_vault"},
        {"role": "AcrPush", "scope": "workspaces.research.container_registry"},
        {"role": "Reader", "scope": "workspaces.research.application_insights"},
        {"role": "Storage Blob Data Reader", "scope": STORE},
    ]
    recorder = render(stack({"container_registry": "new"}, {"training": {"role_assignments": asked}})).recorder
    assert given(recorder) == [
        ("training", "AcrPush", "Registry/research-registry"),
        ("training", "AzureML Data Scientist", "Workspace/research"),
        ("training", "Key Vault Secrets User", "Vault/research-vault"),
        ("training", "Reader", "Component/research-insights"),
        ("training", "Reader", "ResourceGroup/rg"),
        ("training", "Storage Blob Data Reader", STORE),
        ("training", "Storage Blob Data Reader", "StorageAccount/research-storage"),
    ]
    # What the workspace may need at once stands before it, e.g. the role that opens the customer's key.
    waits = {name for name in recorder.options[WORKSPACE, "research"].after if name.startswith("training-")}
    assert waits == {"training-resource-group-reader", "training-Store-75a87de2-storage-blob-data-reader"}


def test_what_is_both_declared_and_needed_is_given_once(render: Callable[..., Rendered]) -> None:
    asked = [
        {"role": "Storage Blob Data Contributor", "scope": "workspaces.research.storage_account"},
        {"role": "Storage Blob Data Contributor", "scope": STORE.lower().replace("resourcegroups", "resourceGroups")},
    ]
    workspace = {"storage_account": STORE, "computes": {"cpu": cluster("training")}}
    (role,) = render(stack(workspace, {"training": {"role_assignments": asked}})).recorder.of(ROLE)
    assert str(role.inputs["scope"]).lower() == STORE.lower()


def test_names_differ_by_all_that_they_say() -> None:
    words = ("sub/rg", "training", "Reader", "resource_group")
    others = [("sub/other", *words[1:]), (words[0], "x", *words[2:]), (*words[:2], "AcrPull", words[3])]
    names = {assignment_name(*item) for item in [words, *others, (*words[:3], "workspaces.research")]}
    assert len(names) == 5
    assert assignment_name(*words) == assignment_name("SUB/RG", *words[1:])
    assert logical_name("a", "Reader", "workspaces.w") == "a-w-reader"
