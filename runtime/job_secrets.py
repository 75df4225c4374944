"""The secrets of a command job, for which CLI v2 has no word: variables whose values are written nowhere.

A value comes from the submitting shell and travels by pipe or SSH channel to the supervisor's memory (`node.masking`);
the run's record keeps names only. A workspace has no place for one in a job: it is refused there, with what to do
instead. What looks like a secret in the job's file is refused as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from node.redact import SHORTEST
from runtime import likely_secrets
from runtime.errors import Problem, SpecError, TargetError
from runtime.snapshot_notes import ALLOW
from specs.job import DataInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.jobfile import JobFile
    from runtime.records import Kind

OPTION = "--secret"
RULE = "job-secret"
LONGEST = 128 * 1024 - 1
"""Bytes of `NAME=value` that Linux takes (execve(2), MAX_ARG_STRLEN with its closing NUL)."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TAKEN = re.compile(
    r"(AZUREML_|AZURE_ML_|AZ_BATCH|MLFLOW_|TRAINYARD_|OMPI_|PMIX_|PMI_|PRTE_|LD_|DYLD_|PYTHON|CONDA_|LC_|PIP_)"
    r"|(RANK|LOCAL_RANK|NODE_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT|TF_CONFIG|CUDA_VISIBLE_DEVICES"
    r"|PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|SHLVL|IFS|ENV|BASH_ENV|LANG|TMPDIR|TERM|VIRTUAL_ENV|_"
    r"|NO_PROXY|HTTP_PROXY|HTTPS_PROXY|ALL_PROXY)\Z",
    re.IGNORECASE,
)
"""Variables that Azure ML, the node supervisor, MPI or the shell give a meaning of their own."""
_WORKSPACE = (
    "runs jobs of the workspace, which keeps a job's variables in clear, for everyone who may read it: it takes no "
    "secret. Keep {names} in the workspace's Key Vault (az keyvault secret set), give the job identity: "
    "{{type: managed}}, let that identity read the vault's secrets (role Key Vault Secrets User), and fetch it in the "
    "script (azure-keyvault-secrets, SecretClient.get_secret). Targets that take secrets: Local, VirtualMachine"
)


def from_shell(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of these variables. Raises `SpecError` for each that is unset, empty, or not just a name."""
    problems = [problem for name in names if (problem := _not_there(name, environ))]
    if problems:
        raise SpecError(problems)
    return {name: environ[name] for name in names}


def _not_there(name: str, environ: Mapping[str, str]) -> Problem | None:
    variable, equals, _ = name.partition("=")
    if equals:
        shown = variable if _NAME.match(variable) else ""
        return _problem(
            shown,
            "takes the name of a variable, never its value: a command line can be read by every user of this machine, "
            "and the shell keeps it. Make a new secret in place of that one, then set the variable without showing "
            f"it: read -rs {shown or 'NAME'}; export {shown or 'NAME'}",
        )
    if not _NAME.match(name) or _looks_like(name):
        return _problem("", "is no name of a variable (not shown, as it may be a secret). Give the name: HF_TOKEN")
    if not environ.get(name):
        state = "is empty" if name in environ else "is not set"
        message = f"{state} in this shell. Set it without showing it: read -rs {name}; export {name}"
        return _problem(name, message)
    wrong = _wrong_value(name, environ[name])
    return _problem(name, wrong) if wrong else None


def check(source: JobFile, target: str, kind: Kind, secrets: Mapping[str, str]) -> None:
    """Find what is wrong with the secrets for a job and a target. Raises `SpecError`, `TargetError`; shows no value."""
    if not secrets:
        return
    if kind in {"AmlCompute", "ComputeInstance"}:
        raise TargetError(f"{target} {_WORKSPACE.format(names=', '.join(sorted(secrets)))}")
    own = {**source.job.environment_variables}
    problems = []
    for name, value in secrets.items():
        message = _wrong_name(name, own) or _wrong_value(name, value)
        if message:
            problems.append(_problem(name if _NAME.match(name) else "", message))
    if problems:
        raise SpecError(problems)


def _wrong_name(name: str, own: Mapping[str, str]) -> str | None:
    if not _NAME.match(name):
        return "is no name of a variable: letters, digits and _, not beginning with a digit."
    if name in own:
        return "is one of the job's environment_variables too. Take it out there, or choose another name."
    if _TAKEN.match(name):
        return "is a variable that Azure ML, the launcher or the shell gives its own meaning. Choose another name."
    return None


def _wrong_value(name: str, value: str) -> str | None:
    if "\0" in value:
        return "has a NUL character in its value, which no variable can hold."
    try:
        size = len(name) + 1 + len(value.encode())
    except UnicodeEncodeError:
        return "has a value that is no UTF-8 text. Give it in base64, and decode it in the script."
    if len(value.strip()) < SHORTEST:
        return (
            f"has a value shorter than {SHORTEST} characters, which could not be kept out of the logs: so short a text "
            "is in many innocent lines. Use a longer one."
        )
    if size > LONGEST:
        return f"has a value of {size - len(name) - 1:,} bytes; a variable holds {LONGEST - len(name) - 1:,} at most."
    return None


def _problem(name: str, message: str) -> Problem:
    return Problem(OPTION, 0, 0, name or "a secret", message, rule=RULE)


def in_file(source: JobFile, allowed: Sequence[str] = ()) -> list[str]:
    """Look for secrets in the job's file; returns what to say of those allowed by the name of their field.

    Raises `SpecError` with every one that is refused; no value is shown.
    """
    problems, notes = [], []
    for at, text in _texts(source):
        what = _looks_like(text)
        if what is None:
            continue
        field = ".".join(at)
        if field in allowed:
            notes.append(f"{field} looks like {what} and was allowed by name")
            continue
        name = at[1] if at[0] == "environment_variables" else "NAME"
        message = (
            f"looks like {what}; whoever sees the run or the job's file could read it. Take it out, and give it to the "
            f"job as a variable that is kept nowhere: {OPTION} {name}. If it is none: {ALLOW} {field}"
        )
        problems.append(source.document.problem(at, message, rule=RULE))
    if problems:
        raise SpecError(problems)
    return notes


def _texts(source: JobFile) -> Iterator[tuple[tuple[str, ...], str]]:
    job = source.job
    yield ("command",), job.command
    for name, value in job.environment_variables.items():
        yield ("environment_variables", name), str(value)
    for name, given in job.inputs.items():
        literal = given.value if isinstance(given, DataInput) else given
        if isinstance(literal, str):
            yield (("inputs", name, "value") if isinstance(given, DataInput) else ("inputs", name)), literal


def _looks_like(text: str) -> str | None:
    scanner = likely_secrets.Scanner()
    scanner.feed(text.encode("utf-8", "surrogatepass"))
    return scanner.finding.what if scanner.finding else None
