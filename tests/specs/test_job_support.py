"""Every field of a job has its place in the table of what targets do with it, and what is ignored is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from specs.job import CommandJob
from specs.job_support import ROWS, Kind, given, notes

if TYPE_CHECKING:
    from collections.abc import Iterator


STARRED = {"inputs", "outputs", "services"}


def fields(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        here = f"{above}{info.alias or name}"
        parts = list(models(info.annotation))
        if not parts or (not above and name == "environment"):
            yield here
        for part in parts:
            yield from fields(part, f"{here}.*." if here in STARRED else f"{here}.")


def models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in get_args(annotation):
        yield from models(member)


def test_every_field_of_a_job_has_its_row() -> None:
    assert sorted(ROWS) == sorted(set(fields(CommandJob)))


def a_job() -> CommandJob:
    return CommandJob.model_validate(
        {
            "command": "run",
            "environment": {"image": "i"},
            "inputs": {
                "a": {"path": "a", "mode": "download", "datastore": "mine"},
                "b": {"path": "b", "mode": "ro_mount", "path_on_compute": "file:/x"},
                "c": 1,
            },
            "outputs": {"o": {"path": "azureml://x", "name": "set", "version": 2}, "p": None},
            "resources": {"instance_type": "Standard_D2_v2", "instance_count": 2, "shm_size": "2g", "locations": ["a"]},
            "identity": {"type": "managed", "client_id": "c"},
            "services": {"board": {"type": "tensor_board", "log_dir": "outputs"}},
            "queue_settings": {"job_tier": "spot", "priority": "low"},
            "retry": "preemption",
            "parent_job_name": "above",
        }
    )


def test_what_a_target_ignores_is_said_once_by_its_name() -> None:
    said: dict[Kind, list[str]] = {
        kind: [note.partition(" is ignored on this target: ")[0] for note in notes(a_job(), kind)]
        for kind in get_args(Kind)
    }
    sized, queue = ["resources.instance_type", "resources.locations"], ["queue_settings", "retry"]
    outputs = ["outputs.o.path", "outputs.o.name", "outputs.o.version"]
    assert said == {
        "AmlCompute": ["inputs.b.path_on_compute"],
        "ComputeInstance": ["inputs.b.path_on_compute", *sized, *queue],
        "VirtualMachine": [
            *("parent_job_name", "inputs.a.datastore", "inputs.b.path_on_compute", *outputs, *sized),
            *("identity", "services.board", *queue),
        ],
        "Local": [
            *("parent_job_name", "inputs.a.datastore", "inputs.b.path_on_compute", *outputs[1:], *sized),
            *("identity", "services.board", *queue),
        ],
    }


def test_values_that_ask_for_nothing_are_not_noted() -> None:
    job = a_job().model_copy(update={"retry": "none"})
    assert "retry is ignored on this target: nothing preempts it" in notes(a_job(), "Local")
    assert not any(note.startswith("retry ") for note in notes(job, "Local"))


def test_fields_are_named_as_in_the_file() -> None:
    assert [item.name for item in given(a_job()) if item.field.startswith("outputs")] == [
        "outputs.o.path",
        "outputs.o.name",
        "outputs.o.version",
    ]
