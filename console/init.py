"""A team's own repository: the few files with which every command works in an empty folder.

Nothing that is there is ever overwritten; what must be ours and is something else stops all of it, with nothing
written. The Pulumi program is three lines, so that plain `pulumi up` works wherever the package is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Literal

from runtime.errors import StoreError
from specs.base import STACK_NAME
from specs.problems import Problem, SpecError
from specs.schema import FILE, stack_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IGNORED = (".trainyard/", "stacks/Pulumi.*.yaml*", "downloads/")
"""What git must not see: state and secrets, what a passphrase of this machine encrypted, what was downloaded."""
PROJECT = Template("""\
name: $project
description: Azure Machine Learning compute targets as code
runtime: python
main: stacks/
stackConfigDir: stacks # the engine's own Pulumi.<stack>.yaml files, beside the stack files
""")
PROGRAM = """\
\"\"\"The Pulumi program: declares what the stack's file in this folder says.\"\"\"

from pathlib import Path

from stacks.program import declare

declare(Path(__file__).parent)
"""
EMULATOR = Template("""\
# yaml-language-server: $$schema=stack.schema.json
# Everything on this machine, in the emulator: no subscription, no cost.
cloud: emulator
location: westeurope
resource_group: $group

workspaces:
  research:
    public_network_access: Enabled # a laptop reaches it without a private endpoint
    system_datastores_auth_mode: AccessKey
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: Standard_D2_v2
        max_node_count: 2 # min_node_count is 0: nothing runs, nothing costs

default_target: cpu-cluster
""")
AZURE = Template("""\
# yaml-language-server: $$schema=stack.schema.json
# Azure, closed by default: no keys, no public addresses on nodes.
cloud: azure
location: westeurope
resource_group: $group

network:
  address_space: [10.40.0.0/16]
  subnets:
    training:
      address_prefix: 10.40.1.0/24

identities:
  training: {}

workspaces:
  research:
    computes:
      cpu-cluster:
        kind: AmlCompute
        vm_size: Standard_D4s_v3
        max_node_count: 4 # min_node_count is 0: nothing runs, nothing costs
        subnet: training
        identity:
          type: UserAssigned
          user_assigned_identities: [training]

default_target: cpu-cluster
""")
JOB = """\
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
display_name: hello
experiment_name: hello
code: src
command: python hello.py --name ${{inputs.name}}
inputs:
  name: world
environment:
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04
  conda_file: conda.yml
"""
CONDA = """\
name: hello
channels:
  - conda-forge
dependencies:
  - python>=3.11
"""
SCRIPT = """\
import argparse
import platform

arguments = argparse.ArgumentParser()
arguments.add_argument("--name", default="world")
print(f"hello, {arguments.parse_args().name}, from Python {platform.python_version()}")
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What `init` did in a folder; paths are relative to it."""

    project: str
    stack: str
    files: tuple[str, ...]
    kept: tuple[str, ...]
    """What was there already, just as it should be."""
    note: str = ""
    """What the user has to do where a file is theirs; else empty."""


def init(folder: Path, cloud: Literal["emulator", "azure"], stack: str) -> Written:
    """Write the files of a new repository. Idempotent.

    Raises:
        SpecError: the stack can't have this name; nothing was written.
        StoreError: another file is where one of these must be; nothing was written. Or the folder can't be written.

    """
    if not STACK_NAME.fullmatch(stack):
        message = "a stack's name has letters, digits, _ . and -."
        raise SpecError([Problem("the command", 0, 0, "--stack", message, given=f'"{stack}"', rule="stack-name")])
    project = project_name(folder.name)
    wanted = contents(project, cloud, stack)
    try:
        taken = [name for name, text in wanted.items() if differs(folder / name, text)]
        if taken:
            raise StoreError(
                f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} here already, with other content. "
                "Nothing was written. Move away what is in the way, or start in an empty folder"
            )
        new = [name for name in wanted if not (folder / name).exists()]
        for name in new:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(wanted[name])
        note = _ignore(folder, new)
    except OSError as error:
        raise StoreError(f"{error.filename} can't be written: {error.strerror}") from None
    return Written(project, stack, tuple(new), tuple(name for name in wanted if name not in new), note)


def contents(project: str, cloud: Literal["emulator", "azure"], stack: str) -> dict[str, str]:
    """Return the files of a new repository by their path. Pure."""
    template = EMULATOR if cloud == "emulator" else AZURE
    group = re.sub(r"\.+$", "", f"{project}-{stack}"[:90])
    return {
        "Pulumi.yaml": PROJECT.substitute(project=project),
        "stacks/__main__.py": PROGRAM,
        f"stacks/{stack}.yaml": template.substitute(group=group),
        FILE: stack_schema(),
        "examples/hello/job.yml": JOB,
        "examples/hello/conda.yml": CONDA,
        "examples/hello/src/hello.py": SCRIPT,
    }


def project_name(folder: str) -> str:
    """Make a Pulumi project's name of a folder's: letters, digits, - _ and ., at most 100."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder).strip("-.")[:100] or "trainyard"


def differs(path: Path, text: str) -> bool:
    """Tell whether something else is where a file of ours must be."""
    if path.is_file():
        return path.read_bytes() != text.encode()
    return path.exists() or path.is_symlink() or any(above.is_file() for above in path.parents)


def _ignore(folder: Path, new: list[str]) -> str:
    """Write `.gitignore` where there is none; where there is one, return what it lacks, because it is the user's."""
    path = folder / ".gitignore"
    if not path.exists():
        path.write_text("".join(f"{line}\n" for line in IGNORED), "utf-8")
        new.append(".gitignore")
        return ""
    missing = [line for line in IGNORED if line not in path.read_text("utf-8").splitlines()]
    return f"add to .gitignore: {' '.join(missing)}" if missing else ""


def document(written: Written) -> Mapping[str, object]:
    """Return what was done, for `--json`."""
    return {
        "project": written.project, "stack": written.stack,
        "written": list(written.files), "kept": list(written.kept), "note": written.note or None,
    }  # fmt: skip
