"""Jobs without a compute: which nodes they get, what the quota says, and that the nodes go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import jobrecords, ml, ml_quota, pools, serverless
from emulator.vm_sizes import family_key, sizes
from tests.emulator.dataplane_kit import WS, Caller, Clock, cloud, command_job, with_environment

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Answer, Json
    from tests.emulator.site_kit import Site

JOB = f"{WS}/jobs/one"
POOL = f"{WS}/__serverless/one"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(cloud(tmp_path, Clock()))
    with_environment(made)
    return made


def size_of(call: Caller) -> str:
    found = call.cloud.state.get(POOL)
    assert found is not None
    return serverless.size_of(found)


def refused(answer: Answer) -> tuple[int, str, str]:
    assert isinstance(answer.body, dict)
    inner = ml.obj(answer.body["error"])
    return answer.status, str(inner["code"]), str(inner["message"])


@pytest.mark.parametrize("given", [None, "", "serverless", "azureml:serverless", f"{WS}/computes/serverless"])
def test_a_job_that_names_no_compute_gets_nodes_of_its_own(call: Caller, given: str | None) -> None:
    properties = ml.obj(call.ok("PUT", JOB, command_job(computeId=given), 201)["properties"])
    record = jobrecords.get(call.cloud, JOB)
    assert record is not None
    assert (record.compute_id, record.target, properties.get("computeId")) == (POOL, "serverless", given)
    assert ml.obj(properties["properties"])["trainyard.serverless.instanceType"] == "Standard_DS3_v2"
    details = call.ok("GET", f"/history/v1.0{WS}/runs/one/details")
    assert details["target"] == "serverless"


def test_the_same_serverless_job_again_is_the_same_job(call: Caller) -> None:
    first = call.ok("PUT", JOB, command_job(computeId="serverless"), 201)
    assert call.ok("PUT", JOB, first)["properties"] == first["properties"]
    assert call("PUT", JOB, command_job(computeId="serverless", resources={"instanceCount": 2})).status == 400


def test_size_count_and_tier_are_the_jobs(call: Caller) -> None:
    resources: Json = {"instanceType": "standard_d2_v3", "instanceCount": 3}
    call.ok("PUT", JOB, command_job(computeId=None, resources=resources, queueSettings={"jobTier": "Spot"}), 201)
    found = call.cloud.state.get(POOL)
    assert found is not None
    assert (size_of(call), pools.low_priority(call.cloud, POOL)) == ("Standard_D2_v3", True)
    [pool] = pools.find(call.cloud, [POOL], {})
    assert (pool.min_nodes, pool.max_nodes, pool.idle_before.total_seconds()) == (0, 3, 0)


@pytest.mark.parametrize(
    ("resources", "code", "message"),
    [
        ({"instanceType": "Standard_Nothing"}, "InvalidVmSize",
         "resources.instanceType 'Standard_Nothing' is not a VM size of serverless compute."),
        ({"instanceType": "Standard_DS3_v2", "instanceCount": 26}, "InsufficientQuota",
         "The quota for the VM size Standard_DS3_v2 in westeurope allows 25 nodes; the job asks for 26. "
         "Lower resources.instanceCount to 25, or ask for quota."),
        ({"instanceType": "Standard_NC4as_T4_v3"}, "InsufficientQuota",
         "There is no quota for the VM size Standard_NC4as_T4_v3 (family 'Standard NCASv3_T4 Family') in westeurope. "
         "Choose another resources.instanceType, or ask for quota."),
    ],
)  # fmt: skip
def test_what_the_quota_can_never_give_is_refused(call: Caller, resources: Json, code: str, message: str) -> None:
    assert refused(call("PUT", JOB, command_job(computeId=None, resources=resources))) == (400, code, message)
    assert call.cloud.state.get(POOL) is None


def test_without_quota_for_the_first_choice_the_cheapest_other_is_taken(call: Caller) -> None:
    family = sizes()["standard_ds3_v2"].family
    call.cloud.state.put(f"/quotas/westeurope/{family_key(family)}", {"limit": 0}, "quota")
    call.ok("PUT", JOB, command_job(computeId=None), 201)
    chosen = sizes()[size_of(call).lower()]
    assert (chosen.family == family, chosen.gpus, chosen.vcpus >= 2) == (False, 0, True)


def test_nodes_of_serverless_jobs_count_against_the_clusters_quota(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(computeId=None, resources={"instanceCount": 5}), 201)
    cpu = call.cloud.state.get(f"{WS}/computes/cpu")
    assert cpu is not None
    cpu["type"] = "Microsoft.MachineLearningServices/workspaces/computes"
    assert ml_quota.allowed_nodes(call.cloud.state, cpu, {}) == 25
    assert ml_quota.allowed_nodes(call.cloud.state, cpu, {POOL.lower(): 5}) == 20


def test_a_pool_goes_with_its_job(call: Caller) -> None:
    call.ok("PUT", JOB, command_job(computeId=None), 201)
    pools.forget(call.cloud, [POOL])
    assert call.cloud.state.get(POOL) is not None
    pools.forget(call.cloud, [])
    assert call.cloud.state.get(POOL) is None


@pytest.mark.processes
def test_a_serverless_job_runs_on_two_nodes_that_go_after_it(site: Site) -> None:
    site.submit("free", "echo $NODE_RANK", computeId=None, resources={"instanceCount": 2})
    record = site.ended("free")
    assert (record.status, record.reason, len(record.node_ids)) == ("Completed", None, 2)
    site.wait(lambda: site.clusters._fleet.all() == [] and site.cloud.state.get(record.compute_id) is None)
    assert list(site.home.glob("nodes/*")) == []


@pytest.mark.processes
def test_a_spot_job_is_evicted_by_its_name(site: Site) -> None:
    site.submit("cheap", "sleep 60", computeId="serverless", queueSettings={"jobTier": "Spot"})
    site.running("cheap")
    assert site.call("POST", f"{WS}/jobs/cheap/trainyard.evict").status == 200
    assert site.record("cheap").error_code == "NodePreempted"
    assert site.call("POST", f"{WS}/jobs/cheap/trainyard.evict").status == 409
