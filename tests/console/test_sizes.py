from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
from invoke import Context

from console import online, quotas, sizes
from console.commands import sizes as commands
from console.yard import Yard
from runtime.project import Project
from specs.prices import Price, price_range
from specs.problems import SpecError
from specs.quotas import demands
from specs.vm_sizes import Ask

if TYPE_CHECKING:
    from pathlib import Path

    from specs.vm_sizes import Priority

TODAY = date(2026, 11, 21)
STACK = """\
cloud: azure
location: westeurope
resource_group: rg
workspaces:
  research:
    computes:
      cpu: {kind: AmlCompute, vm_size: Standard_D2_v2, min_node_count: 1, max_node_count: 9}
      far: {kind: AmlCompute, vm_size: Standard_D2_v2, max_node_count: 4, location: eastus}
      gpu: {kind: AmlCompute, vm_size: Standard_NC4as_T4_v3, max_node_count: 2}
"""
QUOTAS = "location: westeurope\nas_of: 2026-11-20\nlimits: {TotalDedicatedCores: 20, Standard_Dv2_Family: 16, x: 1}\n"


def search(*names: str, flags: tuple[str, ...] = (), **texts: str) -> list[str]:
    options = {f"--{name.replace('_', '-')}": text for name, text in texts.items()}
    asked = sizes.wanted(options, names, frozenset(flags))
    return [row.size.name for row in sizes.priced(asked, sizes.candidates(asked, TODAY))]


def refused(*names: str, **texts: str) -> str:
    with pytest.raises(SpecError) as error:
        search(*names, flags=(), **texts)
    return str(error.value)


def test_the_cheapest_comes_first_and_what_is_retired_does_not_come() -> None:
    assert search(flags=("--gpu",), max_price="4") == [
        "Standard_NC4as_T4_v3",
        "Standard_NC8as_T4_v3",
        "Standard_NC16as_T4_v3",
        "Standard_NC24ads_A100_v4",
    ]


def test_a_size_of_no_known_price_comes_last_and_is_not_below_any_price() -> None:
    assert search("ND96isr*") == ["Standard_ND96isr_H100_v5", "Standard_ND96isr_H200_v5"]
    assert search("ND96isr*", max_price="1000") == ["Standard_ND96isr_H100_v5"]


def test_a_size_asked_for_by_name_is_shown_though_it_is_retired() -> None:
    assert search("nc6", "STANDARD_D2_V3") == ["Standard_D2_v3", "Standard_NC6"]


def test_low_priority_is_searched_by_its_own_price() -> None:
    assert search(flags=("--gpu", "--low-priority"), max_price="0.2") == [
        "Standard_NC4as_T4_v3",
        "Standard_NC8as_T4_v3",
    ]


def test_the_kind_decides_what_is_offered() -> None:
    # A10 is for online endpoints only, but a machine of Microsoft.Compute may have it; LSv3 is for clusters only.
    assert search(flags=("--gpu",), max_price="0.5", kind="VirtualMachine") == ["Standard_NV6ads_A10_v5"]
    assert search(flags=("--gpu",), max_price="0.5") == []
    cluster, instance = (
        search(vcpus="80", memory="640", max_price="7", kind=kind) for kind in ("amlcompute", "ComputeInstance")
    )
    assert [name for name in cluster if name not in instance] == [
        "Standard_L80as_v3",
        "Standard_L80s_v3",
    ]


def test_infiniband_can_be_asked_for() -> None:
    assert search(flags=("--rdma",), max_price="4") == [
        "Standard_HC44rs",
        "Standard_HB120rs_v2",
        "Standard_HB120rs_v3",
    ]


def test_everything_is_the_whole_catalogue() -> None:
    assert len(search(flags=("--all",))) == 287


