"""Builds a run's folder on a node: the snapshot from blobs, inputs, the environment's plan, `job.json`.

No image is ever pulled here, so every environment is a stand-in; how true it is (`translated` from the conda file, or
`substituted` by this machine's Python) is written into the job's properties and its build log.
"""

from __future__ import annotations

import platform
import re
import shutil
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import yaml

from emulator import blobstore, durations, ml, uris
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


def build(cloud: Cloud, record: Record, run_dir: Path) -> Plan:
    """Fill the folder; safe to repeat. Raises `Refusal` saying what of the job can't be had."""
    document = cloud.state.get(record.job_id) or {}
    job = ml.obj(document.get("properties"))
    workspace = ml.workspace_of(cloud, record.job_id)
    shutil.rmtree(run_dir, ignore_errors=True)
    layout.private_dir(run_dir)
    _code(cloud, workspace, ml.text(job.get("codeId")), run_dir / layout.CODE)
    plan = environment(cloud, ml.text(job.get("environmentId")))
    inputs = _inputs(cloud, workspace, ml.obj(job.get("inputs")), run_dir)
    limit = durations.parse(ml.text(ml.obj(job.get("limits")).get("timeout")))
    described: dict[str, Json] = {
        "run_id": record.name,
        "attempt": 1,
        "experiment": ml.text(job.get("experimentName")) or "Default",
        "command": ml.text(job.get("command")),
        "code": layout.CODE,
        "inputs": inputs,
        "outputs": {name: {"path": f"named/{name}"} for name in named_outputs(job)},
        "environment_variables": dict(ml.texts(job.get("environmentVariables"))),
        "extra_env": dict(_variables(workspace, record)),
        "environment": dict(environment_plan(plan, cloud.environments)),
        "timeout_s": limit.total_seconds() if limit else None,
        "tags": dict(ml.texts(job.get("tags"))),
        "created": record.created,
    }
    layout.create(run_dir, described)
    (run_dir / layout.BUILD_LOG).write_text("".join(f"{line}\n" for line in _header(plan)), encoding="utf-8")
    return plan


def environment_plan(plan: Plan, cache: Path) -> Mapping[str, Json]:
    """Return the supervisor's word for an environment that it builds in the cache."""
    pip: list[Json] = list(plan.pip)
    return {"python": plan.python, "pip": pip, "interpreter": None, "cache": str(cache)}


def named_outputs(job: dict[str, Json]) -> list[str]:
    """Return the names of the outputs that the user declared (all but the service's own `default`)."""
    return [name for name in ml.obj(job.get("outputs")) if name != "default"]


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
    if not copy(cloud, where, prefix, folder):
        raise Refusal(400, "UserError", f"The code version '{code_id}' has no files at '{uri}'.")


def _inputs(cloud: Cloud, workspace: Workspace, inputs: dict[str, Json], run_dir: Path) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for name, raw in inputs.items():
        given = ml.obj(raw)
        if given.get("jobInputType") == "literal":
            made[name] = {"value": ml.text(given.get("value"))}
            continue
        uri, folder = ml.text(given.get("uri")), run_dir / "inputs" / name
        if given.get("mode") == "Direct":
            made[name] = {"value": uri}
            continue
        where, prefix = uris.resolve(cloud, workspace, uri)
        if not copy(cloud, where, prefix, folder):
            raise Refusal(400, "UserError", f"The input '{name}' has no files at '{uri}'.")
        single = folder / PurePosixPath(prefix).name
        is_file = given.get("jobInputType") in {"uri_file", "custom_model"} and single.is_file()
        made[name] = {"path": str(single if is_file else folder)}
    return made


def copy(cloud: Cloud, where: blobstore.Where, prefix: str, folder: Path) -> int:
    """Copy the blobs at or below a prefix into a folder; returns how many. Names that would leave it are refused."""
    found = [
        blob
        for blob in blobstore.listing(cloud, where, prefix)
        if not prefix or blob.name == prefix or blob.name.startswith(f"{prefix}/")
    ]
    for blob in found:
        name = PurePosixPath(blob.name).name if blob.name == prefix else blob.name[len(prefix) :].lstrip("/")
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise Refusal(400, "UserError", f"The blob name '{blob.name}' does not make a path.")
        target = folder.joinpath(*parts)
        layout.private_dir(target.parent)
        shutil.copyfile(blob.path, target)
    return len(found)


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
