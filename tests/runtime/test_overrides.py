"""`--set` changes a job as `az ml job create --set` does, and says what is wrong at the option itself."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from runtime.errors import SpecError
from runtime.jobfile import open_job
from runtime.overrides import apply
from specs.job import CommandJob, Environment, Limits, MpiDistribution, Resources
from specs.job_running import TensorBoardService
from specs.loader import parse
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from specs.loader import Tree

FILE = "a: {b: 1, c: [x, {y: z}]}\nempty:\ntext: azureml:base:1\n"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["a.b=2"], {"a": {"b": "2"}}),
        (["a.b=2", "a.b=3"], {"a": {"b": "3"}}),
        (["a.new.deep=v"], {"a": {"new": {"deep": "v"}}}),
        (["empty.x=v"], {"empty": {"x": "v"}}),
        (["new=v=w"], {"new": "v=w"}),
        (["new="], {"new": ""}),
        (["a.c[0]=v"], {"a": {"c": ["v"]}}),
        (["a.c[2]=v"], {"a": {"c": ["x", {"y": "z"}, "v"]}}),
        (["a.c[1].y=v"], {"a": {"c": ["x", {"y": "v"}]}}),
        (["list[0]=v"], {"list": ["v"]}),
        ([r"a.x\.y=v"], {"a": {"x.y": "v"}}),
        (["text=line\nbreak ; $(id) ü"], {"text": "line\nbreak ; $(id) ü"}),
    ],
)
def test_a_value_is_put_where_its_path_leads(overrides: list[str], expected: dict[str, Tree]) -> None:
    found = apply(parse(FILE, "job.yml"), overrides).value
    assert isinstance(found, dict)
    assert _only(found, expected) == expected


def _only(found: Tree, like: Tree) -> Tree:
    if isinstance(found, dict) and isinstance(like, dict):
        return {name: _only(found.get(name), value) for name, value in like.items()}
    if isinstance(found, list) and isinstance(like, list):
        return found[: len(like)]
    return found


PATH = "is no path. Write the fields' names with dots between: inputs.C, resources.locations[0]"
NONE = "is no setting. Write PATH=VALUE: --set inputs.C=0.5"


@pytest.mark.parametrize(
    ("override", "field", "message"),
    [
        ("a.b", "", NONE),
        ("=1", "", NONE),
        ("", "", NONE),
        (".a=1", ".a", PATH),
        ("a.=1", "a.", PATH),
        ("a..b=1", "a..b", PATH),
        ("a[x]=1", "a[x]", PATH),
        ("a.b.c=1", "a.b.c", "a.b is 1, which has no c. Set a.b itself: --set a.b=VALUE"),
        ("text.x=1", "text.x", 'text is "azureml:base:1", which has no x. Set text itself: --set text=VALUE'),
        ("a.c.d=1", "a.c.d", "a.c is a list, and d no number in brackets. Write a.c[0]."),
        ("a.c[3]=1", "a.c[3]", "a.c has 2 entries, from [0] on."),
        ("a[0]=1", "a[0]", "a is no list."),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(override: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        apply(parse(FILE, "job.yml"), [override])
    (problem,) = error.value.problems
    assert (problem.file, problem.line, problem.field, problem.message) == ("--set", 0, field, message)


def test_a_file_without_settings_is_the_same_document() -> None:
    document = parse(FILE, "job.yml")
    assert apply(document, []) is document


def test_values_take_their_fields_own_types(tmp_path: Path) -> None:
    overrides = [
        *("inputs.x=0.5", "resources.instance_count=2", "limits.timeout=600", "compute=local", "tags.why=a b"),
        *("environment_variables.N=1", "distribution.type=PyTorch", "distribution.process_count_per_instance=4"),
    ]
    job = open_job(kit.a_job(tmp_path / "digits"), "job.yml", overrides).job
    assert job.model_dump(
        mode="json", include={"inputs", "resources", "limits", "compute", "tags"}, exclude_unset=True
    ) == {
        "inputs": {"x": "0.5"},
        "resources": {"instance_count": 2},
        "limits": {"timeout": "PT10M"},
        "compute": "local",
        "tags": {"why": "a b"},
    }
    assert job.environment_variables == {"N": "1"}
    assert job.distribution is not None
    assert job.distribution.model_dump() == {"type": "pytorch", "process_count_per_instance": 4}


def refused(folder: Path, *overrides: str) -> list[tuple[str, int, str, str, str | None]]:
    with pytest.raises(SpecError) as error:
        open_job(kit.a_job(folder / "digits"), "job.yml", overrides)
    return [(item.file, item.line, item.field, item.message, item.given) for item in error.value.problems]


def test_what_is_wrong_with_a_value_is_said_at_the_option(tmp_path: Path) -> None:
    least = "must be a whole number, 1 or more."
    given = ("resources.instance_count=0", "experiment_nam=x", "limits.timout=1")
    assert sorted(refused(tmp_path, *given)) == [
        ("--set", 0, "experiment_nam", "no such field. Did you mean experiment_name?", None),
        ("--set", 0, "limits.timout", "no such field. Did you mean timeout?", None),
        ("--set", 0, "resources.instance_count", least, '"0"'),
    ]


def test_what_is_missing_beside_a_setting_is_said_there_too(tmp_path: Path) -> None:
    missing = "the field type is missing: what this is. Allowed: mpi, pytorch, tensorflow."
    assert refused(tmp_path, "distribution.process_count_per_instance=2") == [
        ("--set", 0, "distribution", missing, None)
    ]


def test_what_is_wrong_in_the_file_keeps_its_line(tmp_path: Path) -> None:
    path = kit.a_job(tmp_path / "digits", resources={"instance_count": 0})
    with pytest.raises(SpecError) as error:
        open_job(path, "job.yml", ["tags.a=b"])
    (problem,) = error.value.problems
    column = path.read_text().index('{"instance_count": 0') + len('{"instance_count": ') + 1
    assert (problem.file, problem.line, problem.column) == ("job.yml", 1, column)


def test_an_input_that_the_job_does_not_have_is_a_typo(tmp_path: Path) -> None:
    message = "the job has no input xx. Declared: x. Did you mean x?"
    assert refused(tmp_path, "inputs.xx=0.5") == [("--set", 0, "inputs.xx", message, '"0.5"')]


def test_an_input_that_only_the_command_names_can_be_given(tmp_path: Path) -> None:
    path = kit.a_job(tmp_path / "digits", command="run $[[--y ${{ inputs.y }}]]", inputs=None)
    assert open_job(path, "job.yml", ["inputs.y=1"]).literals == {"y": "1"}


def test_a_job_made_in_python_takes_settings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = CommandJob.model_validate(
        {"command": "run ${{inputs.x}}", "environment": "azureml:base:1", "inputs": {"x": 1}}
    )
    source = open_job(job, overrides=["inputs.x=2"])
    assert (source.literals, source.document.file) == ({"x": "2"}, "the job")


def test_a_job_made_of_parts_in_python_keeps_their_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = CommandJob(
        command="run",
        environment=Environment(image="python:3.11"),
        distribution=MpiDistribution(process_count_per_instance=2),
        services={"board": TensorBoardService(log_dir="outputs")},
        limits=Limits(timeout=timedelta(minutes=10)),
        resources=Resources(instance_count=2),
    )
    assert open_job(job).job == job
    assert open_job(job, overrides=["resources.instance_count=3"]).job == job.model_copy(
        update={"resources": Resources(instance_count=3)}
    )


def test_the_file_itself_is_never_changed(tmp_path: Path) -> None:
    path = kit.a_job(tmp_path / "digits")
    before = path.read_bytes()
    open_job(path, "job.yml", ["inputs.x=2"])
    assert path.read_bytes() == before
    assert json.loads(before)["inputs"] == {"x": "one two"}
