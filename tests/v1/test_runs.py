"""A v1 script from its first line to its last, on this machine and on a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.errors import NotFoundError, SpecError
from runtime.v1 import (
    ActivityFailedException,
    ComputeTarget,
    Environment,
    Experiment,
    HyperDriveConfig,  # type: ignore[attr-defined]
    MpiConfiguration,
    PyTorchConfiguration,
    ScriptRunConfig,
    Workspace,
)
from tests.runtime import kit
from tests.v1.kit import a_folder
from tests.v1.test_jobs import PAYLOADS

if TYPE_CHECKING:
    from runtime.project import Project

ROOT = Path(__file__).parents[2]
TRAIN = f"""
import json, pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from runtime.v1 import Run
run = Run.get_context()
run.log("accuracy", 0.5)
run.log("accuracy", 0.972)
run.log("epochs", 2)
run.tag("team", "vision")
pathlib.Path("outputs/argv.json").write_text(json.dumps(sys.argv[1:]))
print("trained", flush=True)
"""


@pytest.fixture
def ws(line: Project) -> Workspace:
    return Workspace(line, kit.some_outputs(), "research")


def mine() -> Environment:
    """Make an environment that needs no package index."""
    made = Environment("mine")
    made.python.user_managed_dependencies = True
    return made


@pytest.mark.processes
def test_a_v1_script_runs_here_and_everything_comes_back(
    ws: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = ScriptRunConfig(str(a_folder(tmp_path, TRAIN)), "train.py", PAYLOADS, environment=mine())
    run = Experiment(ws, "digits").submit(config, tags={"who": "ada"})
    details = run.wait_for_completion(show_output=True)
    assert capfd.readouterr().out == f"RunId: {run.id}\ntrained\n"
    assert (details.status, details["target"], run.get_status()) == ("Completed", "local", "Completed")
    assert details.environment == f"user-managed: {sys.executable}"
    assert repr(run) == f"Run(Experiment: digits,\nId: {run.id},\nType: azureml.scriptrun,\nStatus: Completed)"
    with pytest.raises(AttributeError, match="the details have no state; they have: runId, target, status"):
        _ = details.state
    assert run.get_metrics() == {"accuracy": [0.5, 0.972], "epochs": 2.0}
    assert run.get_metrics("epochs") == {"epochs": 2.0}
    assert run.get_file_names() == ["outputs/argv.json", "user_logs/std_log.txt"]
    run.download_file("outputs/argv.json", str(tmp_path / "got" / "mine.json"))
    assert json.loads((tmp_path / "got" / "mine.json").read_text()) == PAYLOADS
    run.download_file("outputs/argv.json", f"{tmp_path}/got/")
    assert (tmp_path / "got" / "argv.json").exists()
    run.download_files(prefix="user_logs", output_directory=str(tmp_path / "logs"))
    assert (tmp_path / "logs" / "user_logs" / "std_log.txt").read_text() == "trained\n"
    with pytest.raises(NotFoundError, match=r"has no file no. It has: outputs/argv.json, user_logs/std_log.txt"):
        run.download_file("no")
    assert [found.id for found in Experiment(ws, "digits").get_runs()] == [run.id]
    assert list(Experiment(ws, "other").get_runs()) == []


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore::runtime.v1_words.V1Note")
def test_the_same_script_runs_on_a_cluster_by_its_target_object(ws: Workspace, tmp_path: Path) -> None:
    script = TRAIN.partition("from runtime")[0] + TRAIN.partition('"vision")\n')[2]
    config = ScriptRunConfig(str(a_folder(tmp_path, script)), "train.py", PAYLOADS, environment=mine())
    config.run_config.target = ComputeTarget(ws, "cpu-cluster")
    run = Experiment(ws, "digits").submit(config)
    assert run.wait_for_completion().target == "cpu-cluster"
    run.download_file("outputs/argv.json", str(tmp_path / "argv.json"))
    assert json.loads((tmp_path / "argv.json").read_text()) == PAYLOADS
    model = run.register_model("argv", "outputs/argv.json", tags={"a": "b"})
    assert (model.name, model.version, model.run, model.tags) == ("argv", "1", run.id, {"a": "b"})


RANKS = """
import os, pathlib
mine = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK")}
pathlib.Path("outputs", "rank-" + mine["RANK"]).write_text(" ".join(mine.values()))
"""


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore::runtime.v1_words.V1Note")
@pytest.mark.parametrize("target", ["local", "cpu-cluster"])
@pytest.mark.parametrize("how", [MpiConfiguration(2, 2), PyTorchConfiguration(process_count=4, node_count=2)])
def test_two_nodes_of_two_processes_are_four_ranks(
    ws: Workspace, tmp_path: Path, how: MpiConfiguration | PyTorchConfiguration, target: str
) -> None:
    config = ScriptRunConfig(
        str(a_folder(tmp_path, RANKS)),
        "train.py",
        environment=mine(),
        distributed_job_config=how,
        compute_target=target,
    )
    run = Experiment(ws, "ranks").submit(config)
    run.wait_for_completion()
    run.download_files("outputs/", str(tmp_path))
    nodes = "0 0 1 1" if target == "cpu-cluster" else "0 0 0 0"
    local = "0 1 0 1" if target == "cpu-cluster" else "0 1 2 3"
    assert [(tmp_path / "outputs" / f"rank-{rank}").read_text() for rank in range(4)] == [
        f"{rank} 4 {local.split()[rank]} {nodes.split()[rank]}" for rank in range(4)
    ]


@pytest.mark.processes
def test_a_run_that_failed_raises_with_its_reason(ws: Workspace, tmp_path: Path) -> None:
    config = ScriptRunConfig(str(a_folder(tmp_path, "raise SystemExit(3)")), "train.py", environment=mine())
    run = Experiment(ws, "digits").submit(config)
    with pytest.raises(ActivityFailedException, match=rf"{run.id} failed: .*3(.|\n)*invoke logs {run.id}"):
        run.wait_for_completion()
    assert run.wait_for_completion(raise_on_error=False).status == "Failed"


@pytest.mark.processes
def test_a_run_is_canceled(ws: Workspace, tmp_path: Path) -> None:
    config = ScriptRunConfig(str(a_folder(tmp_path, "import time; time.sleep(60)")), "train.py", environment=mine())
    run = Experiment(ws, "digits").submit(config)
    run.cancel()
    assert run.wait_for_completion().status == "Canceled"


def test_an_interpreter_that_is_not_there_is_refused(project: Project, tmp_path: Path) -> None:
    environment = mine()
    environment.python.interpreter_path = "/no/such/python"
    config = ScriptRunConfig(str(a_folder(tmp_path)), "train.py", environment=environment)
    here = Workspace(project, kit.some_outputs(), "research")
    with pytest.raises(SpecError, match=r'properties.trainyard.interpreter = "/no/such/python"\n  no such program'):
        Experiment(here, "digits").submit(config)
    assert here.site.store.all() == []


def test_what_can_not_be_submitted_says_what_can(project: Project) -> None:
    experiment = Experiment(Workspace(project, kit.some_outputs(), "research"), "digits")
    with pytest.raises(SpecError, match=r'config = "str"\n  takes a ScriptRunConfig or an estimator. Tuning'):
        experiment.submit("job.yml")
    with pytest.raises(SpecError, match="tuning comes later"):
        experiment.submit(HyperDriveConfig())
    with pytest.raises(SpecError, match="Experiment: workspace\n  takes a Workspace"):
        Experiment("ws", "digits")  # type: ignore[arg-type]
