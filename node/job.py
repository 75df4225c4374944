"""What `job.json` says: one attempt of one run, as the launcher wrote it and the supervisor reads it.

Parsing is strict where a mistake would be silent (types, names of environment variables) and never prints a value,
because values of environment variables may be secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node import layout, plan
from node.plan import EnvironmentPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from node.distribution import Distribution
    from node.layout import Json

GRACE_S = 5.0
"""Seconds between TERM and KILL for a job that is canceled or out of time."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Limits:
    """What the command may take of the machine; None: all there is."""

    cpus: int | None = None
    """Processors, shared by all of its processes."""
    memory_bytes: int | None = None
    """Address space of each of its processes."""


@dataclass(frozen=True)
class Job:
    """The parsed `job.json`."""

    run_id: str
    command: str
    experiment: str = "Default"
    attempt: int = 1
    code: str | None = layout.CODE
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name to what the command shall read: a literal verbatim, or an absolute path."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Name to the absolute path of a folder, or of a file."""
    files: frozenset[str] = frozenset()
    """The outputs that are a file each, which the command makes."""
    deliveries: Mapping[str, str] = field(default_factory=dict)
    """Name to the absolute path that an output is copied to when the command has ended well."""
    variables: Mapping[str, str] = field(default_factory=dict)
    extra_env: Mapping[str, str] = field(default_factory=dict)
    """From the launcher (AZUREML_ARM_*, ranks …); wins over the inherited, loses to the job's own variables."""
    environment: EnvironmentPlan = field(default_factory=EnvironmentPlan)
    limits: Limits = field(default_factory=Limits)
    distribution: Distribution | None = None
    """None: one process, which knows of no other."""
    timeout_s: float | None = None
    grace_s: float = GRACE_S
    tags: Mapping[str, str] = field(default_factory=dict)
    created: str | None = None
    secrets: frozenset[str] = frozenset()
    """Names of the variables whose values only the supervisor's memory holds (`node.masking`)."""


def read(run_dir: Path) -> Job:
    """Return the job of a run's folder.

    Raises: ValueError naming the field that is missing or of the wrong type.
    """
    document = layout.read_json(run_dir / layout.JOB)
    if document is None:
        raise ValueError(f"{run_dir / layout.JOB} is missing")
    return parse(document, run_dir)


def parse(document: Mapping[str, Json], run_dir: Path) -> Job:
    """Check a job document and resolve its relative paths against the run's folder."""
    code, outputs = _text(document, "code"), _object(document, "outputs")
    return Job(
        run_id=_required(document, "run_id"),
        command=_required(document, "command"),
        experiment=_text(document, "experiment") or "Default",
        attempt=int(_number(document, "attempt") or 1),
        code=code,
        inputs={name: _input(name, entry, run_dir) for name, entry in _object(document, "inputs").items()},
        outputs={name: _output(name, entry, run_dir) for name, entry in outputs.items()},
        files=frozenset(
            name for name, entry in outputs.items() if isinstance(entry, dict) and entry.get("file") is True
        ),
        deliveries=_deliveries(outputs),
        variables=_variables(document, "environment_variables"),
        extra_env=_variables(document, "extra_env"),
        environment=plan.parse(_object(document, "environment")),
        limits=_limits(_object(document, "limits")),
        distribution=_distribution(_object(document, "distribution")),
        timeout_s=_number(document, "timeout_s"),
        grace_s=_default(_number(document, "grace_s"), GRACE_S),
        tags={name: str(value) for name, value in _object(document, "tags").items()},
        created=_text(document, "created"),
        secrets=_names(document, "secrets"),
    )


def _default(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _input(name: str, entry: Json, run_dir: Path) -> str:
    if isinstance(entry, dict):
        if isinstance(entry.get("path"), str):
            return str(run_dir / str(entry["path"]))
        value = entry.get("value")
        if isinstance(value, (str, int, float)):
            return literal(value)
    raise ValueError(f'inputs.{name} must be {{"value": ...}} or {{"path": "..."}}')


def literal(value: str | float) -> str:
    """Return a literal as the command shall see it; booleans as Azure writes them (`True`, `False`)."""
    return value if isinstance(value, str) else str(value)


def _output(name: str, entry: Json, run_dir: Path) -> str:
    if isinstance(entry, dict) and isinstance(entry.get("path"), str):
        return str(run_dir / str(entry["path"]))
    raise ValueError(f'outputs.{name} must be {{"path": "..."}}')


def _deliveries(outputs: Mapping[str, Json]) -> dict[str, str]:
    entries = {name: entry.get("deliver") for name, entry in outputs.items() if isinstance(entry, dict)}
    found = {name: place for name, place in entries.items() if place is not None}
    for name, place in found.items():
        if not isinstance(place, str) or not place.startswith("/"):
            raise ValueError(f"outputs.{name}.deliver must be an absolute path")
    return {name: str(place) for name, place in found.items()}


def _variables(document: Mapping[str, Json], key: str) -> dict[str, str]:
    variables: dict[str, str] = {}
    for name, value in _object(document, key).items():
        if not _VARIABLE.match(name):
            raise ValueError(f"{key}: {name!r} is not a name for an environment variable (letters, digits, _)")
        if isinstance(value, (dict, list)) or value is None:
            raise ValueError(f"{key}.{name} must be text or a number")
        text = literal(value)
        if "\0" in text:
            raise ValueError(f"{key}.{name} holds a NUL character")
        variables[name] = text
    return variables


def _names(document: Mapping[str, Json], key: str) -> frozenset[str]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(name, str) and _VARIABLE.match(name) for name in found):
        raise ValueError(f"{key} must be a list of names for environment variables")
    return frozenset(str(name) for name in found)


def _distribution(entry: Mapping[str, Json]) -> Distribution | None:
    if not entry:
        return None
    from node import distribution  # most jobs have none

    return distribution.parse(entry)


def _limits(entry: Mapping[str, Json]) -> Limits:
    cpus, memory = _number(entry, "cpus"), _number(entry, "memory_bytes")
    if (cpus is not None and cpus < 1) or (memory is not None and memory < 1):
        raise ValueError("limits.cpus and limits.memory_bytes must be at least 1")
    return Limits(None if cpus is None else int(cpus), None if memory is None else int(memory))


def _object(document: Mapping[str, Json], key: str) -> dict[str, Json]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object")  # noqa: TRY004  (a bad document, not a bad call)
    return value


def _text(document: Mapping[str, Json], key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} must be text")
    return value


def _required(document: Mapping[str, Json], key: str) -> str:
    value = _text(document, key)
    if not value:
        raise ValueError(f"{key} is missing")
    return value


def _number(document: Mapping[str, Json], key: str) -> float | None:
    value = document.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{key} must be a number")
    return value
