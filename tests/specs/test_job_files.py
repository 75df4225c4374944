"""What a job file may say, beyond its fields' types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from specs.job import load_job
from specs.problems import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from specs.job import CommandJob

HEAD = "environment: azureml:base:1\n"
XY = "inputs:\n  x: 1\n  y:\n    path: data\noutputs:\n  model:\n"


def load(folder: Path, text: str) -> CommandJob:
    path = folder / "job.yml"
    path.write_text(HEAD + text)
    return load_job(path, "job.yml")[0]


def refused(folder: Path, text: str) -> list[tuple[int, str, str, str]]:
    with pytest.raises(SpecError) as raised:
        load(folder, text)
    return [(problem.line, problem.field, problem.rule, problem.message) for problem in raised.value.problems]


@pytest.mark.parametrize(
    "command",
    [
        "python train.py --x ${{inputs.x}} --y ${{ inputs.y }} --to ${{outputs.model}}",
        "python train.py $[[--x ${{inputs.x}}]]",
        "echo ${HOME} $HOME {{inputs.z}} ${{inputs.x}}",
        "python train.py",
    ],
)
def test_a_command_refers_to_what_the_job_declares(tmp_path: Path, command: str) -> None:
    assert load(tmp_path, f"{XY}command: '{command}'\n").command == command


@pytest.mark.parametrize("name", ["inputs.z", "input.x", "outputs.x", "inputs.model", "x", "inputs", "inputs.x.y", ""])
@pytest.mark.parametrize("around", ["run {}", "run $[[ --z {} ]]", "run '{}' ${{{{inputs.x}}}}"])
def test_a_reference_to_nothing_is_refused_with_what_is_declared(tmp_path: Path, name: str, around: str) -> None:
    reference = "${{" + name + "}}"
    declared = "Declared: inputs.x, inputs.y, outputs.model."
    message = f"{reference} names nothing that the job declares. {declared}"
    command = around.format(reference)
    assert refused(tmp_path, f'command: "{command}"\n{XY}') == [(2, "command", "input-reference", message)]


def test_references_of_other_jobs_are_named_as_such_and_each_is_told_once(tmp_path: Path) -> None:
    command = "run ${{parent.inputs.x}} ${{search_space.lr}} ${{parent.inputs.x}}"
    none = "The job declares no inputs and no outputs."
    assert [message for *_, message in refused(tmp_path, f"command: {command}\n")] == [
        f"${{{{parent.inputs.x}}}} is for a job inside a pipeline job. {none}",
        f"${{{{search_space.lr}}}} is for a job inside a sweep job. {none}",
    ]


@pytest.mark.parametrize("value", ["1", "600", "PT1S", "PT2H", "P1D"])
def test_a_timeout_of_a_second_or_more_is_taken(tmp_path: Path, value: str) -> None:
    assert load(tmp_path, f"command: run\nlimits:\n  timeout: {value}\n").limits.timeout is not None


@pytest.mark.parametrize("value", ["0", "-5", "PT0S", "P0D", "99999999999999999999", "P99999999999999D", "1000000001"])
def test_a_timeout_below_a_second_or_beyond_reason_is_refused(tmp_path: Path, value: str) -> None:
    found = refused(tmp_path, f"command: run\nlimits:\n  timeout: {value}\n")
    message = "a duration is at least 1 second and at most 1000000000 seconds."
    assert found == [(4, "limits.timeout", "duration-range", message)]


def test_a_timeout_that_is_no_duration_says_how_to_write_one(tmp_path: Path) -> None:
    ((_, field, rule, message),) = refused(tmp_path, "command: run\nlimits:\n  timeout: soon\n")
    assert (field, rule) == ("limits.timeout", "duration")
    assert message == "a duration is a number of seconds (120) or ISO 8601 (PT2M)."


def test_nul_is_refused_where_a_process_would_be_given_it(tmp_path: Path) -> None:
    text = (
        'command: "a\\0b"\n'
        "inputs:\n"
        '  x: "a\\0b"\n'
        '  y:\n    type: string\n    value: "\\0"\n'
        "environment_variables:\n"
        '  Z: "\\0"\n'
    )
    assert [(line, field, rule) for line, field, rule, _ in refused(tmp_path, text)] == [
        (2, "command", "nul"),
        (4, "inputs.x", "nul"),
        (7, "inputs.y.value", "nul"),
        (9, "environment_variables.Z", "nul"),
    ]
