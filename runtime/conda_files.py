"""The conda file of an environment: read, judged, and every objection placed at its own line.

What pip or this machine can't give is known before anything is sent, so it is refused here. Of another machine it is
not known which Pythons it has: there the run's reason says so.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from node import conda
from node.environments import EnvironmentRefused, find_python
from specs import loader
from specs.problems import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.abilities import Abilities
    from specs.job import Environment
    from specs.loader import Document

_ELSEWHERE = (
    "and no conda is at hand, nor Docker with an image to build it in. "
    "Remove it, install one of them, or use a target that pulls images"
)
_IS_PYTHON = re.compile(r"(\S+::)?python(?![\w-])")


@dataclass(frozen=True)
class CondaFile:
    """A conda file, and where to point at in messages about it."""

    document: Document
    prefix: tuple[str | int, ...]
    value: dict[str, loader.Tree]
    text: str
    plan: conda.Plan

    def at(self, item: str, message: str, rule: str) -> SpecError:
        """Make the error for one of its entries, told by its text without credentials."""
        where: tuple[str | int, ...] = (*self.prefix, "dependencies")
        for path, entry in self.entries():
            if conda.shown(entry.strip()) == item:
                return SpecError([self.document.problem(path, message, given=f'"{item}"', rule=rule)])
        return SpecError([self.document.problem(where, f"{item}: {message}", rule=rule)])

    def entries(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Return each requirement and channel with its place."""
        yield from _requirements(self.value.get("dependencies"), (*self.prefix, "dependencies"))
        yield from _requirements(self.value.get("channels"), (*self.prefix, "channels"))


def load(environment: Environment, base_dir: Path, document: Document, at: tuple[str | int, ...]) -> CondaFile:
    """Read it, relative to `base_dir`; one that is no conda file is refused at its line. Raises: SpecError."""
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
    return CondaFile(source, prefix, value, text, plan)


def refuse(file: CondaFile, refused: list[str]) -> None:
    """Refuse what can't be had, each at its own line. Raises: SpecError."""
    problems = list[Problem]()
    for text in refused:
        item, _, why = text.rpartition(": ")
        message = f"{why}. Write its lines out." if why == conda.NAMES_A_FILE else f"{why}, {_ELSEWHERE}."
        problems += file.at(item, message, "conda-package").problems
    if problems:
        raise SpecError(problems)


def python_of(file: CondaFile, abilities: Abilities) -> tuple[str | None, list[str]]:
    """Return the Python that the machine has for the file, and the file's notes. Raises: SpecError for none."""
    plan, notes = file.plan, [f"{note}." for note in file.plan.notes]
    if not abilities.here:
        return plan.python, notes
    entry = next((text.strip() for _, text in file.entries() if _IS_PYTHON.match(text.strip())), "")
    if plan.python is not None or not plan.pythons:
        try:
            find_python(plan.python)
        except EnvironmentRefused as refused:
            raise file.at(entry, f"{refused}, or install conda, which brings its own.", "conda-python") from None
        return plan.python, notes
    mine = ".".join(map(str, sys.version_info[:2]))
    if mine in plan.pythons:
        return None, notes
    found = next((version for version in plan.pythons if has_python(version)), None)
    if found is None:
        message = (
            f"this machine has no Python in that range (it has {mine}): install one, or conda, which brings its own."
        )
        raise file.at(entry, message, "conda-python")
    return found, [f"{entry}: Python {found} is taken." if note.startswith(f"{entry}: ") else note for note in notes]


def has_python(version: str | None) -> bool:
    """Tell whether this machine has a Python of this version."""
    try:
        find_python(version)
    except EnvironmentRefused:
        return False
    return True


def need_git(file: CondaFile, abilities: Abilities) -> None:
    """Refuse a requirement that git is needed for where there is no git. Raises: SpecError."""
    for item in file.plan.pip if abilities.here and shutil.which("git") is None else ():
        if "git+" in item:
            message = (
                "comes from a Git repository, and this machine has no git. Install git, or name a released version."
            )
            raise file.at(conda.shown(item), message, "conda-git")


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


def _requirements(value: loader.Tree, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, str):
            yield (*where, index), entry
        elif isinstance(entry, dict):
            yield from _requirements(entry.get("pip"), (*where, index, "pip"))
