"""What a job file may say, beyond its fields' types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from specs.job import MpiDistribution, PyTorchDistribution, TensorFlowDistribution, load_job
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


UNKNOWN = ["input.x", "outputs.x", "x", "inputs", "inputs.x.y", ""]


@pytest.mark.parametrize(
    ("around", "name"),
    [
        *((around, name) for around in ("run {}", "run '{}' ${{{{inputs.x}}}}") for name in ("inputs.z", *UNKNOWN)),
        ("run {}", "inputs.model"),
        *(("run $[[ --z {} ]]", name) for name in UNKNOWN),
    ],
)
def test_a_reference_to_nothing_is_refused_with_what_is_declared(tmp_path: Path, around: str, name: str) -> None:
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


def test_an_optional_argument_may_name_an_input_that_the_job_does_not_give(tmp_path: Path) -> None:
    command = "run $[[--z ${{inputs.z}} --x ${{inputs.x}}]] $[[ --w ${{ inputs.w }} ]]"
    assert load(tmp_path, f"{XY}command: '{command}'\n").absent() == ["z", "w"]


def test_the_older_single_braces_are_read_as_azures_client_reads_them(tmp_path: Path) -> None:
    command = "run {inputs.x} ${inputs.x} {outputs.model} ${{inputs.y}} awk {print}"
    expected = "run ${{inputs.x}} $${{inputs.x}} ${{outputs.model}} ${{inputs.y}} awk {print}"
    assert load(tmp_path, f"{XY}command: '{command}'\n").command == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: mpi", MpiDistribution(type="mpi", process_count_per_instance=1)),
        ("type: MPI\n  process_count_per_instance: 4", MpiDistribution(process_count_per_instance=4)),
        ("type: PyTorch\n  process_count_per_instance: '2'", PyTorchDistribution(process_count_per_instance=2)),
        ("type: tensorflow", TensorFlowDistribution(worker_count=None, parameter_server_count=0)),
        (
            "type: TensorFlow\n  worker_count: 3\n  parameter_server_count: 1",
            TensorFlowDistribution(worker_count=3, parameter_server_count=1),
        ),
    ],
)
def test_a_distribution_is_read_in_any_case(tmp_path: Path, text: str, expected: object) -> None:
    assert load(tmp_path, f"command: run\ndistribution:\n  {text}\n").distribution == expected


RAY = (
    "ray is a distribution of Azure's v2 schema (experimental there) that no target here honours. "
    "Start ray by the job's own command, or choose mpi, pytorch or tensorflow."
)
SWEEP = "is a field of a sweep job, not of a command job. Delete it."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("distribution:\n  type: ray\n  port: 1", (4, "distribution.type", "distribution-ray", RAY)),
        (
            "distribution:\n  type: pytroch",
            (
                *(4, "distribution.type", "unknown-kind"),
                "no such kind. Allowed: mpi, pytorch, tensorflow. Did you mean pytorch?",
            ),
        ),
        (
            "distribution:\n  type: mpi\n  worker_count: 2",
            (
                *(5, "distribution.worker_count", "unknown-field"),
                "is a field of tensorflow only. Delete it. Allowed here: process_count_per_instance, type.",
            ),
        ),
        (
            "distribution:\n  type: mpi\n  process_count_per_instance: 0",
            (
                *(5, "distribution.process_count_per_instance", "range"),
                "must be a whole number, 1 or more.",
            ),
        ),
        ("evironment_variables:\n  A: b", (3, "evironment_variables", "unknown-field", None)),
        ("search_space:\n  lr: 1", (3, "search_space", "unknown-field", SWEEP)),
        (
            "jobs:\n  a: {}",
            (3, "jobs", "unknown-field", "is a field of a pipeline job, not of a command job. Delete it."),
        ),
        (
            "py_files: [a]",
            (3, "py_files", "unknown-field", "is a field of a spark job, not of a command job. Delete it."),
        ),
        (
            "instance_count: 2",
            (3, "instance_count", "unknown-field", "stands inside resources: resources: {instance_count: …}."),
        ),
        (
            "node_count: 2",
            (
                3,
                "node_count",
                "unknown-field",
                "no such field. Here it is called resources (the v1 SDK says node_count).",
            ),
        ),
        (
            "limits:\n  max_total_trials: 3",
            (
                *(4, "limits.max_total_trials", "unknown-field"),
                "is a limit of a sweep job, not of a command job. Delete it.",
            ),
        ),
        (
            "inputs:\n  a:\n    type: uri_file\n    default: x",
            (
                *(6, "inputs.a.default", "unknown-field"),
                "is a field of a component's input, which waits for its value. Give a job's input its value.",
            ),
        ),
        (
            "resources:\n  shm_size: 2 GB",
            (4, "resources.shm_size", "shm-size", "must be a number and a unit: 512m, 2g."),
        ),
        (
            "services:\n  board:\n    type: ssh\n    log_dir: outputs",
            (
                *(6, "services.board.log_dir", "unknown-field"),
                "is a field of tensor_board only. Delete it. "
                "Allowed here: nodes, port, properties, ssh_public_keys, type.",
            ),
        ),
        ("queue_settings:\n  job_tier: sport", (4, "queue_settings.job_tier", "choice", None)),
        ("retry: always", (3, "retry", "choice", "Allowed: preemption, none.")),
    ],
)
def test_a_wrong_field_is_a_typo_or_is_said_to_be_anothers(
    tmp_path: Path, text: str, expected: tuple[int, str, str, str | None]
) -> None:
    ((line, field, rule, message),) = refused(tmp_path, f"command: run\n{text}\n")
    typo = {
        "evironment_variables": "no such field. Did you mean environment_variables?",
        "queue_settings.job_tier": "Allowed: spot, basic, standard, premium, null. Did you mean spot?",
    }
    assert (line, field, rule, message) == (*expected[:3], expected[3] or typo[field])


def test_a_job_as_the_service_shows_it_can_be_submitted_again(tmp_path: Path) -> None:
    text = (
        "command: run\ntype: Command\nid: azureml:/subscriptions/x\nstatus: Completed\nlog_files: {a: b}\n"
        "creation_context: {created_at: now}\nparameters: {}\ntags:\n  empty:\n  on: true\n"
        "services:\n  Studio: {type: Studio, endpoint: https://ml.azure.com}\n"
        "  board: {type: Tensor_Board, status: Running, log_dir: outputs}\n"
        "identity:\n  type: UserIdentity\nqueue_settings:\n  job_tier: Spot\n  priority: HIGH\n"
        "inputs:\n  type: {type: URI_FILE, path: 'file:a.csv', mode: RO_MOUNT}\n"
        "outputs:\n  o: {mode: mount, type: MLTABLE}\n"
    )
    job = load(tmp_path, text)
    assert job.model_dump(mode="json", exclude_unset=True) == {
        "command": "run",
        "type": "command",
        "environment": "azureml:base:1",
        "tags": {"empty": "", "on": "true"},
        "services": {"board": {"type": "tensor_board", "log_dir": "outputs"}},
        "identity": {"type": "user_identity"},
        "queue_settings": {"job_tier": "spot", "priority": "high"},
        "inputs": {"type": {"type": "uri_file", "path": "a.csv", "mode": "ro_mount"}},
        "outputs": {"o": {"mode": "mount", "type": "mltable"}},
    }


def test_the_environments_own_file_is_read_and_its_paths_begin_there(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/base.yml").write_text("image: python:3.11\nconda_file: conda.yml\n")
    (tmp_path / "envs/built.yml").write_text("build:\n  path: ./context\n")
    found = []
    for name in ("base", "built"):
        path = tmp_path / "job.yml"
        path.write_text(f"command: run\nenvironment: file:./envs/{name}.yml\n")
        job, _ = load_job(path, "job.yml")
        assert not isinstance(job.environment, str)
        found.append(job.environment.model_dump(exclude_unset=True))
    assert found == [
        {"image": "python:3.11", "conda_file": "envs/conda.yml"},
        {"build": {"path": "envs/context"}},
    ]


def test_what_is_wrong_in_an_environments_own_file_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text("image: python:3.11\ndependencies: [pip]\n")
    path, said = tmp_path / "job.yml", []
    for name in ("env.yml", "nowhere.yml"):
        path.write_text(f"command: run\nenvironment: file:{name}\n")
        with pytest.raises(SpecError) as raised:
            load_job(path, "job.yml")
        said.append(str(raised.value).splitlines())
    belongs = "belongs to the conda file, not to the environment: conda_file: {dependencies: …}."
    assert said == [
        ["env.yml:2:1: dependencies", f"  {belongs}   [rule unknown-field]"],
        ['job.yml:2:14: environment = "file:nowhere.yml"', "  no such file.   [rule environment-file]"],
    ]


def test_a_template_without_quotes_is_told_how_to_be_written(tmp_path: Path) -> None:
    message = "a key must be plain text, not a list or mapping. A template is written in quotes: '{{ … }}'."
    assert refused(tmp_path, "command: run\ninputs:\n  x: {{ rate }}\n") == [(4, "inputs.x", "yaml-key", message)]


@pytest.mark.parametrize(("given", "noun"), [("[echo, hi]", "a list"), ("{sh: hi}", "a mapping"), ("12", "a number")])
def test_a_command_that_is_no_text_is_not_taken_for_a_kind_of_job(tmp_path: Path, given: str, noun: str) -> None:
    ((_, field, rule, message),) = refused(tmp_path, f"command: {given}\n")
    assert (field, rule, message.partition(":")[0]) == ("command", "type", f"must be text, not {noun}")


def test_a_number_in_words_is_answered_in_our_words(tmp_path: Path) -> None:
    found = refused(tmp_path, "command: run\nresources: {instance_count: two}\n")
    message = "must be a whole number, 1 or more, not text."
    assert found == [(3, "resources.instance_count", "type", message)]


def test_a_limit_at_the_top_is_told_where_it_stands(tmp_path: Path) -> None:
    found = refused(tmp_path, "command: run\ntimeout: 60\nshm_size: 2g\n")
    assert [message for *_, message in found] == [
        "stands inside limits: limits: {timeout: …}, in seconds.",
        "stands inside resources: resources: {shm_size: …}.",
    ]


@pytest.mark.parametrize(("kind", "words"), [("sweep", "a sweep job"), ("automl", "an automl job")])
def test_another_kind_of_job_is_called_by_its_name(tmp_path: Path, kind: str, words: str) -> None:
    ((_, _, rule, message),) = refused(tmp_path, f"command: run\ntype: {kind}\n")
    assert (rule, message) == ("job-type", f"{words} can't be submitted yet; command jobs can.")
