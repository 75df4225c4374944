"""What a job runs in on a machine with these abilities, how true that is, and what `exact` refuses."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import layout, plan
from runtime import abilities, placing
from runtime.abilities import Abilities
from runtime.errors import SpecError, TargetError
from runtime.events import Event
from runtime.jobfile import open_job
from runtime.project import cache_folder
from runtime.runs import list_runs
from runtime.site import Options
from runtime.submit import submit
from specs.targets import LocalTarget
from tests.node.engine import Engine
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.jobfile import JobFile
    from runtime.placing import Place
    from runtime.project import Project
    from runtime.wire import Json

IMAGE = "registry.example/team/train:7"
CONDA = "dependencies:\n- python=3.11\n- pip:\n  - six==1.16.0\n"
NATIVE = "dependencies:\n- r-base\n- gdal\n"
CURATED = "azureml://registries/azureml/environments/AzureML-Fancy-9.9/versions/4"
LOCAL = LocalTarget(name="local")
DOCKER, CONDAS = Abilities(docker=True), Abilities(conda="/opt/bin/mamba")


def a_job(folder: Path, environment: str, conda: str = CONDA, more: str = "") -> JobFile:
    folder.mkdir(exist_ok=True)
    (folder / "conda.yml").write_text(conda)
    (folder / "job.yml").write_text(f"command: python train.py\nenvironment: {environment}\n{more}")
    return open_job(folder / "job.yml", "job.yml")


def placed(project: Project, source: JobFile, able: Abilities, *, exact: bool = False) -> Place:
    return placing.place(project, source, LOCAL, able, exact=exact)


def written(how: Place) -> dict[str, Json]:
    """Return the plan without what is always there; the node must be able to read it."""
    plan.parse(how.environment)
    kept = str(cache_folder() / "environments")
    assert (how.environment["cache"], how.environment["interpreter"]) == (kept, None)
    return {key: value for key, value in how.environment.items() if key not in ("cache", "interpreter")}


def test_an_image_runs_in_docker_where_an_engine_answers(project: Project, tmp_path: Path) -> None:
    more = "resources: {shm_size: 4g, docker_args: --ipc host --env 'A=b c'}\n"
    source = a_job(tmp_path / "job", f"{{image: {IMAGE}}}", more=more)
    how = placed(project, source, Abilities(docker=True, gpus=2), exact=True)
    assert (how.fidelity, how.words, how.notes) == ("exact", f"exact: image {IMAGE}", ())
    arguments: Json = ["--ipc", "host", "--env", "A=b c"]
    image: Json = {"name": IMAGE, "docker_args": arguments, "shm_size": "4g", "gpus": True}
    assert written(how) == {"python": None, "pip": [], "image": image}


def test_an_image_with_a_conda_file_is_built_inside_it(project: Project, tmp_path: Path) -> None:
    source = a_job(tmp_path / "job", f"{{image: {IMAGE}, conda_file: conda.yml}}", NATIVE)
    how = placed(project, source, Abilities(docker=True, conda="/opt/bin/conda"), exact=True)
    assert (how.fidelity, how.words) == ("exact", f"exact: image {IMAGE}, with the conda file built inside")
    image: Json = {"name": IMAGE, "docker_args": [], "shm_size": "2g", "gpus": False}
    assert written(how) == {"python": None, "pip": [], "conda": NATIVE, "image": image}


def test_a_conda_file_is_built_by_the_machines_conda(project: Project, tmp_path: Path) -> None:
    how = placed(project, a_job(tmp_path / "job", "{conda_file: conda.yml}", NATIVE), CONDAS, exact=True)
    assert (how.fidelity, how.words, how.notes) == ("exact", "exact: the conda file, by conda", ())
    assert written(how) == {"python": None, "pip": [], "conda": NATIVE}


def test_a_conda_file_without_its_image_is_translated_and_says_so(project: Project, tmp_path: Path) -> None:
    how = placed(project, a_job(tmp_path / "job", f"{{image: {IMAGE}, conda_file: conda.yml}}", NATIVE), CONDAS)
    assert (how.fidelity, how.words) == ("translated", "translated: the conda file, by conda")
    assert how.notes == (f"image {IMAGE} is not pulled here: mamba builds the conda file on the machine.",)
    assert written(how) == {"python": None, "pip": [], "conda": NATIVE}


def test_a_curated_environment_runs_in_its_published_image(project: Project, tmp_path: Path) -> None:
    how = placed(project, a_job(tmp_path / "job", CURATED), DOCKER, exact=True)
    image = "mcr.microsoft.com/azureml/curated/azureml-fancy-9.9:4"
    assert (how.fidelity, how.words) == ("exact", f"exact: image {image}")
    assert how.notes == (
        f"AzureML-Fancy-9.9 of the registry azureml runs in the image that it is published as, {image}.",
    )


def test_a_build_context_is_built_where_an_engine_answers(project: Project, tmp_path: Path) -> None:
    (tmp_path / "job/docker").mkdir(parents=True)
    (tmp_path / "job/docker/Dockerfile").write_text("FROM scratch\n")
    source = a_job(tmp_path / "job", "{build: {path: ./docker}}")
    first = written(placed(project, source, DOCKER, exact=True))
    image = first["image"]
    assert isinstance(image, dict)
    assert (image["context"], image["dockerfile"]) == (str(tmp_path / "job/docker"), "Dockerfile")
    assert image["name"] == "built-from-docker"
    (tmp_path / "job/docker/added").write_text("x")
    assert written(placed(project, source, DOCKER)) != first
    with pytest.raises(SpecError, match="it is not sent to another machine"):
        placed(project, source, Abilities(docker=True, here=False))


@pytest.mark.parametrize("able", [Abilities(), DOCKER, CONDAS])
def test_a_file_that_a_conda_file_names_is_refused_whatever_builds_it(
    project: Project, tmp_path: Path, able: Abilities
) -> None:
    source = a_job(
        tmp_path / "job", f"{{image: {IMAGE}, conda_file: conda.yml}}", "dependencies: [{pip: [-r a.txt]}]\n"
    )
    with pytest.raises(SpecError, match="names a file, and only the text of a conda file is taken"):
        placed(project, source, able)


ELSE = "submit to a target of a workspace in Azure, or leave --exact out"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            f"{{image: {IMAGE}, conda_file: conda.yml}}",
            f"image {IMAGE} would not be pulled, as no Docker engine answers there. Start one, {ELSE}",
        ),
        (
            "{conda_file: conda.yml}",
            "the conda file's Python part would be installed by pip, as no conda, mamba or micromamba is there. "
            f"Install one, {ELSE}",
        ),
        (
            "{image: mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cpu-inference}",
            "mlflow-skinny would stand in for image mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cpu-inference, "
            f"as no Docker engine answers there. Start one, {ELSE}",
        ),
        (
            "azureml:AzureML-Minimal@latest",
            f"mlflow-skinny would stand in for AzureML-Minimal, as no Docker engine answers there. Start one, {ELSE}",
        ),
        (
            f'{{image: "python:{sys.version_info[0]}.{sys.version_info[1]}-slim"}}',
            f"a bare Python {sys.version_info[0]}.{sys.version_info[1]} would stand in for image "
            f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim, "
            f"as no Docker engine answers there. Start one, {ELSE}",
        ),
    ],
)
def test_exact_refuses_the_rest_in_one_sentence(project: Project, tmp_path: Path, environment: str, says: str) -> None:
    source = a_job(tmp_path / "job", environment)
    assert placed(project, source, Abilities()).fidelity != "exact"
    with pytest.raises(TargetError) as caught:
        placed(project, source, Abilities(), exact=True)
    assert str(caught.value) == f"local can't give exactly this environment (--exact): {says}"


def test_exact_refuses_an_interpreter_of_ones_own(project: Project, tmp_path: Path) -> None:
    own = LocalTarget(name="local", interpreter=sys.executable)
    source = a_job(tmp_path / "job", "{conda_file: conda.yml}")
    how = placing.place(project, source, own, DOCKER)
    assert (how.fidelity, how.environment) == ("user-managed", {"interpreter": sys.executable})
    with pytest.raises(TargetError) as caught:
        placing.place(project, source, own, DOCKER, exact=True)
    assert str(caught.value) == (
        f"the stack's local.interpreter, {sys.executable}, takes the place of the job's environment (--exact). "
        "Take it out of the stack's file and invoke up, or leave --exact out"
    )


def test_exact_on_the_emulators_cluster_is_refused_and_leaves_nothing(project: Project, tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        submit(
            kit.a_job(tmp_path / "digits"),
            "cpu-cluster",
            stack=kit.some_outputs(),
            project=project,
            options=Options(exact=True),
        )
    assert str(caught.value) == (
        "cpu-cluster is a target of the emulator, which pulls no image: what it builds stands in for the job's "
        "environment (--exact). Submit it to a workspace in Azure, or leave --exact out"
    )
    assert list_runs(project) == []


def test_exact_here_is_refused_and_leaves_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abilities, "_docker", lambda *, fresh: not fresh)
    with pytest.raises(TargetError, match="no Docker engine answers there"):
        submit(kit.a_job(tmp_path / "digits"), "local", stack=None, project=project, options=Options(exact=True))
    assert list_runs(project) == []


def test_another_machine_keeps_its_own_environments_and_its_pythons_are_its_own_to_say(
    project: Project, tmp_path: Path
) -> None:
    source = a_job(tmp_path / "job", f"{{image: {IMAGE}, conda_file: conda.yml}}", "dependencies: [python=2.3, six]\n")
    how = placed(project, source, Abilities(here=False))
    assert how.environment == {
        "python": "2.3",
        "pip": ["six"],
        "interpreter": None,
        "cache": "~/.trainyard/environments",
    }
    assert plan.parse(how.environment).cache == str(Path.home() / ".trainyard/environments")


def test_a_stand_in_on_another_machine_takes_its_python_where_that_is_known(project: Project, tmp_path: Path) -> None:
    source = a_job(tmp_path / "job", "azureml://registries/azureml/environments/sklearn-1.5/versions/12")
    known = placed(project, source, Abilities(here=False, python="3.10.4")).environment
    assert (known["python"], isinstance(known["pip"], list) and known["pip"][0]) == ("3.10", "scikit-learn==1.5.*")
    other = placed(project, source, Abilities(here=False, python="3.12.1")).environment
    assert (other["python"], isinstance(other["pip"], list) and other["pip"][0]) == (None, "scikit-learn")


def test_credentials_in_a_requirement_are_not_in_what_is_recorded(project: Project, tmp_path: Path) -> None:
    conda = "dependencies:\n- pip:\n  - --extra-index-url https://me:se-cret@example.org/simple\n"
    how = placed(project, a_job(tmp_path / "job", "{conda_file: conda.yml}", conda), Abilities())
    assert how.words == "translated: --extra-index-url https://***@example.org/simple"


# --- asking this machine ---


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    (tmp_path / "bin").mkdir()
    made = Engine(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.install()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    with made.start():
        yield made


@pytest.mark.processes
def test_docker_is_asked_once_and_only_for_a_job_that_names_an_image(tmp_path: Path, engine: Engine) -> None:
    packages = a_job(tmp_path / "one", "{conda_file: conda.yml}")
    image = a_job(tmp_path / "two", f"{{image: {IMAGE}}}")
    assert abilities.probe_here(packages).docker is False
    assert engine.calls == []
    assert [abilities.probe_here(image).docker for _ in range(3)] == [True] * 3
    assert engine.calls == [["version", "--format", "{{.Server.Version}}"]]


@pytest.mark.processes
def test_an_engine_that_was_not_there_is_asked_for_again_later_and_at_once_for_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Engine(tmp_path)
    monkeypatch.setenv("PATH", f"{late.install()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    assert abilities.probe_here().docker is False
    with late.start():
        assert abilities.probe_here().docker is False
        known = tmp_path / "cache" / abilities.KNOWN
        os.utime(known, (0, 0))
        assert abilities.probe_here().docker is True
        os.utime(known)
        layout.write_json(known, {"question": [], "answer": False})
        assert abilities.probe_here(fresh=True).docker is True


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_a_job_with_an_image_runs_in_it_and_its_record_says_so(project: Project, tmp_path: Path) -> None:
    said: list[Event] = []
    source = a_job(tmp_path / "job", f"{{image: {IMAGE}}}").job.model_copy(update={"command": "echo $IMAGE"})
    run = submit(source, "local", stack=None, project=project, on_event=said.append, options=Options(exact=True))
    log: list[bytes] = []
    ended = run.stream(log.append)
    assert (ended.state, b"".join(log).splitlines()[-1].decode()) == ("Completed", IMAGE)
    assert (ended.record.fidelity, ended.record.environment) == ("exact", f"exact: image {IMAGE}")
    assert Event("environment", f"exact: image {IMAGE}") in said


SLOW = """#!/bin/sh
echo "Solving environment"
while [ ! -e {go} ]; do sleep 0.02; done
mkdir -p "$4/bin" && echo "executing transaction"
"""


@pytest.mark.processes
def test_the_build_log_streams_while_the_environment_is_built(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conda").write_text(SLOW.format(go=tmp_path / "go"))
    (tmp_path / "bin/conda").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    source = a_job(tmp_path / "job", "{conda_file: conda.yml}")
    (tmp_path / "job/job.yml").write_text("command: echo done\nenvironment: {conda_file: conda.yml}\n")
    run = submit(tmp_path / "job/job.yml", "local", stack=None, project=project)
    log: list[bytes] = []

    def write(chunk: bytes) -> None:
        log.append(chunk)
        # Only who sees the first line lets the build go on.
        if b"Solving environment" in b"".join(log):
            (tmp_path / "go").touch()

    guard = threading.Timer(20, (tmp_path / "go").touch)
    guard.start()
    ended = run.stream(write)
    assert guard.is_alive()
    guard.cancel()
    assert (ended.state, source.job.command) == ("Completed", "python train.py")
    lines = b"".join(log).decode().splitlines()
    assert [line for line in lines if line in ("Solving environment", "executing transaction", "done")] == [
        "Solving environment",
        "executing transaction",
        "done",
    ]
