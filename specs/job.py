"""A job file: Azure ML's own CLI v2 schema, taken as it is. What a target can't honour is said there, by name.

The parts are in `job_parts` and `job_running`; which target does what with which field, in `job_support`. Source of the
fields: azure-ai-ml 1.35.2's schemas, against which a test holds them, and the 345 YAML files of Azure's public examples
(2026-07).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from specs import job_words
from specs.base import Fault, named, raise_faults
from specs.job_parts import (
    AnyCase,
    Build,
    DataInput,
    DataOutput,
    Environment,
    JobIdentity,
    JobPart,
    Label,
    Limits,
    LocalPath,
    Resources,
    Text,
    Variable,
    without,
)
from specs.job_running import (
    Distribution,
    MpiDistribution,
    PyTorchDistribution,
    QueueSettings,
    Service,
    TensorFlowDistribution,
    users_services,
)
from specs.loader import Document, read, validate
from specs.problems import SpecError

if TYPE_CHECKING:
    from specs.loader import Tree

__all__ = [
    "Build",
    "CommandJob",
    "DataInput",
    "DataOutput",
    "Distribution",
    "Environment",
    "JobIdentity",
    "JobPart",
    "Limits",
    "MpiDistribution",
    "PyTorchDistribution",
    "QueueSettings",
    "Resources",
    "Service",
    "TensorFlowDistribution",
    "Text",
    "Variable",
    "check_job",
    "load_job",
]

_REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_SINGLE = re.compile(r"(?<!\{)\{(inputs|outputs|search_space)\.([^}]*)\}(?!\})")
"""An older way to write a reference, which azure-ai-ml still takes (`map_single_brackets_and_warn`)."""
_OTHER_JOBS = {"parent": "pipeline", "trial": "sweep", "search_space": "sweep"}
"""Expressions that only a job inside another kind of job has (azure-ai-ml: pipeline and sweep schemas)."""
_INPUT = "inputs."

Name = Annotated[
    str, named("job-name", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", "a job's name has 1 to 255 letters, digits, _ . and -")
]
InputName = Annotated[
    str, named("input-name", r"[A-Za-z_][A-Za-z0-9_]*", "an input's or output's name has letters, digits and _")
]


def _double(value: object) -> object:
    return _SINGLE.sub(r"${{\1.\2}}", value) if isinstance(value, str) else value


class CommandJob(JobPart):
    """A command with its code, environment and data: what is submitted. A run is one execution of it."""

    model_config = ConfigDict(json_schema_extra={"elsewhere": job_words.JOB})

    schema_: str | None = Field(default=None, alias="$schema")
    """Named for editors."""
    type: Annotated[Literal["command"], AnyCase] = "command"
    """The kind of job."""
    name: Name | None = None
    """The run's id; absent: one is made up."""
    display_name: str | None = None
    """Name shown; absent: the run's id."""
    description: str | None = None
    """Free text."""
    experiment_name: Annotated[str, Field(max_length=256)] | None = None
    """What runs are compared under; absent: the folder's name, as in CLI v2."""
    tags: dict[str, Label] = {}
    """Free tags."""
    properties: dict[str, Label] = {}
    """Set by tools."""
    parent_job_name: Name | None = None
    """The run that this one is shown under."""
    code: LocalPath | None = None
    """Folder of the source, relative to the file; its content is the job's working directory."""
    command: Annotated[str, Field(min_length=1), BeforeValidator(_double)]
    """A shell line. `${{inputs.x}}` and `${{outputs.x}}` stand for values and paths."""
    environment: str | Environment
    """`azureml:NAME[:VERSION|@latest]`, `file:` of a YAML file, or an environment written here."""
    environment_variables: dict[Variable, Label] = {}
    """Set for the command."""
    compute: str | None = None
    """`azureml:NAME` of a target of the stack, or `local`; absent: serverless, else the stack's default target."""
    inputs: dict[InputName, DataInput | str | int | float | bool] = {}
    """Literals, files and folders by name."""
    outputs: dict[InputName, DataOutput | None] = {}
    """Named outputs."""
    resources: Resources = Resources()
    """Nodes and sizes."""
    limits: Limits = Limits()
    """Bounds."""
    identity: JobIdentity | None = None
    """Who it is."""
    distribution: Distribution | None = None
    """Several processes."""
    services: Annotated[dict[str, Service], BeforeValidator(users_services)] = {}
    """Interactive services."""
    queue_settings: QueueSettings | None = None
    """Serverless queue."""
    retry: Literal["preemption", "none"] | None = None
    """What is done again: a run that a preemption ended, or nothing. Absent: preemption on LowPriority clusters, else
    none. Ours alone: `az ml job create` refuses a file with this field."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_command_job(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        kind = value.get("type")
        if isinstance(kind, str) and kind.lower() in job_words.OTHER_JOB_TYPES:
            raise PydanticCustomError(
                "job-type", f"{job_words.with_article(kind.lower())} job can't be submitted yet; command jobs can"
            )
        if not {"command", "environment"} & set(value):
            keys = ", ".join(map(str, list(value)[:5]))
            raise PydanticCustomError(
                "not-a-job", f"not a job file: it has neither command nor environment (it has: {keys})"
            )
        return without(value, job_words.READ_ONLY)

    @model_validator(mode="after")
    def _sound(self) -> CommandJob:
        raise_faults([*self._references(), *self._characters()])
        return self

    def _references(self) -> list[Fault]:
        """Find what the command refers to and the job does not declare."""
        known = {*(f"inputs.{name}" for name in self.inputs), *(f"outputs.{name}" for name in self.outputs)}
        declared = f"Declared: {', '.join(sorted(known))}." if known else "The job declares no inputs and no outputs."
        needed = _OPTIONAL.sub(lambda group: " ".join(_needed(group.group(1))), self.command)
        found = dict.fromkeys(match.group(1).strip() for match in _REFERENCE.finditer(needed))
        faults = []
        for name in found:
            if name in known:
                continue
            other = _OTHER_JOBS.get(name.partition(".")[0])
            why = f"is for a job inside a {other} job." if other else "names nothing that the job declares."
            message = f"${{{{{name}}}}} {why} {declared}"
            faults.append(Fault(at=("command",), message=message, rule="input-reference"))
        return faults

    def absent(self) -> list[str]:
        """Name the inputs of optional arguments (`$[[…]]`) that the job does not give: those arguments are left out."""
        names = dict.fromkeys(
            match.group(1).strip()
            for group in _OPTIONAL.finditer(self.command)
            for match in _REFERENCE.finditer(group.group(1))
        )
        given = {_INPUT + name for name in self.inputs} | {f"outputs.{name}" for name in self.outputs}
        return [name.removeprefix(_INPUT) for name in names if name not in given]

    def _characters(self) -> list[Fault]:
        """Find the one character that no process can be given."""
        given: dict[tuple[str, ...], object] = {("command",): self.command}
        given |= {("environment_variables", name): value for name, value in self.environment_variables.items()}
        for name, value in self.inputs.items():
            literal = isinstance(value, DataInput)
            given[("inputs", name, "value") if literal else ("inputs", name)] = (
                value.value if isinstance(value, DataInput) else value
            )
        return [
            Fault(at=at, message="holds a NUL character, which no process can be given. Remove it.", rule="nul")
            for at, value in given.items()
            if isinstance(value, str) and "\0" in value
        ]

    @property
    def target(self) -> str | None:
        """The target's name, without Azure's prefix."""
        return self.compute.removeprefix("azureml:") if self.compute else None


def _needed(optional: str) -> list[str]:
    """Return the references of an optional argument that must be declared all the same: all but plain inputs."""
    return [
        match.group(0)
        for match in _REFERENCE.finditer(optional)
        if not re.fullmatch(r"inputs\.[A-Za-z_][A-Za-z0-9_]*", match.group(1).strip())
    ]


def load_job(path: Path, shown: str | None = None) -> tuple[CommandJob, Document]:
    """Read a job file; the document goes along for messages about its fields. Raises `SpecError`."""
    document = read(path, shown)
    return check_job(document, path.parent), document


def check_job(document: Document, base: Path) -> CommandJob:
    """Validate a document as a job whose relative paths begin at `base`. Raises `SpecError` with every problem.

    `environment: file:PATH` is an environment's own file, as azure-ai-ml reads it; relative paths in it begin there.
    """
    value = document.value
    named = value.get("environment") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(named, str) or not named.startswith("file:"):
        return validate(document, CommandJob)
    shown = named.removeprefix("file://") if named.startswith("file://") else named.removeprefix("file:")
    file = base / shown
    if not file.is_file():
        message = "no such file."
        raise SpecError([document.problem(("environment",), message, given=f'"{named}"', rule="environment-file")])
    found = validate(read(file, shown), Environment)
    plain = found.model_dump(mode="json", by_alias=True, exclude_unset=True)
    there = _rebased(plain, Path(shown).parent)
    return validate(replace(document, value={**value, "environment": there}), CommandJob)


def _rebased(environment: dict[str, Tree], folder: Path) -> dict[str, Tree]:
    """Return an environment whose paths, written for another folder, begin at the job's."""
    conda, build = environment.get("conda_file"), environment.get("build")
    if isinstance(conda, str):
        environment["conda_file"] = str(folder / conda)
    if isinstance(build, dict) and isinstance(build.get("path"), str) and "://" not in str(build["path"]):
        environment["build"] = {**build, "path": str(folder / str(build["path"]))}
    return environment
