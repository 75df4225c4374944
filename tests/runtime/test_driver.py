"""The process that makes a run's next attempt: one at a time, killed anywhere, taken over from."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from node import launch as node_launch
from node import layout, processes
from runtime import driver, history, outputs
from runtime.runs import Run, find_run, list_runs, observe
from runtime.site import open_site
from runtime.store import Lease
from runtime.submit import submit
from tests.runtime import evictions, kit
from tests.runtime.test_attempts import a_record, between

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Start no process; remember which folders would have got one, and hold their locks."""
    found: list[Path] = []

    def start(run_dir: Path) -> None:
        found.append(run_dir)
        held.append(processes.acquire(run_dir / layout.LOCK) or 0)

    held: list[int] = []
    monkeypatch.setattr(node_launch, "start", start)
    return found


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"retry": "none"}, False),
        ({"state": "Completed"}, False),
        ({"lost": True}, False),
        ({"sent": None}, False),
        ({"sent": None, "attempt": 2, "phase": "intent"}, True),
    ],
)
def test_a_driver_is_wanted_for_what_this_project_submitted_or_began(
    changes: dict[str, object], *, wanted: bool
) -> None:
    assert driver.wanted(a_record(**changes)) is wanted


def test_a_run_has_one_driver(site: Site, started: list[Path]) -> None:
    site.store.insert(a_record())
    for _ in range(3):
        assert driver.ensure(site, a_record()) is None
    assert [path.name for path in started] == ["driver-1"]
    lease = site.store.lease("digits-quiet-heron")
    assert lease is not None
    assert (lease.folder, lease.boot, lease.until) == ("driver-1", processes.boot_id(), driver.TERM_S)


def test_the_lease_of_a_dead_driver_lapses_at_once(site: Site, started: list[Path]) -> None:
    site.store.insert(a_record())
    site.store.take_lease("digits-quiet-heron", Lease("dead", "driver-1", processes.boot_id(), 1e9), None)
    driver.ensure(site, a_record())
    assert [path.name for path in started] == ["driver-1"]


def test_the_lease_of_another_boot_is_worth_nothing(site: Site, started: list[Path]) -> None:
    site.store.insert(a_record())
    site.store.take_lease("digits-quiet-heron", Lease("dead", "driver-1", "an earlier boot", 1e9), None)
    driver.ensure(site, a_record())
    assert len(started) == 1


def test_a_driver_that_sleeps_for_too_long_is_told_to_go_and_replaced(
    site: Site, clock: kit.HeldClock, started: list[Path]
) -> None:
    site.store.insert(a_record())
    driver.ensure(site, a_record())
    clock.sleep(driver.TERM_S - 1)
    driver.ensure(site, a_record())
    assert len(started) == 1
    clock.sleep(1)
    driver.ensure(site, a_record())
    assert [path.name for path in started] == ["driver-1", "driver-2"]
    assert (started[0] / layout.CANCEL).exists()


def test_a_driver_that_lost_its_lease_leaves(site: Site) -> None:
    site.store.insert(a_record())
    site.store.take_lease("digits-quiet-heron", Lease("new", "driver-2", "boot", 1e9), None)
    assert driver.drive(site, "digits-quiet-heron", "old") == driver.DONE


def test_a_driver_that_cannot_be_started_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_run_dir: Path) -> None:
        raise node_launch.LaunchError("no space")

    monkeypatch.setattr(node_launch, "start", start)
    site.store.insert(a_record())
    assert driver.ensure(site, a_record()) == "the driver of digits-quiet-heron could not be started: no space"


def test_what_signs_us_in_is_not_written_down(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "canary")
    assert driver.describe(project, between(), "owner") == {
        "run_id": "digits-quiet-heron-driver",
        "command": 'exec "$DRIVER_PYTHON" -m runtime.driver',
        "environment_variables": {
            "DRIVER_PYTHON": sys.executable,
            "PYTHONPATH": str(node_launch.package_root()),
            "DRIVER_PROJECT": str(project.root),
            "DRIVER_RUN": "digits-quiet-heron",
            "DRIVER_OWNER": "owner",
        },
        "environment": None,
        "grace_s": 1,
    }


@pytest.fixture
def spot(line: Project) -> Site:
    """Make a low-priority cluster in the emulator, which this clone knows."""
    site = open_site(line)
    evictions.make_spot(site)
    outputs.save(line, evictions.spot_outputs())
    return site


SUBMIT = """
import sys
from pathlib import Path
from runtime.project import Project
from runtime.submit import submit
submit(Path(sys.argv[1]), "spot-cluster", stack="local", project=Project(Path(sys.argv[2])))
"""


def submitted_with(point: str, job: Path, site: Site) -> Run:
    """Submit from a process whose driver, or which itself, dies at a point."""
    argv = [sys.executable, "-c", SUBMIT, str(job), str(site.project.root)]
    environ = {**os.environ, "TRAINYARD_CRASH_AT": point}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-9 if point == "driver-leased" else 0), done.stderr
    (run,) = list_runs(site.project, site=site, refreshed=False)
    return run


