"""What the models say of a change is what the component sends, what the engine replaces, and what the service takes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import TypeAdapter

from emulator.provider import wire
from emulator.provider.table import load
from specs.base import replacing, wires
from specs.compute import ComputeSpec
from tests.components.compute_kit import COMPUTE, declare
from tests.components.field_kit import changed, replaces, whole, within
from tests.components.field_values import BASES, NETWORK, NODES, OTHERS, TESTER, VALUES, Fields
from tests.emulator.arm_kit import RG, USER, Arm, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json
    from specs.base import Wire
    from tests.components.compute_kit import Made

ROW = load().types[COMPUTE]
MODELS = {str(model.model_fields["kind"].annotation.__args__[0]): model for model in get_args(get_args(ComputeSpec)[0])}
READ: TypeAdapter[ComputeSpec] = TypeAdapter(ComputeSpec)
NAME = "subject"
NORTH = f"{RG}/providers/Microsoft.MachineLearningServices/workspaces/north"
REFUSED = {"location": (409, "InvalidResourceLocation")}
"""ARM itself refuses to move a resource, whatever its type."""


def sent(kind: str) -> dict[str, Wire]:
    """Return the fields of a kind that reach Azure."""
    return {name: found for name, found in wires(MODELS[kind]).items() if found.path}


CASES = [(kind, field) for kind in MODELS for field in sent(kind)]


def spec(kind: str, fields: Fields) -> ComputeSpec:
    base = BASES[kind] if fields.get("kind", kind) == kind else {}
    return READ.validate_python({**base, **fields})


@cache
def rendered(kind: str, field: str, place: int) -> Made:
    fields = VALUES[kind][field][place]
    return declare(NAME, spec(kind, fields))


def inputs(kind: str, field: str, place: int) -> dict[str, Json]:
    return whole(rendered(kind, field, place).of(NAME))


def changes(kind: str, field: str) -> set[str]:
    return changed(ROW, inputs(kind, field, 0), inputs(kind, field, 1))


@pytest.mark.parametrize("kind", list(MODELS))
def test_every_field_that_reaches_azure_has_two_values_here(kind: str) -> None:
    assert sorted(VALUES[kind]) == sorted(sent(kind))


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_a_changed_field_changes_the_inputs_at_its_path_and_nowhere_else(kind: str, field: str) -> None:
    path = sent(kind)[field].path
    found = changes(kind, field)
    assert found
    if field != "kind":  # which changes everything
        assert {item for item in found if not within(item, str(path))} == set()
    else:
        assert path in found


@pytest.mark.parametrize("kind", list(MODELS))
def test_the_engine_is_told_to_replace_what_the_model_says(kind: str) -> None:
    found = declare(NAME, spec(kind, {})).options[NAME]
    assert found.replace_on_changes == replacing(MODELS[kind])
    assert found.delete_before_replace is True


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_a_change_replaces_exactly_where_the_model_says_so(kind: str, field: str) -> None:
    assert replaces(changes(kind, field), replacing(MODELS[kind])) == (sent(kind)[field].on_change == "replace")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm]:
    home: Path = tmp_path_factory.mktemp("arm")
    made = Arm(home)
    made.seed()
    made.put(USER.replace("/trainer", f"/{TESTER.rpartition('/')[2]}"), {"location": "westeurope"})
    network: Json = {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}
    made.put(NETWORK, {"location": "northeurope", "properties": network})
    for index, subnet in enumerate((NODES, OTHERS)):
        made.put(subnet, {"properties": {"addressPrefix": f"10.9.{index}.0/24"}})
    made.put(NORTH, {**workspace(), "location": "northeurope"})
    yield made
    made.cloud.state.close()


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_the_service_takes_a_change_in_place_and_refuses_one_that_replaces(kind: str, field: str, arm: Arm) -> None:
    path = f"{NORTH}/computes/c{CASES.index((kind, field))}x"
    arm.put(path, wire.body(ROW, inputs(kind, field, 0)))
    try:
        if sent(kind)[field].on_change == "in place":
            arm.put(path, wire.body(ROW, inputs(kind, field, 1)))
        else:
            status, code = arm.refused("PUT", path, wire.body(ROW, inputs(kind, field, 1)))
            assert (status, code) == REFUSED.get(str(sent(kind)[field].path), (400, "ImmutablePropertyChanged"))
    finally:
        action = "Detach" if kind == "VirtualMachine" else "Delete"
        arm.call("DELETE", path, underlyingResourceAction=action)
