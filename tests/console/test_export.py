"""A stack as an ARM template: what scanners read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoke import Context

from console.arm_template import Standins, own_id, type_and_name
from console.commands.export import export
from console.export import ExportError, exported
from runtime.errors import StoreError
from specs.checks import load_stack
from specs.loader import parse, validate
from specs.stack import StackSpec

ROOT = Path(__file__).parents[2]
HOME = "/subscriptions/s/resourceGroups/team"
WORKSPACE = f"{HOME}/providers/Microsoft.MachineLearningServices/workspaces/research"
OTHER = "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/other/providers"
SMALL = f"""\
cloud: azure
location: westeurope
resource_group: team
identities:
  jobs:
    role_assignments:
      - role: Reader
        scope: resource_group
      - role: Storage Blob Data Reader
        scope: {OTHER}/Microsoft.Storage/storageAccounts/lake
existing_workspaces:
  research:
    workspace: {OTHER}/Microsoft.MachineLearningServices/workspaces/research
    computes:
      gpu-box:
        kind: VirtualMachine
        address: gpu.example.org
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzN0Fd6SuWjAGyTYYpYXgkFPcTHRUSlAPXtVPvBjMOT gpu-box
        description: "[new] it's fast"
        administrator_account:
          username: jobs
          private_key: box-key
          private_key_passphrase: box-passphrase
