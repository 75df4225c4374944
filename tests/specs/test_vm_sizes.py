from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from specs import vm_sizes
from specs.checks import load_stack
from specs.problems import SpecError
from specs.quotas import key
from specs.vm_sizes import Ask, Kind, catalogue, find, instead, near, size_faults

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
LOW_PRIORITY_END = (
    "Azure announced the end of low-priority machines for 2026-03-31 and has not said since what becomes of clusters. "
    "Dedicated is safe."
)


def told(tmp_path: Path, text: str) -> str:
    path = tmp_path / "dev.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as refused:
        load_stack(path, "dev.yaml", TODAY)
    return str(refused.value)


def faults(ask: Ask, today: date = TODAY, *, quotas_known: bool = False) -> list[tuple[str, str, str, str]]:
    found = size_faults(ask, today, quotas_known=quotas_known)
    return [(fault.severity, ".".join(map(str, fault.at)), fault.rule, fault.message) for fault in found]


def test_an_unknown_size_is_answered_with_its_neighbours(tmp_path: Path) -> None:
    assert told(tmp_path, STACK.replace("SIZE", "Standard_D2_v9")) == (
        'dev.yaml:9:18: workspaces.research.computes.cpu-cluster.vm_size = "Standard_D2_v9"\n'
        "  no such VM size. Did you mean Standard_D2_v3, Standard_D2_v2, Standard_DS2_v2?   [rule vm-size-unknown]"
    )


def test_a_retired_size_says_since_when_and_what_instead(tmp_path: Path) -> None:
    assert told(tmp_path, STACK.replace("SIZE", "Standard_NC6")) == (
        'dev.yaml:9:18: workspaces.research.computes.cpu-cluster.vm_size = "Standard_NC6"\n'
        "  retired since 2023-09-06. Instead: Standard_NC4as_T4_v3.   [rule vm-size-retired]"
    )


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


def test_the_catalogue_is_whole() -> None:
    sizes = list(catalogue().values())
    assert len(sizes) == 287
    assert [size.name for size in sizes if size.gpus and not (size.gpu_model and size.gpu_memory_gib)] == []
    assert [size.name for size in sizes if (size.price_usd_hour is None) != (size.price_as_of is None)] == []
    assert [size.name for size in sizes if size.successor and size.successor.lower() not in catalogue()] == []
    assert len({key(size.family) for size in sizes}) == 52


def test_a_size_is_found_in_any_case_with_all_its_facts() -> None:
    size = find("STANDARD_nc24RS_V3")
    assert size is not None
    assert (size.name, size.series, size.family) == ("Standard_NC24rs_v3", "NCv3", "standardNCSv3Family")
    assert (size.vcpus, size.memory_gib, size.gpus, size.gpu_model, size.gpu_memory_gib) == (24, 448, 4, "V100", 16)
    assert (size.rdma, size.low_priority, size.isolated, size.approval) == (True, True, True, "request")
    assert (size.retired_on, size.successor) == (date(2025, 9, 30), "Standard_ND96amsr_A100_v4")
    assert (size.price_usd_hour, size.price_as_of, size.gpu) == (13.46, date(2026, 6, 18), "4 x V100")


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("Standard_NC6", "AmlCompute", "Instead: Standard_NC4as_T4_v3."),
        # NV → NVv3 (ended 2026-09-30) → NVadsA10_v5 (online endpoints only): neither is to be had for a cluster.
        ("Standard_NV6", "AmlCompute", "With 1 GPU: Standard_NC4as_T4_v3, Standard_NC8as_T4_v3."),
        ("Standard_NV6", "VirtualMachine", "Instead: Standard_NV12ads_A10_v5."),
        ("Standard_NV24", "AmlCompute", "With 4 GPUs: Standard_NC64as_T4_v3, Standard_NC96ads_A100_v4."),
        ("Standard_H8", "AmlCompute", "With 8 vCPUs and 56 GiB: Standard_E8_v3, Standard_E8a_v4."),
        ("Standard_M416s_v2", "ComputeInstance", "See: invoke sizes --kind ComputeInstance"),
    ],
)
def test_the_advice_is_itself_to_be_had(name: str, kind: Kind, advice: str) -> None:
    size = find(name)
    assert size is not None
    assert instead(size, kind, TODAY) == advice


@pytest.mark.parametrize("kind", ["AmlCompute", "ComputeInstance", "VirtualMachine"])
def test_no_advice_ends_in_another_error(kind: Kind) -> None:
    for size in catalogue().values():
        for name in instead(size, kind, TODAY).rstrip(".").replace(",", "").split():
            if name.startswith("Standard_"):
                assert [fault for fault in size_faults(Ask(kind, name), TODAY) if fault.severity == "error"] == []


def test_what_is_for_others_is_refused_by_kind() -> None:
    assert faults(Ask("AmlCompute", "Standard_NV6ads_A10_v5")) == [
        (
            "error",
            "vm_size",
            "vm-size-kind",
            "is for managed online endpoints only, not for clusters. With 1 GPU: Standard_NC4as_T4_v3, "
            "Standard_NC8as_T4_v3.",
        )
    ]
    assert faults(Ask("ComputeInstance", "Standard_E64is_v3"))[0][3] == (
        "is for Spark pools only, not for compute instances. With 64 vCPUs and 432 GiB: Standard_E64_v3, "
        "Standard_E64s_v3."
    )
    assert faults(Ask("ComputeInstance", "Standard_D1_v2")) == [
        (
            "error",
            "vm_size",
            "vm-size-kind",
            "is for clusters only, not for compute instances. Instead: Standard_D2_v3.",
        )
    ]
    assert faults(Ask("AmlCompute", "Standard_D1_v2")) == []


