"""`docs/adding-a-kind.md`, followed: its blocks are applied to a copy of the packages, and the copy's own tests run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/adding-a-kind.md"
CHECKED = ("specs", "components", "runtime", "console", "emulator")
COPIED = (*CHECKED, "stacks", "engine", "node", "tests", "docs")
STEP = re.compile(r"^## (\d)\. (.+?)$\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ERROR = re.compile(r"^(\S+?):\d+: error: (.+?)  \[([\w-]+)\]$", re.MULTILINE)
KIND = "DataFactory"


@dataclass(frozen=True)
class Block:
    sort: str
    file: str
    text: str


def steps() -> list[tuple[str, list[Block]]]:
    """Return the document's steps: title, blocks."""
    found = STEP.findall(DOCUMENT.read_text("utf-8"))
    assert [int(number) for number, _, _ in found] == [1, 2, 3, 4, 5, 6]
    return [(title, [Block(*block) for block in BLOCK.findall(text)]) for _, title, text in found]


def hunks(diff: str) -> list[tuple[str, str]]:
    """Split a diff into what is there and what comes instead."""
    pairs = []
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -\n")
        pairs.append((before, "".join(line[1:] for line in lines if line[0] in " +\n")))
    return pairs


def applied(block: Block, folder: Path) -> None:
    path = folder / block.file
    if block.sort != "diff":
        assert not path.exists()
        path.write_text(block.text, "utf-8")
        return
    text = path.read_text("utf-8")
    for before, after in hunks(block.text):
        assert f"\n{text}".count(f"\n{before}") == 1, f"{block.file} has not, or not once:\n{before}"
        text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
    path.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("copy")
    skipped = shutil.ignore_patterns("__pycache__", "*.db", "go")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    for name in ("trainyard.py", "tasks.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    if (ROOT / ".mypy_cache").is_dir():  # saves half a minute; right without it
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "TRAINYARD_WRITE_URNS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def type_errors(folder: Path) -> tuple[int, list[tuple[str, str, str]]]:
    found = run(folder, "mypy", *(f"-p{name}" for name in CHECKED))
    assert found.returncode in {0, 1}, found.stderr
    return found.returncode, ERROR.findall(found.stdout)


def test_the_six_steps_add_a_kind(copy: Path) -> None:
    (_, fields), (_, lists), *rest = steps()
    for block in (*fields, *lists):
        applied(block, copy)
    status, errors = type_errors(copy)
    assert status == 1
    # The checker names every file that lacks the kind, and these are the ones that steps 3 and 4 change.
    (_, resources), (_, answers), *_ = rest
    cases = [block.file for block in (*resources, *answers) if block.sort == "diff" and block.file != "trainyard.py"]
    assert sorted({file for file, _, _ in errors}) == sorted(cases)
    assert {message for _, message, _ in errors} <= {
        f'Argument 1 to "assert_never" has incompatible type "{what}"; expected "Never"'
        for what in (f"{KIND}Spec", f"{KIND}Target", f"Literal['{KIND}']")
    }
    for _, blocks in rest:
        for block in blocks:
            applied(block, copy)
    assert type_errors(copy) == (0, [])
    written = run(copy, "invoke", "schema")
    assert written.stdout.split() == ["stacks/stack.schema.json", "docs/targets.md", "docs/jobs.md"], written.stderr
    assert f'"const": "{KIND}"' in (copy / "stacks/stack.schema.json").read_text("utf-8")
    assert f"\n### {KIND}\n" in (copy / "docs/targets.md").read_text("utf-8")
    holds(copy)


def holds(copy: Path) -> None:
    """Run the copy's own tests: of every kind, of every field, of every option; whole stacks rendered."""
    found = run(
        copy,
        "pytest",
        "-q",
        "-pno:cacheprovider",
        "tests/contract/test_kinds.py",
        "tests/contract/test_targets_page.py",
        "tests/contract/test_every_option.py",
        "tests/contract/test_schema.py::test_the_committed_schema_is_the_models_own",
        "tests/contract/test_schema.py::test_the_stacks_fit_the_schema",
        "tests/components/test_urns.py",
        f"tests/components/test_every_field.py::test_every_field_that_reaches_azure_has_two_values_here[{KIND}]",
        f"tests/components/test_every_field.py::test_the_engine_is_told_to_replace_what_the_model_says[{KIND}]",
        *(
            f"tests/components/test_every_field.py::{test}[{KIND}-{field}]"
            for test in (
                "test_a_changed_field_changes_the_inputs_at_its_path_and_nowhere_else",
                "test_a_change_replaces_exactly_where_the_model_says_so",
                "test_the_service_takes_a_change_in_place_and_refuses_one_that_replaces",
            )
            for field in ("kind", "resource_id", "location", "description", "tags")
        ),
    )
    assert found.returncode == 0, found.stdout
    assert f"$trainyard:index:{KIND}::factory" in (copy / "tests/components/urns.txt").read_text("utf-8")
