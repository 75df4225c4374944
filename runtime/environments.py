"""What a job's or deployment's `environment:` amounts to on a target that pulls no image, and how true that is.

Reading and judging only: `node.environments` builds. A target that does pull images (the workspace's own) gets the
reference, or image and conda file, as they were written; `reference` takes Azure's names apart for it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import yaml

from node import conda
from node.environments import EnvironmentRefused, find_python
from specs import loader
from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.job import Environment
    from specs.loader import Document

Fidelity: TypeAlias = Literal["exact", "translated", "substituted"]
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
_PYTHON_IMAGE = re.compile(r"(?:docker\.io/)?(?:library/)?python:(?P<version>3\.\d+)(?:[.-].*)?")
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


def resolve(
    environment: str | Environment, base_dir: Path, document: Document, at: tuple[str | int, ...] = AT
) -> Resolution:
    """Resolve an environment for a target that pulls no image. Reads the conda file, relative to `base_dir`.

    `at` is where the environment stands in `document`, for messages. Raises: SpecError.
    """
    if isinstance(environment, str):
        return _curated(reference(environment, document, at), document, at)
    if environment.build:
        message = (
            "a Docker build context can't be built on this target. "
            "Give the Python packages instead: image and conda_file."
        )
        raise SpecError([document.problem((*at, "build"), message, rule="environment-build", key=True)])
    if environment.os_type.lower() != "linux":
        message = "only linux environments run on this target."
        given = f'"{environment.os_type}"'
        raise SpecError([document.problem((*at, "os_type"), message, given=given, rule="environment-os")])
    if environment.conda_file is not None:
        return _conda(environment, base_dir, document, at)
    if environment.image is not None:
        return _image(environment.image, document, at)
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


def _curated(named: Reference, document: Document, at: tuple[str | int, ...]) -> Resolution:
    plan = conda.substitute(named.name)
    if plan is None:
        message = (
            f"{named.name} is an image that this target can't pull, and no stand-in for it is known "
            f"(known by name: {_FAMILIES}). Write the environment out, with image and conda_file."
        )
        raise SpecError([document.problem(at, message, rule="environment-unknown")])
    return replace(_substituted(plan, named.name), reference=named)


def _image(image: str, document: Document, at: tuple[str | int, ...]) -> Resolution:
    if found := _PYTHON_IMAGE.fullmatch(image):
        version = found["version"]
        note = f"image {image} is not pulled here: a Python {version} of this machine stands in, with no packages."
        return Resolution(version, (), image, None, "substituted", (note,))
    plan = conda.substitute(image)
    if plan is None:
        message = (
            "this target pulls no images, and no stand-in for this one is known. Add a conda_file with its packages."
        )
        raise SpecError([document.problem((*at, "image"), message, given=f'"{image}"', rule="environment-image")])
    return replace(_substituted(plan, f"image {image}"), image=image)


def _substituted(plan: conda.Plan, what: str) -> Resolution:
    """Use a stand-in; where this machine lacks the Python that its old versions need, take today's versions."""
    python, pip = plan.python, tuple(plan.pip)
    notes = [f"{what} is not pulled here: {', '.join(pip)} from the package index stand in."]
    try:
        find_python(python)
    except EnvironmentRefused:
        pip = tuple(_PIN.sub("", item) for item in pip)
        note = (
            f"{what} is not pulled here: {', '.join(pip)} from the package index stand in, in their newest versions, "
        )
        notes = [f"{note}because this machine has no Python {python}."]
        python = None
    return Resolution(python, pip, None, None, "substituted", tuple(notes))


def _conda(environment: Environment, base_dir: Path, document: Document, at: tuple[str | int, ...]) -> Resolution:
    here = (*at, "conda_file")
    prefix: tuple[str | int, ...] = here
    if isinstance(environment.conda_file, str):
        source, text, prefix = *_read(environment.conda_file, base_dir, document, here), ()
    else:
        source, text = document, yaml.safe_dump(environment.conda_file, sort_keys=False)
    value = _at(source, prefix)
    if not isinstance(value, dict):
        message = "not a conda file: it must be a mapping with a list dependencies."
        raise SpecError([source.problem(prefix, message, rule="conda-file")])
    try:
        plan = conda.translate(value)
    except ValueError as error:
        raise SpecError([source.problem(prefix, f"{error}.", rule="conda-file")]) from None
    if plan.refused:
        raise SpecError([_refused(source, prefix, value, text) for text in plan.refused])
    notes = [f"{note}." for note in plan.notes]
    if environment.image:
        notes.insert(
            0, f"image {environment.image} is not pulled here: the conda file's Python part is installed by pip."
        )
    return Resolution(plan.python, tuple(plan.pip), environment.image, text, "translated", tuple(notes))


def _read(name: str, base_dir: Path, document: Document, here: tuple[str | int, ...]) -> tuple[Document, str]:
    path = base_dir / name
    if not path.is_file():
        raise SpecError([document.problem(here, "no such file.", given=f'"{name}"', rule="conda-file")])
    shown = os.path.normpath(Path(document.file).parent / name)
    return loader.read(path, shown), path.read_text("utf-8")


def _at(document: Document, path: tuple[str | int, ...]) -> loader.Tree:
    value = document.value
    for part in path:
        value = value[str(part)] if isinstance(value, dict) else None
    return value


def _refused(source: Document, prefix: tuple[str | int, ...], value: dict[str, loader.Tree], text: str) -> Problem:
    """Place what can't be translated at its own line."""
    where: tuple[str | int, ...] = (*prefix, "dependencies")
    dependencies = value.get("dependencies")
    for path, item in _requirements(dependencies, where):
        if text.startswith(f"{item.strip()}: "):
            message = f"{text.removeprefix(f'{item.strip()}: ')}. Remove it, or use a target that pulls images."
            return source.problem(path, message, given=f'"{item}"', rule="conda-package")
    return source.problem(where, f"{text}.", rule="conda-package")


def _requirements(value: loader.Tree, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, str):
            yield (*where, index), entry
        elif isinstance(entry, dict):
            yield from _requirements(entry.get("pip"), (*where, index, "pip"))