def test_wrong_options_are_said_together() -> None:
    assert refused("D2v9", vcpus="two", memory="1,5", max_price="-1", kind="cluster") == (
        'invoke sizes: --vcpus = "two"\n  is a number, for example 8.   [rule option]\n'
        'invoke sizes: --memory = "1,5"\n  is a number, for example 56.   [rule option]\n'
        'invoke sizes: --max-price = "-1"\n  is a number, for example 1.5.   [rule option]\n'
        'invoke sizes: --kind = "cluster"\n'
        "  no such kind. Allowed: AmlCompute, ComputeInstance, VirtualMachine.   [rule option]\n"
        'invoke sizes: --name = "D2v9"\n'
        "  no such VM size. Did you mean Standard_D2_v3, Standard_D2_v2, Standard_D2?   [rule vm-size-unknown]"
    )
    with pytest.raises(SpecError) as error:
        sizes.region_of("West Europe")
    assert str(error.value) == (
        'invoke sizes: --region = "West Europe"\n'
        "  a region is written in lower case without spaces, for example westeurope.   [rule option]"
    )


def test_the_table_is_aligned_with_figures_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    commands.sizes(Context(), name=["NC6", "D2_v3", "ND40rs_v2"])
    assert capsys.readouterr().out == (
        "  SIZE                SERIES  VCPUS   MEMORY  GPU              RDMA  LOWPRIO     $/H  LP $/H  RETIRES\n"
        "  Standard_D2_v3      Dv3         2    8 GiB  -                -     yes       0.096   0.019  -\n"
        "  Standard_NC6        NC          6   56 GiB  1 x K80 12 GiB   -     yes       0.900   0.180  2023-09-06\n"
        "  Standard_ND40rs_v2  NDv2       40  672 GiB  8 x V100 32 GiB  yes   yes      22.032   4.406  -\n"
        "  3 sizes. USD an hour, Linux, eastus, 2025-06-03 to 2026-06-18 (Azure Retail Prices); other regions differ: "
        "add --region REGION --online\n"
    )


def test_nothing_found_is_still_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    commands.sizes(Context(), name=[], gpu=True, max_price="0.01", region="westeurope")
    assert capsys.readouterr().out == (
        "  0 sizes. USD an hour, Linux, eastus, no date (Azure Retail Prices); westeurope differs: add --online\n"
    )


def test_json_has_the_catalogues_fields_and_the_prices_place(capsys: pytest.CaptureFixture[str]) -> None:
    commands.sizes(Context(), name=["NC6"], json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["gpu_model"], found["retired_on"]) == ("Standard_NC6", "K80", "2023-09-06")
    assert (found["price_usd_hour"], found["price_region"], found["price_as_of"]) == (0.9, "eastus", "2025-06-03")


def test_a_wrong_option_ends_with_2_and_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.sizes(Context(), name=[], vcpus="two")
    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        'error: invoke sizes: --vcpus = "two"\n  is a number, for example 8.   [rule option]\n'
        "1 error, nothing was sent.\n",
    )


def test_online_prices_replace_the_catalogues_and_leave_out_what_a_region_lacks() -> None:
    asked = sizes.wanted({}, (), frozenset({"--gpu"}))
    prices: dict[tuple[str, Priority], Price] = {
        ("standard_nc4as_t4_v3", "Dedicated"): Price(0.66, TODAY, "westeurope"),
        ("standard_nc4as_t4_v3", "LowPriority"): Price(0.13, TODAY, "westeurope"),
    }
    rows = sizes.priced(asked, sizes.candidates(asked, TODAY), prices)
    assert [(row.size.name, row.price, row.low_price) for row in rows] == [("Standard_NC4as_T4_v3", 0.66, 0.13)]
    assert sizes.footnote(rows, "westeurope", TODAY, 12) == (
        "  1 size. USD an hour, Linux, westeurope, asked on 2026-11-21 (Azure Retail Prices); 12 without a price there "
        "left out."
    )
    (found,) = sizes.as_json(rows, "westeurope", TODAY)
    assert (found["price_usd_hour"], found["price_region"], found["price_as_of"]) == (0.66, "westeurope", TODAY)


def test_a_cost_is_shown_from_the_least_to_the_most() -> None:
    asked: list[tuple[Priority, int, int]] = [
        ("Dedicated", 0, 4),
        ("LowPriority", 0, 2),
        ("Dedicated", 4, 4),
        ("Dedicated", 0, 0),
    ]
    assert [sizes.cost(price_range("Standard_D2_v2", *item)) for item in asked] == [
        "$0.00\N{EN DASH}0.58",
        "$0.00\N{EN DASH}0.06",
        "$0.58",
        "$0.00",
    ]
    assert sizes.cost(price_range("Standard_D2_v9", "Dedicated", 0, 4)) == "-"


