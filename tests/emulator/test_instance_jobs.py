"""Jobs on a compute instance: one machine, one job at a time, on its own disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import instances, ml
from emulator.instances import Instances
from node import processes
from node import status as statuses
from node.status import Status
from tests.emulator.dataplane_kit import INSTANCE, WS, command_job

if TYPE_CHECKING:
    from emulator.routing import Json
    from tests.emulator.site_kit import Site

pytestmark = pytest.mark.processes


def test_a_job_runs_on_the_instances_own_disk_and_leaves_nothing_there(site: Site) -> None:
    site.instance()
    site.submit("here", "pwd; echo 1 > outputs/x; sleep 0.5", computeId=INSTANCE)
    record = site.running("here")
    disk = instances.home(site.cloud, INSTANCE)
    assert record.dirs[0].is_relative_to(disk)
    ended = site.ended("here")
    assert (ended.status, ended.reason, site.output("here", "outputs/x")) == ("Completed", None, b"1\n")
    site.wait(lambda: list(disk.iterdir()) == [])
    assert disk.is_dir()


def test_a_second_job_waits_for_the_first(site: Site) -> None:
    site.instance()
    site.submit("first", "sleep 60", computeId=INSTANCE)
    site.running("first")
    site.submit("second", "echo second", computeId=INSTANCE)
    site.wait(lambda: site.record("second").status == "Queued")
    assert site.record("first").status == "Running"
    site.call("POST", f"{WS}/jobs/first/cancel")
    assert (site.ended("second").status, site.record("first").status) == ("Completed", "Canceled")
    assert str(site.record("first").ended) <= str(site.record("second").started)


def test_a_job_for_two_nodes_is_refused_and_two_processes_are_not(site: Site) -> None:
    site.instance()
    answer = site.call("PUT", f"{WS}/jobs/two", command_job("x", computeId=INSTANCE, resources={"instanceCount": 2}))
    assert (answer.status, answer.body) == (
        400,
        {
            "error": {
                "code": "NodeCountExceeded",
                "message": "The job asks for 2 nodes, and the compute instance 'anna-ci' is one machine. "
                "Distributed training over several nodes needs a cluster.",
            }
        },
    )
    distribution: Json = {"distributionType": "PyTorch", "processCountPerInstance": 2}
    site.submit("ranks", "echo $RANK/$WORLD_SIZE", computeId=INSTANCE, distribution=distribution)
    assert site.ended("ranks").status == "Completed"
    assert [site.output("ranks", f"user_logs/std_log_process_{rank}.txt") for rank in (0, 1)] == [b"0/2\n", b"1/2\n"]


def test_a_job_waits_for_a_stopped_instance(site: Site) -> None:
    site.instance()
    site.power("Stopped")
    site.submit("patient", "echo on", computeId=INSTANCE)
    site.wait(lambda: site.record("patient").status == "Queued")
    assert site.clusters.tick() is None
    site.power("Running")
    assert site.ended("patient").status == "Completed"


def test_stopping_an_instance_fails_the_job_that_runs_on_it(site: Site) -> None:
    site.instance()
    site.submit("cut", "echo begun; sleep 60", computeId=INSTANCE)
    site.submit("next", "echo next", computeId=INSTANCE)
    record = site.running("cut")
    mark = str((statuses.read(record.dirs[0]) or Status("")).mark)
    instances.begin(site.cloud, INSTANCE, "stop")
    ended = site.record("cut")
    assert (ended.status, ended.error_code, ended.reason) == (
        "Failed",
        "ComputeInstanceStopped",
        "The compute instance 'anna-ci' was stopped while it ran the job.",
    )
    assert processes.marked(mark) == []
    assert site.output("cut", "user_logs/std_log.txt") == b"begun\n"
    instances.end(site.cloud, INSTANCE)
    assert site.record("next").status == "Queued"
    instances.begin(site.cloud, INSTANCE, "start")
    instances.end(site.cloud, INSTANCE)
    assert site.ended("next").status == "Completed"


def test_a_stop_that_a_kill_cut_short_is_finished_by_the_next_look(site: Site) -> None:
    site.instance()
    site.submit("cut", "sleep 60", computeId=INSTANCE)
    site.running("cut")
    site.abandon()
    site.power("Stopping")
    site.again()
    assert site.ended("cut").error_code == "ComputeInstanceStopped"


def test_a_job_outlives_the_emulator(site: Site) -> None:
    site.instance()
    site.submit("long", "sleep 1; echo done", computeId=INSTANCE)
    site.running("long")
    site.again()
    record = site.ended("long")
    assert (record.status, site.output("long", "user_logs/std_log.txt")) == ("Completed", b"done\n")


def test_an_instance_that_runs_a_job_is_not_idle(site: Site) -> None:
    site.instance()
    site.submit("busy", "sleep 60", computeId=INSTANCE)
    site.running("busy")
    assert site.clusters.busy(INSTANCE)
    document = site.cloud.state.get(INSTANCE)
    assert document is not None
    ml.obj(ml.obj(document["properties"])["properties"])["idleTimeBeforeShutdown"] = "PT15M"
    clock = Instances(site.cloud)
    now = site.cloud.now().replace(year=site.cloud.now().year + 1)
    assert clock._idle(document, now) is None
    site.call("POST", f"{WS}/jobs/busy/cancel")
    site.ended("busy")
    later = now.replace(year=now.year + 1)
    assert clock._idle(document, later) == ("stop", "IdleShutdown")


def test_deleting_the_instance_cancels_its_jobs(site: Site) -> None:
    site.instance()
    site.submit("gone", "sleep 60", computeId=INSTANCE)
    site.running("gone")
    site.clusters.compute_deleted(INSTANCE)
    assert site.record("gone").status == "Canceled"
