from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from node.environments import EnvironmentRefused
from runtime import conda_files, environments
from runtime.environments import Reference
from runtime.errors import SpecError
from specs.job import load_job

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.environments import Resolution

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
HERE = "{}.{}".format(*sys.version_info[:2])
CONDA = """\
name: digits
dependencies:
  - python=3.11
  - numpy=1.26.4
  - cudatoolkit
  - pip:
      - mlflow-skinny==3.15.0
"""


def resolve(folder: Path, environment: str, conda: str | None = CONDA) -> Resolution:
    (folder / "job.yml").write_text(f"command: python train.py\nenvironment: {environment}\n")
    if conda is not None:
        (folder / "conda.yml").write_text(conda)
    job, document = load_job(folder / "job.yml", "jobs/job.yml")
    return environments.resolve(job.environment, folder, document)


def refusal(folder: Path, environment: str, conda: str | None = CONDA) -> str:
    with pytest.raises(SpecError) as raised:
        resolve(folder, environment, conda)
    return str(raised.value)


@pytest.fixture
def _every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_files, "find_python", lambda version: ("python", version or "3.11"))


@pytest.fixture
def _no_other_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(version: str | None) -> tuple[str, str]:
        if version and not version.startswith(HERE):
            raise EnvironmentRefused(f"this machine has no Python {version}")
        return "python", HERE

    monkeypatch.setattr(conda_files, "find_python", refuse)


def test_an_image_with_a_conda_file_is_translated(tmp_path: Path) -> None:
    found = resolve(tmp_path, f"{{image: {IMAGE}, conda_file: conda.yml}}")
    assert (found.python, found.pip, found.fidelity) == (
        "3.11",
        ("numpy==1.26.4", "mlflow-skinny==3.15.0"),
        "translated",
    )
    assert (found.image, found.conda_text) == (IMAGE, CONDA)
    assert found.notes == (
        f"image {IMAGE} is not pulled here: the conda file's Python part is installed by pip.",
        "cudatoolkit: left out; the wheels of pip bring their CUDA libraries.",
    )


def test_a_conda_file_written_inside_the_job_is_translated(tmp_path: Path) -> None:
    found = resolve(tmp_path, "\n  conda_file:\n    dependencies: [python=3.11, {pip: [numpy]}]\n  image: x/y")
    assert (found.python, found.pip, found.fidelity) == ("3.11", ("numpy",), "translated")
    assert found.conda_text == "dependencies:\n- python=3.11\n- pip:\n  - numpy\n"


def test_a_missing_conda_file_is_refused_at_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, f"{{image: {IMAGE}, conda_file: nowhere.yml}}") == (
        'jobs/job.yml:2:86: environment.conda_file = "nowhere.yml"\n  no such file.   [rule conda-file]'
    )


ELSEWHERE = (
    "and no conda is at hand, nor Docker with an image to build it in. Remove it, install one of them, "
    "or use a target that pulls images.   [rule conda-package]"
)


def test_what_pip_cannot_give_is_refused_at_its_line_in_the_conda_file(tmp_path: Path) -> None:
    conda = "dependencies:\n  - openmpi\n  - pip:\n      - numpy\n      - -r other.txt\n  - a=1|2\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        'jobs/conda.yml:2:5: dependencies.0 = "openmpi"\n'
        f"  not a Python package for pip, {ELSEWHERE}\n"
        'jobs/conda.yml:5:9: dependencies.1.pip.1 = "-r other.txt"\n'
        "  names a file, and only the text of a conda file is taken, here as by Azure ML. Write its lines out."
        "   [rule conda-package]\n"
        'jobs/conda.yml:6:5: dependencies.2 = "a=1|2"\n'
        f"  a version constraint that pip doesn't know, {ELSEWHERE}"
    )


