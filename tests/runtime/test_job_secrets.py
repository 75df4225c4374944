"""Secrets of a job on the way in: which are refused, with what words, and that no message shows a value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runtime import job_secrets
from runtime.errors import SpecError, TargetError
from runtime.jobfile import open_job
from runtime.site import Options
from runtime.submit import submit
from specs.targets import ComputeInstanceTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.records import Kind
    from runtime.site import Site
    from runtime.wire import Json

VALUE = "correct-horse-battery"
GITHUB = "ghp_" + "a1B2" * 9
DATABRICKS = "dapi" + "0123456789abcdef" * 2


def refused(names: list[str], environ: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as error:
        job_secrets.from_shell(names, environ)
    return [(problem.field, problem.message) for problem in error.value.problems]


def test_values_come_from_the_shell() -> None:
    assert job_secrets.from_shell(["A", "B"], {"A": VALUE, "B": "x" * 6, "C": "1"}) == {"A": VALUE, "B": "x" * 6}


@pytest.mark.parametrize(("environ", "state"), [({}, "is not set"), ({"HF_TOKEN": ""}, "is empty")])
def test_a_variable_without_a_value_is_refused_by_name(environ: dict[str, str], state: str) -> None:
    words = f"{state} in this shell. Set it without showing it: read -rs HF_TOKEN; export HF_TOKEN"
    assert refused(["HF_TOKEN"], environ) == [("HF_TOKEN", words)]


@pytest.mark.parametrize(
    ("given", "shown"), [(f"HF_TOKEN={VALUE}", "HF_TOKEN"), (f"{VALUE}=", "a secret"), (f"={VALUE}", "a secret")]
)
def test_a_value_on_the_command_line_is_refused_and_not_repeated(given: str, shown: str) -> None:
    [(field, message)] = refused([given], {"HF_TOKEN": VALUE})
    assert field == shown
    assert message.startswith("takes the name of a variable, never its value: a command line can be read by every user")
    assert VALUE not in message


@pytest.mark.parametrize("given", [GITHUB, "correct horse", "a-b"])
def test_what_is_no_name_is_not_repeated(given: str) -> None:
    words = "is no name of a variable (not shown, as it may be a secret). Give the name: HF_TOKEN"
    assert refused([given], {}) == [("a secret", words)]


def wrong(tmp_path: Path, secrets: dict[str, str], **changes: Json) -> list[tuple[str, str]]:
    source = open_job(kit.a_job(tmp_path / "digits", **changes))
    with pytest.raises(SpecError) as error:
        job_secrets.check(source, "local", "Local", secrets)
    assert not any(value in str(error.value) for value in secrets.values() if len(value) > 6)
    return [(problem.field, problem.message.split(".")[0]) for problem in error.value.problems]


@pytest.mark.parametrize(
    "name",
    [
        "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "TF_CONFIG", "AZUREML_RUN_ID", "AZURE_ML_INPUT_x",
        "MLFLOW_TRACKING_TOKEN", "TRAINYARD_RUN_MARK", "PATH", "HOME", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV",
        "OMPI_MCA_btl", "https_proxy",
    ],
)  # fmt: skip
def test_a_name_with_a_meaning_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    words = "is a variable that Azure ML, the launcher or the shell gives its own meaning"
    assert wrong(tmp_path, {name: VALUE}) == [(name, words)]


def test_a_name_that_the_job_has_already_is_refused(tmp_path: Path) -> None:
    words = "is one of the job's environment_variables too"
    assert wrong(tmp_path, {"HF_TOKEN": VALUE}, environment_variables={"HF_TOKEN": "none"}) == [("HF_TOKEN", words)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0" + VALUE, "has a NUL character in its value, which no variable can hold"),
        ("12345", "has a value shorter than 6 characters, which could not be kept out of the logs: so short a text "
                  "is in many innocent lines"),
        (" 12345\n", "has a value shorter than 6 characters, which could not be kept out of the logs: so short a text "
                     "is in many innocent lines"),
        ("caf\udce9-latin1", "has a value that is no UTF-8 text"),
        ("x" * 131072, "has a value of 131,072 bytes; a variable holds 131,069 at most"),
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_kept_or_kept_out_of_logs_is_refused(tmp_path: Path, value: str, words: str) -> None:
    assert wrong(tmp_path, {"T": value}) == [("T", words)]
    assert [message.split(".")[0] for _, message in refused(["T"], {"T": value})] == [words]


def test_names_are_variables_names_in_python_too(tmp_path: Path) -> None:
    words = "is no name of a variable: letters, digits and _, not beginning with a digit"
    assert wrong(tmp_path, {"a b": VALUE, "1st": VALUE}) == [("a secret", words)] * 2


@pytest.mark.parametrize("kind", ["AmlCompute", "ComputeInstance"])
def test_a_workspace_takes_no_secret_and_says_what_does(tmp_path: Path, kind: Kind) -> None:
    source = open_job(kit.a_job(tmp_path / "digits"))
    with pytest.raises(TargetError) as error:
        job_secrets.check(source, "cpu-cluster", kind, {"HF_TOKEN": VALUE})
    assert (error.value.exit_code, VALUE in str(error.value)) == (4, False)
    assert str(error.value) == (
        "cpu-cluster runs jobs of the workspace, which keeps a job's variables in clear, for everyone who may read it: "
        "it takes no secret. Keep HF_TOKEN in the workspace's Key Vault (az keyvault secret set), give the job "
        "identity: {type: managed}, let that identity read the vault's secrets (role Key Vault Secrets User), and "
        "fetch it in the script (azure-keyvault-secrets, SecretClient.get_secret). "
        "Targets that take secrets: Local, VirtualMachine"
    )


@pytest.mark.parametrize("target", ["cpu-cluster", "serverless", "notebook"])
def test_nothing_is_written_for_a_workspace(
    tmp_path: Path, site: Site, transport: kit.FakeTransport, target: str
) -> None:
    known = kit.some_outputs()
    research = known.workspaces["research"].model_copy(update={"serverless": True})
    box = ComputeInstanceTarget(
        name="notebook", id=f"{kit.WORKSPACE}/computes/notebook", workspace="research", vm_size="Standard_D2_v2"
    )
    changes = {"workspaces": {"research": research}, "targets": {**known.targets, "notebook": box}}
    with pytest.raises(TargetError, match=f"^{target} runs jobs of the workspace"):
        submit(
            kit.a_job(tmp_path / "digits", compute=target, resources={"instance_type": "Standard_D2_v2"}),
            None,
            stack=known.model_copy(update=changes),
            project=site.project,
            site=site,
            options=Options(secrets={"HF_TOKEN": VALUE}),
        )
    assert (site.store.all(), transport.asked) == ([], [])


def test_options_do_not_show_their_values() -> None:
    options = Options(secrets={"HF_TOKEN": VALUE})
    assert VALUE not in repr(options)
    assert VALUE not in repr(replace(options, exact=True))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("environment_variables.HF_TOKEN", {"environment_variables": {"HF_TOKEN": "hf_" + "Ab3d" * 8 + "xy"}}),
        ("environment_variables.KEY", {"environment_variables": {"KEY": "-----BEGIN RSA PRIVATE KEY-----\nMII"}}),
        ("inputs.x", {"inputs": {"x": DATABRICKS}}),
        ("inputs.x.value", {"inputs": {"x": {"type": "string", "value": GITHUB}}}),
        ("command", {"command": f"curl -H 'Authorization: {GITHUB}' https://x", "inputs": None}),
    ],
)
def test_a_likely_secret_in_the_file_is_refused_and_can_be_allowed_by_name(
    tmp_path: Path, project: Project, field: str, changes: dict[str, Json]
) -> None:
    file = kit.a_job(tmp_path / "digits", **{"inputs": None, "command": "true", **changes})
    with pytest.raises(SpecError) as error:
        submit(file, "local", stack=None, project=project)
    [problem] = error.value.problems
    name = problem.field.partition(".")[2] if field.startswith("env") else "NAME"
    assert (problem.field, problem.given, problem.rule) == (field, None, "job-secret")
    assert problem.line == 1
    assert problem.column > 1
    assert problem.message.endswith(f"kept nowhere: --secret {name}. If it is none: --allow-secret {field}")
    assert not any(text in str(error.value) for text in (GITHUB, DATABRICKS, "hf_Ab3d", "BEGIN RSA"))
    what = problem.message.partition("looks like ")[2].partition(";")[0]
    words = [f"{field} looks like {what} and was allowed by name"]
    assert job_secrets.in_file(open_job(file), [field]) == words


def test_a_setting_is_looked_at_as_well(tmp_path: Path, project: Project) -> None:
    with pytest.raises(SpecError) as error:
        submit(
            kit.a_job(tmp_path / "digits"),
            "local",
            stack=None,
            project=project,
            overrides=[f"environment_variables.T={GITHUB}"],
        )
    assert [(problem.file, problem.field) for problem in error.value.problems] == [("--set", "environment_variables.T")]
    assert GITHUB not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "PASSWORD=1"),
        ("keys/id_rsa", "anything"),
        ("deploy.pem", "-----BEGIN EC PRIVATE KEY-----\n"),
        ("config.py", f"token = '{GITHUB}'\n"),
    ],
)
def test_a_secret_in_the_code_is_refused_by_name_before_anything_is_written(
    tmp_path: Path, site: Site, name: str, content: str
) -> None:
    file = kit.a_job(tmp_path / "digits")
    place = tmp_path / "digits/src" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(content)
    with pytest.raises(SpecError) as error:
        submit(file, "local", stack=None, project=site.project, site=site)
    [problem] = error.value.problems
    assert (problem.file.endswith(f"digits/src/{name}"), problem.rule) == (True, "snapshot-secret")
    assert problem.message.endswith(f"If it is none: --allow-secret {name}")
    assert GITHUB not in str(error.value)
    assert site.store.all() == []


def test_the_record_holds_names_only(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.site import open_site
    from runtime.submitters import local

    monkeypatch.setattr(local, "launch", lambda *_: None)
    place = tmp_path / "digits/src/.env"
    file = kit.a_job(tmp_path / "digits")
    place.write_text("A=1")
    options = Options(secrets={"B": VALUE, "A": VALUE}, allow_secrets=(".env",))
    run = submit(file, "local", stack=None, project=project, options=options)
    kept = json.loads((open_site(project).store.run_folder(run.id) / "run.json").read_text())
    assert (kept["secrets"], kept["allow_secrets"]) == (["A", "B"], [".env"])
    assert not any(VALUE.encode() in path.read_bytes() for path in project.runs.rglob("*") if path.is_file())
