"""What a job's or deployment's `environment:` amounts to on a machine that we prepare ourselves, and how true that is.

Reading and judging only: `node.environments` and `node.docker` build. A workspace's own targets get the reference, or
image and conda file, as they were written; `reference` takes Azure's names apart for it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from node import conda
from runtime import conda_files, paths
from runtime.abilities import PLAIN
from specs.problems import SpecError

if TYPE_CHECKING:
    from runtime.abilities import Abilities
    from specs.job import Build, Environment
    from specs.loader import Document

Fidelity: TypeAlias = Literal["exact", "translated", "substituted"]
How: TypeAlias = Literal["venv", "conda", "docker"]
AT = ("environment",)

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_SHORT = re.compile(rf"azureml:(?P<name>{_NAME})(?::(?P<version>{_NAME})|@(?P<label>{_NAME}))?")
_REGISTRY = re.compile(
    rf"azureml://registries/(?P<registry>{_NAME})/environments/(?P<name>{_NAME})"
    rf"(?:/versions/(?P<version>{_NAME})|/labels/(?P<label>{_NAME}))?"
)
_ARM = re.compile(
    rf"(?:azureml:)?(?P<arm>/subscriptions/.+/environments/)(?P<name>{_NAME})(?:/versions/(?P<version>{_NAME}))?"
)
_PYTHON_IMAGE = re.compile(
    r"(?:docker\.io/)?(?:library/)?python(?::(?:(?P<version>3\.\d+)(?:[.-].*)?|3(?:-[a-z0-9.-]+)?|[a-z][a-z0-9.-]*))?"
)
"""Docker's own images of Python: of a version, or (`latest`, `3`, `slim`, nothing) of the newest."""
_CURATED = "mcr.microsoft.com/azureml/curated"
"""Where Microsoft publishes the images of the registry `azureml`, in lower case, by name and version."""
_PIN = re.compile(r"[=<>!~ ].*")
_FAMILIES = "sklearn, lightgbm, xgboost, pytorch (ACPT), tensorflow, responsibleai, automl, minimal, inference"
_FORMS = (
    "Allowed: azureml:NAME, azureml:NAME:VERSION, azureml:NAME@latest, "
    "azureml://registries/azureml/environments/NAME/versions/VERSION, or a mapping with image and conda_file."
)


@dataclass(frozen=True)
class Reference:
    """An environment that is named, not written out."""

    name: str
    version: str | None
    label: str | None
    registry: str | None


@dataclass(frozen=True)
class Resolution:
    """What the target will build, and how close that is to what was asked for."""

    python: str | None
    """`3.11`; None: the target's own."""
    pip: tuple[str, ...]
    image: str | None
    conda_text: str | None
    """The conda file as written; of an inline one, its YAML."""
    fidelity: Fidelity
    """`exact`: that image and conda file; `translated`: the conda file's Python part; `substituted`: a stand-in."""
    notes: tuple[str, ...]
    """What differs from Azure, one sentence each."""
    reference: Reference | None = None
    how: How = "venv"
    """`venv`: Python and pip list; `conda`: the conda file by the machine's own conda; `docker`: in the image."""
    context: Context | None = None
    """What the image is built from, where it is built."""


@dataclass(frozen=True)
class Context:
    """A folder to build an image from."""

    folder: Path
    dockerfile: str
    content: str
    """Hash of the folder's content."""


def resolve(
    environment: str | Environment,
    base_dir: Path,
    document: Document,
    at: tuple[str | int, ...] = AT,
    abilities: Abilities = PLAIN,
) -> Resolution:
    """Resolve an environment for a machine with these abilities. Reads the conda file, relative to `base_dir`.

    `at` is where the environment stands in `document`, for messages. Raises: SpecError.
    """
    if isinstance(environment, str):
        return _curated(reference(environment, document, at), document, at, abilities)
    if environment.os_type.lower() != "linux":
        message = "only linux environments run on this target."
        given = f'"{environment.os_type}"'
        raise SpecError([document.problem((*at, "os_type"), message, given=given, rule="environment-os")])
    if environment.build:
        return _build(environment.build, base_dir, document, at, abilities)
    if environment.conda_file is not None:
        return _conda(environment, base_dir, document, at, abilities)
    if environment.image is not None:
        return _image(environment.image, document, at, abilities)
    message = f"has neither image nor conda_file. {_FORMS}"
    raise SpecError([document.problem(at, message, rule="environment-empty")])


def reference(text: str, document: Document, at: tuple[str | int, ...] = AT) -> Reference:
    """Take an environment's name apart. Raises: SpecError with the forms that Azure knows."""
    for form in (_SHORT, _REGISTRY, _ARM):
        if found := form.fullmatch(text):
            parts = found.groupdict()
            return Reference(parts["name"], parts.get("version"), parts.get("label"), parts.get("registry"))
    hint = ""
    if "/" in text and not text.startswith(("azureml:", ".")):
        hint = f" An image is written as environment: {{image: {text}}}."
    elif re.fullmatch(rf"{_NAME}(?:[:@]{_NAME})?", text):
        hint = f" Did you mean azureml:{text}?"
    raise SpecError(
        [document.problem(at, f"not an environment.{hint} {_FORMS}", given=f'"{text}"', rule="environment-name")]
    )