def yard(folder: Path, stack: str, quota_file: str | None = None) -> Yard:
    (folder / "stacks").mkdir()
    (folder / "Pulumi.yaml").write_text("name: x\n")
    (folder / "stacks/dev.yaml").write_text(stack)
    if quota_file:
        (folder / "quotas.yaml").write_text(quota_file)
    return Yard(Project(folder))


def test_quotas_from_the_file_stand_beside_what_the_stack_needs(tmp_path: Path) -> None:
    here = yard(tmp_path, STACK + "quotas: quotas.yaml\n", QUOTAS)
    known = online.stack_quotas(here, "dev", "", online=False, write="")
    assert (known.location, known.as_of, known.source) == ("westeurope", date(2026, 11, 20), "quotas.yaml")
    assert quotas.lines(quotas.rows(known.limits, known.wanted, everything=False)) == [
        "  QUOTA                      USED  LIMIT            STACK",
        "  TotalDedicatedCores        -     20               2\N{EN DASH}26   too little for the maximum",
        "  Standard NCASv3_T4 Family  -     not in the file  0\N{EN DASH}8",
        "  Standard_Dv2_Family        -     16               2\N{EN DASH}18   too little for the maximum",
    ]
    everything = quotas.rows(known.limits, known.wanted, everything=True)
    assert [row.name for row in everything] == [
        "TotalDedicatedCores",
        "Standard NCASv3_T4 Family",
        "Standard_Dv2_Family",
        "x",
    ]


def test_a_stack_without_a_quota_file_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused_:
        online.stack_quotas(yard(tmp_path, STACK), "dev", "", online=False, write="")
    assert str(refused_.value) == (
        "invoke quotas: --online\n"
        "  stacks/dev.yaml names no quota file (its field quotas). Add --online to ask the subscription."
        "   [rule no-quota-file]"
    )


def test_a_file_of_another_region_is_not_shown_for_this_one(tmp_path: Path) -> None:
    here = yard(tmp_path, STACK + "quotas: quotas.yaml\n", QUOTAS)
    with pytest.raises(SpecError, match=r"quotas.yaml is of westeurope\. Add --online to ask the subscription\."):
        online.stack_quotas(here, "dev", "eastus", online=False, write="")


def test_a_stack_above_its_quota_file_can_still_be_asked_about(tmp_path: Path) -> None:
    text = STACK.replace("min_node_count: 1", "min_node_count: 9") + "quotas: quotas.yaml\n"
    here = yard(tmp_path, text, QUOTAS)
    with pytest.raises(SpecError, match=r"\[rule quota-min\]"):
        here.spec("dev")
    known = online.stack_quotas(here, "dev", "", online=False, write="")
    notes = {row.name: row.note for row in quotas.rows(known.limits, known.wanted, everything=False)}
    assert notes["Standard_Dv2_Family"] == "too little for the minimum"


def test_a_stack_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such stack\. Did you mean dev\?"):
        online.stack_quotas(yard(tmp_path, STACK), "def", "", online=True, write="")


def test_low_priority_needs_are_of_the_pool_and_a_minimum_above_the_limit_is_noted() -> None:
    found = demands(
        [
            (("a",), "westeurope", Ask("AmlCompute", "Standard_D2_v2", "LowPriority", 3, 4)),
            (("b",), "westeurope", Ask("ComputeInstance", "Standard_D2_v3")),
        ]
    )
    rows = quotas.rows(
        [("TotalLowPriorityCores", 0, 4), ("standardDv3Family", 2, 6), ("TotalClusters", 1, 9)], found, everything=False
    )
    assert [(row.name, row.needs, row.note) for row in rows] == [
        ("TotalClusters", (2, 2), ""),
        ("TotalLowPriorityCores", (6, 8), "too little for the minimum"),
        ("standardDv3Family", (2, 2), ""),
    ]
    assert quotas.as_json(rows)[2] == {
        "name": "standardDv3Family",
        "used": 2,
        "limit": 6,
        "needs_min": 2,
        "needs_max": 2,
    }
