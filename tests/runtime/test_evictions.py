"""A small sample of `python -m tests.runtime.evictions`, and what is refused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from runtime import outputs
from runtime.errors import TargetError
from runtime.evictions import Evicted, evict
from runtime.site import Site, open_site
from tests.runtime import evictions, kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project

SAMPLE, SEED = 5, 5


@pytest.mark.parametrize(
    ("target", "cloud", "message"),
    [
        (
            "local",
            "emulator",
            "local is a Local, and only low-priority nodes of an AmlCompute are ever preempted.",
        ),
        (
            "spot-cluster",
            "azure",
            "spot-cluster is in Azure, which takes nodes when it needs them and can't be asked to: a preemption can be "
            "simulated in an emulated stack only.",
        ),
        (
            "cpu-cluster",
            "emulator",
            "cpu-cluster has Dedicated nodes, which Azure never takes away. Set vm_priority: LowPriority on a cluster "
            "in the stack's file to have one that it does.",
        ),
    ],
)
def test_what_is_never_preempted_says_so(
    site: Site, transport: kit.FakeTransport, target: str, cloud: str, message: str
) -> None:
    known = evictions.spot_outputs().model_copy(update={"cloud": cloud})
    with pytest.raises(TargetError) as error:
        evict(site.planes["emulator"], known, target)
    assert str(error.value) == message
    assert transport.asked == []


@pytest.mark.parametrize(
    ("status", "answer"), [(200, {"nodeId": "n1"}), (409, {"error": {"code": "Conflict", "message": "none"}})]
)
def test_an_eviction_names_the_node_and_its_run(
    site: Site, transport: kit.FakeTransport, status: int, answer: object
) -> None:
    transport.replies = {
        ("GET", evictions.SPOT): [(200, {"properties": {"properties": {}}})],
        ("POST", f"{evictions.SPOT}/listNodes"): [(200, {"nodes": [{"nodeId": "n1", "runId": "digits-calm-otter"}]})],
        ("POST", f"{evictions.SPOT}/trainyard.evict"): [(status, answer)],
    }
    plane = site.planes["emulator"]
    if status == 200:
        assert evict(plane, evictions.spot_outputs(), "spot-cluster") == Evicted("n1", "digits-calm-otter")
        return
    with pytest.raises(TargetError) as error:
        evict(plane, evictions.spot_outputs(), "spot-cluster")
    assert str(error.value) == (
        "spot-cluster has no node right now, so there is nothing to take. Submit a job to it first."
    )


@pytest.mark.processes
def test_a_checkpointing_job_loses_at_most_a_step_with_each_eviction(line: Project, tmp_path: Path) -> None:
    site = open_site(line)
    evictions.make_spot(site)
    outputs.save(line, evictions.spot_outputs())
    dice = random.Random(SEED)  # noqa: S311 - moments, no secrets
    whole = evictions.STEPS * evictions.STEP_S
    job = evictions.a_checkpointing_job(tmp_path / "job")
    for number in range(SAMPLE):
        # The last one is taken twice: the second attempt goes on from what the first had done.
        moments = tuple(dice.uniform(0.0, whole / 4) for _ in range(2 if number == SAMPLE - 1 else 1))
        outcome = evictions.evicted(site, evictions.spot_outputs(), job, moments)
        assert (outcome.state, outcome.attempts, outcome.result) == ("Completed", len(moments) + 1, evictions.RESULT)
        assert set(outcome.lost) <= {0, 1}