def _curated(named: Reference, document: Document, at: tuple[str | int, ...], abilities: Abilities) -> Resolution:
    version = named.version or named.label
    if abilities.docker and named.registry == "azureml" and version:
        image = f"{_CURATED}/{named.name.lower()}:{version}"
        note = f"{named.name} of the registry azureml runs in the image that it is published as, {image}."
        return Resolution(None, (), image, None, "exact", (note,), named, "docker")
    plan = conda.substitute(named.name)
    if plan is None:
        message = (
            f"{named.name} is an image that this target can't pull, and no stand-in for it is known "
            f"(known by name: {_FAMILIES}). Write the environment out, with image and conda_file."
        )
        raise SpecError([document.problem(at, message, rule="environment-unknown")])
    return replace(_substituted(plan, named.name, abilities), reference=named)


def _build(
    build: Build, base_dir: Path, document: Document, at: tuple[str | int, ...], abilities: Abilities
) -> Resolution:
    """Have a build context built here; a machine elsewhere has no such folder."""
    if not (abilities.docker and abilities.here):
        why = "no Docker engine answers on this machine" if abilities.here else "it is not sent to another machine"
        message = (
            f"a Docker build context can't be built on this target: {why}. "
            "Give the Python packages instead: image and conda_file."
        )
        raise SpecError([document.problem((*at, "build"), message, rule="environment-build", key=True)])
    folder = base_dir / build.path
    dockerfile = build.dockerfile_path or "Dockerfile"
    if not (folder / dockerfile).is_file():
        message = f"no such folder with a {dockerfile} in it."
        problem = document.problem((*at, "build", "path"), message, given=f'"{build.path}"', rule="environment-build")
        raise SpecError([problem])
    context = Context(folder.resolve(), dockerfile, _content(folder))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", build.path).strip("-.") or "context"
    return Resolution(None, (), f"built-from-{name}", None, "exact", (), None, "docker", context)


def _content(folder: Path) -> str:
    """Hash a folder: names, modes and bytes."""
    found = hashlib.sha256()
    for name, path in sorted(paths.files_below(folder)):
        found.update(f"{name}\0{path.stat().st_mode:o}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        found.update(path.read_bytes())
    return found.hexdigest()


def _image(image: str, document: Document, at: tuple[str | int, ...], abilities: Abilities) -> Resolution:
    if abilities.docker:
        return Resolution(None, (), image, None, "exact", (), None, "docker")
    if found := _PYTHON_IMAGE.fullmatch(image):
        version = found["version"]
        if not _has(version, abilities):
            message = f"this target pulls no images, and has no Python {version} to stand in for it. Install one."
            raise SpecError([document.problem((*at, "image"), message, given=f'"{image}"', rule="environment-image")])
        named = f"a Python {version}" if version else "the Python"
        note = f"image {image} is not pulled here: {named} of this machine stands in, with no packages."
        return Resolution(version, (), image, None, "substituted", (note,))
    plan = conda.substitute(image)
    if plan is None:
        message = (
            "this target pulls no images, and no stand-in for this one is known. Add a conda_file with its packages."
        )
        raise SpecError([document.problem((*at, "image"), message, given=f'"{image}"', rule="environment-image")])
    return replace(_substituted(plan, f"image {image}", abilities), image=image)


def _has(version: str | None, abilities: Abilities) -> bool:
    """Tell whether a machine has this Python; of another machine, whether it can't be ruled out."""
    if version is None or not abilities.here:
        return True
    return conda_files.has_python(version)


def _substituted(plan: conda.Plan, what: str, abilities: Abilities) -> Resolution:
    """Use a stand-in; where the machine lacks the Python that its old versions need, take today's versions.

    Of another machine only its own Python is known to be there.
    """
    python, pip = plan.python, tuple(plan.pip)
    notes = [f"{what} is not pulled here: {', '.join(pip)} from the package index stand in."]
    known = abilities.python is not None and abilities.python.startswith(f"{python}.")
    if not (_has(python, abilities) if abilities.here else known or python is None):
        pip = tuple(_PIN.sub("", item) for item in pip)
        note = (
            f"{what} is not pulled here: {', '.join(pip)} from the package index stand in, in their newest versions, "
        )
        notes = [f"{note}because this machine has no Python {python}."]
        python = None
    return Resolution(python, pip, None, None, "substituted", tuple(notes))


def _conda(
    environment: Environment, base_dir: Path, document: Document, at: tuple[str | int, ...], abilities: Abilities
) -> Resolution:
    file = conda_files.load(environment, base_dir, document, at)
    files = [text for text in file.plan.refused if text.endswith(conda.NAMES_A_FILE)]
    image, text = environment.image, file.text
    if abilities.docker and image:
        conda_files.refuse(file, files)
        return Resolution(None, (), image, text, "exact", (), None, "docker")
    if abilities.conda:
        conda_files.refuse(file, files)
        note = f"image {image} is not pulled here: {Path(abilities.conda).name} builds the conda file on the machine."
        fidelity: Fidelity = "translated" if image else "exact"
        return Resolution(None, (), image, text, fidelity, (note,) if image else (), None, "conda")
    conda_files.refuse(file, file.plan.refused)
    python, notes = conda_files.python_of(file, abilities)
    conda_files.need_git(file, abilities)
    if image:
        notes.insert(0, f"image {image} is not pulled here: the conda file's Python part is installed by pip.")
    return Resolution(python, tuple(file.plan.pip), image, text, "translated", tuple(notes))
