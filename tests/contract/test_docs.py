"""The documents hold: files that they name exist, commands are commands, the README's stack file is a good one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks
from specs.loader import parse, validate
from specs.stack import StackSpec

ROOT = Path(__file__).parents[2]
DOCS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
DOCS += [f"docs/adr/{path.name}" for path in (ROOT / "docs/adr").glob("*.md")]
NAMED = re.compile(
    r"`((?:docs|examples|stacks|tests|benchmarks|specs|runtime|emulator|components|engine|console|node)/[\w./-]+)`"
)


@pytest.mark.parametrize("document", DOCS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = {name for name in NAMED.findall((ROOT / document).read_text()) if not name.startswith("stacks/Pulumi.")}
    assert [name for name in sorted(named) if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()] == []


@pytest.mark.parametrize("document", DOCS)
def test_every_command_that_a_document_shows_is_one(document: str) -> None:
    shown = set(re.findall(r"\binvoke ([a-z]+(?:[.-][a-z]+)*)\b", (ROOT / document).read_text()))
    commands = set(tasks.namespace.task_names) | {
        alias for names in tasks.namespace.task_names.values() for alias in names
    }
    assert shown - commands - {"tasks", "command"} == set()


def test_the_stack_file_in_the_readme_is_a_good_one() -> None:
    (block,) = re.findall(r"```yaml\n(# yaml-language-server.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert list(validate(parse(block, "README.md"), StackSpec).workspaces) == ["research"]
