"""From a v1 configuration to the one job that everything here submits (`specs.job.CommandJob`). Pure.

What a user wrote as an argument stands quoted in the job's command, so that the shell that starts it, here or in
Azure, hands it over unchanged.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from runtime.v1_config import (
    FRAMEWORKS,
    MpiConfiguration,
    PyTorchConfiguration,
    ScriptRunConfig,
    TensorflowConfiguration,
    distributed,
)
from runtime.v1_data import DataReference
from runtime.v1_environments import written
from runtime.v1_words import choice, note, wrong
from specs.job import CommandJob, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.records import Kind
    from runtime.v1_environments import Environment
    from specs.job import DataInput

OPERATORS = frozenset({"&&", "||", "|", "&", ";", ">", ">>", "<", "2>", "2>&1", "&>"})
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_EXPRESSION = re.compile(r"\$(?=\{\{|\[\[)")
OWN_MACHINE: frozenset[str] = frozenset({"Local", "VirtualMachine"})


def quote(text: str) -> str:
    """Write a text so that a shell hands it over unchanged, and Azure finds none of its expressions in it."""
    return _EXPRESSION.sub("$''", shlex.quote(text))


def job(config: ScriptRunConfig, experiment: str, kind: Kind, references: Iterable[DataReference] = ()) -> CommandJob:
    """Make the job for a kind of target; `references` are inputs that no argument names.

    Raises `SpecError` for what contradicts itself or is not there yet.
    """
    run = config.run_config
    _framework(run.framework)
    environment = written(_docker(config), own_machine=kind in OWN_MACHINE, here=kind == "Local")
    inputs: dict[str, DataInput] = {}
    for given in references:
        refer(given, inputs)
    command = _command(config, environment.python, inputs)
    document: dict[str, object] = {
        "experiment_name": experiment,
        "code": os.path.abspath(_folder(config)),  # noqa: PTH100 - links keep their names
        "command": command,
        "environment": environment.environment,
        "environment_variables": {name: str(value) for name, value in run.environment.environment_variables.items()},
        "properties": environment.properties,
        "inputs": inputs,
        "resources": _resources(config),
        "distribution": _distribution(config),
    }
    if run.max_run_duration_seconds is not None:
        document["limits"] = {"timeout": run.max_run_duration_seconds}
    return made({name: value for name, value in document.items() if value not in (None, {})})


def made(document: dict[str, object]) -> CommandJob:
    """Validate a job made here. Raises `SpecError` in the job's words."""
    try:
        return CommandJob.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise wrong("the job", ".".join(map(str, first["loc"])), f"{first['msg']}.", given=first["input"]) from None


def _framework(given: str | None) -> None:
    if given is not None and choice("RunConfiguration", "framework", given, FRAMEWORKS) == "pyspark":
        message = "Spark runs come later, as Azure's own spark job files. Allowed now: python."
        raise wrong("RunConfiguration", "framework", message, given=given, rule="v1-later")


def _docker(config: ScriptRunConfig) -> Environment:
    """Put v1's later words for Docker in the place of the earlier."""
    run = config.run_config
    if run.docker is not None:
        section = run.environment.docker
        section.enabled = run.docker.use_docker
        section.arguments = list(run.docker.arguments or section.arguments)
        section.shm_size = run.docker.shm_size or section.shm_size
    return run.environment


def _folder(config: ScriptRunConfig) -> Path:
    folder = Path(os.path.expanduser(config.source_directory))  # noqa: PTH111 - takes paths of any kind
    if not folder.is_dir():
        message = "no such folder."
        raise wrong("ScriptRunConfig", "source_directory", message, given=str(config.source_directory))
    return folder


def _command(config: ScriptRunConfig, python: str, inputs: dict[str, DataInput]) -> str:
    run = config.run_config
    command = config.command or run.command
    if command and not config.script:
        return command if isinstance(command, str) else _words(command, inputs)
    script = config.script or run.script or ""
    path = _folder(config) / script
    if not path.is_file():
        message = f"no such file in {config.source_directory}."
        raise wrong("ScriptRunConfig", "script", message, given=script)
    arguments = config.arguments if config.arguments is not None else run.arguments
    # A name that begins with a dash would be an option of Python's.
    shown = script if not script.startswith("-") else f"./{script}"
    return " ".join([quote(python), quote(shown), *_arguments(arguments or [], inputs)])


def _words(command: Iterable[object], inputs: dict[str, DataInput]) -> str:
    for index, word in enumerate(command):
        if isinstance(word, str) and (word in OPERATORS or _VARIABLE.fullmatch(word)):
            message = "no shell reads the words of a list. For a shell line give one text: command='… && …'."
            raise wrong("ScriptRunConfig", f"command[{index}]", message, given=word, rule="v1-command")
    return " ".join(_arguments(command, inputs))


def _arguments(given: Iterable[object], inputs: dict[str, DataInput]) -> list[str]:
    if isinstance(given, str):
        raise wrong("ScriptRunConfig", "arguments", "takes a list, one argument an item.", given=given)
    return [_argument(index, item, inputs) for index, item in enumerate(given)]


def _argument(index: int, given: object, inputs: dict[str, DataInput]) -> str:
    if isinstance(given, DataReference):
        return f"${{{{inputs.{refer(given, inputs)}}}}}"
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    if isinstance(given, (str, int, float)):
        return quote(str(given))
    message = "is neither text nor a number nor a reference to data (datastore.path(…).as_mount())."
    raise wrong("ScriptRunConfig", f"arguments[{index}]", message, given=repr(given)[:80])


def refer(given: DataReference, inputs: dict[str, DataInput]) -> str:
    """Declare an input for a reference, once for the same; return its name."""
    wanted, name, number = given.to_input(), given.input_name, 1
    while inputs.get(name, wanted) != wanted:
        number += 1
        name = f"{given.input_name}_{number}"
    inputs[name] = wanted
    return name


def node_count(config: ScriptRunConfig) -> int:
    """Return on how many nodes a run is."""
    how, own = distributed(config), config.run_config.node_count
    if isinstance(how, TensorflowConfiguration):
        return max(own, how.worker_count)
    return own if how is None else max(own, how.node_count)


def _resources(config: ScriptRunConfig) -> Resources:
    docker = config.run_config.environment.docker
    arguments = shlex.join(docker.arguments) if docker.arguments else None
    if docker.gpu_support is not None:
        note("environment.docker.gpu_support: a container gets the GPUs that there are")
    return Resources(instance_count=node_count(config), shm_size=docker.shm_size, docker_args=arguments)


def _distribution(config: ScriptRunConfig) -> dict[str, object] | None:
    how, nodes = distributed(config), node_count(config)
    match how:
        case MpiConfiguration():
            return {"type": "mpi", "process_count_per_instance": how.process_count_per_node}
        case PyTorchConfiguration():
            processes = how.process_count or nodes
            if processes % nodes:
                message = f"must be a multiple of node_count ({nodes}): each node runs as many."
                raise wrong("PyTorchConfiguration", "process_count", message, given=processes)
            return {"type": "pytorch", "process_count_per_instance": processes // nodes}
        case TensorflowConfiguration():
            servers = how.parameter_server_count
            return {"type": "tensorflow", "worker_count": how.worker_count, "parameter_server_count": servers}
        case _:
            return None
