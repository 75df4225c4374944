"""What the service checks before it accepts a command job. Every refusal names the property.

Rules of the job's own schema (CommandJob, api-version 2025-01-01-preview) and of the service limits page: run id up to
256 characters, no job outlives its cluster's maximum of nodes. Kinds of jobs that are not played are a 501, by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, cast

from emulator import distributions, durations, environments, materialise, ml, pools, serverless
from emulator import outputs as output_modes
from emulator.routing import Refusal
from node import command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Json

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")
KINDS = ("AutoML", "Command", "FineTuning", "Labeling", "Pipeline", "Spark", "Sweep")
FIXED = (
    "jobType",
    "command",
    "codeId",
    "environmentId",
    "computeId",
    "experimentName",
    "environmentVariables",
    "resources",
    "distribution",
    "limits",
    "inputs",
    "outputs",
    "identity",
    "queueSettings",
)
"""What makes a job the same job."""
MUTABLE = ("description", "displayName", "tags", "isArchived")
INPUTS = ("literal", "uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
OUTPUTS = ("uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
INPUT_MODES = ("ReadOnlyMount", "ReadWriteMount", "Download", "Direct", "EvalMount", "EvalDownload")
CLUSTER = "AmlCompute"
MOST_TAGS, LONGEST_NAME = 50, 256


def refuse(text: str, code: str = "UserError") -> Refusal:
    """Return the 400 of a job that can't be accepted."""
    return Refusal(400, code, text)


