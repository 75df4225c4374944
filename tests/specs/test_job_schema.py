"""Every field of azure-ai-ml's command job schema is taken, dropped as the service's own, or refused with a reason.

The list of fields is kept in a file, so that the quick test needs no SDK; a slower one holds it against the SDK.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from specs.job import CommandJob
from specs.loader import Document, validate
from specs.problems import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.loader import Tree

FIELDS = Path(__file__).with_name("cli_v2_command_job.txt")
SAMPLES: dict[str, Tree] = {
    "command": "true",
    "environment": "azureml:base:1",
    "type": "command",
    "compute": "azureml:cpu-cluster",
    "code": "src",
    "environment_variables": {"A": "b"},
    "tags": {"a": "b"},
    "properties": {"a": "b"},
    "creation_context.created_at": "2026-01-01",
    "distribution.type": "pytorch",
    "distribution.worker_count": 2,
    "distribution.parameter_server_count": 1,
    "distribution.process_count_per_instance": 2,
    "environment.build.path": "context",
    "environment.build.dockerfile_path": "Dockerfile",
    "environment.conda_file": {"dependencies": ["pip"]},
    "environment.inference_config": {"scoring_route": {"port": 1, "path": "/"}},
    "environment.os_type": "linux",
    "environment.tags": {"a": "b"},
    "identity.type": "user_identity",
    "inputs.*.type": "uri_file",
    "inputs.*.mode": "download",
    "inputs.*.value": 1,
    "limits.timeout": 60,
    "log_files": {"a": "b"},
    "outputs.*.type": "uri_file",
    "outputs.*.mode": "upload",
    "parameters": {"a": "b"},
    "queue_settings.job_tier": "spot",
    "queue_settings.priority": "low",
    "resources.instance_count": 2,
    "resources.max_instance_count": 2,
    "resources.locations": ["westeurope"],
    "resources.docker_args": ["--ipc", "host"],
    "resources.properties": {"a": "b"},
    "resources.shm_size": "2g",
    "services.*.type": "ssh",
    "services.*.port": 2222,
    "services.*.nodes": "all",
    "services.*.properties": {"a": "b"},
}
"""A value where `x` won't do."""
BESIDE: dict[str, dict[str, Tree]] = {
    "distribution.worker_count": {"distribution": {"type": "tensorflow"}},
    "distribution.parameter_server_count": {"distribution": {"type": "tensorflow"}},
    "distribution.process_count_per_instance": {"distribution": {"type": "mpi"}},
    **{
        f"distribution.{name}": {"distribution": {"type": "ray"}}
        for name in (
            *("address", "port", "dashboard_port", "include_dashboard"),
            *("head_node_additional_args", "worker_node_additional_args"),
        )
    },
    "services.*.log_dir": {"services": {"a": {"type": "tensor_board"}}},
    "identity": {"identity": {"type": "managed"}},
    "services": {"services": {"a": {"type": "ssh"}}},
    "environment": {"environment": {}},
    "environment.build.dockerfile_path": {"environment": {"build": {"path": "context"}}},
}
"""What a field can't stand without, by its own name or its parent's."""


def listed() -> list[tuple[str, str]]:
    lines = FIELDS.read_text("utf-8").splitlines()
    return [(name, verdict) for name, _, verdict in (line.partition(" ") for line in lines) if name]


def put(document: dict[str, Tree], field: str, value: Tree) -> None:
    here: dict[str, Tree] = document
    *above, last = field.replace("*", "a").split(".")
    for part in above:
        below = here.get(part)
        if not isinstance(below, dict):
            below = here[part] = {}
        here = below
    here[last] = value


def job_with(field: str) -> dict[str, Tree]:
    document: dict[str, Tree] = {"command": "true", "environment": "azureml:base:1"}
    parents = [name for name in BESIDE if field == name or field.startswith(f"{name}.")]
    if parents and "." in field:
        document |= copy.deepcopy(BESIDE[max(parents, key=len)])
    put(document, field, SAMPLES.get(field, "x"))
    return document


@pytest.mark.parametrize(("field", "verdict"), listed())
def test_a_field_of_azures_schema_is_taken_dropped_or_refused_with_a_reason(field: str, verdict: str) -> None:
    document = job_with(field)
    try:
        job = validate(Document("job.yml", document, {}), CommandJob)
    except SpecError as error:
        said = [problem.message for problem in error.problems]
        assert (verdict, [message for message in said if "no such field" in message]) == ("refused", []), said
        return
    path = field.replace("*", "a").split(".")
    found: object = job.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    assert ("taken" if found is not None else "dropped") == verdict


@pytest.mark.clients
def test_the_list_of_fields_is_azure_ai_mls_own() -> None:
    assert sorted(dict(listed())) == sorted(set(_fields_of_azure()))


def _fields_of_azure() -> Iterator[str]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, about their own dependencies
        from azure.ai.ml._schema.job.command_job import CommandJobSchema

        yield from _walk(CommandJobSchema(context={"base_path": Path()}), "")


def _walk(schema: object, above: str) -> Iterator[str]:
    for name, field in schema.fields.items():  # type: ignore[attr-defined]  # marshmallow has no types here
        here = f"{above}{field.data_key or name}"
        below = list(_schemas(field))
        if not below or any(type(member).__name__ in {"String", "ArmVersionedStr"} for member in _members(field)):
            yield here
        for star, inner in below:
            yield from _walk(inner, f"{here}.{star}")


def _members(field: object) -> list[object]:
    return list(getattr(field, "_union_fields", []))


def _schemas(field: object) -> Iterator[tuple[str, object]]:
    """Yield the schemas of the mappings that may stand in a field, and the step of a name that users choose."""
    from marshmallow import fields

    if isinstance(field, fields.Nested):
        yield "", field.schema
    inner = getattr(field, "_experimental_field", None)
    for member in [*_members(field), *([inner] if inner is not None else [])]:
        yield from _schemas(member)
    if isinstance(field, fields.Dict) and field.value_field is not None:
        for _, schema in _schemas(field.value_field):
            yield "*.", schema
