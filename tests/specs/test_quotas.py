from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from specs.loader import parse, validate
from specs.problems import SpecError
from specs.quotas import Demand, Quotas, asks, demands, key, load_quotas, quota_faults
from specs.stack import StackSpec
from specs.vm_sizes import Ask

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
location: westeurope
as_of: 2026-11-20
limits:
  TotalDedicatedCores: 20
  TotalLowPriorityCores: 10
  TotalClusters: 4
  standardDv2Family: 16
  standardDv3Family: 16
  Standard NCASv3_T4 Family: 0
"""
STACK = """\
cloud: emulator
location: westeurope
resource_group: rg
workspaces:
  research:
    computes:
      cpu: {kind: AmlCompute, vm_size: Standard_D2_v2, min_node_count: 1, max_node_count: 4}
      far: {kind: AmlCompute, vm_size: Standard_D2_v2, max_node_count: 4, location: eastus}
      spot: {kind: AmlCompute, vm_size: Standard_D2_v2, vm_priority: LowPriority, max_node_count: 3}
      anna: {kind: ComputeInstance, vm_size: Standard_D2_v3}
"""


def quotas(text: str = FILE) -> Quotas:
    return validate(parse(text, "quotas/dev.yaml"), Quotas)


def refused(text: str) -> str:
    with pytest.raises(SpecError) as error:
        quotas(text)
    return str(error.value)


def wanted(name: str, size: str, nodes: tuple[int, int], priority: str = "Dedicated") -> Demand:
    ask = Ask("AmlCompute", size, "LowPriority" if priority == "LowPriority" else "Dedicated", *nodes)
    (found,) = demands([(("computes", name), "westeurope", ask)])
    return found


def instance(name: str, size: str) -> Demand:
    (found,) = demands([(("computes", name), "westeurope", Ask("ComputeInstance", size))])
    return found


def faults(*found: Demand, text: str = FILE) -> list[tuple[str, str, str, str]]:
    return [
        (fault.severity, ".".join(map(str, fault.at)), fault.rule, fault.message)
        for fault in quota_faults(found, quotas(text))
    ]


def test_a_file_is_read_with_its_day(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text(FILE)
    found = load_quotas(path, "quotas/dev.yaml")
    assert (found.location, found.as_of) == ("westeurope", date(2026, 11, 20))
    assert [found.limit(name) for name in ("STANDARDDV2FAMILY", "StandardNCASv3T4Family", "x")] == [16, 0, None]


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load_quotas(tmp_path / "dev.yaml", "quotas/dev.yaml")
    assert str(error.value) == (
        "quotas/dev.yaml: quotas\n"
        "  there is no such file. To make it: invoke quotas --stack STACK --write quotas/dev.yaml   [rule file]"
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "as_of: 2026-11-20",
            "as_of: yesterday",
            'quotas/dev.yaml:2:8: as_of = "yesterday"\n  a day is written like 2026-11-21.   [rule date]',
        ),
        (
            "standardDv2Family: 16",
            "standardDv2Family: many",
            'quotas/dev.yaml:7:22: limits.standardDv2Family = "many"\n'
            "  must be a whole number, 0 or more, not text.   [rule type]",
        ),
        (
            "standardDv2Family: 16",
            "standardDv2Family: -1",
            "quotas/dev.yaml:7:22: limits.standardDv2Family = -1\n  must be a whole number, 0 or more.   [rule range]",
        ),
        (
            "standardDv3Family: 16",
            "Standard_Dv2 family: 3",
            "quotas/dev.yaml:8:24: limits.Standard_Dv2 family = 3\n"
            "  is standardDv2Family again (case, blanks and _ do not count). Delete one.   [rule quota-duplicate]",
        ),
        (
            "limits:",
            "limit:",
            "quotas/dev.yaml:3:1: limit\n  no such field. Did you mean limits?   [rule unknown-field]",
        ),
    ],
)
def test_a_mistake_in_a_file_has_its_place(old: str, new: str, says: str) -> None:
    assert refused(FILE.replace(old, new)) == says


def test_families_match_without_case_blanks_and_underscores() -> None:
    assert key("Standard NCASv3_T4 Family") == key("STANDARDNCASV3T4FAMILY")


def test_what_fits_is_not_worth_a_word() -> None:
    assert faults(wanted("a", "Standard_D2_v2", (0, 8)), wanted("b", "Standard_D2_v3", (1, 2))) == []


def test_a_minimum_above_the_family_is_an_error_and_says_how_many_fit() -> None:
    assert faults(wanted("a", "Standard_D2_v2", (9, 9))) == [
        (
            "error",
            "computes.a.min_node_count",
            "quota-min",
            "18 vCPUs always (a 9 x 2); the quota standardDv2Family in westeurope is 16 (2026-11-20). Allowed here: up "
            "to 8, or ask for more in the portal.",
        )
    ]


def test_a_maximum_above_the_family_is_a_warning() -> None:
    assert faults(wanted("a", "Standard_D2_v2", (0, 9))) == [
        (
            "warning",
            "computes.a.max_node_count",
            "quota-max",
            "18 vCPUs at most (a 9 x 2); the quota standardDv2Family in westeurope is 16 (2026-11-20). Jobs will wait. "
            "Allowed here: up to 8, or ask for more in the portal.",
        )
    ]


def test_clusters_of_a_family_add_up_and_the_first_too_many_is_named() -> None:
    found = faults(*(wanted(name, "Standard_D2_v2", (0, 4)) for name in "abc"))
    assert found == [
        (
            "warning",
            "computes.c.max_node_count",
            "quota-max",
            "24 vCPUs at most (a 4 x 2, b 4 x 2, c 4 x 2); the quota standardDv2Family in westeurope is 16 "
            "(2026-11-20). Jobs will wait. Ask for more in the portal, or take another size.",
        ),
        (
            "warning",
            "computes.c.max_node_count",
            "quota-max",
            "24 vCPUs at most (a 4 x 2, b 4 x 2, c 4 x 2); the quota TotalDedicatedCores in westeurope is 20 "
            "(2026-11-20). Jobs will wait. Allowed here: up to 2, or ask for more in the portal.",
        ),
    ]


def test_families_that_fit_may_be_too_much_together() -> None:
    found = faults(wanted("a", "Standard_D2_v2", (6, 6)), wanted("b", "Standard_D2_v3", (5, 5)))
    assert [(item[0], item[1], item[2]) for item in found] == [("error", "computes.b.min_node_count", "quota-min")]
    assert found[0][3].startswith(
        "22 vCPUs always (a 6 x 2, b 5 x 2); the quota TotalDedicatedCores in westeurope is 20"
    )


def test_an_instance_counts_as_a_dedicated_node_that_is_always_there() -> None:
    found = faults(wanted("a", "Standard_D2_v3", (7, 7)), instance("anna", "Standard_D4_v3"))
    assert found == [
        (
            "error",
            "computes.anna.vm_size",
            "quota-min",
            "18 vCPUs always (a 7 x 2, anna 1 x 4); the quota standardDv3Family in westeurope is 16 (2026-11-20). Ask "
            "for more in the portal, or take another size.",
        )
    ]


def test_low_priority_is_one_pool_and_no_family() -> None:
    lows = (
        wanted("a", "Standard_D2_v2", (0, 4), "LowPriority"),
        wanted("b", "Standard_NC4as_T4_v3", (0, 1), "LowPriority"),
    )
    assert faults(*lows) == [
        (
            "warning",
            "computes.b.max_node_count",
            "quota-max",
            "12 vCPUs at most (a 4 x 2, b 1 x 4); the quota TotalLowPriorityCores in westeurope is 10 (2026-11-20). "
            "Jobs will wait. Ask for more in the portal, or take another size.",
        )
    ]


def test_a_gpu_family_that_is_not_in_the_file_is_0_and_another_is_unknown() -> None:
    found = faults(
        wanted("a", "Standard_NC24ads_A100_v4", (0, 1)), text=FILE.replace("TotalDedicatedCores: 20", "x: 1")
    )
    assert [(item[0], item[2]) for item in found] == [("warning", "quota-max")]
    assert "the quota standardNCADSA100v4Family in westeurope is 0 (2026-11-20)" in found[0][3]
    assert faults(wanted("a", "Standard_F4s_v2", (0, 1))) == [
        (
            "warning",
            "computes.a.vm_size",
            "quota-family",
            "standardFSv2Family is not in the quota file (2026-11-20): its node counts were not checked. To read it "
            "anew: invoke quotas --online --write FILE",
        )
    ]


def test_another_region_is_not_held_against_this_file() -> None:
    ((place, location, ask),) = [(("computes", "a"), "eastus", Ask("AmlCompute", "Standard_D2_v2", max_nodes=99))]
    assert faults(*demands([(place, location, ask)])) == [
        (
            "warning",
            "computes.a",
            "quota-location",
            "is in eastus, and the quota file is of westeurope: its node counts were not checked.",
        )
    ]


def test_too_many_computes_are_one_error() -> None:
    found = faults(*(wanted(name, "Standard_D2_v2", (0, 1)) for name in "abcde"))
    assert found == [
        (
            "error",
            "computes.e",
            "quota-clusters",
            "5 clusters and instances; the quota TotalClusters in westeurope is 4 (2026-11-20). Ask for more in the "
            "portal.",
        )
    ]


def test_a_stack_asks_by_kind_and_region_and_its_machines_count_elsewhere() -> None:
    spec = validate(parse(STACK, "dev.yaml"), StackSpec)
    found = demands([*asks(spec), (("computes", "vm"), "westeurope", Ask("VirtualMachine", "Standard_D2_v3"))])
    assert [(item.place[-1], item.location, item.cores_min, item.cores_max, item.priority) for item in found] == [
        ("cpu", "westeurope", 2, 8, "Dedicated"),
        ("far", "eastus", 0, 8, "Dedicated"),
        ("spot", "westeurope", 0, 6, "LowPriority"),
        ("anna", "westeurope", 2, 2, "Dedicated"),
    ]
