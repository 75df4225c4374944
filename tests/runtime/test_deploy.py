from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from node import layout
from runtime import deploy, models, services
from runtime.deployers import local
from runtime.environments import Resolution
from runtime.errors import ConnectionLostError, NotFoundError, RefusedError, SpecError, StoreError
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project

FILE = """\
name: blue
endpoint_name: digits
model: {model}
code_configuration:
  code: score
  scoring_script: {script}
environment:
  image: x.io/y
  conda_file:
    dependencies: [python=3.11, {{pip: [numpy]}}]
"""


@pytest.fixture
def never_started(monkeypatch: pytest.MonkeyPatch) -> list[local.Deployment]:
    """Take what would be started, and start nothing."""
    started: list[local.Deployment] = []

    def take(_home: Path, _run: Path, deployment: local.Deployment, *_: object) -> None:
        started.append(deployment)

    monkeypatch.setattr(local, "start", take)
    return started


def written(folder: Path, model: str = "{path: model}", script: str = "score.py") -> Path:
    (folder / "score").mkdir(parents=True)
    (folder / "score" / "score.py").write_text("def init(): ...\ndef run(data): return data\n")
    (folder / "model").mkdir()
    (folder / "model" / "m.json").write_text("{}")
    file = folder / "deployment.yml"
    file.write_text(FILE.format(model=model, script=script))
    return file


def service(project: Project, state: services.State = "Running") -> services.Service:
    run_dir = project.data / "services" / "digits" / "1"
    layout.private_dir(run_dir / "user_logs")
    (run_dir / layout.USER_LOG).write_text("one\ntwo\n")
    return services.Service("digits", "blue", 9, "digits:1", "translated", "now", state, "it was killed", run_dir)


def test_everything_is_resolved_before_anything_starts(
    project: Project, tmp_path: Path, never_started: list[local.Deployment]
) -> None:
    said: list[str] = []
    deploy.deploy(written(tmp_path / "it"), project, deploy.Wishes(say=said.append))
    (made,) = never_started
    assert (made.spec.name, made.model, [file.path for file in made.code.files]) == ("blue", "model", ["score.py"])
    assert made.environment.pip == ("numpy", "azureml-inference-server-http")
    assert made.model_dir == project.data / "services/digits/1/azureml-models/digits/1"
    assert [path.name for path in (made.model_dir / "model").iterdir()] == ["m.json"]
    assert said == [
        "image x.io/y is not pulled here: the conda file's Python part is installed by pip.",
        "azureml-inference-server-http is not in the environment's list and was added: in Azure the image brings it.",
        "model model",
    ]


def test_a_registered_model_is_fetched_by_its_reference(
    project: Project, tmp_path: Path, never_started: list[local.Deployment]
) -> None:
    def fetch(reference: str, folder: Path) -> deploy.Fetched:
        (folder / "m.json").write_text(f'"{reference}"')
        return deploy.Fetched("digits:7")

    deploy.deploy(written(tmp_path / "it", "azureml:digits@latest"), project, deploy.Wishes(fetch=fetch))
    (made,) = never_started
    assert (made.model, made.model_dir.relative_to(project.data).as_posix()) == (
        "digits:7", "services/digits/1/azureml-models/digits/7",
    )  # fmt: skip
    assert (made.model_dir / "m.json").read_text() == '"digits@latest"'


def test_trusting_the_registry_covers_only_what_it_has_the_hash_of(
    project: Project, tmp_path: Path, never_started: list[local.Deployment]
) -> None:
    hashes: frozenset[str]

    def fetch(_: str, folder: Path) -> deploy.Fetched:
        (folder / "m.pkl").write_bytes(b"\x80\x04N.")
        return deploy.Fetched("digits:7", hashes)

    file = written(tmp_path / "it", "azureml:digits:7")
    right = hashlib.sha256(b"\x80\x04N.").hexdigest()
    wishes = deploy.Wishes(fetch=fetch, trust=("registered",))
    for known in (frozenset[str](), frozenset({"0" * 64})):
        hashes = known
        with pytest.raises(RefusedError, match=f"m.pkl  is a pickle  sha256 {right}"):
            deploy.deploy(file, project, wishes)
    hashes = frozenset({right})
    deploy.deploy(file, project, wishes)
    assert len(never_started) == 1


