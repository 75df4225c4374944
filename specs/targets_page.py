"""The page `docs/targets.md`, made from the models: every field of every kind, its default, what a change does. Pure.

A section a model, found by walking from `StackSpec`: a kind that is added to the unions is on the page by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from specs.base import Wire
from specs.capabilities import Capabilities, capabilities
from specs.compute import NAME_LENGTHS
from specs.docs import descriptions
from specs.field_words import TYPES, allowed, default, models, single, title
from specs.stack import StackSpec
from specs.targets import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from specs.base import OnChange
    from specs.capabilities import Kind, Support

FILE = "docs/targets.md"
INTRODUCTION = """\
# Targets and what surrounds them
Made from the models by `invoke schema`; a test holds it to them. To add a kind: [adding a kind](adding-a-kind.md)."""
CAPABILITIES = """\
## What each kind can do
As Azure's documents have it: `how-to-set-up-training-targets`, "Supported compute targets", for GPU to pipelines (an
instance has no row there: `how-to-create-manage-compute-instance`), and `concept-compute-target`, "Compute targets for
inference", for the last three columns. Local is this machine.

`✓` yes. `-` no. `?` if the machine has one. `+` here, beyond the documents. `p` in pipelines only."""
NAMES = """\
## Names
A letter first, then letters, digits and dashes; a letter still follows every dash (azure-docs
`how-to-create-attach-compute-studio`)."""
CHANGES = """\
## What a change does
Of something that is deployed. *In place*: nothing is lost. *Replace*: it is deleted and made anew; of a compute or
workspace, `invoke up` refuses until you name it (`--allow-replace NAME`). *Refused*: Azure takes no change of it, and a
new one would not keep what is inside. A field stands for those inside it, where these are not listed too."""
FIELDS = f"""\
## Fields
Durations are whole seconds or ISO 8601 (`PT2M`). {TYPES}"""
MARKS: dict[Support, str] = {"yes": "✓", "no": "-", "maybe": "?", "beyond": "+", "pipeline only": "p"}
HEADINGS = {
    "gpu": "GPU",
    "train": "training",
    "sweep": "hyperparameter tuning",
    "automl": "automated ML",
    "pipeline": "pipelines",
    "test": "test",
    "realtime": "real time",
    "batch": "batch",
}
"""The columns of `Capabilities`."""
ORDER: tuple[OnChange, ...] = ("in place", "replace", "refused")


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a section."""

    name: str
    """Dotted, from the section's model."""
    field: FieldInfo
    about: str
    on_change: OnChange


@dataclass(frozen=True, slots=True)
class Section:
    """A model on the page."""

    model: type[BaseModel]
    places: tuple[str, ...]
    """Where it stands in a stack file, e.g. `network.subnets.NAME`."""
    rows: tuple[Row, ...]


def sections() -> list[Section]:
    """List the models of a stack file that have a section, each once, in the order in which one reads a file."""
    found: dict[type[BaseModel], Section] = {}
    _walk(StackSpec, "", "in place", found)
    return list(found.values())


def _walk(model: type[BaseModel], place: str, inherited: OnChange, found: dict[type[BaseModel], Section]) -> None:
    before = found[model].places if model in found else ()
    rows = tuple(_rows(model, "", inherited))
    found[model] = Section(model, (*before, place), rows)
    for row in rows:
        if single(row.field.annotation) and model is not StackSpec:
            continue  # its fields are rows here
        for inner in models(row.field.annotation):
            many = "" if single(row.field.annotation) else "NAME" if "dict[" in str(row.field.annotation) else "[]"
            _walk(inner, ".".join(part for part in (place, row.name, many) if part), row.on_change, found)


def _rows(model: type[BaseModel], prefix: str, inherited: OnChange) -> Iterator[Row]:
    """Yield a model's fields, those of a model inside it dotted; one that says nothing changes as what holds it."""
    for name, field in model.model_fields.items():
        wire = next((item for item in field.metadata if isinstance(item, Wire)), None)
        on_change = wire.on_change if wire else inherited
        yield Row(prefix + name, field, descriptions(model).get(name, ""), on_change)
        inner = single(field.annotation)
        if inner and model is not StackSpec:
            yield from _rows(inner, f"{prefix}{name}.", on_change)


def targets_page() -> str:
    """Render the page, the same at every call."""
    parts = [INTRODUCTION, "", CAPABILITIES, "", *_capabilities(), "", NAMES, "", *_names(), "", CHANGES, ""]
    found = sections()
    parts += [*_changes(found), "", FIELDS]
    for section in found:
        parts += ["", *_section(section)]
    return "\n".join(parts) + "\n"


def _table(*lines: list[str]) -> Iterator[str]:
    """Render a table: the first line is its head."""
    for index, line in enumerate(lines):
        yield f"| {' | '.join(line)} |"
        if index == 0:
            yield "|" + "---|" * len(line)


def _capabilities() -> Iterator[str]:
    kinds: tuple[Kind, ...] = (*KINDS, "Local")
    columns = [HEADINGS[name] for name in Capabilities.__dataclass_fields__]
    lines = [[kind, *(MARKS[support] for _, support in capabilities(kind).items())] for kind in kinds]
    return _table(["kind", *columns], *lines)


def _names() -> Iterator[str]:
    lines = [[kind, f"{shortest} to {longest}"] for kind, (shortest, longest) in NAME_LENGTHS.items()]
    return _table(["kind", "characters"], *lines)


def _changes(found: list[Section]) -> Iterator[str]:
    lines = []
    for section in found:
        cells = [" ".join(f"`{name}`" for name in _short(section.rows, on_change)) for on_change in ORDER]
        lines.append([f"[{title(section.model)}](#{title(section.model).lower()})", *(cell or "-" for cell in cells)])
    return _table(["what", *ORDER], *lines)


def _short(rows: tuple[Row, ...], on_change: OnChange) -> Iterator[str]:
    """Name the fields of one sort; a field stands for those inside it that are all of its sort."""
    done = ""
    for row in rows:
        if done and row.name.startswith(done):
            continue
        below = [other for other in rows if other.name.startswith(f"{row.name}.")]
        if below and all(other.on_change == row.on_change for other in below):
            done = f"{row.name}."
            if row.on_change == on_change:
                yield row.name
        elif row.on_change == on_change:
            yield row.name


def _section(section: Section) -> Iterator[str]:
    yield f"### {title(section.model)}"
    places = [f"`{place}`" for place in section.places if place]
    if places:
        yield f"At {' and '.join(places)}."
    yield " ".join((section.model.__doc__ or "").split())
    yield ""
    head = ["field", "allowed", "default", "on change", "what it is"]
    yield from _table(head, *(_cells(row, section.model) for row in section.rows))


def _cells(row: Row, model: type[BaseModel]) -> list[str]:
    inner = single(row.field.annotation)
    takes = f"[{title(inner)}](#{title(inner).lower()})" if inner and model is StackSpec else allowed(row.field)
    told = " ".join(row.about.split())
    return [f"`{row.name}`", takes, default(row.field), row.on_change, told.replace("|", "\\|")]
