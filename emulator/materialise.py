"""Builds a run's folder on its nodes: the snapshot from blobs, inputs, the environment's plan, `job.json`.

No image is ever pulled here, so every environment is a stand-in; how true it is (`translated` from the conda file, or
`substituted` by this machine's Python) is written into the job's properties and its build log.
"""

from __future__ import annotations

import platform
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from emulator import collect, distributions, durations, inputs, ml, nodeproc, outputs, uris
from emulator.routing import Refusal
from node import conda, layout
from node.environments import EnvironmentRefused, find_python

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.ml import Workspace
    from emulator.routing import Json

REGISTRY = "azureml://registries/"
PIN = re.compile(r"[=<>!~ ].*")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the node shall build in place of the image, and how true that is."""

    fidelity: str
    python: str | None = None
    pip: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build(cloud: Cloud, record: Record) -> Plan:
    """Fill the run's folder on each of its nodes; safe to repeat while nothing runs in them.

    Raises: `Refusal` saying what of the job can't be had, OSError.
    """
    job = ml.obj((cloud.state.get(record.job_id) or {}).get("properties"))
    workspace = ml.workspace_of(cloud, record.job_id)
    for run_dir in record.dirs:
        shutil.rmtree(run_dir, ignore_errors=True)
        layout.private_dir(run_dir)
        _code(cloud, workspace, ml.text(job.get("codeId")), run_dir / layout.CODE)
    plan = environment(cloud, ml.text(job.get("environmentId")))
    outputs.place(cloud, workspace, job, record.dirs)
    collect.remember(cloud, record)
    parts = zip(
        record.dirs,
        inputs.place(cloud, workspace, ml.obj(job.get("inputs")), record.dirs),
        distributions.describe(ml.obj(job.get("distribution")), record.dirs),
        strict=True,
    )
    common = {**_common(job, record), "environment": dict(environment_plan(plan, cloud.environments))}
    for run_dir, given, distribution in parts:
        named = outputs.texts(job, run_dir)
        described: dict[str, Json] = {
            **common,
            "command": outputs.aliased(ml.text(job.get("command")), named),
            "inputs": {**given, **outputs.aliases(named)},
            "extra_env": {**_variables(workspace, record), **outputs.variables(named)},
            "distribution": distribution,
        }
        layout.create(run_dir, described)
        holders = "".join(f"{folder / layout.LOCK}\n" for folder in record.led)
        (run_dir / nodeproc.HOLDERS).write_text(holders, encoding="utf-8")
        (run_dir / layout.BUILD_LOG).write_text("".join(f"{line}\n" for line in _header(plan)), encoding="utf-8")
    return plan


def _common(job: dict[str, Json], record: Record) -> dict[str, Json]:
    """Return what every node is told alike."""
    limit = durations.parse(ml.text(ml.obj(job.get("limits")).get("timeout")))
    return {
        "run_id": record.name,
        "attempt": 1,
        "experiment": ml.text(job.get("experimentName")) or "Default",
        "code": layout.CODE,
        "outputs": outputs.folders(job),
        "environment_variables": dict(ml.texts(job.get("environmentVariables"))),
        "timeout_s": limit.total_seconds() if limit else None,
        "tags": dict(ml.texts(job.get("tags"))),
        "created": record.created,
    }


def environment_plan(plan: Plan, cache: Path) -> Mapping[str, Json]:
    """Return the supervisor's word for an environment that it builds in the cache."""
    pip: list[Json] = list(plan.pip)
    return {"python": plan.python, "pip": pip, "interpreter": None, "cache": str(cache)}


def environment(cloud: Cloud, environment_id: str) -> Plan:
    """Return what stands in for an environment. Raises `Refusal` when its conda file is no YAML."""
    if environment_id.lower().startswith(REGISTRY):
        return _substituted(environment_id)
    document = cloud.state.get(environment_id) or {}
    properties = ml.obj(document.get("properties"))
    image = ml.text(properties.get("image")) or "its own Docker build"
    if not (text := ml.text(properties.get("condaFile"))):
        return _substituted(image)
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refusal(400, "ImageBuildFailure", f"The conda file is not YAML: {error}") from error
    if not isinstance(parsed, dict):
        raise Refusal(400, "ImageBuildFailure", "The conda file is not a mapping with `dependencies`.")
    try:
        translated = conda.translate(parsed)
    except ValueError as error:
        raise Refusal(400, "ImageBuildFailure", f"The conda file can't be read: {error}") from error
    notes = [f"the image {image} is not pulled: a virtual environment on this machine stands in", *translated.notes]
    notes += [f"left out: {refused}" for refused in translated.refused]
    return Plan("translated", translated.python, list(translated.pip), notes)


def _substituted(image: str) -> Plan:
    """Return the stand-in for an image: the table's pip list for it, else a bare Python.

    Where this machine lacks the Python that the image's old versions need, today's versions stand in.
    """
    if (known := conda.substitute(image)) is not None:
        try:
            find_python(known.python)
        except EnvironmentRefused:
            pip = [PIN.sub("", item) for item in known.pip]
            note = f"newest versions, by this machine's Python: it has no Python {known.python} for the image's own"
            return Plan("substituted", None, pip, [*known.notes, note])
        return Plan("substituted", known.python, list(known.pip), list(known.notes))
    return Plan("substituted", notes=[f"{image} can't be pulled here and has no conda file: nothing is installed"])


def _header(plan: Plan) -> list[str]:
    python = plan.python or platform.python_version()
    lines = [f"Trainyard emulator: this environment is {plan.fidelity}, not the image that Azure would pull."]
    lines += [f"  {note}" for note in plan.notes]
    return [*lines, f"  Python {python}; pip: {', '.join(plan.pip) or '(nothing)'}"]


def _code(cloud: Cloud, workspace: Workspace, code_id: str, folder: Path) -> None:
    layout.private_dir(folder)
    if not code_id:
        return
    document = cloud.state.get(code_id)
    if document is None:
        raise Refusal(400, "UserError", f"The code version '{code_id}' was not found.")
    uri = ml.text(ml.obj(document["properties"]).get("codeUri"))
    where, prefix = uris.resolve(cloud, workspace, uri)
    if not inputs.copy(cloud, where, prefix, folder):
        raise Refusal(400, "UserError", f"The code version '{code_id}' has no files at '{uri}'.")


def _variables(workspace: Workspace, record: Record) -> dict[str, str]:
    """Return what Azure sets for every job, beside what the supervisor sets."""
    parts = workspace.id.split("/")
    return {
        "AZUREML_ARM_SUBSCRIPTION": parts[2],
        "AZUREML_ARM_RESOURCEGROUP": parts[4],
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
        "AZUREML_WORKSPACE_ID": workspace.guid,
        "AZUREML_NODE_COUNT": str(record.nodes_wanted),
    }
