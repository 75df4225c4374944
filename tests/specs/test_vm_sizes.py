from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from specs.problems import SpecError
from specs.stack import load_stack

ROOT = Path(__file__).parents[2]
STACK = """\
cloud: emulator
location: westeurope
resource_group: rg
workspaces:
  research:
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: SIZE
        max_node_count: 2
"""
TODAY = date(2026, 11, 21)


def told(tmp_path: Path, text: str) -> str:
    path = tmp_path / "dev.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as refused:
        load_stack(path, "dev.yaml", TODAY)
    return str(refused.value)


def test_an_unknown_size_is_answered_with_its_neighbours(tmp_path: Path) -> None:
    assert told(tmp_path, STACK.replace("SIZE", "Standard_D2_v9")) == (
        'dev.yaml:9:18: workspaces.research.computes.cpu-cluster.vm_size = "Standard_D2_v9"\n'
        "  no such VM size. Did you mean Standard_D2_v3, Standard_D2_v2, Standard_DS2_v2?   [rule vm-size-unknown]"
    )


def test_a_retired_size_says_since_when_and_what_instead(tmp_path: Path) -> None:
    words = told(tmp_path, STACK.replace("SIZE", "Standard_NC6"))
    assert words.startswith('dev.yaml:9:18: workspaces.research.computes.cpu-cluster.vm_size = "Standard_NC6"\n')
    assert "retired since 2023-0" in words
    assert words.endswith("[rule vm-size-retired]")


def test_a_size_is_good_until_the_day_it_retires(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text(STACK.replace("SIZE", "Standard_NC6"))
    assert load_stack(path, "dev.yaml", date(2023, 1, 1)).cloud == "emulator"


def test_low_priority_where_there_is_none_is_refused_at_the_priority(tmp_path: Path) -> None:
    text = STACK.replace("SIZE", "Standard_NC64as_T4_v3") + "        vm_priority: LowPriority\n"
    assert told(tmp_path, text) == (
        'dev.yaml:11:22: workspaces.research.computes.cpu-cluster.vm_priority = "LowPriority"\n'
        "  Standard_NC64as_T4_v3 is not to be had as LowPriority. Allowed: Dedicated.   [rule low-priority]"
    )


def test_the_emulator_has_the_same_facts() -> None:
    assert (ROOT / "specs/vm_sizes.csv").read_bytes() == (ROOT / "emulator/vm_sizes.csv").read_bytes()
