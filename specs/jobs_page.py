"""The page `docs/jobs.md`, made from the models: every field of a command job, and what each target does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from pydantic import BaseModel

from specs import job_words
from specs.docs import descriptions
from specs.job import CommandJob
from specs.job_support import KINDS, ROWS, Row
from specs.shapes import first_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.job_support import Verdict

FILE = "docs/jobs.md"
INTRODUCTION = """\
# Job files
Made from the models by `invoke schema`; a test holds it to them.

A job file is Azure ML's own: the command job of CLI v2, as `az ml job create` takes it (azure-ai-ml 1.35.2; a test
holds each field of its schema to this page). `invoke submit job.yml` runs it on any target, `--target` names another
than the file does, and `--set PATH=VALUE` changes a field for one run, as in `az`:

```
invoke submit job.yml --target cpu-cluster --set inputs.C=0.5 resources.instance_count=2 --set tags.why="once more"
```

What is wrong is said before anything is written or sent, each at its line, or at `--set`. A field that is no field is
answered with what was meant, or with the kind of file that it belongs to.

- **`compute`** absent or `azureml:serverless`: the workspace's own compute, where the stack's file has
  `serverless_compute` for it; else the stack's default target. Which one is said.
- **`environment`**: `azureml:NAME`, `azureml:NAME:VERSION`, `azureml:NAME@latest`, `azureml://registries/…`, an ARM id,
  `file:PATH` of an environment's own file, or one written out: `image`, `conda_file`, `build`.
- **`code`**: a local folder, `azureml:NAME:VERSION` or an ARM id; the last two only where the workspace runs the job.
- **`command`**: `${{inputs.x}}` and `${{outputs.x}}` are replaced, also as the older `{inputs.x}`;
  `$[[--x ${{inputs.x}}]]` is left out where the job gives no `x`.
- **`inputs`**: a plain value is text to the command, whatever it looks like; what has a `path` is a file or folder. A
  value that begins with `{{` needs quotes: else YAML reads a mapping.
- **git**: repository, branch, commit, whether the code's folder differs from it, and by how many bytes, are kept with
  the run and as the job's properties, under azure-ai-ml's names. Users, passwords and tokens in the address are not.
- **`retry`** is ours alone: `az ml job create` refuses a file with it."""
TARGETS = """\
## What targets do with each field
`✓` honoured; what the workspace's service does, it is sent as azure-ai-ml sends it. `1` one machine stands for several
nodes: it runs the processes of all of them, and says so. `!` ignored, and said at each submission. `-` of no effect.

Modes of inputs that a target can't do are refused. `shm_size` and `docker_args` are a container's: on VirtualMachine
and Local they hold where the job runs in its Docker image, and are said to be ignored where it does not. What becomes
of an `environment` there is said by its fidelity: exact, translated or substituted; `--exact` refuses the rest."""
REFUSED = """\
## Fields of Azure's schema that are not taken
Those that only the service writes are dropped, as azure-ai-ml drops them: a job as it is shown can be submitted."""
MARKS: dict[Verdict, str] = {"honoured": "✓", "folded": "1", "noted": "!", "unused": "-"}


class Line(NamedTuple):
    """A field of a job."""

    name: str
    about: str
    row: Row


def lines() -> list[Line]:
    """List every field, in the order of the models; one that several parts have, once."""
    found: dict[str, Line] = {}
    for name, about in _fields(CommandJob, ""):
        found.setdefault(name, Line(name, about, ROWS[name]))
    return list(found.values())


def _fields(model: type[BaseModel], above: str) -> Iterator[tuple[str, str]]:
    for name, info in model.model_fields.items():
        here = f"{above}{info.alias or name}"
        parts = list(_parts(info.annotation))
        if here in ROWS:
            yield here, first_sentence(descriptions(model).get(name, ""))
        star = "*." if here in {"inputs", "outputs", "services"} else ""
        for part in parts:
            yield from _fields(part, f"{here}.{star}")


def _parts(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in get_args(annotation):
        yield from _parts(member)


def jobs_page() -> str:
    """Write the page."""
    head = [
        "field",
        "what it is",
        *("AmlCompute, serverless" if kind == "AmlCompute" else kind for kind in KINDS),
        "why",
    ]
    rows = [
        [f"`{line.name}`", line.about, *(MARKS[line.row.of(kind)] for kind in KINDS), line.row.why] for line in lines()
    ]
    dropped = sorted({*job_words.READ_ONLY, *(f"environment.{name}" for name in job_words.READ_ONLY_ENVIRONMENT)})
    dropped += sorted(f"services.*.{name}" for name in job_words.READ_ONLY_SERVICE)
    refused = [
        ("`distribution.type: ray`", job_words.RAY),
        ("`environment.auto_delete_setting`", str(job_words.ENVIRONMENT["auto_delete_setting"])),
    ]
    parts = [
        INTRODUCTION,
        f"{TARGETS}\n\n{_table(head, rows)}",
        f"{REFUSED}\n\n{_table(['field', ''], [*map(list, refused), [_listed(dropped), 'dropped']])}",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