@pytest.mark.parametrize(
    ("model", "script", "says"),
    [
        ("{path: nowhere}", "score.py", 'model.path = "nowhere"\n  no such file or folder.'),
        ("digits", "score.py", 'model = "digits"\n  not a model. Allowed: azureml:NAME,'),
        ("azureml:digits:1", "score.py", 'model = "azureml:digits:1"\n  registered models live in a workspace'),
        ("{type: custom_model}", "score.py", "model\n  has neither a path nor a name."),
        ("{path: model}", "scor.py", 'code_configuration.scoring_script = "scor.py"\n  no such Python file in score.'),
    ],
)
@pytest.mark.usefixtures("never_started")
def test_what_is_wrong_is_said_at_its_line_and_nothing_is_left(
    project: Project, tmp_path: Path, model: str, script: str, says: str
) -> None:
    with pytest.raises(SpecError) as raised:
        deploy.deploy(written(tmp_path / "it", model, script), project, shown="d.yml")
    assert str(raised.value).partition(": ")[2].startswith(says)
    assert services.list_services(project) == []
    assert [path.name for path in project.data.rglob("azureml-models")] == []


@pytest.mark.usefixtures("never_started")
def test_an_exact_environment_is_refused_where_it_cannot_be_made(project: Project, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't make exactly this environment, only a translated one"):
        deploy.deploy(written(tmp_path / "it"), project, deploy.Wishes(exact=True))


@pytest.mark.parametrize("listed", ["azureml-inference-server-http==1.5.1", "azureml_inference_server_http"])
def test_a_server_in_the_list_is_left_as_it_is(listed: str) -> None:
    resolution = Resolution("3.11", (listed,), None, None, "translated", ())
    assert local.with_server(resolution) == resolution


def test_an_unknown_endpoint_is_named_with_those_that_exist(project: Project) -> None:
    for name in ("digits", "../x"):
        with pytest.raises(NotFoundError, match="there is: none"):
            services.find(project, name)


def test_a_damaged_state_file_is_said_not_repaired(project: Project) -> None:
    home = services.folder(project, "digits")
    (home / services.STATE_FILE).write_text("{")
    with pytest.raises(StoreError, match=r"digits: .*deploy again"):
        services.find(project, "digits")


def test_a_service_that_does_not_run_says_why_with_its_log(project: Project) -> None:
    with pytest.raises(ConnectionLostError) as raised:
        deploy.score(service(project, "Failed"), {"data": []})
    assert str(raised.value) == (
        "digits is Failed: it was killed\n  | one\n  | two\n  Deploy it again: invoke deploy FILE"
    )


def test_a_service_that_does_not_answer_says_so_with_its_log(project: Project) -> None:
    with pytest.raises(ConnectionLostError, match=r"digits does not answer: .*\n  \| one\n  \| two\n"):
        deploy.score(service(project), {"data": []})


def test_two_at_once_on_one_endpoint_wait_for_each_other(project: Project) -> None:
    home = services.folder(project, "digits")
    with services.locked(home) as first, services.locked(home, wait=False) as second:
        assert (first, second) == (True, False)
    with services.locked(home, wait=False) as third:
        assert third


@pytest.mark.parametrize(("source", "arrives"), [("model", "model/m.json"), ("model/m.json", "m.json")])
def test_a_model_comes_from_the_stacks_registry_laid_out_as_in_azure(
    line: Project, tmp_path: Path, never_started: list[local.Deployment], source: str, arrives: str
) -> None:
    file = written(tmp_path / "it", "azureml:reader@latest")
    registered = models.register(line, tmp_path / "it" / source, "reader", stack=kit.some_outputs())
    deploy.deploy(file, line, deploy.Wishes(stack=kit.some_outputs()))
    (made,) = never_started
    there = [path.relative_to(made.model_dir).as_posix() for path in made.model_dir.rglob("*") if path.is_file()]
    assert (made.model, there) == (f"reader:{registered.version}", [arrives])
