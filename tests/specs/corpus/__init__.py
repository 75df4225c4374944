r"""Bad stack files, each as a change of a good one, with every problem that `examine` finds in it.

A file `*.txt` is a stack that is good, then cases:

    === what is wrong
      context line: the lines with + go behind it
    - line that goes
    + line that comes, in its place
    | line of a whole file, instead of a change
    \ the same with Python's escapes, for what an editor can't show
    > error 14:25 field = value given
    >   the message   [rule the-rule]

Lines that begin with # before the stack say how it is checked: `# deployed` holds it against itself as deployed,
`# accept NAME` lets a replacement pass. `python -m tests.specs.corpus` writes the > lines anew; read the difference.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from specs.base import fixed
from specs.checks import check_stack, examine
from specs.deployed import Deployed
from specs.loader import parse, validate
from specs.outputs import StackOutputs, WorkspaceOutput
from specs.problems import Problem, SpecError
from specs.stack import StackSpec
from specs.targets import AmlComputeTarget, ComputeInstanceTarget, VirtualMachineTarget

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.txt"))
TODAY = date(2026, 11, 21)
SHOWN = "stacks/dev.yaml"


@dataclass
class Case:
    title: str
    changes: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


@dataclass
class Subject:
    """One file of the corpus."""

    name: str
    directives: list[str]
    base: str
    cases: list[Case]

    def text(self, case: Case) -> str:
        """Return the whole bad file of a case."""
        if case.changes and case.changes[0][0] in "|\\":
            return "\n".join(_line(change) for change in case.changes) + "\n"
        lines, at = self.base.splitlines(), -1
        for change in case.changes:
            mark, line = change[0], _line(change)
            if mark in " -":
                at = lines.index(line, max(at, 0))
                if mark == "-":
                    del lines[at]
                    at -= 1
            else:
                at += 1
                lines.insert(at, line)
        return "\n".join(lines) + "\n"

    def render(self) -> str:
        """Write the file's text."""
        cases = (f"\n=== {case.title}\n" + "\n".join([*case.changes, *case.expected]) + "\n" for case in self.cases)
        return "\n".join([*self.directives, self.base.rstrip()]) + "\n" + "".join(cases)


def _line(change: str) -> str:
    text = change[2:]
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape") if change[0] == "\\" else text


def read_subject(path: Path) -> Subject:
    head, *rest = path.read_text("utf-8").split("\n=== ")
    lines = head.splitlines()
    directives = [line for line in lines if line.startswith("# ")]
    cases = []
    for text in rest:
        title, *below = text.rstrip("\n").split("\n")
        case = Case(title)
        for line in below:
            (case.expected if line.startswith(">") else case.changes).append(line)
        cases.append(case)
    base = "\n".join(line for line in lines if not line.startswith("# ")) + "\n"
    return Subject(path.stem, directives, base.lstrip("\n"), cases)


def deployed(subject: Subject) -> Deployed | None:
    """Take a subject's stack as deployed, where its directives say so."""
    if "# deployed" not in subject.directives:
        return None
    spec = validate(parse(subject.base, SHOWN), StackSpec)
    accepted = tuple(line.removeprefix("# accept ") for line in subject.directives if line.startswith("# accept "))
    return Deployed(outputs_of(spec), accepted)


def outputs_of(spec: StackSpec) -> StackOutputs:
    """Say what would stand after an `up` of a stack, as far as checks want it."""
    targets: dict[str, AmlComputeTarget | ComputeInstanceTarget | VirtualMachineTarget] = {}
    for at, compute in spec.computes():
        common = {"name": at[-1], "id": f"/{at[-1]}", "workspace": at[1], "fixed": fixed(compute)}
        match compute.kind:
            case "AmlCompute":
                own = {"vm_size": compute.vm_size, "vm_priority": compute.vm_priority, "min_node_count": 0}
                targets[at[-1]] = AmlComputeTarget.model_validate({**common, **own, "max_node_count": 1})
            case "ComputeInstance":
                targets[at[-1]] = ComputeInstanceTarget.model_validate({**common, "vm_size": compute.vm_size})
            case "VirtualMachine":
                own = {"address": "h", "ssh_port": 22, "username": "u", "host_key": None, "resource_id": None}
                targets[at[-1]] = VirtualMachineTarget.model_validate({**common, **own, "made_here": False})
    workspaces = {
        name: WorkspaceOutput(id=f"/{name}", name=name, location=spec.location, storage_account="", fixed=fixed(item))
        for name, item in spec.workspaces.items()
    }
    return StackOutputs(
        stack="dev",
        cloud=spec.cloud,
        subscription_id="s",
        tenant_id="t",
        resource_group=spec.resource_group,
        location=spec.location,
        workspaces=workspaces,
        targets=targets,
        default_target=spec.default_target,
    )


def found(text: str, folder: Path, before: Deployed | None = None) -> list[str]:
    """Check a stack file in a folder as `invoke check` does; its problems as the corpus writes them."""
    (folder / "stacks").mkdir(exist_ok=True)
    if not (folder / "quotas").exists():
        shutil.copytree(HERE / "quotas", folder / "quotas")
    path = folder / SHOWN
    path.write_text(text, "utf-8", newline="")
    try:
        warnings = examine(path, SHOWN, TODAY, before).warnings
    except SpecError as error:
        return [line for problem in error.problems for line in written("error", problem)]
    return [line for problem in warnings for line in written("warning", problem)]


def written(severity: str, problem: Problem) -> list[str]:
    """Write a problem as the corpus does."""
    place = f"{problem.line}:{problem.column}"
    if problem.file != SHOWN:
        place = f"{problem.file}:{place}"
    given = "" if problem.given is None else f" = {problem.given}"
    head = f"> {severity} {place} {problem.field or 'the file'}{given}"
    return [head, f">   {problem.message}   [rule {problem.rule}]"]


__all__ = ["FILES", "TODAY", "check_stack", "deployed", "found", "outputs_of", "read_subject", "written"]
