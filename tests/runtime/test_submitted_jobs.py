"""Jobs of all shapes against a real emulator process: serverless, a build context, code that is an asset, git."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime import assets, blobs, git, outputs, wire
from runtime.errors import SpecError
from runtime.jobfile import open_job
from runtime.site import open_site
from runtime.submit import submit
from specs.targets import ComputeInstanceTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.events import Event
    from runtime.project import Project
    from runtime.wire import Object

pytestmark = pytest.mark.processes
NOBODY = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")


@pytest.fixture
def serverless(line: Project) -> Project:
    """Let the stack's workspace take jobs without a compute."""
    known = kit.some_outputs()
    research = known.workspaces["research"].model_copy(update={"serverless": True})
    outputs.save(line, known.model_copy(update={"workspaces": {"research": research}}))
    return line


def document(project: Project, name: str) -> dict[str, object]:
    plane = open_site(project).cloud("emulator")
    return dict(wire.obj(plane.get(f"{kit.WORKSPACE}/jobs/{name}", "2025-12-01").get("properties")))


def test_a_job_without_compute_runs_on_the_workspaces_own(serverless: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits", resources={"instance_type": "Standard_D2_v2"})
    run = submit(job, stack="local", project=serverless, overrides=["inputs.x=set"])
    written: list[bytes] = []
    ended = run.stream(written.append)
    assert (ended.state, ended.target, ended.record.kind, ended.record.retry) == (
        *("Completed", "serverless"),
        *("AmlCompute", "none"),
    )
    assert b"".join(written).endswith(b"hello set\n")


def test_where_the_code_comes_from_goes_with_the_job(line: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits")
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("commit", "-q", "-m", "first"),
        ("remote", "add", "origin", "https://user:canary@host/project"),
    ):
        subprocess.run(["git", *NOBODY, *words], cwd=job.parent, check=True)
    (job.parent / "src/new.py").write_text("")
    run = submit(job, "cpu-cluster", stack="local", project=line)
    expected = {
        git.REPOSITORY: "https://host/project",
        git.BRANCH: "main",
        git.COMMIT: run.record.git[git.COMMIT],
        git.DIRTY: "True",
        git.DIFF_BYTES: "0",
    }
    kept = wire.obj(document(line, run.id)["properties"])  # type: ignore[arg-type]  # JSON
    assert run.record.git == expected
    assert {name: kept[name] for name in expected} == expected
    assert run.cancel().wait(60).terminal
    here = submit(job, "local", stack="local", project=line)
    assert here.record.git == expected
    here.wait(60)


def test_a_build_context_is_sent_once_by_its_content(line: Project, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "digits", environment={"build": {"path": "docker"}})
    (job.parent / "docker").mkdir()
    (job.parent / "docker/Dockerfile").write_text("FROM python:3.11\n")
    (job.parent / "docker/app").mkdir()
    (job.parent / "docker/app/a.txt").write_text("a")
    source, plane = open_job(job, "job.yml"), open_site(line).cloud("emulator")
    first, words = assets.environment(plane, kit.WORKSPACE, source)
    assert words == "Dockerfile of docker"
    assert assets.environment(plane, kit.WORKSPACE, source) == (first, words)
    made = wire.obj(wire.obj(plane.get(first, "2023-04-01-preview").get("properties")).get("build"))
    context = wire.text(made["contextUri"])
    assert (made["dockerfilePath"], context.endswith("/docker/")) == ("Dockerfile", True)
    place = blobs.datastore(plane, kit.WORKSPACE, assets.BLOBSTORE)
    root = context.removeprefix(f"{place.url}/")
    assert sorted(blob.name.removeprefix(root) for blob in blobs.listing(plane, place, root)) == [
        "Dockerfile",
        "app/a.txt",
    ]


def test_code_that_a_workspace_has_is_run_from_there(line: Project, tmp_path: Path) -> None:
    first = submit(kit.a_job(tmp_path / "digits"), "cpu-cluster", stack="local", project=line)
    assert first.wait(60).state == "Completed"
    code = str(document(line, first.id)["codeId"])
    name, _, version = code.partition("/codes/")[2].partition("/versions/")
    said: list[Event] = []
    job = kit.a_job(tmp_path / "again", code=f"azureml:{name}:{version}")
    second = submit(job, "cpu-cluster", stack="local", project=line, on_event=said.append)
    written: list[bytes] = []
    assert second.stream(written.append).state == "Completed"
    assert b"".join(written).endswith(b"hello one two\n")
    assert [event for event in said if event.topic == "snapshot"] == []


def test_a_local_file_goes_to_the_datastore_that_is_named(line: Project, tmp_path: Path) -> None:
    plane = open_site(line).cloud("emulator")
    (tmp_path / "data.csv").write_text("a,b\n")
    found = [
        assets.data(plane, kit.WORKSPACE, tmp_path / "data.csv", store)[0].partition("/paths/")[0]
        for store in (None, "azureml:workspaceartifactstore", "workspaceblobstore")
    ]
    assert found == [
        "azureml://datastores/workspaceblobstore",
        "azureml://datastores/workspaceartifactstore",
        "azureml://datastores/workspaceblobstore",
    ]


@pytest.mark.parametrize(("sort", "given"), [("data", "uri_folder"), ("models", "mlflow_model")])
def test_an_asset_is_found_by_its_version_or_as_the_latest(
    line: Project, tmp_path: Path, sort: str, given: str
) -> None:
    plane, name = open_site(line).cloud("emulator"), f"digits-{sort}"
    uri = "azureml://datastores/workspaceblobstore/paths/somewhere/"
    body: Object = {"modelUri": uri, "modelType": given} if sort == "models" else {"dataUri": uri, "dataType": given}
    for version in ("1", "2"):
        plane.put(f"{kit.WORKSPACE}/{sort}/{name}/versions/{version}", {"properties": body}, "2023-04-01-preview")
    found = []
    for path in (f"azureml:{name}:1", f"azureml:{name}@latest"):
        source = open_job(kit.a_job(tmp_path / "digits", inputs={"x": {"type": given, "path": path}}))
        found.append(assets.resolve_data(plane, kit.WORKSPACE, "x", path, source).rpartition("/workspaces/")[2])
    assert found == [f"research/{sort}/{name}/versions/{version}" for version in (1, 2)]
    path = f"azureml:{name}:7"
    source = open_job(kit.a_job(tmp_path / "digits", inputs={"x": {"type": given, "path": path}}))
    with pytest.raises(SpecError, match=f"has no such {'model' if sort == 'models' else 'data asset'}"):
        assets.resolve_data(plane, kit.WORKSPACE, "x", path, source)


RANKS = "import os, sys\nprint('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'], *sys.argv[1:], flush=True)\n"


def test_an_instance_runs_the_processes_of_all_nodes_and_says_so(line: Project, tmp_path: Path) -> None:
    plane = open_site(line).cloud("emulator")
    inner: Object = {"computeType": "ComputeInstance", "properties": {"vmSize": "Standard_DS3_v2"}}
    id_ = f"{kit.WORKSPACE}/computes/ada-box"
    plane.put(id_, {"location": "westeurope", "properties": inner}, "2025-12-01")
    box = ComputeInstanceTarget(name="ada-box", id=id_, workspace="research", vm_size="Standard_DS3_v2")
    known = kit.some_outputs().model_copy(update={"targets": {"ada-box": box}, "default_target": "ada-box"})
    job = kit.a_job(tmp_path / "digits", distribution={"type": "pytorch"}, resources={"instance_count": 2})
    (job.parent / "src/train.py").write_text(RANKS)
    said: list[Event] = []
    run = submit(job, stack=known, project=line, on_event=said.append)
    assert run.wait(60).state == "Completed"
    run.download(tmp_path / "got")
    logs = sorted((tmp_path / "got/user_logs").glob("std_log_process_*.txt"))
    assert [(log.name, log.read_text()) for log in logs] == [
        ("std_log_process_0.txt", "rank 0 of 2 one two\n"),
        ("std_log_process_1.txt", "rank 1 of 2 one two\n"),
    ]
    assert [event.text for event in said if event.topic == "note"] == ["ada-box stands for 2 nodes: 2 processes on it"]
