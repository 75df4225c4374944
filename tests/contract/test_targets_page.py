"""The page of targets is the models' own and complete: every field of every model that a stack file may have."""

from __future__ import annotations

import re
from pathlib import Path

from specs.base import wires
from specs.capabilities import Capabilities
from specs.field_words import models
from specs.stack import StackSpec
from specs.targets import KINDS
from specs.targets_page import FILE, HEADINGS, sections, targets_page
from tests.contract.test_every_option import models as reachable

ROOT = Path(__file__).parents[2]
PAGE = targets_page()


def heads() -> list[str]:
    return re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)


def lines_of(heading: str) -> list[str]:
    """Return the cells of the first column of the table under a heading."""
    part = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    return [line.split(" | ")[0].removeprefix("| ").strip("`") for line in part.splitlines() if line.startswith("| ")][
        1:
    ]


def test_the_committed_page_is_the_models_own() -> None:
    assert (ROOT / FILE).read_text("utf-8") == PAGE, "run: invoke schema"


def test_every_model_of_a_stack_file_is_a_section_or_part_of_one() -> None:
    shown = {section.model for section in sections()}
    inside = {inner for section in sections() for row in section.rows for inner in models(row.field.annotation)}
    assert set(reachable(StackSpec)) == shown | inside
    assert heads() == [section.model.__name__.removesuffix("Spec") for section in sections()]
    assert len(set(heads())) == len(heads())  # else a link leads to the wrong one


def test_every_field_is_a_line_of_its_section_with_what_a_change_of_it_does() -> None:
    for section in sections():
        title = section.model.__name__.removesuffix("Spec")
        assert lines_of(f"### {title}") == [row.name for row in section.rows]
        said = {row.name: row.on_change for row in section.rows}
        try:
            known = wires(section.model)
        except TypeError:
            continue  # it changes as one value, with what holds it
        if section.model is StackSpec:
            known = {name: wire for name, wire in known.items() if "." not in name}
        assert {name: said[name] for name in known} == {name: wire.on_change for name, wire in known.items()}


def test_every_link_on_the_page_leads_to_a_section() -> None:
    anchors = {head.lower() for head in heads()}
    assert set(re.findall(r"\]\(#(\w+)\)", PAGE)) - anchors == set()


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    counts: list[set[int]] = []
    before = ""
    for line in PAGE.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                counts.append(set())
            counts[-1].add(len(re.findall(r"(?<!\\)\|", line)))
        before = line
    assert [sorted(found) for found in counts if len(found) != 1] == []


def test_every_kind_has_its_line_of_capabilities_of_names_and_of_changes() -> None:
    assert lines_of("## What each kind can do") == [*KINDS, "Local"]
    assert lines_of("## Names") == list(KINDS)
    changes = [found[0] for found in (re.findall(r"\[(\w+)\]", line) for line in lines_of("## What a change does"))]
    assert changes == heads()
    assert list(HEADINGS) == list(Capabilities.__dataclass_fields__)


def test_the_table_of_changes_names_every_field_of_a_kind_once() -> None:
    part = PAGE.split("\n## What a change does\n")[1].split("\n## ")[0]
    for kind in KINDS:
        (line,) = [text for text in part.splitlines() if text.startswith(f"| [{kind}]")]
        named = re.findall(r"`([\w.]+)`", line)
        assert len(named) == len(set(named))
        (section,) = [found for found in sections() if found.model.__name__ == f"{kind}Spec"]
        for row in section.rows:
            above = [row.name, *(row.name.rsplit(".", cut)[0] for cut in range(1, row.name.count(".") + 1))]
            assert [name for name in above if name in named], row.name