@pytest.mark.parametrize("package", ["r-base", "gdal=3.6", "conda-forge::ffmpeg", "cuda-nvcc"])
def test_a_package_that_only_conda_has_is_one_clear_sentence(tmp_path: Path, package: str) -> None:
    conda = f"dependencies:\n  - python=3.11\n  - {package}\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        f'jobs/conda.yml:3:5: dependencies.1 = "{package}"\n  not a Python package for pip, {ELSEWHERE}'
    )


@pytest.mark.usefixtures("_no_other_python")
def test_a_python_that_is_not_to_be_had_is_refused_at_its_line(tmp_path: Path) -> None:
    conda = "dependencies:\n  - pip\n  - python=3.8\n  - pip: [six]\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        'jobs/conda.yml:3:5: dependencies.1 = "python=3.8"\n'
        "  this machine has no Python 3.8, or install conda, which brings its own.   [rule conda-python]"
    )


@pytest.mark.processes
def test_the_sentence_about_a_python_that_is_not_to_be_had_says_what_there_is(tmp_path: Path) -> None:
    conda = "dependencies: [python=2.7]\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        'jobs/conda.yml:1:16: dependencies.0 = "python=2.7"\n'
        f"  this machine has no Python 2.7, which the environment asks for (it has {HERE}): install python2.7, "
        f"or ask for python={HERE} in the conda file, or install conda, which brings its own.   [rule conda-python]"
    )


@pytest.mark.usefixtures("_no_other_python")
def test_a_range_without_any_python_of_this_machine_is_refused(tmp_path: Path) -> None:
    conda = "dependencies: ['python>=3.7,<3.9']\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        'jobs/conda.yml:1:16: dependencies.0 = "python>=3.7,<3.9"\n'
        f"  this machine has no Python in that range (it has {HERE}): install one, or conda, which brings its own."
        "   [rule conda-python]"
    )


@pytest.mark.usefixtures("_every_python")
def test_a_range_takes_this_machines_python_or_the_newest_in_it(tmp_path: Path) -> None:
    def found(conda: str) -> tuple[str | None, tuple[str, ...]]:
        made = resolve(tmp_path, "{conda_file: conda.yml}", conda)
        return made.python, made.notes

    note = "python>=3.7: the machine's own Python is taken."
    assert found("dependencies: ['python>=3.7']\n") == (None, (note,))
    note = "python>=3.7,<3.9: Python 3.8 is taken."
    assert found("dependencies: ['python>=3.7,<3.9']\n") == ("3.8", (note,))


def test_what_wheels_bring_themselves_is_left_out_and_said(tmp_path: Path) -> None:
    found = resolve(tmp_path, "{conda_file: conda.yml}", "dependencies: [cudatoolkit=11.3, numpy]\n")
    assert (found.pip, found.notes) == (
        ("numpy",),
        ("cudatoolkit=11.3: left out; the wheels of pip bring their CUDA libraries.",),
    )


def test_a_private_channel_is_refused_without_its_token(tmp_path: Path) -> None:
    conda = "channels:\n  - conda-forge\n  - https://conda.example.org/t/to-ken/team\ndependencies: [own-package]\n"
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda) == (
        'jobs/conda.yml:3:5: channels.1 = "https://conda.example.org/t/***/team"\n'
        f"  a private channel, which only conda can ask for packages, {ELSEWHERE}"
    )


def test_a_requirement_from_git_needs_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conda = "dependencies:\n  - pip:\n      - own @ git+https://to-ken@example.org/a/b.git@v1\n"
    given = "{image: x/y, conda_file: conda.yml}"
    assert resolve(tmp_path, given, conda).pip == ("own @ git+https://to-ken@example.org/a/b.git@v1",)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(tmp_path, given, conda) == (
        'jobs/conda.yml:3:9: dependencies.0.pip.0 = "own @ git+https://***@example.org/a/b.git@v1"\n'
        "  comes from a Git repository, and this machine has no git. Install git, or name a released version."
        "   [rule conda-git]"
    )


