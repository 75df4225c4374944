"""Low-priority nodes taken away at any moment: the job fails once, says so, and leaves nothing behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from emulator import collect, materialise, runs
from node import layout
from tests.emulator.dataplane_kit import SPOT, WS

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.materialise import Plan
    from emulator.routing import Json
    from tests.emulator.site_kit import Site

pytestmark = pytest.mark.processes


def evict(site: Site) -> int:
    return site.call("POST", f"{SPOT}/trainyard.evict").status


def preempted(site: Site, name: str) -> None:
    record = site.record(name)
    assert (record.status, record.error_code) == ("Failed", "NodePreempted")
    details = site.call.ok("GET", f"/history/v1.0{WS}/runs/{name}/details")
    error = details["error"]
    assert isinstance(error, dict)
    inner = error["error"]
    assert isinstance(inner, dict)
    assert inner["code"] == "NodePreempted"


def test_an_eviction_while_the_folders_are_filled(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    filling, go_on = threading.Event(), threading.Event()
    real = materialise.build

    def slow(cloud: Cloud, record: Record) -> Plan:
        plan = real(cloud, record)
        filling.set()
        assert go_on.wait(30)
        return plan

    monkeypatch.setattr(materialise, "build", slow)
    site.submit("early", f"touch {tmp_path}/ran", computeId=SPOT)
    assert filling.wait(30)
    assert evict(site) == 200
    preempted(site, "early")
    go_on.set()
    site.wait(lambda: not site.clusters._shared.launching)
    assert not (tmp_path / "ran").exists()
    assert not any(folder.exists() for folder in site.record("early").dirs)


def test_an_eviction_while_the_environment_is_built(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    builder = tmp_path / "slow-python"
    builder.write_text("#!/bin/sh\nsleep 60\n")
    builder.chmod(0o700)

    def building(plan: Plan, place: Path) -> dict[str, Json]:
        return {"python": str(builder), "pip": [], "interpreter": None, "cache": str(tmp_path / "environments")}

    monkeypatch.setattr(materialise, "environment_plan", building)
    site.submit("building", f"touch {tmp_path}/ran", computeId=SPOT)
    site.wait(lambda: site.record("building").run_dir is not None and not site.clusters._shared.launching)
    if not site.record("building").terminal:
        assert evict(site) == 200
        preempted(site, "building")
    assert not (tmp_path / "ran").exists()


def test_an_eviction_right_after_the_start(site: Site) -> None:
    site.submit("young", "sleep 60", computeId=SPOT)
    site.wait(lambda: site.record("young").run_dir is not None and not site.clusters._shared.launching)
    assert evict(site) == 200
    preempted(site, "young")


def test_an_eviction_while_the_outputs_are_stored_comes_after_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, go_on = threading.Event(), threading.Event()
    real = collect.collect

    def slow(cloud: Cloud, record: Record) -> int:
        storing.set()
        assert go_on.wait(30)
        return real(cloud, record)

    monkeypatch.setattr(collect, "collect", slow)
    site.submit("late", "echo 1 > outputs/x", computeId=SPOT)
    assert storing.wait(30)
    answers: list[int] = []
    other = threading.Thread(target=lambda: answers.append(evict(site)))
    other.start()
    go_on.set()
    other.join(30)
    record = site.ended("late")
    assert (record.status, record.error_code, site.output("late", "outputs/x")) == ("Completed", None, b"1\n")
    assert answers in ([200], [409])  # the idle node, or none any more


def test_a_run_that_ended_unseen_is_not_preempted(site: Site) -> None:
    site.submit("done", "echo 1 > outputs/x; sleep 0.5", computeId=SPOT)
    site.running("done")
    site.abandon()
    site.wait(lambda: runs.finished(site.record("done")))
    assert evict(site) == 200
    record = site.record("done")
    assert (record.status, site.output("done", "outputs/x")) == ("Completed", b"1\n")
    site.again()


def test_a_second_eviction_in_a_row_takes_the_next_job_or_nothing(site: Site) -> None:
    for name in ("first", "second"):
        site.submit(name, "sleep 60", computeId=SPOT)
    site.running("first")
    with site.clusters._shared.lock:  # before the next node comes
        assert [evict(site), evict(site)] == [200, 409]
    preempted(site, "first")
    site.running("second")
    assert evict(site) == 200
    preempted(site, "second")


def test_a_job_that_ignores_the_notice_loses_what_it_is_writing(site: Site) -> None:
    line = "trap '' TERM; echo 1 > outputs/whole; while true; do echo more >> outputs/growing; sleep 0.1; done"
    site.submit("deaf", line, computeId=SPOT)
    record = site.running("deaf")
    site.wait((layout.outputs_dir(record.dirs[0]) / "growing").exists)
    site.wait(lambda: "outputs/whole" in site.stored("deaf"))
    assert evict(site) == 200
    preempted(site, "deaf")
    assert [name for name in site.stored("deaf") if name.startswith("outputs/")] == ["outputs/whole"]


def test_a_job_that_checkpoints_loses_at_most_the_step_that_it_was_in(site: Site) -> None:
    line = (
        "for step in $(seq 1 200); do echo $step > outputs/.new; mv outputs/.new outputs/step; "
        'echo "done $step"; sleep 0.05; done'
    )
    site.submit("steps", line, computeId=SPOT)
    record = site.running("steps")
    site.wait(lambda: (record.dirs[0] / layout.USER_LOG).read_text().count("done") > 5)
    assert evict(site) == 200
    said = site.output("steps", "user_logs/std_log.txt").decode().split()
    kept = int(site.output("steps", "outputs/step"))
    assert kept - int(said[-1]) in {0, 1}
