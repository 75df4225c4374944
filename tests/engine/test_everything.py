"""Two stacks that use every option of every kind, with the real engine: one story, told in order."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from console import changing, drift, plans
from specs.base import wires
from specs.compute_instance import ComputeInstanceSpec
from specs.network import Network, Subnet
from specs.workspace import WorkspaceSpec
from tests.engine import cycles, outside, shared_things
from tests.engine.planted import CANARIES, places

if TYPE_CHECKING:
    from pydantic import BaseModel

    from engine.plan import Plan
    from tests.engine.conftest import Site

pytestmark = pytest.mark.engine

HERE = Path(__file__).parents[1]


def ops(plan: Plan) -> list[tuple[str, str]]:
    return sorted((item.name, item.op) for item in plans.real(plan))


def lay_out(site: Site) -> None:
    """Put the two stacks, what they find there, and their secrets into a project."""
    from engine import operations

    for name in ("platform", "tenant"):
        shutil.copy(HERE / "stacks" / f"{name}.yaml", site.root / "stacks")
    shutil.copytree(HERE / "quotas", site.root / "quotas")
    shared_things.make(site)
    session, _ = site.yard.session("platform")
    for key, value in CANARIES.items():
        operations.set_secret(session, key, value)


def test_1_every_option_comes_up(site: Site) -> None:
    lay_out(site)
    assert {op for _, op in ops(site.yard.up("platform", []))} == {"create"}
    assert {op for _, op in ops(site.yard.up("tenant", []))} == {"create"}


@pytest.mark.parametrize("stack", ["platform", "tenant"])
def test_2_a_second_up_changes_nothing_and_refresh_finds_nothing(site: Site, stack: str) -> None:
    assert ops(site.yard.up(stack, [])) == []
    assert changing.drifts(site.yard, stack) == []


def test_3_a_target_of_one_stack_uses_the_network_identity_and_workspace_of_another(site: Site) -> None:
    cluster = site.arm(f"{outside.ML}/research/computes/tenant-cluster?api-version=2025-12-01")
    assert list(cluster["identity"]["userAssignedIdentities"]) == [outside.TRAINING]  # type: ignore[index]
    subnet = cluster["properties"]["properties"]["subnet"]  # type: ignore[index]
    assert subnet == {"id": f"{shared_things.SUBSCRIPTION}{outside.VNET}/subnets/training"}


def in_place(model: type[BaseModel]) -> set[str]:
    """Name the fields of a model that change in place and reach Azure in the resource's own body."""
    known = wires(model)
    return {
        name
        for name, wire in known.items()
        if wire.path and wire.on_change == "in place" and not any(other.startswith(f"{name}.") for other in known)
    }


def found_fields(found: list[drift.Drift], spec: object) -> dict[str, set[str]]:
    """Name the fields that drifted, by model."""
    from specs.stack import StackSpec

    assert isinstance(spec, StackSpec)
    fields: dict[str, set[str]] = {}
    for item in found:
        place = drift.place_of(spec, item.change)
        if place is not None:
            path, model = place
            fields.setdefault(model.__name__, set()).update(".".join(moved.path[len(path) :]) for moved in item.moved)
    return fields


def test_4_every_field_that_was_changed_outside_is_found(site: Site) -> None:
    outside.change_everything(site)
    spec = site.yard.spec("platform")
    fields = found_fields(changing.drifts(site.yard, "platform"), spec)
    from specs.aml_compute import AmlComputeSpec
    from specs.identity import IdentitySpec
    from specs.virtual_machine import VirtualMachineSpec

    models: list[type[BaseModel]] = [
        Network, Subnet, IdentitySpec, WorkspaceSpec, AmlComputeSpec, ComputeInstanceSpec, VirtualMachineSpec,
    ]  # fmt: skip
    # A managed network's isolation only ever tightens, and this one is as tight as can be.
    missed = {
        model.__name__: left
        for model in models
        if (left := in_place(model) - fields.get(model.__name__, set()) - {"managed_network.isolation_mode"})
    }
    assert missed == {}
    assert fields["StackSpec"] == {"tags"}


def test_5_adopted_by_one_command(site: Site) -> None:
    path = site.root / "stacks/platform.yaml"
    before = path.read_text()
    changing.adopt(site.yard, "platform")
    after = yaml.safe_load(path.read_text())
    cluster = after["workspaces"]["research"]["computes"]["cpu-cluster"]
    assert (cluster["min_node_count"], cluster["max_node_count"]) == (1, 3)
    assert cluster["identity"] == {"type": "SystemAssigned"}
    assert changing.drifts(site.yard, "platform") == []
    path.write_text(before)


def test_6_reverted_by_one_command(site: Site) -> None:
    site.yard.up("platform", [])  # what test 5 adopted is out of the file again
    outside.change_everything(site)
    changing.revert(site.yard, "platform", [])
    assert changing.drifts(site.yard, "platform") == []
    assert ops(site.yard.preview("platform")) == []
    cluster = site.arm(f"{outside.ML}/research/computes/cpu-cluster?api-version=2025-12-01")
    assert cluster["properties"]["properties"]["scaleSettings"]["maxNodeCount"] == 4  # type: ignore[index]


def test_6_edits_in_place_leave_no_false_difference(site: Site) -> None:
    path = site.root / "stacks/platform.yaml"
    before = path.read_text()
    chance = random.Random(4)  # noqa: S311 - repeatable on purpose
    assert [line for _ in range(3) for line in cycles.cycle(site, chance)] == []
    path.write_text(before)
    site.yard.up("platform", [])


def test_7_no_secret_is_anywhere_in_clear(site: Site) -> None:
    shown = [
        site.pulumi(*words).stdout
        for words in (
            ("stack", "export", "-s", "platform"),
            ("stack", "output", "--json", "-s", "platform"),
            ("preview", "--diff", "-s", "platform"),
        )
    ]
    assert {name: sum(value in text for text in shown) for name, value in CANARIES.items()} == dict.fromkeys(
        CANARIES, 0
    )
    # The service itself must know them: the emulator's database does, readable by its owner only.
    assert {name: places(site.root, value) for name, value in CANARIES.items()} == {
        "cluster-password": [".trainyard/emulator/state.db"],
        "machine-password": [".trainyard/emulator/state.db"],
        "machine-key": [],  # it travels opened, so its locked form is nowhere
        "machine-passphrase": [],
    }


def test_8_destroy_leaves_nothing_of_ours_and_everything_of_others(site: Site) -> None:
    for stack in ("tenant", "platform"):
        site.yard.destroy(stack, purge=False)
    groups = site.arm("/resourceGroups?api-version=2024-03-01")["value"]
    assert [group["name"] for group in groups] == ["shared"]  # type: ignore[attr-defined]
    left = site.arm("/resources?api-version=2024-03-01")["value"]
    made = [path for path, _, _ in shared_things.bodies("t")[1:]]
    ids = sorted(item["id"].removeprefix(shared_things.SUBSCRIPTION) for item in left)  # type: ignore[attr-defined]
    assert ids == sorted(made), json.dumps(ids)
