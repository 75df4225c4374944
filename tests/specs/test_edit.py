"""Editing a stack file: the asked value changes, every other byte stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.edit import Absent, Value, edited, flow
from specs.loader import Tree, parse

TEXT = """\
# the team's own
a: 1 # first
computes:
  # big one
  cpu:
    size: 'D2'   # why
    tags: {owner: me}
    list:
      - x
      - y

  # small one
  spot:
    size: D1
last: {}
"""


def changed(changes: dict[tuple[str, ...], Value]) -> list[str]:
    before, after = TEXT.splitlines(), edited(TEXT, changes).splitlines()
    return [f"-{line}" for line in before if line not in after] + [f"+{line}" for line in after if line not in before]


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        (("a",), 2, ["-a: 1 # first", "+a: 2 # first"]),
        (("computes", "cpu", "size"), "D4", ["-    size: 'D2'   # why", "+    size: D4   # why"]),
        (("computes", "cpu", "tags"), {"owner": "you"}, ["-    tags: {owner: me}", "+    tags: {owner: you}"]),
        (
            ("computes", "cpu", "tags", "a b"),
            "on: x",
            ["-    tags: {owner: me}", '+    tags: {owner: me, a b: "on: x"}'],
        ),
        (("computes", "cpu", "tags", "owner"), Absent.ABSENT, ["-    tags: {owner: me}", "+    tags: {}"]),
        (("computes", "cpu", "list"), ["z"], ["-    list:", "-      - x", "-      - y", "+    list: [z]"]),
        (("computes", "cpu", "list"), Absent.ABSENT, ["-    list:", "-      - x", "-      - y"]),
        (("computes", "cpu", "more"), "true", ['+    more: "true"']),
        (("computes", "cpu", "size"), None, ["-    size: 'D2'   # why", "+    size: null   # why"]),
        (("computes", "spot", "deep", "er"), 1.5, ["+    deep: {er: 1.5}"]),
        (("last", "new"), False, ["-last: {}", "+last: {new: false}"]),
        (("computes", "cpu", "gone"), Absent.ABSENT, []),
        (("computes", "spot", "size"), Absent.ABSENT, ["-    size: D1", "+    {}"]),
    ],
)
def test_one_change_touches_its_own_lines_only(path: tuple[str, ...], value: Value, lines: list[str]) -> None:
    assert changed({path: value}) == lines


def test_a_path_through_a_scalar_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^a is no mapping$"):
        edited(TEXT, {("a", "b"): 1})


def test_a_block_text_is_replaced_whole() -> None:
    text = "a:\n  script: |\n    one\n    two\n  next: 1\n"
    assert edited(text, {("a", "script"): "x"}) == "a:\n  script: x\n  next: 1\n"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii", exclude_categories=["C"])), inner)
        ),
        max_leaves=8,
    )
)
def test_what_is_written_on_a_line_is_read_back(value: Tree) -> None:
    assert parse(f"a: {flow(value)}\n", "f").value == {"a": value}
