"""A command job as Azure Resource Manager takes it. Pure: from a spec and resolved ids to the body of one PUT.

Shape: azure-ai-ml 1.35.2's PUT jobs, api-version 2025-01-01-preview (recorded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from specs.base import iso8601

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.jobfile import JobFile
    from runtime.wire import Json, Object

API = "2025-01-01-preview"
TOKEN = "trainyard.token"  # noqa: S105 - the name of a property
INPUT_MODES = {
    "ro_mount": "ReadOnlyMount",
    "rw_mount": "ReadWriteMount",
    "download": "Download",
    "direct": "Direct",
    "eval_mount": "EvalMount",
    "eval_download": "EvalDownload",
}
OUTPUT_MODES = {"rw_mount": "ReadWriteMount", "upload": "Upload", "direct": "Direct"}
IDENTITIES = {
    "user_identity": "UserIdentity",
    "user": "UserIdentity",
    "UserIdentity": "UserIdentity",
    "managed": "Managed",
    "managed_identity": "Managed",
    "aml_token": "AMLToken",
    "AMLToken": "AMLToken",
}


@dataclass(frozen=True, slots=True)
class Ids:
    """What a job refers to, resolved."""

    compute: str
    environment: str
    code: str | None
    inputs: Mapping[str, str]
    """URI by name of each input that is data."""
    token: str
    experiment: str


def body(source: JobFile, ids: Ids) -> Object:
    """Build the body."""
    job = source.job
    properties: Object = {
        "jobType": "Command",
        "command": job.command,
        "codeId": ids.code,
        "environmentId": ids.environment,
        "computeId": ids.compute,
        "experimentName": ids.experiment,
        "displayName": job.display_name,
        "description": job.description,
        "tags": dict(job.tags),
        "properties": {**job.properties, TOKEN: ids.token},
        "environmentVariables": dict(job.environment_variables),
        "inputs": _inputs(source, ids),
        "outputs": _outputs(source),
        "resources": _resources(source),
        "isArchived": False,
    }
    if job.limits.timeout is not None:
        properties["limits"] = {"jobLimitsType": "Command", "timeout": iso8601(job.limits.timeout)}
    if job.identity is not None:
        who: Object = {"identityType": IDENTITIES[job.identity.type]}
        properties["identity"] = who | ({"clientId": job.identity.client_id} if job.identity.client_id else {})
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
        found[name] = entry
    return found


def _resources(source: JobFile) -> Object:
    given = source.job.resources
    entry: Object = {"instanceCount": given.instance_count, "properties": cast("Object", dict(given.properties))}
    optional = {"instanceType": given.instance_type, "shmSize": given.shm_size, "dockerArgs": given.docker_args}
    return entry | {name: value for name, value in optional.items() if value}
