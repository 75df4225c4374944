"""What survives: runs and resources under kill -9, from two clones, from a clone that knows only the workspace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from emulator import launch
from tests.engine.conftest import ROOT, make_site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.conftest import Site

pytestmark = pytest.mark.engine

JOB = """\
type: command
experiment_name: counting
command: >-
  python -u -c "import time;
  [(print('line', n, flush=True), time.sleep(0.2)) for n in range({count})]"
environment:
  image: mcr.microsoft.com/azureml/minimal-ubuntu22.04-py311-cpu
  conda_file: {{dependencies: ["python=3.11"]}}
compute: azureml:cpu-cluster
"""


def invoke(site: Site, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in the clone's folder."""
    return subprocess.run(
        [sys.executable, "-m", "invoke", *arguments], cwd=site.root, text=True, capture_output=True, check=False,
        env={**os.environ, **extra},
    )  # fmt: skip


def begin(site: Site, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "invoke", *arguments], cwd=site.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def until(what: Callable[[], object], seconds: float = 60.0) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def runs(site: Site) -> dict[str, dict[str, object]]:
    return {run["id"]: run for run in json.loads(invoke(site, "runs", "--json").stdout)}


def write_job(site: Site, count: int) -> str:
    (site.root / "job.yml").write_text(JOB.format(count=count))
    return "job.yml"


@pytest.fixture(scope="module")
def up(site: Site) -> Site:
    for name in ("tasks.py", "trainyard.py"):
        shutil.copy(ROOT / name, site.root)
    done = invoke(site, "up", "--stack", "local")
    assert done.returncode == 0, done.stderr
    return site


def test_a_job_outlives_its_killed_emulator_and_every_resource_is_back(up: Site) -> None:
    submitted = invoke(up, "submit", write_job(up, 40), "--detach", "--json")
    run_id = json.loads(submitted.stdout)["id"]
    until(lambda: runs(up)[run_id]["state"] == "Running")
    os.kill(launch.ensure(up.root / ".trainyard/emulator").pid, signal.SIGKILL)
    rows = {row["name"]: row["state"] for row in json.loads(invoke(up, "targets", "--json").stdout)}
    assert rows == {"cpu-cluster": "Succeeded", "spot-cluster": "Succeeded", "local": "ready"}
    followed = invoke(up, "logs", run_id)
    assert followed.returncode == 0, followed.stderr
    assert [line for line in followed.stdout.splitlines() if line.startswith("line ")] == [
        f"line {number}" for number in range(40)
    ]
    assert runs(up)[run_id]["state"] == "Completed"


def test_a_run_goes_on_when_its_submitter_is_killed_and_another_clone_follows_it(up: Site, tmp_path: Path) -> None:
    before = set(runs(up))
    streaming = begin(up, "submit", write_job(up, 40))
    assert streaming.stdout is not None
    assert "line 3\n" in iter(streaming.stdout.readline, "")
    os.kill(streaming.pid, signal.SIGKILL)
    streaming.communicate()
    (run_id,) = set(runs(up)) - before
    here = invoke(up, "logs", run_id)
    assert [line for line in here.stdout.splitlines() if line.startswith("line ")] == [
        f"line {number}" for number in range(40)
    ]
    assert runs(up)[run_id]["state"] == "Completed"

    other = make_site(tmp_path / "clone")
    for name in ("tasks.py", "trainyard.py"):
        shutil.copy(ROOT / name, other.root)
    (tmp_path / "home").mkdir()
    cloud = {
        name: value
        for name, value in up.yard.variables("local").items()
        if name.startswith(("ARM_", "AZURE_", "REQUESTS_"))
    }
    workspace = json.loads((up.root / ".trainyard/outputs/local.json").read_text())["workspaces"]["research"]["id"]
    there = invoke(other, "logs", run_id, "--workspace", workspace, HOME=str(tmp_path / "home"), **cloud)
    assert there.returncode == 0, there.stderr
    assert there.stdout == here.stdout


def test_two_submits_at_once_both_succeed(up: Site) -> None:
    before = set(runs(up))
    job = write_job(up, 2)
    both = [begin(up, "submit", job), begin(up, "submit", job)]
    assert [process.communicate()[0].count("line ") for process in both] == [2, 2]
    assert [process.returncode for process in both] == [0, 0]
    fresh = set(runs(up)) - before
    assert len(fresh) == 2
    assert {runs(up)[run]["state"] for run in fresh} == {"Completed"}


def test_the_python_face_submits_a_file_and_a_job_made_in_python(up: Site) -> None:
    write_job(up, 1)
    program = """
from trainyard import CommandJob, submit
print(submit("job.yml").wait().state)
job = CommandJob(command="python -c 1", environment={"image": "i", "conda_file": {"dependencies": ["python=3.11"]}})
print(submit(job, "local").wait().state)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=up.root, text=True, capture_output=True, check=False
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("Completed\nCompleted\n", "")


def test_a_target_that_is_not_in_the_stack_is_refused_where_it_is_written(up: Site) -> None:
    before = set(runs(up))
    write_job(up, 1)
    path = up.root / "job.yml"
    path.write_text(path.read_text().replace("azureml:cpu-cluster", "azureml:gpu"))
    done = invoke(up, "submit", "job.yml")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        'error: job.yml:9:10: compute = "azureml:gpu"\n'
        "  no such target in stack local. Allowed: cpu-cluster, spot-cluster, local.   [rule unknown-target]\n"
        "1 error, nothing was sent.\n",
    )
    assert set(runs(up)) == before


def test_two_clones_do_not_disturb_each_other(up: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "clone")
    try:
        assert len([change for change in other.yard.up("local", []).differences if not change.component]) == 12
        other.edit("cpu-cluster", max_node_count=2)
        other.yard.up("local", [])
        assert up.yard.preview("local").empty
        other.yard.destroy("local", purge=False)
        assert up.yard.preview("local").empty
    finally:
        launch.stop(other.root / ".trainyard/emulator")
