"""Scaling rules with a held clock, and a few clusters with real node processes."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import accounts, blobstore, jobrecords, ml, nodeproc
from emulator.clusters import Clusters
from emulator.scheduler import Allocate, Assign, Node, Pool, Ready, Release, Waiting, next_change, plan
from node import layout, processes
from tests.emulator.dataplane_kit import CPU, SPOT, START, WS, command_job, compute

if TYPE_CHECKING:
    import pytest

    from emulator.routing import Json
    from emulator.scheduler import NodeState
    from tests.emulator.site_kit import Site

POOL = Pool("c", min_nodes=0, max_nodes=2, idle_before=timedelta(minutes=2), prepare=timedelta(0))


def node(name: str, state: NodeState = "idle", ago: float = 0) -> Node:
    return Node(name, "c", state, START - timedelta(seconds=ago))


def job(name: str, nodes: int = 1) -> Waiting:
    return Waiting(name, "c", nodes)


def test_nodes_come_for_queued_work_up_to_the_maximum() -> None:
    assert plan(START, [POOL], [], [job("a"), job("b"), job("c")]) == [Allocate("c", 2)]


def test_nodes_on_their_way_are_not_asked_for_twice() -> None:
    slow = Pool("c", 0, 4, timedelta(minutes=2), timedelta(seconds=5))
    assert plan(START, [slow], [node("1", "preparing")], [job("a"), job("b")]) == [Allocate("c", 1)]


def test_a_prepared_node_is_ready_and_takes_a_job_at_once() -> None:
    assert plan(START, [POOL], [node("1", "preparing")], [job("a")]) == [Ready("1"), Assign("a", ("1",))]


def test_jobs_start_in_the_order_of_submission() -> None:
    assert plan(START, [POOL], [node("1")], [job("a"), job("b")]) == [Assign("a", ("1",)), Allocate("c", 1)]


def test_a_job_of_two_nodes_waits_for_both_and_nobody_overtakes_it() -> None:
    assert plan(START, [POOL], [node("1")], [job("a", 2), job("b")]) == [Allocate("c", 1)]
    both = [node("1"), node("2")]
    assert plan(START, [POOL], both, [job("a", 2), job("b")]) == [Assign("a", ("1", "2"))]


def test_an_idle_node_goes_after_the_idle_time_and_not_before() -> None:
    assert plan(START, [POOL], [node("1", ago=119)], []) == []
    assert plan(START, [POOL], [node("1", ago=120)], []) == [Release("1")]


def test_the_minimum_is_brought_up_and_kept() -> None:
    kept = Pool("c", 1, 2, timedelta(minutes=2), timedelta(0))
    assert plan(START, [kept], [], []) == [Allocate("c", 1)]
    assert plan(START, [kept], [node("1", ago=500), node("2", ago=400)], []) == [Release("1")]
    assert plan(START, [kept], [node("2", ago=500)], []) == []


def test_idle_nodes_above_a_lowered_maximum_go_at_once() -> None:
    lowered = Pool("c", 0, 1, timedelta(minutes=2), timedelta(0))
    assert plan(START, [lowered], [node("1", "running"), node("2")], []) == [Release("2")]


def test_the_quota_bounds_the_maximum() -> None:
    short = Pool("c", 0, 4, timedelta(minutes=2), timedelta(0), quota=1)
    assert plan(START, [short], [], [job("a"), job("b")]) == [Allocate("c", 1)]


def test_a_running_node_is_left_alone_and_a_preempted_one_does_not_count() -> None:
    assert plan(START, [POOL], [node("1", "running", 900)], []) == []
    assert plan(START, [POOL], [node("1", "preempted")], [job("a")]) == [Allocate("c", 1)]


def test_time_alone_changes_the_plan_when_an_idle_node_may_go() -> None:
    assert next_change(START, [POOL], [node("1", ago=30)]) == timedelta(seconds=90)
    assert next_change(START, [POOL], [node("1", "running")]) is None


def test_a_node_process_ends_when_its_folder_is_gone_or_its_emulator_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodeproc, "POLL_S", 0)
    monkeypatch.setattr(nodeproc, "GRACE_S", 0.002)
    nodeproc.main(str(tmp_path / "gone"))
    who = processes.identity(os.getpid())
    assert who is not None
    (tmp_path / "lease").write_text(f"{who.pid} {who.start_time}")
    assert nodeproc.owned(str(tmp_path))
    (tmp_path / "lease").write_text(f"{who.pid} {who.start_time + 1}")
    assert not nodeproc.owned(str(tmp_path))
    run = layout.private_dir(tmp_path / "runs" / "one")
    assert not nodeproc.busy(str(tmp_path))
    held = processes.acquire(run / layout.LOCK)
    assert held is not None
    assert nodeproc.busy(str(tmp_path))
    os.close(held)
    elsewhere = layout.private_dir(tmp_path / "other") / layout.LOCK
    (run / nodeproc.HOLDERS).write_text(f"{run / layout.LOCK}\n{elsewhere}\n")
    assert not nodeproc.busy(str(tmp_path))
    held = processes.acquire(elsewhere)
    assert held is not None
    assert nodeproc.busy(str(tmp_path))
    os.close(held)
    nodeproc.main(str(tmp_path))


def test_a_job_runs_on_a_node_that_comes_for_it_and_goes_after_it(site: Site) -> None:
    site.idle_for(1)
    site.submit("hello", "echo hello; mkdir -p outputs; echo 7 > outputs/answer.txt")
    record = site.ended("hello")
    assert (record.status, record.exit_code, record.reason) == ("Completed", 0, None)
    assert site.blob("ExperimentRun/dcid.hello/user_logs/std_log.txt") == b"hello\n"
    assert site.blob("ExperimentRun/dcid.hello/outputs/answer.txt") == b"7\n"
    assert b"substituted" in site.blob("ExperimentRun/dcid.hello/azureml-logs/20_image_build_log.txt")
    assert record.run_dir is not None
    site.wait(lambda: site.clusters.nodes(CPU) == [])
    assert list(site.home.glob("nodes/*/*")) == []


def test_a_running_job_is_counted_listed_and_its_log_is_live(site: Site) -> None:
    site.submit("slow", "echo begun; sleep 60")
    record = site.running("slow")
    counts = site.clusters.counts(CPU)
    assert (counts["currentNodeCount"], counts["targetNodeCount"], counts["allocationState"]) == (1, 1, "Steady")
    assert [(entry["nodeState"], entry["runId"], entry["port"]) for entry in site.clusters.nodes(CPU)] == [
        ("running", "slow", 50000)
    ]
    details = site.call.ok("GET", f"/history/v1.0{WS}/runs/slow/details")
    logs = details["logFiles"]
    assert isinstance(logs, dict)
    url = str(logs["user_logs/std_log.txt"]).removeprefix("https://localhost:4430")
    site.wait(lambda: site.call("GET", url).body == b"begun\n")
    tail = site.call("GET", url, b"", {"x-ms-range": "bytes=6-"})
    assert (tail.status, tail.headers["x-ms-error-code"]) == (416, "InvalidRange")
    assert record.status == "Running"


def test_a_failed_command_fails_the_job_with_its_exit_code(site: Site) -> None:
    site.submit("bad", "exit 3")
    record = site.ended("bad")
    assert (record.status, record.exit_code, record.error_code) == ("Failed", 3, "UserError")
    assert site.call.ok("GET", f"/history/v1.0{WS}/runs/bad/details")["status"] == "Failed"


def test_cancel_ends_a_running_job_and_a_queued_one_never_starts(site: Site) -> None:
    site.cloud.state.put(CPU, compute(CPU, most=1))
    site.submit("first", "sleep 60")
    site.running("first")
    site.submit("second", "echo never")
    for name in ("second", "first"):
        answer = site.call("POST", f"{WS}/jobs/{name}/cancel?api-version=2023-04-01-preview")
        assert answer.status == 202
        site.wait(lambda url=answer.headers["Location"]: site.call("GET", url).status == 200)  # type: ignore[misc]
    assert [site.record(name).status for name in ("first", "second")] == ["Canceled", "Canceled"]
    assert site.record("second").run_dir is None
    assert site.call("POST", f"{WS}/jobs/first/cancel").status == 200


def test_a_new_emulator_finds_the_job_running_and_ends_it_with_its_own_times(site: Site) -> None:
    site.submit("long", "sleep 1; echo done")
    site.running("long")
    abandoned = site.clusters
    abandoned._shared.stopping = True  # as after kill -9: nobody looks any more, the node goes on
    abandoned.kick()
    site.wait(lambda: not [pid for pid in processes.marked(_mark(site)) if pid])
    later = Clusters(site.cloud)
    site.cloud.clusters = site.clusters = later
    assert site.record("long").status == "Running"
    later.start()
    record = site.ended("long")
    assert record.status == "Completed"
    assert record.started is not None
    assert record.ended is not None
    assert ml.moment(record.ended) - ml.moment(record.started) < timedelta(seconds=10)
    assert site.blob("ExperimentRun/dcid.long/user_logs/std_log.txt") == b"done\n"
    site.clusters.compute_deleted(CPU)
    for child in abandoned._fleet._children.values():
        child.wait()


def _mark(site: Site) -> str:
    from node import status

    written = status.read(Path(str(site.record("long").run_dir)))
    assert written is not None
    return str(written.mark)


def test_a_node_that_dies_takes_its_job_along(site: Site) -> None:
    site.submit("lost", "sleep 60")
    site.running("lost")
    (machine,) = site.clusters._fleet.of(CPU)
    os.kill(machine.pid, signal.SIGKILL)
    record = site.ended("lost")
    assert (record.status, record.error_code) == ("Failed", "NodeLost")
    site.wait(lambda: site.clusters.nodes(CPU) == [])


def test_an_evicted_low_priority_node_fails_its_job_and_is_counted_preempted(site: Site) -> None:
    site.submit("cheap", "trap 'echo notice; exit 0' TERM; sleep 60 & wait", computeId=SPOT)
    site.running("cheap")
    answer = site.call("POST", f"{SPOT}/trainyard.evict")
    assert answer.status == 200
    record = site.record("cheap")
    assert (record.status, record.error_code) == ("Failed", "NodePreempted")
    assert site.blob("ExperimentRun/dcid.cheap/user_logs/std_log.txt") == b"notice\n"
    counts = site.clusters.counts(SPOT)["nodeStateCounts"]
    assert isinstance(counts, dict)
    assert (counts["preemptedNodeCount"], counts["runningNodeCount"]) == (1, 0)
    assert site.call("POST", f"{CPU}/trainyard.evict").status == 409


def test_a_snapshot_and_inputs_reach_the_node_and_a_named_output_comes_back(site: Site) -> None:
    found = accounts.named(site.cloud, "acct")
    assert found is not None
    accounts.ensure_container(site.cloud, found, "src")
    where = blobstore.Where(found, "src")
    for name, body in (("proj/train.py", b"print('from the snapshot')"), ("data/rows.csv", b"1\n2\n")):
        blobstore.put(site.cloud, where, name, blobstore.stage(site.cloud, [body]))
    base = "https://localhost:4430/acct.blob/src"
    code = f"{WS}/codes/c/versions/1"
    site.call.ok("PUT", code, {"properties": {"codeUri": f"{base}/proj"}}, 201)
    properties = command_job(
        "python train.py && wc -l < ${{inputs.rows}} && echo ${{inputs.word}} > ${{outputs.out}}/word.txt",
        codeId=code,
        inputs={
            "rows": {"jobInputType": "uri_file", "uri": f"{base}/data/rows.csv"},
            "word": {"jobInputType": "literal", "value": "a'b $HOME"},
        },
        outputs={"out": {"jobOutputType": "uri_folder"}},
    )
    site.call.ok("PUT", f"{WS}/jobs/whole", properties, 201)
    assert site.ended("whole").status == "Completed"
    assert site.blob("ExperimentRun/dcid.whole/user_logs/std_log.txt") == b"from the snapshot\n2\n"
    assert site.blob("ExperimentRun/dcid.whole/named-outputs/out/word.txt") == b"a'b $HOME\n"


def test_an_input_that_is_not_there_fails_the_job_with_the_reason(site: Site) -> None:
    inputs: Json = {"rows": {"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/none"}}
    site.call.ok("PUT", f"{WS}/jobs/none", command_job("true", inputs=inputs), 201)
    record = site.ended("none")
    assert (record.status, record.reason) == (
        "Failed",
        "The input 'rows' has no files at 'azureml://datastores/workspaceblobstore/paths/none'.",
    )


def test_a_kill_between_two_writes_of_an_assignment_is_repaired(site: Site) -> None:
    site.cloud.state.put(CPU, compute(CPU, most=1))
    site.submit("first", "echo first")
    site.ended("first")
    site.wait(lambda: [entry["nodeState"] for entry in site.clusters.nodes(CPU)] == ["idle"])
    site.clusters._shared.stopping = True
    site.clusters.kick()
    (machine,) = site.clusters._fleet.of(CPU)
    site.submit("second", "echo second")
    machine = site.clusters._fleet.change(machine.node_id, "running", site.cloud.now(), f"{WS}/jobs/second")
    site.clusters._tidy()
    assert [entry["nodeState"] for entry in site.clusters.nodes(CPU)] == ["idle"]
    site.clusters._fleet.change(machine.node_id, "running", site.cloud.now(), f"{WS}/jobs/second")
    place = str(machine.run_dir("second"))
    jobrecords.update(site.cloud, f"{WS}/jobs/second", status="Preparing", run_dir=place, node_ids=[machine.node_id])
    site.clusters._tidy()
    site.wait(lambda: site.clusters.tick() is not None and site.record("second").terminal)
    assert site.blob("ExperimentRun/dcid.second/user_logs/std_log.txt") == b"second\n"


def test_deleting_the_compute_ends_its_jobs_and_nodes(site: Site) -> None:
    site.submit("orphan", "sleep 60")
    site.running("orphan")
    site.clusters.compute_deleted(CPU)
    assert site.record("orphan").status == "Canceled"
    assert site.clusters.nodes(CPU) == []
