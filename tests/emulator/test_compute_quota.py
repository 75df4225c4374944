"""Cores: the limits that one has, how they are divided and raised, and what the endpoints list."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator import vm_sizes
from emulator.resources import ml_compute
from tests.emulator.arm_kit import CPU, WS, Arm, cluster, mapping, workspace
from tests.emulator.compute_kit import CI, LOCATION, instance, message

if TYPE_CHECKING:
    from emulator.routing import Json

ROWS = list(csv.DictReader((Path(vm_sizes.__file__).parent / "vm_sizes.csv").read_text().splitlines()))
QUOTA = f"{WS}/quotas/Standard_Dv3_Family_Cluster_Dedicated_vCPUs"


@pytest.fixture
def ready(arm: Arm) -> Arm:
    arm.seed()
    return arm


def scaled(low: int, high: int, **more: Json) -> dict[str, Json]:
    return cluster(scaleSettings={"minNodeCount": low, "maxNodeCount": high}, **more)


def rows(arm: Arm, what: str, location: str = LOCATION) -> list[dict[str, Json]]:
    found = arm.get(f"{location}/{what}")["value"]
    assert isinstance(found, list)
    return [mapping(row) for row in found]


def limits(arm: Arm, **given: Json) -> None:
    assert arm.call("POST", f"{LOCATION}/trainyard.limits", {"limits": given}) == (200, {"limits": given})


def test_every_size_that_is_offered_there_is_listed(ready: Arm) -> None:
    today = ready.clock.now().date().isoformat()
    alive = [row for row in ROWS if not row["retired_on"] or row["retired_on"] > today]
    wanted = [row["size"] for row in alive if row["source"] != "aml2022" and row["series"] != "ND_H200_v5"]
    assert [row["name"] for row in rows(ready, "vmSizes")] == wanted


def test_a_size_is_listed_as_the_service_does(ready: Arm) -> None:
    east = {str(row["name"]): row for row in rows(ready, "vmSizes", LOCATION.replace("westeurope", "eastus"))}
    found = east["Standard_D2_v3"]
    prices = mapping(found.pop("estimatedVMPrices"))
    row = next(row for row in ROWS if row["size"] == "Standard_D2_v3")
    assert found == {
        "name": "Standard_D2_v3",
        "family": "standardDv3Family",
        "vCPUs": 2,
        "gpus": 0,
        "osVhdSizeMB": 1047552,
        "maxResourceVolumeMB": 51200,
        "memoryGB": 8.0,
        "lowPriorityCapable": True,
        "premiumIO": False,
        "supportsIB": False,
        "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
    }
    assert prices == {
        "billingCurrency": "USD",
        "unitOfMeasure": "OneHour",
        "values": [
            {"retailPrice": float(row["price_usd_hour_eastus_linux"]), "osType": "Linux", "vmTier": "Standard"},
            {"retailPrice": float(row["low_priority_usd_hour"]), "osType": "Linux", "vmTier": "LowPriority"},
        ],
    }
    assert (east["Standard_NV6ads_A10_v5"]["supportedComputeTypes"], east["Standard_HB120rs_v3"]["supportsIB"]) == (
        ["MIR"],
        True,
    )
    assert "estimatedVMPrices" not in rows(ready, "vmSizes")[0]


def test_usages_have_two_rows_for_every_family(ready: Arm) -> None:
    ready.put(CI, instance(), 201)
    ready.put(CPU, scaled(0, 4), 201)
    found = [(mapping(row["name"])["value"], row["currentValue"], row["limit"]) for row in rows(ready, "usages")]
    assert found[:3] == [("TotalClusters", 2, 500), ("TotalDedicatedCores", 2, 300), ("TotalLowPriorityCores", 0, 100)]
    families = {vm_sizes.family_key(row["family"]) for row in ROWS}
    listed = [vm_sizes.family_key(str(name)) for name, _, _ in found[3:]]
    assert set(listed) == families - {"standardndisrh200v5family"}
    assert sorted(listed) == sorted([*set(listed), *set(listed)])
    assert ("standardDv3Family", 2, 100) in found
    assert ("standardDv3Family", 0, -1) in found
    assert {limit for name, _, limit in found if "T4" in str(name)} == {0, -1}


def test_a_minimum_must_fit_the_family_and_the_region(ready: Arm) -> None:
    ready.put(CPU, scaled(40, 50), 201)
    assert ready.refused("PUT", f"{CPU}b", scaled(11, 11)) == (400, "ClusterMinNodesExceedCoreQuota")
    assert message(ready, "PUT", f"{CPU}b", scaled(11, 11)) == (
        "The minimum of 11 nodes of Standard_D2_v3 (22 vCPUs) exceeds the quota of the family 'standardDv3Family' in "
        "westeurope, which leaves room for 10."
    )
    for number, size in enumerate(("Standard_E2_v3", "Standard_DS2_v2")):
        ready.put(f"{CPU}{'xy'[number]}", scaled(50, 50, vmSize=size), 201)
    ready.put(f"{CPU}z", scaled(10, 10, vmSize="Standard_F2s_v2"), 201)
    assert ready.refused("PUT", f"{CPU}w", scaled(1, 1, vmSize="Standard_F2s_v2")) == (
        400,
        "ClusterMinNodesExceedCoreQuota",
    )


def test_low_priority_is_one_pool_of_all_families(ready: Arm) -> None:
    ready.put(CPU, scaled(40, 40, vmPriority="LowPriority"), 201)
    gpu = scaled(5, 5, vmPriority="LowPriority", vmSize="Standard_NC4as_T4_v3")
    ready.put(f"{CPU}g", gpu, 201)
    assert ready.refused("PUT", f"{CPU}h", scaled(1, 1, vmPriority="LowPriority")) == (
        400,
        "ClusterMinNodesExceedCoreQuota",
    )
    ready.put(f"{CPU}h", scaled(50, 50), 201)


def test_the_emulators_limits_can_be_raised(ready: Arm) -> None:
    gpu = scaled(2, 4, vmSize="Standard_NC4as_T4_v3")
    assert ready.refused("PUT", CPU, gpu) == (400, "ClusterMinNodesExceedCoreQuota")
    limits(ready, **{"Standard NCASv3_T4 Family": 8})
    ready.put(CPU, gpu, 201)
    assert ml_compute.quota(ready.cloud.state, ready.get(CPU)) == 2
    limits(ready, TotalDedicatedCores=8, TotalLowPriorityCores=2, TotalClusters=2)
    assert ready.refused("PUT", f"{CPU}b", scaled(1, 1)) == (400, "ClusterMinNodesExceedCoreQuota")
    spot = scaled(1, 1, vmPriority="LowPriority")
    ready.put(f"{CPU}b", spot, 201)
    assert ready.refused("PUT", f"{CPU}c", spot) == (400, "ClusterCountExceedsQuota")
    assert [row["limit"] for row in rows(ready, "usages")[:3]] == [2, 8, 2]
    east = rows(ready, "usages", LOCATION.replace("westeurope", "eastus"))
    assert [row["limit"] for row in east[:3]] == [500, 300, 100]


@pytest.mark.parametrize("given", [{}, {"standardNopeFamily": 1}, {"TotalClusters": -1}, {"TotalClusters": "many"}])
def test_a_limit_of_nothing_is_refused(ready: Arm, given: dict[str, Json]) -> None:
    assert ready.refused("POST", f"{LOCATION}/trainyard.limits", {"limits": given}) == (400, "InvalidRequestContent")


def divide(arm: Arm, *given: tuple[str, Json]) -> list[Json]:
    """Give workspaces their parts of a family; return how each went."""
    kind = "Microsoft.MachineLearningServices/workspaces/quotas"
    value = [{"id": id_, "type": kind, "limit": limit, "unit": "Count"} for id_, limit in given]
    status, answer = arm.call("POST", f"{LOCATION}/updateQuotas", {"location": "westeurope", "value": value})
    found = mapping(answer)["value"]
    assert status == 200
    assert isinstance(found, list)
    assert [{key: member for key, member in mapping(row).items() if key != "status"} for row in found] == value
    return [mapping(row)["status"] for row in found]


def test_a_family_is_divided_between_workspaces(ready: Arm) -> None:
    ready.put(f"{WS}2", workspace(), 202)
    ready.put(CPU, scaled(5, 10), 201)
    other = QUOTA.replace("mlw", "mlw2")
    assert divide(ready, (QUOTA, 12), (other, 101), (other, 4), (QUOTA, 8), (QUOTA.replace("Dv3", "Dv9"), 1)) == [
        "Success",
        "InvalidQuotaExceedsSubscriptionLimit",
        "Success",
        "InvalidQuotaBelowClusterMinimum",
        "InvalidVMFamilyName",
    ]
    assert divide(ready, (QUOTA, -1), (QUOTA.replace("mlw", "none"), 1)) == ["Failure", "Failure"]
    assert ready.refused("PUT", CPU, scaled(7, 10)) == (400, "ClusterMinNodesExceedCoreQuota")
    ready.put(CPU, scaled(6, 10), 200)
    assert ready.refused("PUT", CI, instance()) == (400, "ClusterMinNodesExceedCoreQuota")
    ready.put(f"{CPU}b", scaled(1, 1, vmSize="Standard_E2_v3"), 201)
    ready.put(f"{WS}2/computes/cpu-cluster", scaled(2, 9), 201)
    given = [
        (row["id"], row["limit"]) for row in rows(ready, "quotas") if str(row["type"]).endswith("workspaces/quotas")
    ]
    assert given == [(QUOTA, 12), (other, 4)]
    ready.call("DELETE", f"{WS}2", forceToPurge="true")
    assert [row["id"] for row in rows(ready, "quotas") if str(row["type"]).endswith("workspaces/quotas")] == [QUOTA]


def test_an_empty_division_is_refused(ready: Arm) -> None:
    assert ready.refused("POST", f"{LOCATION}/updateQuotas", {"value": []}) == (400, "BadRequest")