def until_dead(site: Site, run: Run, within_s: float = 30) -> None:
    """Wait for the end of the run's first driver, which asks nobody's look."""
    lock = site.store.folder / run.id / "driver-1" / layout.LOCK
    deadline = time.monotonic() + within_s
    while processes.is_locked(lock):
        assert time.monotonic() < deadline, "the driver does not die"
        time.sleep(0.05)


def jobs(site: Site, run: Run) -> list[str]:
    """Name the jobs that the workspace has of a run."""
    names = [run.id, *(f"{run.id}-attempt-{number}" for number in range(2, 6))]
    return [name for name in names if history.job_named(site, run.record, name) is not None]


def running(site: Site, run: Run) -> None:
    """Wait until the workspace runs it; nothing is written down, and no driver started."""
    deadline = time.monotonic() + 60
    while (found := history.details(site, run.record)) is None or found.state != "Running":
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.processes
@pytest.mark.parametrize(
    "point",
    [
        "driver-leased",
        "driver-started",
        "attempt-intent",
        "attempt-sending",
        "attempt-put-sent",
        "attempt-acknowledged",
    ],
)
def test_a_driver_killed_anywhere_is_followed_by_another_that_finishes(spot: Site, tmp_path: Path, point: str) -> None:
    run = submitted_with(point, evictions.a_checkpointing_job(tmp_path / "job"), spot)
    running(spot, run)
    evictions.take(spot, evictions.spot_outputs())
    until_dead(spot, run)
    ended = find_run(spot.project, run.id, site=spot).wait(60)
    outcome = evictions.judged(ended, ())
    assert (outcome.state, outcome.attempts, outcome.result) == ("Completed", 2, evictions.RESULT)
    assert outcome.lost in {(0,), (1,)}
    assert jobs(spot, ended) == [run.id, f"{run.id}-attempt-2"]


@pytest.mark.processes
def test_many_who_look_at_once_start_one_driver(spot: Site, tmp_path: Path) -> None:
    run = submitted_with("driver-started", evictions.a_checkpointing_job(tmp_path / "job"), spot)
    until_dead(spot, run)
    threads = [threading.Thread(target=observe, args=(run,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(path.name for path in (spot.store.folder / run.id).glob("driver-*")) == ["driver-1", "driver-2"]
    assert run.cancel().wait(60).state == "Canceled"


@pytest.mark.processes
def test_a_driver_ends_with_its_run_and_gives_its_lease_back(spot: Site, tmp_path: Path) -> None:
    job = evictions.a_checkpointing_job(tmp_path / "job")
    run = submit(job, "spot-cluster", stack=evictions.spot_outputs(), project=spot.project, site=spot)
    assert spot.store.lease(run.id) is not None
    assert run.wait(60).state == "Completed"
    until_dead(spot, run)
    assert spot.store.lease(run.id) is None


@pytest.mark.processes
def test_two_homes_make_one_next_attempt(
    spot: Site, emulated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted_with("driver-started", evictions.a_checkpointing_job(tmp_path / "job"), spot)
    until_dead(spot, run)
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", kit.WORKSPACE.split("/")[2])
    monkeypatch.setenv("TRAINYARD_EMULATOR", str(emulated.emulator_home))
    other = open_site(kit.a_project(tmp_path / "other"))
    there = find_run(other.project, run.id, kit.WORKSPACE, site=other)
    running(spot, run)
    evictions.take(spot, evictions.spot_outputs())
    threads = [threading.Thread(target=one.wait, args=(60,)) for one in (there, run)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    for site in (spot, other):
        ended = find_run(site.project, run.id, site=site)
        assert (ended.state, ended.record.attempt) == ("Completed", 2)
    assert jobs(spot, run) == [run.id, f"{run.id}-attempt-2"]


@pytest.mark.processes
def test_a_cancel_between_attempts_holds_in_every_home(
    spot: Site, emulated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted_with("driver-started", evictions.a_checkpointing_job(tmp_path / "job"), spot)
    until_dead(spot, run)
    running(spot, run)
    spot.clock.sleep(0.5)
    evictions.take(spot, evictions.spot_outputs())
    waiting, _ = observe(run, drive=False)
    assert (waiting.state, waiting.record.attempt, waiting.record.phase) == ("Queued", 2, "intent")
    canceled = waiting.cancel()
    assert (canceled.state, canceled.record.reason) == ("Canceled", "canceled after attempt 1 was preempted")
    names = {file.name for file in history.files(spot, canceled.record)}
    assert {"outputs/checkpoint.json", "user_logs/std_log.txt"} <= names
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", kit.WORKSPACE.split("/")[2])
    monkeypatch.setenv("TRAINYARD_EMULATOR", str(emulated.emulator_home))
    other = open_site(kit.a_project(tmp_path / "other"))
    there = find_run(other.project, run.id, kit.WORKSPACE, site=other).wait(60)
    assert (there.state, there.record.reason) == ("Canceled", "canceled after attempt 1 was preempted")
    assert jobs(spot, run) == [run.id]
