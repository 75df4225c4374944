"""A cluster's runs against a real emulator process: the whole line, and the process killed at every named point."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from runtime import history, outputs
from runtime.errors import NotFoundError, RefusedError
from runtime.events import Event
from runtime.runs import find_run, list_runs
from runtime.site import open_site
from runtime.submit import submit
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.wire import Json

TRAIN = """
import os, pathlib, json, urllib.request
base, run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
for step, value in enumerate((0.5, 0.972)):
    point = {"key": "accuracy", "value": value, "timestamp": 1000 + step, "step": step}
    body = json.dumps({"run_id": run, **point}).encode()
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(base + "/api/2.0/mlflow/runs/log-metric", body, headers)).read()
pathlib.Path("outputs/model.bin").write_bytes(bytes(range(256)) * 100)
print("done", flush=True)
"""


@pytest.fixture
def training(tmp_path: Path) -> Path:
    job = kit.a_job(tmp_path / "digits", command="python train.py", inputs=None, compute="azureml:cpu-cluster")
    (job.parent / "src" / "train.py").write_text(TRAIN)
    return job


def test_a_job_goes_to_a_cluster_and_everything_comes_back(line: Project, training: Path, tmp_path: Path) -> None:
    said: list[Event] = []
    written: list[bytes] = []
    run = submit(training, stack="local", project=line, on_event=said.append)
    assert run.id.startswith("digits-")
    ended = run.stream(written.append, on_event=said.append)
    assert (ended.state, ended.metrics, ended.target) == ("Completed", {"accuracy": 0.972}, "cpu-cluster")
    assert b"".join(written).endswith(b"done\n")
    assert [point.value for point in ended.history("accuracy")] == [0.5, 0.972]
    ended.download(tmp_path / "got")
    assert (tmp_path / "got/outputs/model.bin").read_bytes() == bytes(range(256)) * 100
    (listed,) = list_runs(line)
    assert (listed.state, listed.metrics, listed.stale) == ("Completed", {"accuracy": 0.972}, None)

    again: list[Event] = []
    submit(training, stack="local", project=line, on_event=again.append).wait(60)
    assert Event("snapshot", "1 file, already there, nothing sent") in again


def test_local_data_is_sent_once(line: Project, tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "data.csv").write_text("a,b\n1,2\n")
    given: Json = {"x": {"type": "uri_file", "path": "data.csv"}}
    job = kit.a_job(tmp_path / "digits", command="cat ${{inputs.x}}", inputs=given)
    for expected in ("x: 8 B sent", "x: already there, nothing sent"):
        said: list[Event] = []
        written: list[bytes] = []
        run = submit(job, "cpu-cluster", stack="local", project=line, on_event=said.append)
        run.stream(written.append)
        assert Event("data", expected) in said
        assert b"".join(written).endswith(b"a,b\n1,2\n")


def test_a_workspace_without_keys_is_used_with_our_own_identity(
    line: Project, emulated: Project, training: Path, tmp_path: Path
) -> None:
    site = open_site(line)
    workspace = kit.make_workspace(site.cloud("emulator"), "keyless", keyless=True)
    known = outputs.of_workspace(workspace, site.cloud("emulator"))
    (training.parent / "data.csv").write_text("a,b")
    given: Json = {"x": {"type": "uri_file", "path": "data.csv"}}
    job = kit.a_job(training.parent, command="cat ${{inputs.x}}", inputs=given)
    run = submit(job, "cpu-cluster", stack=known, project=line, site=site)
    written: list[bytes] = []
    assert run.stream(written.append).state == "Completed"
    assert b"".join(written).endswith(b"a,b")
    run.download(tmp_path / "got")
    assert (tmp_path / "got" / "user_logs" / "std_log.txt").read_bytes() == b"a,b"


def test_a_second_clone_finds_a_run_by_its_name_and_the_workspace(
    line: Project, emulated: Project, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(training, stack="local", project=line)
    other = kit.a_project(tmp_path / "other")
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", kit.WORKSPACE.split("/")[2])
    monkeypatch.setenv("TRAINYARD_EMULATOR", str(emulated.emulator_home))
    with pytest.raises(NotFoundError, match="and no workspace is known here: name one with --workspace ID"):
        find_run(other, run.id)
    found = find_run(other, run.id, kit.WORKSPACE)
    written: list[bytes] = []
    ended = found.stream(written.append)
    assert (ended.state, ended.metrics, ended.target) == ("Completed", {"accuracy": 0.972}, "cpu-cluster")
    assert b"".join(written).endswith(b"done\n")
    with pytest.raises(NotFoundError, match="no run nobody-knows-it in this project, nor in the workspace research"):
        find_run(other, "nobody-knows-it", kit.WORKSPACE)


def test_a_cancel_reaches_the_cluster(line: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits", command="sleep 600", inputs=None)
    run = submit(job, "cpu-cluster", stack="local", project=line)
    assert run.cancel().wait(60).state == "Canceled"


def test_what_the_service_refuses_is_said_and_leaves_a_failed_run(line: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits", environment="azureml:nowhere:7")
    with pytest.raises(RefusedError, match="nowhere"):
        submit(job, "cpu-cluster", stack="local", project=line)
    (listed,) = list_runs(line)
    assert listed.state == "Failed"
    assert (listed.record.reason or "").startswith("not submitted: ")


def test_submissions_at_the_same_moment_all_succeed(line: Project, training: Path) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(submit(training, stack="local", project=line).id)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(ids)) == 4
    assert sorted(run.wait(60).state for run in list_runs(line)) == ["Completed"] * 4


SUBMIT = """
import sys
from pathlib import Path
from runtime.project import Project
from runtime.submit import submit
submit(Path(sys.argv[1]), sys.argv[2], stack="local", project=Project(Path(sys.argv[3])))
"""


def killed_at(point: str, job: Path, target: str, project: Project) -> None:
    environ = {**os.environ, "TRAINYARD_CRASH_AT": point}
    argv = [sys.executable, "-c", SUBMIT, str(job), target, str(project.root)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("target", ["cpu-cluster", "local"])
@pytest.mark.parametrize(
    ("point", "state"),
    [
        ("intent", "Failed"),
        ("snapshot", "Failed"),
        ("environment", "Failed"),
        ("uploaded", "Failed"),
        ("put-sent", "Completed"),
        ("acknowledged", "Completed"),
    ],
)
def test_a_submission_killed_anywhere_is_judged_rightly_by_the_next_command(
    line: Project, training: Path, point: str, state: str, target: str
) -> None:
    killed_at(point, training, target, line)
    (found,) = list_runs(line)
    ended = found.wait(60)
    assert ended.state == state
    if state == "Failed":
        assert (ended.record.reason or "").startswith("the submission was interrupted before the ")
    if target == "cpu-cluster":
        site = open_site(line)
        document = history.job(site, ended.record)
        assert (document is not None) == (state == "Completed")
    elif state == "Completed":
        assert ended.metrics == {"accuracy": 0.972}
