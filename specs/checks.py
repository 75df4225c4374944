"""A stack file as a whole: read, validated, and held against facts that have a date: sizes, quotas, what is deployed.

No network. `StackSpec` itself refuses what contradicts itself; here is what Azure, and the last `up`, say about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeAlias

from specs.deployed import immutable_faults
from specs.loader import read, validate
from specs.network import docker_faults
from specs.placement import lonely_nodes
from specs.problems import Problem, SpecError
from specs.quotas import asks, demands, load_quotas, quota_faults
from specs.shapes import shape_at
from specs.stack import StackSpec
from specs.vm_sizes import size_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from specs.base import Fault
    from specs.deployed import Deployed
    from specs.loader import Document
    from specs.quotas import Quotas

Given: TypeAlias = "Quotas | None"


@dataclass(frozen=True, slots=True)
class Examined:
    """A good stack file, and what to know about it all the same."""

    spec: StackSpec
    warnings: tuple[Problem, ...]


def examine(
    path: Path, shown: str | None = None, today: date | None = None, deployed: Deployed | None = None
) -> Examined:
    """Read a stack file and check all of it as of `today`, against what is `deployed` if that is given.

    Raises:
        SpecError: with every problem, each at its own line.

    """
    document = read(path, shown)
    spec = validate(document, StackSpec)
    quotas = _quotas(path, document, spec.quotas) if spec.quotas else None
    faults = check_stack(spec, today or datetime.now(UTC).date(), quotas)
    if deployed is not None:
        faults += immutable_faults(spec, deployed)
    if errors := _problems(document, faults, "error"):
        raise SpecError(errors)
    return Examined(spec, tuple(_problems(document, faults, "warning")))


def _quotas(path: Path, document: Document, name: str) -> Quotas:
    """Read the quota file that a stack names, from the project's folder."""
    root = path.parent.parent.resolve()
    file = root / name
    if not file.resolve().is_relative_to(root):
        message = "lies outside the project's folder. Name a file in it, for example quotas/dev.yaml."
        raise SpecError([document.problem(("quotas",), message, given=document.given(("quotas",)), rule="quota-file")])
    if not file.exists():
        message = f"there is no such file. To make it: invoke quotas --stack {path.stem} --write {name}"
        raise SpecError([document.problem(("quotas",), message, given=document.given(("quotas",)), rule="file")])
    return load_quotas(file, name)


def load_stack(path: Path, shown: str | None = None, today: date | None = None) -> StackSpec:
    """Read a stack file and check it as of `today`. Raises `SpecError` with every problem."""
    return examine(path, shown, today).spec


def placed(path: Path, shown: str, faults: Sequence[Fault]) -> tuple[list[Problem], list[Problem]]:
    """Give findings their lines in a stack file: errors, and warnings."""
    document = read(path, shown)
    return _problems(document, faults, "error"), _problems(document, faults, "warning")


def check_stack(spec: StackSpec, today: date, quotas: Given = None) -> list[Fault]:
    """List what is wrong, or worth a warning, as of `today`; places are whole paths in the file. Pure."""
    wanted = asks(spec)
    faults = [
        fault.model_copy(update={"at": (*at, *fault.at)})
        for at, _, ask in wanted
        for fault in size_faults(ask, today, quotas_known=quotas is not None)
    ]
    faults += [*docker_faults(spec), *lonely_nodes(spec)]
    return faults + (quota_faults(demands(wanted), quotas) if quotas else [])


def _problems(document: Document, faults: Sequence[Fault], severity: str) -> list[Problem]:
    found = [
        document.fault((), fault, secret=shape_at(StackSpec, fault.at).secret)
        for fault in faults
        if fault.severity == severity
    ]
    return sorted(found, key=lambda problem: (problem.line, problem.column))
