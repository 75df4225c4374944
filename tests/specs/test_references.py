"""What one part of a stack file may say of another; what it must not is in the corpus."""

from __future__ import annotations

import pytest

from specs.arm_ids import id_faults, resource_type
from specs.loader import parse, validate
from specs.references import reference_faults, references
from specs.stack import StackSpec

ID = "/subscriptions/s/resourceGroups/g/providers"
TEXT = f"""\
cloud: emulator
location: westeurope
resource_group: rg
network:
  address_space: [10.0.0.0/16]
  subnets:
    small: {{address_prefix: 10.0.0.0/28}}
identities:
  jobs: {{}}
workspaces:
  research:
    identity: {{type: UserAssigned, user_assigned_identities: [jobs]}}
    private_endpoint: {{subnet: small}}
    serverless_compute: {{subnet: {ID}/Microsoft.Network/virtualNetworks/v/subnets/s}}
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2
        subnet: small
        identity: {{type: UserAssigned, user_assigned_identities: [jobs@platform, jobs]}}
      desk: {{kind: ComputeInstance, vm_size: Standard_DS3_v2, subnet: small}}
existing_workspaces:
  shared:
    workspace: {ID}/Microsoft.MachineLearningServices/workspaces/shared
    location: northeurope
    computes:
      far-cluster: {{kind: AmlCompute, vm_size: Standard_D2_v2, max_node_count: 9, subnet: far@platform}}
"""


def stack(text: str = TEXT) -> StackSpec:
    return validate(parse(text, "dev.yaml"), StackSpec)


def test_every_reference_is_listed_with_its_kind_and_place() -> None:
    assert [(kind, ".".join(map(str, at)), name) for kind, at, name in references(stack())] == [
        ("identity", "workspaces.research.identity.user_assigned_identities.0", "jobs"),
        ("subnet", "workspaces.research.private_endpoint.subnet", "small"),
        (
            "subnet",
            "workspaces.research.serverless_compute.subnet",
            f"{ID}/Microsoft.Network/virtualNetworks/v/subnets/s",
        ),
        (
            "workspace",
            "existing_workspaces.shared.workspace",
            f"{ID}/Microsoft.MachineLearningServices/workspaces/shared",
        ),
        ("identity", "workspaces.research.computes.cpu-cluster.identity.user_assigned_identities.0", "jobs@platform"),
        ("identity", "workspaces.research.computes.cpu-cluster.identity.user_assigned_identities.1", "jobs"),
        ("subnet", "workspaces.research.computes.cpu-cluster.subnet", "small"),
        ("subnet", "workspaces.research.computes.desk.subnet", "small"),
        ("subnet", "existing_workspaces.shared.computes.far-cluster.subnet", "far@platform"),
    ]


def test_other_stacks_are_named_once() -> None:
    assert stack().other_stacks() == ["platform"]


def test_what_can_not_be_seen_from_here_is_not_doubted() -> None:
    assert reference_faults(stack()) == []


def test_a_subnet_is_full_with_what_fits_and_one_more_is_too_much() -> None:
    # /28: 16 addresses, 5 of Azure's; 8 for endpoints, 2 nodes, 1 instance.
    assert reference_faults(stack()) == []
    more = stack(TEXT.replace("max_node_count: 2", "max_node_count: 3", 1).replace("/28", "/27"))
    narrow = more.model_copy(update={"network": stack().network})
    assert [(fault.rule, fault.at[-2:]) for fault in reference_faults(narrow)] == [
        ("subnet-room", ("private_endpoint", "subnet"))
    ]


@pytest.mark.parametrize(
    ("arm_id", "type_"),
    [
        (f"{ID}/Microsoft.KeyVault/vaults/v", "Microsoft.KeyVault/vaults"),
        (f"{ID}/Microsoft.Network/virtualNetworks/v/subnets/s", "Microsoft.Network/virtualNetworks/subnets"),
        (f"{ID}/Microsoft.KeyVault/vaults/v/", "Microsoft.KeyVault/vaults"),
        ("/subscriptions/s/resourceGroups/g/PROVIDERS/a/b/c", "a/b"),
        (f"{ID}/a/b/c/providers/Microsoft.Authorization/locks/l", "Microsoft.Authorization/locks"),
        (f"{ID}/Microsoft.KeyVault/vaults", ""),
        (f"{ID}/Microsoft.KeyVault", ""),
        (f"{ID}/Microsoft.KeyVault//v", ""),
        ("", ""),
    ],
)
def test_the_type_is_read_out_of_an_id(arm_id: str, type_: str) -> None:
    assert resource_type(arm_id) == type_


def test_types_are_compared_without_case() -> None:
    text = TEXT.replace(
        "    private_endpoint", f"    application_insights: {ID}/microsoft.insights/components/i\n    private_endpoint"
    )
    assert id_faults(stack(text)) == []
