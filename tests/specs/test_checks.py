"""A stack file as a whole: files that can't be read, what dates change, and that nothing ever raises another error."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs.checks import check_stack, examine, load_stack
from specs.loader import BREAKS, parse, validate
from specs.problems import SpecError
from specs.quotas import load_quotas
from specs.stack import StackSpec
from tests.specs.corpus import FILES, TODAY, outputs_of, read_subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.loader import Tree

STACKS = Path(__file__).parents[1] / "stacks"
GOOD = [read_subject(path).base for path in FILES] + [path.read_text() for path in sorted(STACKS.glob("*.yaml"))]
LARGE = (
    "cloud: emulator\nlocation: westeurope\nresource_group: rg\nworkspaces:\n  research:\n    computes:\n"
    + "".join(
        f"      cpu-{index:04d}x: {{kind: AmlCompute, vm_size: Standard_D2_v2, max_node_count: 4}}\n"
        for index in range(1000)
    )
)


def refused(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_stack(path, "dev.yaml", TODAY)
    return str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_bytes("cloud: azure".encode("utf-16"))
    assert refused(path) == "dev.yaml:1:1: the file\n  is not UTF-8 text (byte 0). Save it as UTF-8.   [rule encoding]"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text("\ufeff" + GOOD[0], "utf-8")
    assert load_stack(path, "dev.yaml", TODAY).cloud == "emulator"


def test_lines_may_end_as_windows_ends_them(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_bytes(GOOD[0].replace("\n", "\r\n").encode())
    assert load_stack(path, "dev.yaml", TODAY).cloud == "emulator"


def test_a_file_of_a_megabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text("# " + "x" * 1_000_000)
    assert refused(path) == "dev.yaml:1:1: the file\n  larger than 1,000,000 bytes; split it.   [rule yaml-size]"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path) == "dev.yaml:1:1: the file\n  can't be read: Is a directory.   [rule file]"


def test_a_size_is_warned_of_a_year_before_it_goes() -> None:
    spec = validate(parse(GOOD[0], "dev.yaml"), StackSpec)
    assert [(fault.rule, fault.severity) for fault in check_stack(spec, date(2027, 6, 1))] == [
        ("vm-size-retiring", "warning")
    ]
    assert [(fault.rule, fault.severity) for fault in check_stack(spec, date(2028, 5, 1))] == [
        ("vm-size-retired", "error")
    ]


def test_warnings_stop_nothing_and_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text(GOOD[0].replace("vm_size", "vm_priority: LowPriority\n        vm_size") + "        subnet: a@b\n")
    examined = examine(path, "dev.yaml", TODAY)
    assert examined.spec.other_stacks() == ["b"]
    assert [(item.line, item.rule) for item in examined.warnings] == [(17, "low-priority-end")]


def test_quotas_are_those_that_are_given() -> None:
    quotas = load_quotas(Path(__file__).parent / "corpus/quotas/dev.yaml")
    spec = validate(parse(GOOD[0].replace("max_node_count: 2", "max_node_count: 13"), "dev.yaml"), StackSpec)
    assert [fault.rule for fault in check_stack(spec, TODAY, quotas)] == ["quota-max"]
    assert check_stack(spec, TODAY) == []


@pytest.mark.parametrize("name", ["platform", "tenant"])
def test_what_is_deployed_as_it_is_declared_differs_in_nothing(name: str) -> None:
    from specs.deployed import Deployed, immutable_faults

    spec = load_stack(STACKS / f"{name}.yaml", name, TODAY)
    assert immutable_faults(spec, Deployed(outputs_of(spec))) == []


def test_a_thousand_clusters_are_checked() -> None:
    spec = validate(parse(LARGE, "dev.yaml"), StackSpec)
    assert [fault.rule for fault in check_stack(spec, TODAY)] == ["node-network"] * 1000
    assert len(spec.computes()) == 1000


def test_a_thousand_mistakes_are_told() -> None:
    with pytest.raises(SpecError) as caught:
        validate(parse(LARGE.replace("max_node_count: 4", "max_nodes: 4"), "dev.yaml"), StackSpec)
    assert [problem.rule for problem in caught.value.problems] == ["unknown-field"] * 1000


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["AmlCompute", "@", "/subscriptions/s/resourceGroups/g/providers/a/b/c", "x@y", "10.0.0.0/8", "*"]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2),
    st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(["kind", "type", "id"])), SCALARS, max_size=2),
)


def checked(text: str) -> None:
    """Check a text; any error but ours, and any place outside the text, fails the test."""
    try:
        check_stack(validate(parse(text, "dev.yaml"), StackSpec), TODAY)
    except SpecError as error:
        problems = error.problems
    else:
        return
    lines = [*BREAKS.split(text), ""]
    assert problems
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.rule
        assert problem.message.strip()
        str(problem).encode()


def containers(value: Tree) -> Iterator[dict[str, Tree] | list[Tree]]:
    """Yield every mapping and list of a file that has something in it."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_good_file_with_any_value_replaced_is_taken_or_refused_in_its_place(data: st.DataObject) -> None:
    tree: dict[str, Tree] = yaml.safe_load(data.draw(st.sampled_from(GOOD)))
    places = list(containers(tree))
    here = places[data.draw(st.integers(0, len(places) - 1))]
    action = data.draw(st.sampled_from(["replace", "add", "remove"]))
    if isinstance(here, dict):
        key = data.draw(st.sampled_from(sorted(here))) if action != "add" else data.draw(st.text(max_size=6))
        here[key] = data.draw(VALUES)
        if action == "remove":
            del here[key]
    else:
        here[data.draw(st.integers(0, len(here) - 1))] = data.draw(VALUES)
    checked(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_good_file_with_any_characters_changed_is_taken_or_refused_in_its_place(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(GOOD[:6]))
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    pieces = st.sampled_from(
        ["\n", "\t", "  ", ":", ": ", "- ", "{", "}", "[", "]", "'", '"', "&a", "*a", "!x", "|", "#"]
    )
    new = data.draw(st.one_of(pieces, st.text(max_size=4)))
    checked(text[:start] + new + text[start + length :])
