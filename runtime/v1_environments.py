"""Environments under the v1 SDK's names, and what they are in a job file: an image, a conda file, an interpreter.

v1's sections `environment.python` and `environment.docker` together say what a job's `environment` says. What is new
in a job is one property: the interpreter of an environment that the user manages.
"""

from __future__ import annotations

import sys
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from runtime.job_body import INTERPRETER
from runtime.v1_words import Words, note, text_list, words, wrong
from specs import loader
from specs.job import Environment as JobEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.v1_workspace import Workspace

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04"
"""Azure's base images with Python and Open MPI (Azure/AzureML-Containers, base/); v1's own defaults are retired."""
CHANNELS = ["conda-forge"]
UBUNTU_PYTHON = "/usr/bin/python3"
"""Python of a machine that names none: attached machines run Ubuntu (azure-docs how-to-set-up-training-targets)."""


class CondaDependencies:
    """Packages: a conda file that is being written."""

    def __init__(self, conda_dependencies_file_path: str | None = None) -> None:
        self.channels = list(CHANNELS)
        self._python: str | None = None
        self._conda: list[str] = []
        self._pip: list[str] = []
        if conda_dependencies_file_path is not None:
            self._read(Path(conda_dependencies_file_path))

    @classmethod
    def create(
        cls,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = None,
        **others: object,
    ) -> CondaDependencies:
        """Make one from names; `python_version` absent: the Python that runs this, so that a script behaves as here."""
        made = cls()
        where = "CondaDependencies.create"
        made._pip = text_list(where, "pip_packages", pip_packages)
        made._conda = text_list(where, "conda_packages", conda_packages)
        if (index := others.pop("pip_indexurl", None)) is not None:
            made._pip.insert(0, f"--index-url {index}")
        if others.pop("pin_sdk_version", None) is not None:
            note("pin_sdk_version: the v1 SDK is not installed into environments any more, so there is nothing to pin")
        for name in others:
            raise wrong(where, name, "no such word here. Known: pip_packages, conda_packages, python_version.")
        if python_version is not None:
            made.set_python_version(python_version)
        return made

    def _read(self, path: Path) -> None:
        found = loader.read(path, str(path)).value
        if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
            raise wrong("CondaDependencies", "file", "not a conda file: it has no list dependencies.", given=str(path))
        dependencies = found["dependencies"]
        for entry in dependencies if isinstance(dependencies, list) else []:
            if isinstance(entry, dict):
                listed = entry.get("pip")
                self._pip += [str(item) for item in (listed if isinstance(listed, list) else [])]
            elif isinstance(entry, str):
                self.add_conda_package(entry)
        channels = found.get("channels")
        self.channels = [str(item) for item in channels] if isinstance(channels, list) else list(CHANNELS)

    def add_conda_package(self, conda_package: str) -> None:
        """Add a package for conda; `python=3.11` sets the Python."""
        name, _, version = conda_package.replace("==", "=").partition("=")
        if name.strip() == "python" and version:
            self._python = version
        else:
            self._conda.append(conda_package)

    def add_pip_package(self, pip_package: str) -> None:
        """Add a package for pip."""
        self._pip.append(pip_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Take a package away."""
        self._conda = [item for item in self._conda if item != conda_package]

    def remove_pip_package(self, pip_package: str) -> None:
        """Take a package away."""
        self._pip = [item for item in self._pip if item != pip_package]

    def add_channel(self, channel: str) -> None:
        """Add a channel of conda's."""
        self.channels.append(channel)

    def set_python_version(self, version: str) -> None:
        """Set the Python, e.g. `3.11`."""
        self._python = str(version)

    @property
    def conda_packages(self) -> list[str]:
        """Its conda packages."""
        return list(self._conda)

    @property
    def pip_packages(self) -> list[str]:
        """Its pip packages."""
        return list(self._pip)

    def as_dict(self) -> dict[str, object]:
        """Return the conda file."""
        python = self._python or f"{sys.version_info.major}.{sys.version_info.minor}"
        pip: list[object] = [{"pip": list(self._pip)}] if self._pip else []
        if pip and "pip" not in self._conda:
            pip.insert(0, "pip")
        return {"channels": list(self.channels), "dependencies": [f"python={python}", *self._conda, *pip]}

    def serialize_to_string(self) -> str:
        """Return the conda file's text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)

    def save_to_file(self, base_directory: str, conda_file_path: str = "conda_dependencies.yml") -> str:
        """Write the conda file; return its path."""
        path = Path(base_directory) / conda_file_path
        path.write_text(self.serialize_to_string(), "utf-8")
        return str(path)


@words
class PythonSection(Words):
    """`environment.python`."""

    user_managed_dependencies: bool = False
    """The environment is there already: nothing is installed."""
    interpreter_path: str | None = None
    """Of a user-managed one: its Python; absent: this Python here, `/usr/bin/python3` on an attached machine."""
    conda_dependencies: CondaDependencies | None = None
    conda_dependencies_file: str | None = None


@words
class DockerSection(Words):
    """`environment.docker`."""

    enabled: bool = False
    """On this machine and on attached ones: run in a container. Clusters always do."""
    base_image: str | None = None
    arguments: list[str] = field(default_factory=list)
    """Of `docker run`."""
    shm_size: str | None = None
    gpu_support: bool | None = None
    """Nothing to decide any more: a container gets the GPUs that there are."""


@words
class Environment(Words):
    """An environment: written here, or one that the workspace has (`Environment.get`)."""

    name: str | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    python: PythonSection = field(default_factory=PythonSection)
    docker: DockerSection = field(default_factory=DockerSection)
    version: str | None = None
    _reference: str | None = None

    @classmethod
    def get(cls, workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """Refer to an environment of the workspace; whether it is there is found at submission.

        On a target that pulls no images a curated one is substituted, and the run says so.
        """
        if not hasattr(workspace, "outputs"):
            raise wrong("Environment.get", "workspace", "takes a Workspace. First: ws = Workspace.from_config().")
        tail = f":{version}" if version else f"@{label or 'latest'}"
        return cls(name=name, version=version, _reference=f"azureml:{name}{tail}")

    @classmethod
    def from_conda_specification(cls, name: str, file_path: str) -> Environment:
        """Make one of a conda file."""
        return cls(name=name, python=PythonSection(conda_dependencies=CondaDependencies(file_path)))

    @classmethod
    def from_pip_requirements(cls, name: str, file_path: str, pip_version: str | None = None) -> Environment:
        """Make one of a requirements file."""
        path = Path(file_path)
        if not path.is_file():
            raise wrong("Environment.from_pip_requirements", "file_path", "no such file.", given=file_path)
        if pip_version is not None:
            note("pip_version: the pip of the environment's Python is used")
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        listed = [line.partition(" #")[0].strip() for line in lines if line and not line.startswith("#")]
        return cls(name=name, python=PythonSection(conda_dependencies=CondaDependencies.create(pip_packages=listed)))

    @classmethod
    def from_docker_image(
        cls, name: str, image: str, conda_specification: str | None = None, pip_requirements: str | None = None
    ) -> Environment:
        """Make one of an image, with a conda or requirements file on top; alone, the image's own Python is used."""
        if conda_specification is not None:
            made = cls.from_conda_specification(name, conda_specification)
        elif pip_requirements is not None:
            made = cls.from_pip_requirements(name, pip_requirements)
        else:
            made = cls(name=name, python=PythonSection(user_managed_dependencies=True))
        made.docker = DockerSection(enabled=True, base_image=image)
        return made

    def register(self, workspace: Workspace) -> Environment:
        """Return it as it is: a named environment is registered with the first run on the workspace's own targets."""
        _ = workspace
        note(f"Environment.register: {self.name} is registered when a run with it goes to the workspace")
        return self


class Written(NamedTuple):
    """What an environment is in a job."""

    environment: str | JobEnvironment
    properties: dict[str, str]
    python: str
    """What runs the script."""


def written(given: Environment, *, own_machine: bool, here: bool) -> Written:
    """Say what an environment is in a job for a machine of one's own (this one if `here`), or the workspace's targets.

    Raises `SpecError` for one that is contradictory.
    """
    python, docker = given.python, given.docker
    if given._reference is not None:  # noqa: SLF001 - its module
        _unchanged(given)
        return Written(given._reference, {}, "python")  # noqa: SLF001
    path = None if python.interpreter_path in (None, "python") else python.interpreter_path
    in_image = not own_machine or docker.enabled
    image = (docker.base_image or DEFAULT_CPU_IMAGE) if in_image else None
    if python.user_managed_dependencies:
        if in_image:
            return Written(JobEnvironment(name=given.name, image=image), {}, path or "python")
        path = path or (sys.executable if here else UBUNTU_PYTHON)
        # A job must have an environment; with the property nobody builds it.
        return Written(JobEnvironment(image=DEFAULT_CPU_IMAGE), {INTERPRETER: path}, path)
    if path is not None:
        message = "is for user_managed_dependencies = True only; else the environment brings its own Python."
        raise wrong("environment.python", "interpreter_path", message, given=path)
    file = python.conda_dependencies_file
    packages = python.conda_dependencies or CondaDependencies(file)
    if docker.base_image not in (None, DEFAULT_GPU_IMAGE) and not in_image:
        note(f"environment.docker.base_image ({docker.base_image}) is for docker.enabled = True only, and not used")
    conda: dict[str, object] = packages.as_dict()
    return Written(JobEnvironment(name=given.name, image=image, conda_file=conda), {}, "python")


def _unchanged(given: Environment) -> None:
    python, docker = given.python, given.docker
    changed = python.conda_dependencies or python.user_managed_dependencies or docker.base_image
    if changed:
        message = "an environment of the workspace is used as it is. Write your own: Environment(name=…)."
        raise wrong("Environment", "python, docker", message, given=given.name)