def test_a_machine_may_have_a_size_that_azure_ml_does_not_know_but_not_a_retired_one() -> None:
    assert faults(Ask("VirtualMachine", "Standard_B2s")) == [
        (
            "warning",
            "virtual_machine.vm_size",
            "vm-size-unlisted",
            "is not in the catalogue of Azure ML's sizes, so it was not checked.",
        )
    ]
    assert faults(Ask("VirtualMachine", "Standard_NV12ads_A10_v5")) == []
    assert faults(Ask("VirtualMachine", "Standard_NC6")) == [
        (
            "error",
            "virtual_machine.vm_size",
            "vm-size-retired",
            "retired since 2023-09-06. Instead: Standard_NC4as_T4_v3.",
        )
    ]


def test_a_retirement_within_a_year_is_a_warning_and_a_later_one_is_none() -> None:
    message = "will be retired on 2028-05-01. Instead: Standard_D2_v3."
    warned = [("warning", "vm_size", "vm-size-retiring", message)]
    assert faults(Ask("AmlCompute", "Standard_D2_v2"), date(2027, 5, 1)) == []
    assert faults(Ask("AmlCompute", "Standard_D2_v2"), date(2027, 5, 2)) == warned
    assert faults(Ask("AmlCompute", "Standard_D2_v2"), date(2028, 4, 30)) == warned
    assert [fault[2] for fault in faults(Ask("AmlCompute", "Standard_D2_v2"), date(2028, 5, 1))] == ["vm-size-retired"]


def test_low_priority_is_warned_of_its_announced_end() -> None:
    assert faults(Ask("AmlCompute", "Standard_D2_v2", "LowPriority", 0, 4)) == [
        ("warning", "vm_priority", "low-priority-end", LOW_PRIORITY_END)
    ]
    unknown = faults(Ask("AmlCompute", "Standard_ND96isr_H200_v5", "LowPriority"))
    assert [fault[2] for fault in unknown] == ["low-priority-end", "low-priority-unknown", "vm-size-isolated"]
    assert faults(Ask("ComputeInstance", "Standard_D2_v3", "LowPriority")) == [
        (
            "error",
            "vm_priority",
            "low-priority",
            "a ComputeInstance is not to be had as LowPriority. Allowed: Dedicated.",
        )
    ]


def test_a_family_without_quota_is_said_unless_the_quota_is_known() -> None:
    for name, family in (
        ("Standard_M64ms", "standardMSFamily"),
        ("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family"),
    ):
        message = f"the quota of {family} is 0 until you ask for it in the portal. To see yours: invoke quotas --online"
        assert faults(Ask("ComputeInstance", name)) == [("warning", "vm_size", "vm-size-approval", message)]
    assert faults(Ask("ComputeInstance", "Standard_NC4as_T4_v3"), quotas_known=True) == []
    assert faults(Ask("VirtualMachine", "Standard_NC4as_T4_v3")) == []


def test_nodes_have_limits_by_network() -> None:
    assert faults(Ask("AmlCompute", "Standard_D2_v2", max_nodes=100)) == []
    assert faults(Ask("AmlCompute", "Standard_D2_v2", max_nodes=101)) == [
        (
            "warning",
            "max_node_count",
            "node-limit",
            "more than 100 nodes in one cluster (300 where they talk to each other) only on request. Ask for the limit "
            "in the portal.",
        )
    ]
    assert faults(Ask("AmlCompute", "Standard_HB120rs_v3", max_nodes=100), quotas_known=True) == []
    assert faults(Ask("AmlCompute", "Standard_HB120rs_v3", max_nodes=101), quotas_known=True) == [
        (
            "error",
            "max_node_count",
            "rdma-nodes",
            "a cluster of Standard_HB120rs_v3, which has InfiniBand, ends at 100 nodes. Allowed: 1 to 100.",
        )
    ]


def test_several_gpu_nodes_without_infiniband_and_a_whole_host_are_warned_of() -> None:
    assert faults(Ask("AmlCompute", "Standard_NC4as_T4_v3", max_nodes=2), quotas_known=True) == [
        (
            "warning",
            "max_node_count",
            "no-rdma",
            "Standard_NC4as_T4_v3 has no InfiniBand: a job over several nodes waits for the network. With it: invoke "
            "sizes --gpu --rdma",
        )
    ]
    assert faults(Ask("AmlCompute", "Standard_NC4as_T4_v3", max_nodes=1), quotas_known=True) == []
    assert faults(Ask("AmlCompute", "Standard_F72s_v2"), quotas_known=True) == [
        (
            "warning",
            "vm_size",
            "vm-size-isolated",
            "is a whole host of Azure's to itself (72 vCPUs); regions have few.",
        )
    ]


def test_near_names_compare_what_differs() -> None:
    assert near("D2v3")[0] == "Standard_D2_v3"
    assert near("Standard_B2s") == []


def test_the_page_lists_every_rule_and_no_other() -> None:
    modules = [(ROOT / f"specs/{name}.py").read_text() for name in ("vm_sizes", "quotas")]
    raised = {rule for text in modules for rule in re.findall(r'"((?:[a-z]+-)+[a-z]+)"', text)}
    raised -= {"quota-duplicate"}  # of the quota file itself
    _, _, table = (ROOT / "docs/vm-sizes.md").read_text().partition("## Rules")
    listed = {rule for row in table.splitlines() for rule in re.findall(r"`([a-z-]+)`", row)}
    assert listed == {rule for rule in raised if not rule.startswith("aml")}


def test_advice_is_sought_only_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(vm_sizes, "instead")
    assert faults(Ask("AmlCompute", "Standard_D2_v2", "Dedicated", 0, 4)) == []
