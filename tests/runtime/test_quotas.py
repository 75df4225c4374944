from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from runtime.control_plane import ControlPlane
from runtime.errors import SpecError
from runtime.quotas import Usage, as_quotas, differences, usages, write
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.quotas import Quotas, load_quotas
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

DAY = date(2026, 11, 21)
PROVIDER = "Microsoft.MachineLearningServices"
PATH = f"/subscriptions/{EMULATOR_SUBSCRIPTION_ID}/providers/{PROVIDER}/locations/westeurope/usages"


def row(name: str, kind: str, used: int, limit: int) -> dict[str, object]:
    return {
        "id": f"{PATH}/{name}",
        "type": f"{PROVIDER}/{kind}/usages",
        "unit": "Count",
        "currentValue": used,
        "limit": limit,
        "name": {"value": name, "localizedValue": f"Shown {name}"},
    }


ROWS = [
    row("TotalDedicatedCores", "totalDedicatedCores", 6, 20),
    row("TotalLowPriorityCores", "totalLowPriorityCores", 0, 10),
    row("standardDv2Family", "vmFamily/dedicatedCores", 6, 16),
    row("standardDv2Family", "vmFamily/lowPriorityCores", 4, -1),
    row("Standard NCASv3_T4 Family", "vmFamily/dedicatedCores", 0, 0),
    row("StandardNCASv3T4Family", "vmFamily/dedicatedCores", 0, 8),
]


def some(**limits: int) -> Quotas:
    return Quotas(location="westeurope", as_of=DAY, limits=limits)


def test_rows_of_the_one_pool_are_not_taken_for_a_familys(transport: kit.FakeTransport, clock: kit.HeldClock) -> None:
    transport.replies["GET", PATH] = [(200, {"value": ROWS})]
    found = usages(kit.fake_plane(transport, clock), "westeurope")
    assert found[:3] == [
        Usage("TotalDedicatedCores", "Shown TotalDedicatedCores", 6, 20),
        Usage("TotalLowPriorityCores", "Shown TotalLowPriorityCores", 0, 10),
        Usage("standardDv2Family", "Shown standardDv2Family", 6, 16),
    ]
    assert as_quotas(found, "westeurope", DAY).limits == {
        "TotalDedicatedCores": 20,
        "TotalLowPriorityCores": 10,
        "standardDv2Family": 16,
        "Standard NCASv3_T4 Family": 0,
    }


def test_without_a_subscription_nothing_is_sent(transport: kit.FakeTransport, clock: kit.HeldClock) -> None:
    access = kit.FakeAccess("azure", "https://management.azure.com/", "")
    plane = ControlPlane(access, clock=clock, transport=transport)  # type: ignore[arg-type]  # the one method used
    with pytest.raises(SpecError) as refused:
        usages(plane, "westeurope")
    assert str(refused.value) == (
        "the environment: ARM_SUBSCRIPTION_ID\n"
        "  no subscription is named. Set it: export ARM_SUBSCRIPTION_ID=$(az account show --query id -o tsv)"
        "   [rule subscription]"
    )
    assert transport.asked == []


def test_a_file_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "quotas/dev.yaml"
    found = Quotas(
        location="westeurope",
        as_of=DAY,
        limits={"standardDv2Family": 16, "Standard NCASv3_T4 Family": 0, "TotalClusters": 5},
    )
    assert write(target, "quotas/dev.yaml", found) == []
    assert load_quotas(target) == found
    assert target.read_text() == (
        "# The subscription's quotas for Azure ML computes, vCPUs by VM family. Made by: invoke quotas --write FILE\n"
        "location: westeurope\nas_of: 2026-11-21\nlimits:\n"
        "  TotalClusters: 5\n  Standard NCASv3_T4 Family: 0\n  standardDv2Family: 16\n"
    )
    assert list(target.parent.iterdir()) == [target]


def test_writing_again_says_what_changed(tmp_path: Path) -> None:
    target = tmp_path / "dev.yaml"
    write(target, "dev.yaml", some(a=1, b=2, c=3))
    assert write(target, "dev.yaml", some(A=1, b=4, d=5)) == ["b 2 → 4", "d (none) → 5", "c 3 → (none)"]
    assert write(target, "dev.yaml", some(A=1, b=4, d=5)) == []


def test_another_region_is_a_change() -> None:
    there = Quotas(location="eastus", as_of=DAY, limits={"a": 1})
    assert differences(some(a=1), there) == ["location westeurope → eastus"]


def test_only_a_quota_file_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "dev.yaml"
    target.write_text("cloud: azure\n")
    with pytest.raises(SpecError) as refused:
        write(target, "stacks/dev.yaml", some(a=1))
    assert str(refused.value) == (
        'invoke quotas: --write = "stacks/dev.yaml"\n'
        "  exists and is no quota file. Give another name; it was not touched.   [rule quota-file]"
    )
    assert target.read_text() == "cloud: azure\n"


def test_a_file_of_another_sort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"ends in neither \.yaml nor \.yml\."):
        write(tmp_path / "quotas.json", "quotas.json", some(a=1))


def test_a_folder_that_can_not_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "quotas").write_text("a file")
    with pytest.raises(SpecError, match="can't be written: "):
        write(tmp_path / "quotas/dev.yaml", "quotas/dev.yaml", some(a=1))
    assert [path.name for path in tmp_path.iterdir()] == ["quotas"]