"""


def small() -> dict[str, object]:
    return {**exported("team", validate(parse(SMALL, "team.yaml"), StackSpec))}


def test_a_small_stack_is_exactly_this_template() -> None:
    principal = "[reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'jobs'), '2023-01-31')"
    roles = "/subscriptions/11111111-2222-4333-8444-555555555555/providers/Microsoft.Authorization/roleDefinitions"
    identity = "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'jobs')]"
    document = small()
    resources = document.pop("resources")
    assert document == {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": {
            "description": "What the stack team asks for, to be read by scanners. Not what `up` sends: names that "
            "depend on the subscription (storage account, registry, key vault) differ, and the resource group is "
            "deployed into, not made."
        },
        "parameters": {"gpu_box_privateKeyData": {"type": "secureString"}},
    }
    assert isinstance(resources, list)
    assert [{key: item[key] for key in item if key != "name"} for item in resources if "role" in item["type"]] == [
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "scope": f"{OTHER}/Microsoft.Storage/storageAccounts/lake",
            "properties": {
                "principalId": f"{principal}.principalId]",
                "principalType": "ServicePrincipal",
                "roleDefinitionId": f"{roles}/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
            },
            "dependsOn": [identity],
        },
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "properties": {
                "principalId": f"{principal}.principalId]",
                "principalType": "ServicePrincipal",
                "roleDefinitionId": f"{roles}/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            },
            "dependsOn": [identity],
        },
    ]
    assert [item for item in resources if "role" not in item["type"]] == [
        {
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "apiVersion": "2025-12-01",
            "name": "research/gpu-box",
            "comments": "In the resource group other",
            "location": "westeurope",
            "properties": {
                "computeLocation": "westeurope",
                "computeType": "VirtualMachine",
                "description": "[[new] it's fast",
                "disableLocalAuth": True,
                "properties": {
                    "address": "gpu.example.org",
                    "administratorAccount": {
                        "privateKeyData": "[parameters('gpu_box_privateKeyData')]",
                        "username": "jobs",
                    },
                    "sshPort": 22,
                },
            },
            "tags": {},
        },
        {
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "apiVersion": "2023-01-31",
            "name": "jobs",
            "location": "westeurope",
            "tags": {},
        },
    ]


def test_every_secret_is_a_secure_parameter_and_every_parameter_is_used() -> None:
    document = exported("platform", load_stack(ROOT / "tests/stacks/platform.yaml"))
    assert document["parameters"] == {
        "cpu_cluster_adminUserPassword": {"type": "secureString"},
        "gpu_box_privateKeyData": {"type": "secureString"},
        "old_box_password": {"type": "secureString"},
    }
    text = json.dumps(document["resources"])
    assert {name: text.count(f"\"[parameters('{name}')]\"") for name in document["parameters"]} == {
        "cpu_cluster_adminUserPassword": 1,
        "gpu_box_privateKeyData": 1,
        "old_box_password": 1,
    }


def test_what_belongs_to_other_stacks_is_a_parameter() -> None:
    document = exported("tenant", load_stack(ROOT / "tests/stacks/tenant.yaml"))
    assert document["parameters"] == {
        "platform_identity_training": {"type": "string"},
        "platform_identity_training_principal": {"type": "string"},
        "platform_resource_group": {"type": "string"},
        "platform_subnet_training": {"type": "string"},
    }


@pytest.mark.parametrize("stack", ["stacks/prod.yaml", "tests/stacks/platform.yaml"])
def test_a_template_is_the_same_at_every_run_and_names_each_resource_once(stack: str) -> None:
    spec = load_stack(ROOT / stack)
    document = exported("team", spec)
    assert json.dumps(document) == json.dumps(exported("team", spec))
    resources = document["resources"]
    assert isinstance(resources, list)
    names = [(item["type"], item["name"]) for item in resources if isinstance(item, dict)]
    assert len(names) == len(set(names))


def test_a_stack_that_a_component_refuses_is_not_exported() -> None:
    both = SMALL.replace(
        "  research:\n",
        "  elder:\n    workspace: /subscriptions/99999999-2222-4333-8444-555555555555/resourceGroups/other/providers"
        "/Microsoft.MachineLearningServices/workspaces/elder\n  research:\n",
    )
    with pytest.raises(ExportError) as caught:
        exported("team", validate(parse(both, "team.yaml"), StackSpec))
    assert str(caught.value) == (
        "workspace research lies in subscription 11111111-2222-4333-8444-555555555555, this stack in "
        "99999999-2222-4333-8444-555555555555: a compute is made in its workspace's subscription. Declare it in a "
        "stack of that subscription."
    )


@pytest.mark.parametrize(
    ("arm_id", "expression"),
    [
        (HOME, "resourceGroup().id"),
        (WORKSPACE, "resourceId('Microsoft.MachineLearningServices/workspaces', 'research')"),
        (
            f"{WORKSPACE}/computes/gpu",
            "resourceId('Microsoft.MachineLearningServices/workspaces/computes', 'research', 'gpu')",
        ),
        (
            f"{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/a",
            "extensionResourceId(resourceId('Microsoft.MachineLearningServices/workspaces', 'research'), "
            "'Microsoft.Authorization/roleAssignments', 'a')",
        ),
        (
            f"{OTHER}/Microsoft.Storage/storageAccounts/lake/providers/Microsoft.Authorization/roleAssignments/a",
            f"extensionResourceId('{OTHER}/Microsoft.Storage/storageAccounts/lake', "
            "'Microsoft.Authorization/roleAssignments', 'a')",
        ),
        (f"{OTHER}/Microsoft.Storage/storageAccounts/lake", None),
    ],
)
def test_an_id_is_an_expression_where_the_template_makes_the_resource(arm_id: str, expression: str | None) -> None:
    assert own_id(arm_id, HOME) == expression


def test_types_and_names_are_read_off_an_id() -> None:
    assert type_and_name(f"{WORKSPACE}/computes/gpu") == (
        "Microsoft.MachineLearningServices/workspaces/computes",
        "research/gpu",
    )


def test_a_stand_in_is_found_whole_and_the_longest_first() -> None:
    standins = Standins({"/a/vnet": "vnet()", "/a/vnet/subnets/x": "subnet()", "who": "it's()"})
    assert [
        standins.rendered(text) for text in ("/a/vnet", "/a/vnet/subnets/x", "/a/vnet2", "/a/vnet/y's", "[x", "")
    ] == [
        "[vnet()]",
        "[subnet()]",
        "/a/vnet2",
        "[concat(vnet(), '/y''s')]",
        "[[x",
        "",
    ]


def test_the_command_writes_the_template_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "local.json"
    export(Context(), stack="local", file=str(file))
    assert capsys.readouterr() == (f"  {file}\n", "")
    assert json.loads(file.read_text("utf-8")) == exported("local", load_stack(ROOT / "stacks/local.yaml"))


def test_a_file_that_cannot_be_written_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "none" / "local.json"
    with pytest.raises(SystemExit) as caught:
        export(Context(), stack="local", file=str(file))
    assert (caught.value.code, capsys.readouterr()) == (
        StoreError("").exit_code,
        ("", f"error: {file} can't be written: No such file or directory\n"),
    )


def test_a_file_that_is_something_else_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "local.yaml"
    file.write_text("cloud: emulator\n")
    with pytest.raises(SystemExit) as caught:
        export(Context(), stack="local", file=str(file))
    assert (caught.value.code, capsys.readouterr().err, file.read_text()) == (
        StoreError("").exit_code,
        f"error: {file} exists and is no ARM template. Give another name; it was not touched.\n",
        "cloud: emulator\n",
    )