@pytest.mark.parametrize(
    ("conda", "message"),
    [
        ("[]", "jobs/conda.yml:1:1: the file\n  not a conda file: it must be a mapping with a list dependencies."),
        ("name: x\n", "jobs/conda.yml:1:1: the file\n  a conda file needs a list `dependencies`."),
        ("a: [\n", "jobs/conda.yml:2:1: the file\n  not YAML:"),
    ],
)
def test_what_is_no_conda_file_is_refused(tmp_path: Path, conda: str, message: str) -> None:
    assert refusal(tmp_path, "{image: x/y, conda_file: conda.yml}", conda).startswith(message)


@pytest.mark.usefixtures("_every_python")
def test_a_curated_environment_is_substituted_and_says_so(tmp_path: Path) -> None:
    found = resolve(tmp_path, "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest")
    assert (found.python, found.pip[0], found.fidelity) == ("3.8", "scikit-learn==1.0.*", "substituted")
    assert found.reference == Reference("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", None, "latest", None)
    assert len(found.notes) == 1


@pytest.mark.usefixtures("_no_other_python")
def test_a_curated_environment_for_an_absent_python_gets_todays_versions(tmp_path: Path) -> None:
    found = resolve(tmp_path, "azureml://registries/azureml/environments/sklearn-1.5/versions/12")
    assert (found.python, found.pip[:2], found.fidelity) == (None, ("scikit-learn", "pandas"), "substituted")
    assert found.reference == Reference("sklearn-1.5", "12", None, "azureml")
    assert found.notes[0].endswith("in their newest versions, because this machine has no Python 3.10.")


@pytest.mark.parametrize(
    ("image", "python"), [("python:3.11-slim", "3.11"), ("docker.io/library/python:3.12", "3.12"), (IMAGE, None)]
)
@pytest.mark.usefixtures("_every_python")
def test_a_bare_image_is_substituted(tmp_path: Path, image: str, python: str | None) -> None:
    found = resolve(tmp_path, f'{{image: "{image}"}}')
    assert (found.python, found.image, found.conda_text, found.fidelity) == (python, image, None, "substituted")


@pytest.mark.usefixtures("_no_other_python")
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ("azureml:my-own:3", "environment\n  my-own is an image that this target can't pull, and no stand-in for it"),
        ("sklearn-1.5:2", 'environment = "sklearn-1.5:2"\n  not an environment. Did you mean azureml:sklearn-1.5:2?'),
        (
            "x.io/a:1",
            'environment = "x.io/a:1"\n  not an environment. An image is written as environment: {image: x.io',
        ),
        (
            "{build: {path: ./docker}}",
            "environment.build\n  a Docker build context can't be built on this target: no Docker engine answers",
        ),
        ('{image: "python:2.7"}', 'environment.image = "python:2.7"\n  this target pulls no images, and no stand-in'),
        ('{image: "python:3.1"}', 'environment.image = "python:3.1"\n  this target pulls no images, and has no Python'),
        ("{name: x}", "environment\n  has neither image nor conda_file. Allowed: azureml:NAME,"),
        ("{image: x.io/a}", 'environment.image = "x.io/a"\n  this target pulls no images, and no stand-in'),
        ("{image: x.io/a, os_type: windows}", 'environment.os_type = "windows"\n  only linux'),
    ],
)
def test_what_cannot_be_resolved_is_refused_with_what_to_do(tmp_path: Path, environment: str, says: str) -> None:
    assert refusal(tmp_path, environment).partition(": ")[2].startswith(says)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("azureml:a", Reference("a", None, None, None)),
        ("azureml:a:1", Reference("a", "1", None, None)),
        ("azureml://registries/r/environments/a/labels/latest", Reference("a", None, "latest", "r")),
        ("/subscriptions/s/providers/M/workspaces/w/environments/a/versions/2", Reference("a", "2", None, None)),
    ],
)
def test_azures_names_are_taken_apart(tmp_path: Path, text: str, found: Reference) -> None:
    (tmp_path / "job.yml").write_text(f"command: x\nenvironment: {text}\n")
    _, document = load_job(tmp_path / "job.yml")
    assert environments.reference(text, document) == found
