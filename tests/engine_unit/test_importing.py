from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.goals import goals_of, id_of
from engine.importing import Found, import_file, merged, ordered
from engine.lookup import moment
from engine.plan import Json, mapping
from tests.engine_unit.recover_kit import (
    COMPUTE,
    COMPUTE_URN,
    GROUP,
    IDS,
    PART_URN,
    RG,
    RG_URN,
    ROLE_URN,
    ROOT,
    SEALED,
    SPACE_URN,
    SUB,
    UNKNOWN,
    VAULT_URN,
    goal,
    whole_plan,
)


def test_an_id_is_known_before_anything_is_made() -> None:
    goals = goals_of({"resourcePlans": whole_plan()}, [])
    found = {known: id_of(item, goals, SUB) for known, item in goals.items() if item.custom}
    group = GROUP.replace("Groups", "groups")
    assert found == {
        RG_URN: group, VAULT_URN: None, SPACE_URN: IDS[SPACE_URN], COMPUTE_URN: IDS[COMPUTE_URN], ROLE_URN: None,
    }  # fmt: skip


def test_a_changed_resources_inputs_are_the_old_ones_with_the_plans_difference() -> None:
    plan: dict[str, Json] = {RG_URN: goal(RG, "rg", {"new": 1})}
    mapping(mapping(plan[RG_URN])["goal"])["inputDiff"] = {  # type: ignore[index] # it is a dict
        "adds": {"new": 1}, "deletes": ["old"], "updates": {"changed": 2}
    }  # fmt: skip
    old: dict[str, Json] = {"urn": RG_URN, "inputs": {"old": 0, "changed": 1, "same": 3}}
    assert goals_of({"resourcePlans": plan}, [old])[RG_URN].inputs == {"changed": 2, "same": 3, "new": 1}


@pytest.mark.parametrize(
    ("wanted", "read", "kept"),
    [
        (UNKNOWN, "id", "id"),
        ("West Europe", "westeurope", "westeurope"),
        ("WestEurope", "westeurope", "WestEurope"),
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, None, {"a": 1}),
        ({"a": {"p": SEALED}}, {"a": {"q": 1}}, {"a": {"p": SEALED}}),
        ({"a": SEALED}, {"a": "shown"}, {"a": SEALED}),
        ({"a": UNKNOWN}, {}, {}),
        ([{"a": 1}], [{"a": 1, "b": 2}], [{"a": 1}]),
        ([1], [1, 2], [1, 2]),
        (True, False, False),
        (None, None, None),
    ],
)
def test_inputs_of_the_program_and_of_the_cloud_become_one(wanted: Json, read: Json, kept: Json) -> None:
    assert merged(wanted, read) == kept


def test_the_import_file_brings_missing_components_along() -> None:
    goals = goals_of({"resourcePlans": whole_plan()}, [])
    found = [Found(goals[COMPUTE_URN], IDS[COMPUTE_URN])]
    compute = {"type": COMPUTE, "name": "r0", "logicalName": "cpu", "id": IDS[COMPUTE_URN], "version": "3.29.0"}
    part = {"type": "trainyard:index:AmlCompute", "name": "n3", "logicalName": "cpu", "component": True}
    assert import_file(found, goals, {ROOT}) == {"nameTable": {}, "resources": [part, compute | {"parent": "n3"}]}
    assert import_file(found, goals, {ROOT, PART_URN}) == {
        "nameTable": {"n3": PART_URN}, "resources": [compute | {"parent": "n3"}],
    }  # fmt: skip


def test_a_state_is_ordered_by_what_names_what_and_names_nothing_that_is_gone() -> None:
    late: dict[str, Json] = {"urn": "b", "dependencies": ["a", "gone"], "propertyDependencies": {"x": ["gone"]}}
    first: dict[str, Json] = {"urn": "a", "parent": "root"}
    assert ordered([late, first, {"urn": "root"}]) == [
        {"urn": "root"}, first, {"urn": "b", "dependencies": ["a"], "propertyDependencies": {"x": []}}
    ]  # fmt: skip


def test_times_are_read_as_arm_and_the_engine_write_them() -> None:
    assert moment("2026-11-21T10:00:00.1234567Z") == datetime(2026, 11, 21, 10, 0, 0, 123456, UTC)
    assert moment("2026-11-21T10:00:00") == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert moment("") is None
