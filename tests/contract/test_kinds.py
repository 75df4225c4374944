"""Every kind of compute has all its parts: one body over all of them."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

import trainyard
from components.provider import schema
from emulator.provider.table import load
from emulator.resources import ml_compute
from specs.capabilities import Capabilities, capabilities
from specs.checks import load_stack
from specs.compute import NAME_LENGTHS, ComputeSpec
from specs.kinds import other_kind
from specs.schema import stack_schema
from specs.targets import KINDS, DeployedTarget
from specs.targets_page import targets_page
from tests.components.field_values import BASES, VALUES

if TYPE_CHECKING:
    from specs.targets import ComputeKind

STACKS = Path(__file__).parents[1] / "stacks"


def snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def kinds(union: object) -> dict[str, type]:
    members = get_args(get_args(union)[0])
    return {str(get_args(member.model_fields["kind"].annotation)[0]): member for member in members}


def declared() -> set[str]:
    return {
        compute.kind for name in ("platform", "tenant") for _, compute in load_stack(STACKS / f"{name}.yaml").computes()
    }


def test_the_lists_of_kinds_are_one() -> None:
    assert {*kinds(ComputeSpec), *kinds(DeployedTarget), *NAME_LENGTHS, *VALUES, *BASES} == set(KINDS)
    assert list(kinds(ComputeSpec)) == list(kinds(DeployedTarget)) == list(NAME_LENGTHS) == list(KINDS)
    assert declared() == set(KINDS)
    assert set(ml_compute.PLAYED) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_every_part(kind: ComputeKind) -> None:
    specs, components = (importlib.import_module(f"{layer}.{snake(kind)}") for layer in ("specs", "components"))
    model = kinds(ComputeSpec)[kind]
    assert model is vars(specs)[f"{kind}Spec"]
    assert kinds(DeployedTarget)[kind].__name__ == f"{kind}Target"
    assert callable(components.target)
    assert getattr(trainyard, kind) is vars(components)[kind]
    assert isinstance(capabilities(kind), Capabilities)
    assert (
        f"\n### {kind}\nAt `workspaces.NAME.computes.NAME` and `existing_workspaces.NAME.computes.NAME`."
        in targets_page()
    )
    assert (
        kind
        in json.loads(stack_schema())["$defs"]["WorkspaceSpec"]["properties"]["computes"]["additionalProperties"][
            "discriminator"
        ]["mapping"]
    )
    assert f"trainyard:index:{kind}" in json.dumps(schema("0"))
    assert "azure-native:machinelearningservices:Compute" in load().types


@pytest.mark.parametrize("kind", KINDS)
def test_the_service_takes_names_of_the_length_that_the_models_say(kind: ComputeKind) -> None:
    shortest, longest = NAME_LENGTHS[kind]
    rule = ml_compute.PLAYED[kind].rule
    lengths = {size for size in range(1, 40) if rule.fits("c" * size)}
    assert lengths == set(range(shortest, longest + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_in_other_letters_is_recognised(kind: ComputeKind) -> None:
    message, rule = other_kind(kind.swapcase(), KINDS)
    assert rule == "unknown-kind"
    assert message.endswith(f"Did you mean {kind}?") or f"called {kind} " in message
