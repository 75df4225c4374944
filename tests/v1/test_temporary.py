"""A cluster that is made for one run: checked before, gone after, whoever looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime import temporary, wire
from runtime.errors import RefusedError, SpecError
from runtime.records import Record
from runtime.runs import find_run, list_runs
from runtime.v1 import Environment, Estimator, Experiment, RunConfiguration, ScriptRunConfig, Workspace
from specs.vm_sizes import catalogue
from tests.runtime import kit
from tests.v1.kit import a_folder, a_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site
    from runtime.wire import Object

WANTED = temporary.Wanted("STANDARD_D2_V2", "Dedicated", 2)
RUN = "digits-quiet-heron"
NAME = temporary.name(RUN)
CLUSTER = f"{kit.WORKSPACE}/computes/{NAME}"
SUBSCRIPTION = kit.RG.split("/")[2]
USAGES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/westeurope/usages"
DAY = kit.START.date()


def row(name: str, used: int, limit: int) -> dict[str, Any]:
    return {"name": {"value": name, "localizedValue": name}, "currentValue": used, "limit": limit}


def record(**changes: object) -> Record:
    made = Record(
        id=RUN,
        kind="AmlCompute",
        target=NAME,
        experiment="digits",
        token="t",
        created="2026-11-21T10:00:00.000Z",
        cloud="emulator",
        workspace_id=kit.WORKSPACE,
    )
    return made.model_copy(update=changes)


@pytest.mark.parametrize(
    "run_id", [RUN, "a", "1", "-" * 40, "Ünï cödé", "x" * 255, "a.b_c-1", "digits-quiet-heron-000001"]
)
def test_a_runs_cluster_has_a_name_that_azure_takes(run_id: str) -> None:
    made = temporary.name(run_id)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", made)
    assert all(any(char.isalpha() for char in rest) for rest in made.split("-")[-1:])
    assert made == temporary.name(run_id)


def test_runs_have_different_clusters() -> None:
    assert len({temporary.name(f"digits-{number}") for number in range(500)}) == 500


@pytest.mark.parametrize(
    ("vm_size", "expected"),
    [("Standard_D2v2", "no such VM size. Did you mean Standard_D2_v2"), ("Standard_NC6", "retired since 2023-09-06")],
)
def test_a_size_that_no_cluster_can_have_is_refused_before_anything_is_made(vm_size: str, expected: str) -> None:
    with pytest.raises(SpecError, match=rf'amlcompute: vm_size = "{vm_size}"\n  .*{expected}'):
        temporary.check(WANTED._replace(vm_size=vm_size), "amlcompute", DAY)
    assert temporary.check(WANTED, "amlcompute", DAY) == []


def test_the_regions_quotas_are_asked(site: Site, transport: kit.FakeTransport) -> None:
    family = catalogue()["standard_d2_v2"].family
    plane = site.cloud("emulator")

    def quota(*rows: dict[str, Any]) -> list[str]:
        transport.replies["GET", USAGES] = [(200, {"value": list(rows)})]
        return temporary.check_quota(plane, "westeurope", WANTED, "amlcompute", DAY)

    assert quota(row(family, 0, 24), row("TotalClusters", 3, 200)) == []
    (said,) = quota(row(family, 0, 2), row("TotalClusters", 3, 200))
    assert said.startswith("4 vCPUs at most (cluster 2 x 2); the quota")
    with pytest.raises(SpecError, match=r"2 vCPUs always \(cluster 1 x 2\); the quota .* is 0"):
        quota(row(family, 0, 0), row("TotalClusters", 3, 200))
    with pytest.raises(SpecError, match="200 of 200 clusters and instances in westeurope are there already"):
        quota(row(family, 0, 24), row("TotalClusters", 200, 200))


def test_a_cluster_is_noted_before_it_is_made_as_its_workspace_is(site: Site, transport: kit.FakeTransport) -> None:
    home: Object = {"location": "westeurope", "properties": {"publicNetworkAccess": "Disabled"}}
    transport.replies["GET", kit.WORKSPACE] = [(200, home)]
    transport.replies["PUT", CLUSTER] = [(400, {"error": {"code": "BadRequest", "message": "no"}}), (201, {})]
    known = kit.some_outputs()
    with pytest.raises(RefusedError):
        temporary.make(site, known, "research", RUN, WANTED)
    assert [(note.run, note.cluster) for note in temporary.notes(site.project)] == [(RUN, CLUSTER)]
    target = temporary.make(site, known, "research", RUN, WANTED)
    assert (target.name, target.id, target.vm_size, target.max_node_count) == (NAME, CLUSTER, "Standard_D2_v2", 2)
    assert transport.bodies[-1] == {
        "location": "westeurope",
        "tags": {"trainyard.run": RUN},
        "properties": {
            "computeType": "AmlCompute",
            "disableLocalAuth": True,
            "properties": {
                "vmSize": "Standard_D2_v2",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"},
                "enableNodePublicIp": False,
                "remoteLoginPortPublicAccess": "Disabled",
            },
        },
    }


def made(site: Site, transport: kit.FakeTransport) -> None:
    transport.replies["GET", kit.WORKSPACE] = [(200, {"location": "westeurope", "properties": {}})]
    transport.replies["PUT", CLUSTER] = [(201, {})]
    transport.replies["DELETE", CLUSTER] = [(202, None)]
    temporary.make(site, kit.some_outputs(), "research", RUN, WANTED)
    transport.asked.clear()


def test_the_end_of_its_run_asks_for_its_deletion_and_the_note_stays_until_it_is_gone(
    site: Site, transport: kit.FakeTransport
) -> None:
    made(site, transport)
    site.store.insert(record())
    temporary.release(site, record())
    assert transport.asked == []
    ended = site.store.update(RUN, state="Completed")
    assert ended is not None
    temporary.release(site, ended)
    assert transport.asked == [("DELETE", CLUSTER)]
    transport.replies["GET", CLUSTER] = [(200, {"properties": {}}), (404, None)]
    assert temporary.sweep(site) == [f"{RUN}: its cluster is being deleted"]
    assert temporary.sweep(site) == []
    assert temporary.notes(site.project) == []


def test_a_declared_cluster_is_never_deleted(site: Site, transport: kit.FakeTransport) -> None:
    temporary.release(site, record(target="cpu-cluster", state="Completed"))
    assert transport.asked == []


def test_a_cluster_whose_submission_died_is_deleted_after_a_while(
    site: Site, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    made(site, transport)
    transport.replies["GET", CLUSTER] = [(200, {"properties": {}})]
    assert temporary.sweep(site) == []
    clock.sleep(temporary.LATE_S)
    assert temporary.sweep(site) == [f"{RUN}: its cluster is being deleted"]


def test_a_note_without_a_cluster_is_kept_while_the_submission_may_be_alive(
    site: Site, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    made(site, transport)
    transport.replies["GET", CLUSTER] = [(404, None)]
    assert temporary.sweep(site) == []
    assert len(temporary.notes(site.project)) == 1
    clock.sleep(temporary.LATE_S)
    assert temporary.sweep(site) == []
    assert temporary.notes(site.project) == []


def test_a_deletion_that_is_refused_is_kept_and_said(site: Site, transport: kit.FakeTransport) -> None:
    made(site, transport)
    transport.replies["DELETE", CLUSTER] = [(403, {"error": {"code": "AuthorizationFailed", "message": "not you"}})]
    temporary.release(site, record(state="Failed"))
    (note,) = temporary.notes(site.project)
    assert note.said is not None
    assert note.said.startswith("not you. [AuthorizationFailed]")
    site.store.insert(record(state="Failed"))
    transport.replies["GET", CLUSTER] = [(200, {"properties": {}})]
    assert temporary.sweep(site) == [f"{RUN}: its cluster could not be deleted: not you. [AuthorizationFailed]"]


def test_a_run_without_a_size_says_what_to_give(project: Project, site: Site, tmp_path: Path) -> None:
    config = RunConfiguration(target="amlcompute")
    script = ScriptRunConfig(str(a_folder(tmp_path)), "train.py", run_config=config)
    experiment = Experiment(a_workspace(project, site), "digits")
    with pytest.raises(SpecError, match=r"run_config.amlcompute: vm_size\n  is missing.*Or name a target: cpu-cluster"):
        experiment.submit(script)
    config.amlcompute.vm_size, config.amlcompute.retain_cluster = "Standard_D2_v2", True
    with pytest.raises(SpecError, match="retain_cluster\n  a cluster that stays is declared"):
        experiment.submit(script)
    config.amlcompute.retain_cluster, config.node_count, config.amlcompute.cluster_max_node_count = False, 3, 2
    with pytest.raises(SpecError, match=r"cluster_max_node_count = 2\n  is fewer than the run's nodes \(3\)"):
        experiment.submit(script)


def test_a_cluster_and_a_target_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r'vm_size = "A"\n  makes a cluster for the run, so compute_target has no place'
    ):
        Estimator(str(tmp_path), entry_script="t.py", vm_size="A", compute_target="cpu-cluster")


@pytest.fixture
def ws(line: Project) -> Workspace:
    return Workspace(line, kit.some_outputs(), "research")


def one_off(tmp_path: Path, script: str = "print('here')") -> ScriptRunConfig:
    config = ScriptRunConfig(str(a_folder(tmp_path, script)), "train.py", compute_target="amlcompute")
    config.run_config.amlcompute.vm_size = "STANDARD_D2_V2"
    config.run_config.environment = Environment()
    return config


def computes(ws: Workspace) -> set[str]:
    return {str(item["name"]) for item in ws.plane.list(f"{ws.id}/computes", temporary.API)}


def until_gone(ws: Workspace, cluster: str) -> None:
    deadline = time.monotonic() + 60
    while cluster in computes(ws):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore::runtime.v1.V1Note")
@pytest.mark.parametrize("way", ["run configuration", "estimator"])
def test_a_run_has_its_cluster_while_it_lasts(ws: Workspace, tmp_path: Path, way: str) -> None:
    config: ScriptRunConfig | Estimator = one_off(tmp_path)
    if way == "estimator":
        folder = str(tmp_path / "my project")
        config = Estimator(folder, entry_script="train.py", vm_size="Standard_D2_v2", vm_priority="lowpriority")
    run = Experiment(ws, "digits").submit(config)
    kept = wire.at(ws.plane.get(f"{ws.id}/computes/{run.run.target}", temporary.API), "properties", "properties")
    priority = "LowPriority" if way == "estimator" else "Dedicated"
    assert (wire.at(kept, "vmPriority"), wire.at(kept, "scaleSettings", "maxNodeCount")) == (priority, 1)
    cluster = run.run.target
    assert (cluster, cluster in computes(ws)) == (temporary.name(run.id), True)
    assert run.wait_for_completion().status == "Completed"
    until_gone(ws, cluster)
    list_runs(ws.project)
    assert temporary.notes(ws.project) == []
    assert "cpu-cluster" in computes(ws)


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore::runtime.v1.V1Note")
def test_what_goes_wrong_after_the_cluster_was_made_takes_it_away_again(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = computes(ws)
    config = one_off(tmp_path)
    config.run_config.environment = Environment.get(ws, "nobody-has-this")
    with pytest.raises(SpecError, match="the workspace has no environment of this name"):
        Experiment(ws, "digits").submit(config)
    (note,) = temporary.notes(ws.project)
    until_gone(ws, note.cluster.rpartition("/")[2])
    assert computes(ws) == before


@pytest.mark.processes
def test_a_submission_that_is_killed_leaves_a_cluster_to_the_next_command(ws: Workspace, tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "print('never')")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(ws.project.root), str(folder)],
        capture_output=True,
        check=False,
        env={**os.environ, "TRAINYARD_CRASH_AT": "intent"},
    )
    assert (done.returncode, done.stdout) == (-9, b"")
    (note,) = temporary.notes(ws.project)
    cluster = note.cluster.rpartition("/")[2]
    assert cluster in computes(ws)
    (run,) = list_runs(ws.project)
    assert (run.id, run.state) == (note.run, "Failed")
    until_gone(ws, cluster)


CLIENT = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from runtime.project import Project
from runtime.v1 import Experiment, ScriptRunConfig, Workspace
config = ScriptRunConfig(sys.argv[2], "train.py", compute_target="amlcompute")
config.run_config.amlcompute.vm_size = "STANDARD_D2_V2"
print(Experiment(Workspace.from_config(sys.argv[1]), "digits").submit(config).id)
"""


@pytest.mark.processes
def test_the_cluster_goes_also_when_the_client_is_gone(ws: Workspace, tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "import time; time.sleep(1)")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(ws.project.root), str(folder)], capture_output=True, text=True, check=True
    )
    run_id = done.stdout.strip()
    # Nobody looks from here on but the run's own driver.
    until_gone(ws, temporary.name(run_id))
    assert find_run(ws.project, run_id).state == "Completed"
