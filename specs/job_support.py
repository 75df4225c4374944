"""Which kind of target does what with which field of a command job: honours it, says that it ignores it, or refuses it.

The one source of the notes and refusals at submission, and of `docs/jobs.md`. Whether a mode can be done is
`runtime/inputs.py`'s to say, as it depends on where the data is. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.job import CommandJob

Kind: TypeAlias = Literal["AmlCompute", "ComputeInstance", "VirtualMachine", "Local"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Verdict: TypeAlias = Literal["honoured", "folded", "noted", "unused"]
WORDS = {
    "honoured": "honoured",
    "folded": "folded: all processes on this one machine, said",
    "noted": "ignored, said",
    "unused": "no effect",
}
"""How a page says it."""


class Row(NamedTuple):
    """What each kind does with a field."""

    cluster: Verdict
    """AmlCompute, and serverless compute."""
    instance: Verdict
    machine: Verdict
    local: Verdict
    why: str = ""
    """Of what is ignored."""

    def of(self, kind: Kind) -> Verdict:
        """Return what one kind does."""
        return self[KINDS.index(kind)]  # type: ignore[return-value]  # the last one is no kind's


_ALL = Row("honoured", "honoured", "honoured", "honoured")
_SERVICE = Row("honoured", "honoured", "noted", "noted", "the workspace's service does it, and this machine has none")
_UNUSED = Row("honoured", "honoured", "unused", "unused")
_NOWHERE = Row("unused", "unused", "unused", "unused")
_FOLDED = Row("honoured", "folded", "folded", "folded")
_SIZE = Row("honoured", "noted", "noted", "noted", "the target has its own size")
_QUEUE = Row("honoured", "noted", "noted", "noted", "only serverless compute has such a queue")
_VIRTUAL = Row("honoured", "noted", "noted", "noted", "only virtual clusters have it")
_NEVER = Row("noted", "noted", "noted", "noted", "azure-ai-ml 1.35.2 reads it and does not send it either")
ROWS: dict[str, Row] = {
    **dict.fromkeys(("description", "properties"), _UNUSED),
    **dict.fromkeys(("$schema", "environment.$schema", "environment.inference_config"), _NOWHERE),
    **dict.fromkeys(("type", "name", "display_name", "experiment_name", "tags", "code", "command"), _ALL),
    **dict.fromkeys(("environment", "environment_variables", "compute", "limits.timeout"), _ALL),
    "parent_job_name": _SERVICE,
    **dict.fromkeys(("environment.image", "environment.conda_file", "environment.os_type"), _ALL),
    **dict.fromkeys(("environment.build.path", "environment.build.dockerfile_path"), _ALL),
    **dict.fromkeys(
        ("environment.name", "environment.version", "environment.tags", "environment.description"), _UNUSED
    ),
    "environment.datastore": _UNUSED,
    **dict.fromkeys(("inputs.*.type", "inputs.*.path", "inputs.*.value"), _ALL),
    "inputs.*.mode": _ALL,
    "inputs.*.datastore": Row("honoured", "honoured", "noted", "noted", "the data is not sent to a workspace"),
    "inputs.*.path_on_compute": _NEVER,
    "inputs.*.description": _NOWHERE,
    "outputs.*.type": _ALL,
    "outputs.*.mode": Row("honoured", "honoured", "unused", "honoured"),
    # Local: a place on this machine; of one in the cloud runtime/local_data.py says that the output stays with the run.
    "outputs.*.path": Row("honoured", "honoured", "noted", "honoured", "the output is kept with the run"),
    "outputs.*.name": Row("honoured", "honoured", "noted", "noted", "no data asset is registered from here"),
    "outputs.*.version": Row("honoured", "honoured", "noted", "noted", "no data asset is registered from here"),
    "outputs.*.description": _UNUSED,
    "resources.instance_count": _FOLDED,
    "resources.instance_type": _SIZE,
    "resources.max_instance_count": _VIRTUAL,
    "resources.locations": _VIRTUAL,
    "resources.shm_size": _ALL,
    "resources.docker_args": _ALL,
    "resources.properties": _SERVICE,
    **dict.fromkeys((f"identity.{name}" for name in ("type", "client_id", "object_id", "msi_resource_id")), _SERVICE),
    **dict.fromkeys(("distribution.type", "distribution.process_count_per_instance"), _FOLDED),
    **dict.fromkeys(("distribution.worker_count", "distribution.parameter_server_count"), _FOLDED),
    **{
        f"services.*.{name}": _SERVICE for name in ("type", "port", "nodes", "properties", "log_dir", "ssh_public_keys")
    },
    **dict.fromkeys(("queue_settings.job_tier", "queue_settings.priority"), _QUEUE),
    "retry": Row("honoured", "noted", "noted", "noted", "nothing preempts it"),
}
"""By field; `*` stands for a name that the user chose."""
SAME_AS_ABSENT = {("retry", "none"), ("queue_settings.job_tier", "null")}
"""Values that ask for nothing."""
WHOLE = ("identity", "queue_settings", "services.*")
"""Told once, not field by field."""


class Given(NamedTuple):
    """A field that a job's file gives."""

    field: str
    """As in `ROWS`."""
    name: str
    """With the names that the user chose."""
    value: object


def given(job: CommandJob) -> Iterator[Given]:
    """Yield every field that a job gives."""
    yield from _below(job, "", "")


def _below(model: BaseModel, field: str, name: str) -> Iterator[Given]:
    for key, info in type(model).model_fields.items():
        if key not in model.model_fields_set:
            continue
        value, word = getattr(model, key), info.alias or key
        at, called = f"{field}{word}", f"{name}{word}"
        if isinstance(value, BaseModel):
            yield from _below(value, f"{at}.", f"{called}.")
        elif isinstance(value, dict) and at in {"inputs", "outputs", "services"}:
            for own, item in value.items():
                if isinstance(item, BaseModel):
                    yield from _below(item, f"{at}.*.", f"{called}.{own}.")
        elif value is not None:
            yield Given(at, called, value)


def notes(job: CommandJob, kind: Kind) -> list[str]:
    """Say what a job asks for and a kind of target ignores, a sentence each."""
    found = dict[str, str]()
    for item in given(job):
        row = ROWS[item.field]
        if row.of(kind) != "noted" or (item.field, str(item.value)) in SAME_AS_ABSENT:
            continue
        depth = next((whole.count(".") + 1 for whole in WHOLE if item.field.startswith(f"{whole}.")), None)
        name = ".".join(item.name.split(".")[:depth])
        found.setdefault(name, f"{name} is ignored on this target: {row.why}")
    return list(found.values())
