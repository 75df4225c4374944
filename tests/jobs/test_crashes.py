"""Kills at every step of every target; and what an empty home can do with runs that it knows by the workspace only."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from node import launch, layout, processes
from runtime import hosts
from runtime.errors import NotFoundError
from runtime.runs import Run, find_run, observe
from runtime.site import open_site
from runtime.store import Store
from tests.jobs import crashes
from tests.jobs.judge import changed
from tests.jobs.line import TARGETS
from tests.jobs.stage import staged, watched
from tests.runtime import kit
from tests.ssh import kit as ssh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.site import Site
    from tests.jobs.line import Line

POINTS, SEED = 200, 20261121


def test_points_are_spread_over_every_victim_step_and_target() -> None:
    points = crashes.planned(POINTS, SEED, TARGETS)
    assert points == crashes.planned(POINTS, SEED, TARGETS)
    assert Counter(point.victim for point in points) == {"submitter": 84, "supervisor": 52, "emulator": 32, "sshd": 32}
    least = {victim: Counter((point.step, point.target) for point in points if point.victim == victim)
             for victim in ("submitter", "supervisor")}  # fmt: skip
    assert {victim: (len(found), min(found.values())) for victim, found in least.items()} == {
        "submitter": (7 * 4, 3),
        "supervisor": (3 * 4, 4),
    }


@pytest.mark.processes
@pytest.mark.timeout(900)
def test_no_kill_loses_repeats_or_wrongly_ends_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with staged(tmp_path / "stage") as stage:
        targets = tuple(target for target in TARGETS if target != "gpu-box" or stage.line.machine is not None)
        points = crashes.planned(POINTS, SEED, targets)
        with watched(stage.project.root):
            tally = crashes.sweep(stage, points)
        late = changed(stage, [verdict for _, verdict in tally.verdicts])
    assert (tally.bad(), late) == (0, []), capsys.readouterr().out
    assert len(tally.verdicts) == POINTS


def unborn(line: Line, run: Run) -> Path:
    """Leave of a machine's run what a supervisor has made before its first word."""
    assert line.machine is not None
    folder = line.machine.run_dir(run.id)
    (folder / "status.json").unlink()
    return folder


def test_a_supervisor_that_dies_before_its_first_word_ends_the_run(
    line: Line, empty_home: Site, tmp_path: Path
) -> None:
    line.needs("gpu-box")
    run = line.ended(line.submit(ssh.a_job(tmp_path / "job", "true"), "gpu-box"))
    folder = unborn(line, run)
    seen = found(empty_home, run).refresh()
    reason = "the supervisor died before the run started; nothing ran. Submit it again"
    assert (seen.state, seen.record.reason) == ("Failed", reason)
    assert (folder / "cancel").read_text() == "its submission was interrupted"


def test_looking_at_a_run_whose_supervisor_is_about_to_start_does_not_end_it(line: Line, tmp_path: Path) -> None:
    line.needs("gpu-box")
    run = line.ended(line.submit(ssh.a_job(tmp_path / "job", "true"), "gpu-box"))
    folder, store = unborn(line, run), Store(kit.a_project(tmp_path / "clone"))
    fresh = run.record.model_copy(update={"state": "NotStarted", "phase": "sending", "metrics_final": False})
    site = replace(line.site, store=store)
    assert store.insert(fresh)
    with store.submitting(run.id):
        seen, _ = observe(Run(fresh, site))
        assert (seen.state, (folder / "cancel").exists()) == ("NotStarted", False)
    after, _ = observe(Run(fresh, site))
    reason = "the submission was interrupted before the run started; nothing ran. Submit it again"
    assert (after.state, after.record.reason, (folder / "cancel").exists()) == ("Failed", reason, True)


@pytest.mark.processes
def test_a_starter_that_is_killed_when_its_child_has_the_run_did_start_it(tmp_path: Path) -> None:
    layout.create(tmp_path, {"run_id": "digits", "command": "true"})
    (tmp_path / layout.SUPERVISOR_LOG).touch()
    held = processes.acquire(tmp_path / layout.LOCK)
    assert held is not None
    killed(tmp_path).begin()
    os.close(held)
    with pytest.raises(launch.LaunchError) as raised:
        killed(tmp_path).begin()
    assert str(raised.value) == f"the supervisor of {tmp_path.name} did not start (exit code -9): no message"


def killed(folder: Path) -> launch.Standby:
    """Return a process on standby that gets killed."""
    process = subprocess.Popen(["/bin/sh", "-c", "read word; kill -9 $$"], stdin=subprocess.PIPE)
    return launch.Standby(folder, process)


@pytest.fixture
def empty_home(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Make a project without a store or a stack; its user may sign in to the workspace, and has the key."""
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", kit.WORKSPACE.split("/")[2])
    monkeypatch.setenv("TRAINYARD_EMULATOR", str(line.project.emulator_home))
    site = open_site(kit.a_project(tmp_path / "empty"))
    yield site
    hosts.close(site)


def found(site: Site, run: Run) -> Run:
    with pytest.raises(NotFoundError, match="and no workspace is known here: name one with --workspace ID"):
        find_run(site.project, run.id, site=site)
    return find_run(site.project, run.id, kit.WORKSPACE, site=site)


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "local"])
def test_logs_come_to_an_empty_home_that_knows_the_workspace(
    line: Line, empty_home: Site, tmp_path: Path, target: str
) -> None:
    line.needs(target)
    run = line.submit(ssh.a_job(tmp_path / "job", "echo one; sleep 0.5; echo two"), target)
    written = list[bytes]()
    seen = found(empty_home, run).stream(written.append)
    assert (seen.state, seen.target, seen.record.reason) == ("Completed", target, None)
    assert b"".join(written).endswith(b"one\ntwo\n")
    assert line.ended(run).state == "Completed"


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "local"])
def test_an_empty_home_that_knows_the_workspace_cancels(
    line: Line, empty_home: Site, tmp_path: Path, target: str
) -> None:
    line.needs(target)
    run = line.submit(ssh.a_job(tmp_path / "job", "echo one; sleep 60; echo two"), target)
    assert found(empty_home, run).cancel().wait(30).state == "Canceled"
    ended = line.ended(run)
    assert (ended.state, ended.record.cancel_requested) == ("Canceled", False)
