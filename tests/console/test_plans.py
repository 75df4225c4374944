from __future__ import annotations

from console import plans
from console.table import columns, size, took
from engine.plan import Change, Plan, Property

COMPUTE = "azure-native:machinelearningservices:Compute"


def change(op: str, name: str = "cpu", kind: str = COMPUTE, *properties: Property) -> Change:
    return Change(f"urn::{name}", name, kind, op, properties)  # type: ignore[arg-type]


def test_an_update_shows_old_and_new_in_the_files_words() -> None:
    scale = Property("properties.properties.scaleSettings.maxNodeCount", 4, 8, replaces=False)
    assert plans.lines(Plan((change("update", "cpu", COMPUTE, scale),))) == [
        "  ~ cpu  Compute                in place",
        "      max_node_count 4 → 8",
        "  1 change: 1 in place",
    ]


def test_components_are_not_counted() -> None:
    component = Change("urn::x", "x", "trainyard:index:AmlCompute", "create", (), component=True)
    assert plans.summary(Plan((component,))) == "  no changes"


def test_only_what_holds_runs_models_or_data_needs_a_word_before_it_goes() -> None:
    vnet = "azure-native:network:VirtualNetwork"
    going = (change("replace", "b"), change("delete", "a"), change("replace", "net", vnet), change("update", "c"))
    assert plans.lost(Plan(going)) == {"a": "delete", "b": "replace"}


def test_what_was_done_is_counted_in_the_past() -> None:
    assert plans.summary(Plan((change("create"), change("create", "b"), change("replace", "c"))), done=True) == (
        "  2 created, 1 replaced"
    )


def test_columns_align_under_their_head() -> None:
    assert columns(["A", "LONG"], [["xx", "1"], ["y", "2"]]) == ["  A   LONG", "  xx  1", "  y   2"]


def test_durations_and_sizes_read_well() -> None:
    assert [took(value) for value in (None, 0.34, 14.2, 221, 7500)] == ["-", "0.3 s", "14 s", "3 min 41 s", "2 h 5 min"]
    assert [size(value) for value in (512, 4100, 3_200_000)] == ["512 B", "4.1 kB", "3.2 MB"]
