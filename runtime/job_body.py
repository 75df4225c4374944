"""A command job as Azure Resource Manager takes it. Pure: from a spec and resolved ids to the body of one PUT.

Shape: azure-ai-ml 1.35.2's PUT jobs, api-version 2025-01-01-preview (recorded; `_to_rest_object` of CommandJob and its
parts for what was not).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from specs.base import iso8601
from specs.job_running import SshService, TensorBoardService

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.distribution import Layout
    from runtime.jobfile import JobFile
    from runtime.wire import Json, Object
    from specs.job_parts import JobIdentity
    from specs.job_running import QueueSettings, Service

API = "2025-01-01-preview"
TOKEN = "trainyard.token"  # noqa: S105 - the name of a property
INTERPRETER = "trainyard.interpreter"
"""A job's property: the Python on the machine that its command runs with, instead of an environment that is built."""
INPUT_MODES = {
    "ro_mount": "ReadOnlyMount",
    "rw_mount": "ReadWriteMount",
    "download": "Download",
    "direct": "Direct",
    "eval_mount": "EvalMount",
    "eval_download": "EvalDownload",
}
OUTPUT_MODES = {"mount": "ReadWriteMount", "rw_mount": "ReadWriteMount", "upload": "Upload", "direct": "Direct"}
IDENTITIES = {"user_identity": "UserIdentity", "managed": "Managed", "aml_token": "AMLToken"}
SERVICES = {"ssh": "SSH", "tensor_board": "TensorBoard", "jupyter_lab": "JupyterLab", "vs_code": "VSCode"}
DISTRIBUTIONS = {"mpi": "Mpi", "pytorch": "PyTorch", "none": "PyTorch"}
"""`none` stands for a job of several nodes folded onto one: a plain command has no number of processes on the wire, and
PyTorch's distribution starts nothing but the command itself, with more variables."""
TIERS = {"spot": "Spot", "basic": "Basic", "standard": "Standard", "premium": "Premium", "null": "Null"}
PRIORITIES = {"low": 1, "medium": 2, "high": 3}


@dataclass(frozen=True, slots=True)
class Ids:
    """What a job refers to, resolved."""

    compute: str
    """ARM id; empty: the workspace's serverless compute."""
    environment: str
    code: str | None
    inputs: Mapping[str, str]
    """URI by name of each input that is data."""
    token: str
    experiment: str
    properties: Mapping[str, str] = field(default_factory=dict)
    """What we know of the job beyond its file: git's words, what is repeated. The job's own win."""


def body(source: JobFile, ids: Ids, layout: Layout | None = None) -> Object:
    """Build the body; with a `layout` that is folded, of fewer nodes than the job asks for."""
    job = source.job
    properties: Object = {
        "jobType": "Command",
        "command": job.command,
        "codeId": ids.code,
        "environmentId": ids.environment,
        "computeId": ids.compute or None,
        "experimentName": ids.experiment,
        "displayName": job.display_name,
        "description": job.description,
        "tags": dict(job.tags),
        "properties": {**ids.properties, **job.properties, TOKEN: ids.token},
        "environmentVariables": dict(job.environment_variables),
        "inputs": _inputs(source, ids),
        "outputs": _outputs(source),
        "resources": _resources(source, layout),
        "distribution": _distribution(source, layout),
        "identity": _identity(job.identity) if job.identity else None,
        "services": {name: _service(service) for name, service in job.services.items()} or None,
        "queueSettings": _queue(job.queue_settings) if job.queue_settings else None,
        "parentJobName": job.parent_job_name,
        "isArchived": False,
    }
    if job.limits.timeout is not None:
        properties["limits"] = {"jobLimitsType": "Command", "timeout": iso8601(job.limits.timeout)}
    return {"properties": {key: value for key, value in properties.items() if value is not None}}


def _inputs(source: JobFile, ids: Ids) -> Object:
    found: Object = {name: {"jobInputType": "literal", "value": value} for name, value in source.literals.items()}
    for name, given in source.data.items():
        entry: Object = {"jobInputType": given.type, "uri": ids.inputs[name]}
        found[name] = entry | ({"mode": INPUT_MODES[given.mode]} if given.mode in INPUT_MODES else {})
    return found


def _outputs(source: JobFile) -> Object:
    found = dict[str, "Json"]()
    for name, given in source.job.outputs.items():
        entry: Object = {"jobOutputType": given.type if given else "uri_folder", "mode": "ReadWriteMount"}
        if given and given.mode:
            entry["mode"] = OUTPUT_MODES[given.mode]
        if given and given.path:
            entry["uri"] = given.path
        if given and given.name:
            entry |= {"assetName": given.name} | ({"assetVersion": given.version} if given.version else {})
        if given and given.description:
            entry["description"] = given.description
        found[name] = entry
    return found


def _resources(source: JobFile, layout: Layout | None) -> Object:
    given = source.job.resources
    nodes = layout.nodes if layout else given.instance_count
    optional: dict[str, object] = {
        "instanceType": given.instance_type,
        "shmSize": given.shm_size,
        "dockerArgsList" if isinstance(given.docker_args, list) else "dockerArgs": given.docker_args,
        "locations": given.locations,
        "maxInstanceCount": given.max_instance_count,
    }
    entry: Object = {"instanceCount": nodes, "properties": cast("Object", dict(given.properties))}
    return entry | cast("Object", {name: value for name, value in optional.items() if value})


def _distribution(source: JobFile, layout: Layout | None) -> Object | None:
    given = source.job.distribution
    if layout is not None and layout.folded_from is not None and layout.kind != "tensorflow":
        return {"distributionType": DISTRIBUTIONS[layout.kind], "processCountPerInstance": layout.processes}
    if given is None:
        return None
    if given.type == "tensorflow":
        # A worker on each node is the default; of the nodes that the job asks for, not of those that stand for them.
        workers = layout.workers if layout else given.worker_count
        entry: Object = {"distributionType": "TensorFlow", "parameterServerCount": given.parameter_server_count}
        return entry | ({"workerCount": workers} if workers is not None else {})
    return {
        "distributionType": DISTRIBUTIONS[given.type],
        "processCountPerInstance": given.process_count_per_instance,
    }


def _identity(given: JobIdentity) -> Object:
    entry: Object = {"identityType": IDENTITIES[given.type]}
    optional = {"clientId": given.client_id, "objectId": given.object_id, "resourceId": given.msi_resource_id}
    return entry | {name: value for name, value in optional.items() if value}


def _service(given: Service) -> Object:
    own: dict[str, str] = dict(given.properties)
    if isinstance(given, SshService) and given.ssh_public_keys:
        own["sshPublicKeys"] = given.ssh_public_keys
    if isinstance(given, TensorBoardService) and given.log_dir:
        own["logDir"] = given.log_dir
    entry: Object = {"jobServiceType": SERVICES[given.type]}
    if own:
        entry["properties"] = dict(own)
    if given.nodes:
        entry["nodes"] = {"nodesValueType": "All"}
    return entry | ({"port": given.port} if given.port else {})


def _queue(given: QueueSettings) -> Object:
    entry: Object = {"jobTier": TIERS[given.job_tier]} if given.job_tier else {}
    return entry | ({"priority": PRIORITIES[given.priority]} if given.priority else {})
