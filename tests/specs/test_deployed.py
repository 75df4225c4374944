"""What differs from what is deployed, and what only looks as if; the messages are in the corpus."""

from __future__ import annotations

from specs.deployed import Deployed, immutable_faults
from specs.loader import parse, validate
from specs.stack import StackSpec
from tests.specs.corpus import outputs_of

TEXT = """\
cloud: emulator
location: westeurope
resource_group: rg
workspaces:
  research:
    public_network_access: Enabled
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2
existing_workspaces:
  shared:
    workspace: research@platform
    location: northeurope
    computes:
      far-cluster:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2
"""


def stack(text: str = TEXT) -> StackSpec:
    return validate(parse(text, "dev.yaml"), StackSpec)


def differing(text: str, *accepted: str, before: StackSpec | None = None) -> list[tuple[str, str]]:
    deployed = Deployed(outputs_of(before or stack()), accepted)
    return [(fault.rule, ".".join(map(str, fault.at))) for fault in immutable_faults(stack(text), deployed)]


def size(text: str) -> str:
    return text.replace("Standard_D2_v2", "Standard_D3_v2")


def test_what_may_change_in_place_differs_in_nothing() -> None:
    assert differing(TEXT.replace("max_node_count: 2", "max_node_count: 9\n        description: More.")) == []


def test_what_may_not_is_told_for_every_compute() -> None:
    assert differing(size(TEXT)) == [
        ("immutable-field", "workspaces.research.computes.cpu-cluster.vm_size"),
        ("immutable-field", "existing_workspaces.shared.computes.far-cluster.vm_size"),
    ]


def test_a_replacement_is_accepted_by_the_name_of_the_compute_or_of_its_workspace() -> None:
    assert differing(size(TEXT), "cpu-cluster", "shared") == []
    assert differing(size(TEXT), "cpu-cluster") == [
        ("immutable-field", "existing_workspaces.shared.computes.far-cluster.vm_size")
    ]
    assert len(differing(size(TEXT), "vm_size", "workspaces", "computes")) == 2


def test_to_write_down_a_default_changes_nothing() -> None:
    more = TEXT.replace("max_node_count: 2", "max_node_count: 2\n        location: westeurope", 1)
    more = more.replace(
        "        location: westeurope", "        location: westeurope\n        enable_node_public_ip: true"
    )
    far = TEXT + "        location: northeurope\n        enable_node_public_ip: false\n"
    for text in (more, far):
        assert differing(text) == []
        assert differing(TEXT, before=stack(text)) == []
    assert differing(TEXT + "        location: westeurope\n") == [
        ("immutable-field", "existing_workspaces.shared.computes.far-cluster.location")
    ]


def test_what_a_version_that_kept_nothing_deployed_is_not_doubted() -> None:
    known = outputs_of(stack())
    blank = {name: item.model_copy(update={"fixed": {}}) for name, item in known.targets.items()}
    deployed = Deployed(known.model_copy(update={"targets": blank}))
    assert immutable_faults(stack(size(TEXT)), deployed) == []


def test_what_is_new_or_gone_differs_in_nothing() -> None:
    assert differing(TEXT.replace("cpu-cluster", "new-cluster")) == []