def check(cloud: Cloud, workspace: Workspace, name: str, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the properties as they are kept: references resolved, defaults in. Raises `Refusal` 400 or 501."""
    if not NAME.fullmatch(name):
        raise refuse(
            f"The job name '{name}' is invalid: 1 to 255 letters, digits, '-' and '_', the first a letter or digit."
        )
    sort = ml.text(given.get("jobType"))
    if sort not in KINDS:
        raise refuse(f"jobType '{sort}' is not one of {', '.join(KINDS)}.")
    if sort != "Command":
        raise Refusal(501, "NotImplemented", f"jobType '{sort}' is not played by this emulator: only Command.")
    _texts(given)
    kept = {key: value for key, value in given.items() if value is not None and key not in {"status", "services"}}
    _resources(given)
    if serverless.wanted(ml.text(given.get("computeId"))):
        _not_local(given)
        serverless.pool(cloud, workspace, name, given)
    else:
        compute = _compute(cloud, workspace, ml.text(given.get("computeId")))
        kept["computeId"] = ml.text(compute["id"])
        _fits(given, compute)
    if ml.text(given.get("codeId")):
        kept["codeId"] = _code(cloud, ml.text(given["codeId"]))
    kept["environmentId"] = _environment(cloud, workspace, ml.text(given.get("environmentId")))
    _limits(ml.obj(given.get("limits")))
    _bindings(given)
    kept.setdefault("experimentName", "Default")
    kept.setdefault("displayName", name)
    defaults: dict[str, Json] = {"isArchived": False, "tags": {}, "properties": {}, "identity": None, "inputs": {}}
    return defaults | kept


def _texts(given: Mapping[str, Json]) -> None:
    if not ml.text(given.get("command")).strip():
        raise refuse("The property 'command' is required.")
    for name in ("experimentName", "displayName"):
        if len(ml.text(given.get(name))) > LONGEST_NAME:
            raise refuse(f"The property '{name}' is longer than {LONGEST_NAME} characters.")
    if len(ml.obj(given.get("tags"))) > MOST_TAGS:
        raise refuse(f"A job has at most {MOST_TAGS} tags.")
    for name, value in ml.obj(given.get("environmentVariables")).items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not isinstance(value, str):
            raise refuse(f"environmentVariables: '{name}' must be a variable's name with a text.")


def _compute(cloud: Cloud, workspace: Workspace, id_: str) -> dict[str, Json]:
    document = cloud.state.get(id_)
    if document is None or not id_.lower().startswith(f"{workspace.id.lower()}/computes/"):
        raise refuse(
            f"Compute with name {id_.rpartition('/')[2]} not found in workspace {workspace.name}.", "ComputeNotFound"
        )
    properties = ml.obj(document["properties"])
    if properties.get("computeType") not in {CLUSTER, pools.INSTANCE}:
        sort = properties.get("computeType")
        text = f"Jobs on a compute of type '{sort}' are not played by this emulator: only {CLUSTER}, {pools.INSTANCE}."
        raise Refusal(501, "NotImplemented", text)
    state = ml.text(properties.get("provisioningState"))
    if state != "Succeeded":
        raise refuse(
            f"The compute '{document['name']}' is not ready: its provisioning state is {state}.", "ComputeNotReady"
        )
    return document


def _code(cloud: Cloud, id_: str) -> str:
    document = cloud.state.get(id_)
    if document is None or "/codes/" not in id_:
        raise refuse(f"The code version '{id_}' was not found.", "CodeNotFound")
    return ml.text(document["id"])


def _environment(cloud: Cloud, workspace: Workspace, id_: str) -> str:
    if not id_:
        raise refuse("The property 'environmentId' is required.")
    if id_.lower().startswith(materialise.REGISTRY):
        return id_
    found = environments.resolve(cloud, workspace, id_)
    if found is None:
        raise refuse(f"The environment '{id_}' was not found.", "EnvironmentNotFound")
    return found


def _resources(given: Mapping[str, Json]) -> None:
    count = ml.obj(given.get("resources")).get("instanceCount") or 1
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise refuse(f"resources.instanceCount '{count}' must be a whole number from 1.")
    distributions.check(ml.obj(given.get("distribution")), count)
    tier = ml.obj(given.get("queueSettings")).get("jobTier")
    if tier is not None and tier not in serverless.TIERS:
        raise refuse(f"queueSettings.jobTier '{tier}' is not one of {', '.join(serverless.TIERS)}.")


def _not_local(given: Mapping[str, Json]) -> None:
    """Refuse what azure-ai-ml sends for `compute: local`, which has no compute either: a job for its own machine."""
    if "IsLocal" in ml.obj(ml.obj(given.get("resources")).get("properties")):
        raise Refusal(501, "NotImplemented", "Jobs with `compute: local` are not played by this emulator.")


def _fits(given: Mapping[str, Json], compute: Mapping[str, Json]) -> None:
    """Refuse more nodes than the compute can have. Raises `Refusal` 400."""
    count = cast("int", ml.obj(given.get("resources")).get("instanceCount") or 1)
    properties = ml.obj(compute["properties"])
    if properties.get("computeType") == pools.INSTANCE and count > 1:
        text = f"The job asks for {count} nodes, and the compute instance '{compute['name']}' is one machine."
        raise refuse(f"{text} Distributed training over several nodes needs a cluster.", "NodeCountExceeded")
    most = ml.obj(ml.obj(properties.get("properties")).get("scaleSettings")).get("maxNodeCount") or 0
    if properties.get("computeType") == CLUSTER and isinstance(most, int) and count > most:
        text = f"The job asks for {count} nodes, more than the maximum of {most} of the compute '{compute['name']}'."
        raise refuse(text, "NodeCountExceeded")


def _limits(limits: Mapping[str, Json]) -> None:
    timeout = limits.get("timeout")
    if timeout is None:
        return
    parsed = durations.parse(ml.text(timeout))
    if parsed is None or not parsed:
        raise refuse(f"limits.timeout '{timeout}' is not an ISO 8601 duration above zero, such as PT10M.")


def _bindings(given: Mapping[str, Json]) -> None:
    inputs, outputs = ml.obj(given.get("inputs")), ml.obj(given.get("outputs"))
    for name, raw in inputs.items():
        entry = ml.obj(raw)
        if entry.get("jobInputType") not in INPUTS:
            raise refuse(
                f"inputs.{name}: jobInputType '{entry.get('jobInputType')}' is not one of {', '.join(INPUTS)}."
            )
        if entry.get("jobInputType") != "literal" and not ml.text(entry.get("uri")):
            raise refuse(f"inputs.{name}: the property 'uri' is required.")
        if entry.get("mode") is not None and entry["mode"] not in INPUT_MODES:
            raise refuse(f"inputs.{name}: mode '{entry['mode']}' is not one of {', '.join(INPUT_MODES)}.")
    for name, raw in outputs.items():
        if ml.obj(raw).get("jobOutputType") not in OUTPUTS:
            raise refuse(f"outputs.{name}: jobOutputType must be one of {', '.join(OUTPUTS)}.")
        if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", name) is None:
            raise refuse(f"outputs.{name} is not a name for an output.")
        output_modes.check(name, ml.obj(raw))
    try:
        command.render(ml.text(given["command"]), dict.fromkeys(inputs, "x"), dict.fromkeys(outputs, "x"))
    except ValueError as error:
        raise refuse(f"The command can't be rendered: {error}.") from error


def fingerprint(properties: Mapping[str, Json]) -> str:
    """Return what must be equal for the same name to be the same job."""
    outputs = {name: value for name, value in ml.obj(properties.get("outputs")).items() if name != "default"}
    fixed = {name: properties.get(name) for name in FIXED} | {"outputs": _bare(outputs)}
    return hashlib.sha256(json.dumps(_bare(fixed), sort_keys=True).encode()).hexdigest()


def _bare(value: Json) -> Json:
    """Drop what is null or empty, and `uri` of outputs that the service filled in: echoing a GET is no change."""
    if isinstance(value, dict):
        return {name: bare for name, member in value.items() if (bare := _bare(member)) not in (None, {}, [], "")}
    return value
