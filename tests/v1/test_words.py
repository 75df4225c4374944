"""A word that is not there is refused by name, wherever it is used."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest

import trainyard
from runtime import v1
from runtime.errors import SpecError
from runtime.v1 import CondaDependencies, Environment, Estimator, RunConfiguration, ScriptRunConfig

ROOT = Path(__file__).parents[2]


def test_an_unknown_argument_names_the_near_one_and_all() -> None:
    with pytest.raises(SpecError) as caught:
        ScriptRunConfig(source_directory=".", scrpt="train.py")  # type: ignore[call-arg]
    assert str(caught.value) == (
        "ScriptRunConfig: scrpt\n  no such word here. Did you mean script? Known: arguments, command, compute_target, "
        "distributed_job_config, docker_runtime_config, environment, max_run_duration_seconds, resume_from, "
        "run_config, script, source_directory.   [rule v1-word]"
    )


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(SpecError, match=r"missing a required argument: 'source_directory'"):
        Estimator()  # type: ignore[call-arg]
    with pytest.raises(SpecError, match=r"Estimator: entry_script\n  is missing"):
        Estimator(".")


def test_an_unknown_attribute_is_never_taken_silently() -> None:
    config = RunConfiguration()
    with pytest.raises(
        SpecError, match=r"RunConfiguration: enviroment\n  no such word here. Did you mean environment?"
    ):
        config.enviroment = Environment()  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match=r"DockerSection: enable\n  no such word here. Did you mean enabled?"):
        config.environment.docker.enable = True  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"RunConfiguration has no enviroment; did you mean environment?"):
        _ = config.enviroment  # type: ignore[attr-defined]
    assert copy.deepcopy(config).node_count == 1


def test_what_comes_later_says_so() -> None:
    words = "It needs a declared cluster: none is made for a run that tunes"
    with pytest.raises(SpecError, match=f"tuning comes later, as Azure's own sweep job files. {words}"):
        v1.HyperDriveConfig(estimator=None)  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match=f"automated machine learning comes later.*{words}"):
        v1.AutoMLConfig(task="classification")  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match=r'Write: run_config = RunConfiguration\(\); run_config.target = "myhdi"'):
        RunConfiguration.load(project_object=None, run_config_name="myhdi")


def test_packages_are_a_conda_file(tmp_path: Path) -> None:
    made = CondaDependencies.create(conda_packages=["numpy"], pip_packages=["rich"], python_version="3.11")
    made.add_conda_package("python=3.12")
    made.add_conda_package("pandas")
    made.add_pip_package("tqdm")
    made.remove_pip_package("rich")
    assert made.as_dict() == {
        "channels": ["conda-forge"],
        "dependencies": ["python=3.12", "numpy", "pandas", "pip", {"pip": ["tqdm"]}],
    }
    assert CondaDependencies(made.save_to_file(str(tmp_path))).as_dict() == {
        "channels": ["conda-forge"],
        "dependencies": ["python=3.12", "numpy", "pandas", "pip", {"pip": ["tqdm"]}],
    }
    with pytest.raises(SpecError, match=r'conda_packages = "numpy"\n  takes a list'):
        CondaDependencies.create(conda_packages="numpy")


def test_requirements_are_read_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# ours\nrich==1  # for tables\n\ntqdm\n")
    section = Environment.from_pip_requirements("mine", str(file)).python
    assert section.conda_dependencies is not None
    assert section.conda_dependencies.pip_packages == ["rich==1", "tqdm"]
    with pytest.raises(SpecError, match=r"file_path = .*\n  no such file"):
        Environment.from_pip_requirements("mine", str(tmp_path / "no.txt"))


@pytest.mark.parametrize("name", [*v1.MODULES, *v1.LATER])
def test_every_name_is_there(name: str) -> None:
    assert getattr(v1, name) is not None


def test_the_public_face_hands_the_names_on() -> None:
    assert trainyard.ScriptRunConfig is ScriptRunConfig  # type: ignore[attr-defined]
    assert trainyard.v1 is v1  # type: ignore[attr-defined]
    assert [name for name in trainyard.V1 if not hasattr(trainyard, name)] == []
    with pytest.raises(AttributeError, match=r"has no NoSuchName; it has: "):
        _ = v1.NoSuchName


@pytest.mark.processes
def test_importing_the_names_loads_nothing_heavy() -> None:
    program = (
        "import sys; from trainyard import ScriptRunConfig, Estimator, Experiment; "
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"pulumi", "azure", "paramiko", "requests", "grpc", "starlette", "uvicorn", "msal", "rich", "mlflow"}
    assert heavy & set(done.stdout.split()) == set()
