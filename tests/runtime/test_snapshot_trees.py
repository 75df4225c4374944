"""Generated trees with ignore files: azure-ai-ml's own list of files, and `git check-ignore` for nested ones."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import snapshot
from runtime.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b", "data", "src", "x y", "a.py", "b.log", "keep.csv", ".hidden", "é", "[z]", "node_modules")
PARTS = ("*", "**", "*.py", "*.log", "?", "[ab]*", "[^a]", "[!a]*", "!(x)", "\\[z\\]", *NAMES)
SIMPLE = ("*.log", "data/", "/a", "x y", "src/*.py", "node_modules", "**/b", "[ab].*", "keep.csv", "src/a/")
"""What azure-ai-ml and git read alike; it decides in the root, git below."""
TREES = 200


@st.composite
def patterns(draw: st.DrawFn, *, negated: bool) -> list[str]:
    """Draw the lines of an ignore file."""
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        parts = draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3))
        start = draw(st.sampled_from(("", "", "/", "**/")))
        end = draw(st.sampled_from(("", "", "/", "/**", "/*")))
        sign = draw(st.sampled_from(("", "!"))) if negated else ""
        lines.append(f"{sign}{start}{'/'.join(parts)}{end}")
    return lines


folders = st.lists(st.sampled_from(("data", "src", "a", "b", "x y", "node_modules")), max_size=3).map("/".join)
files = st.sets(st.tuples(folders, st.sampled_from(NAMES)), min_size=1, max_size=14)
ascii_files = st.sets(st.tuples(folders, st.sampled_from([*filter(str.isascii, NAMES)])), min_size=1, max_size=14)
"""To git a `?` is one byte, to azure-ai-ml one character; where they differ we are azure-ai-ml's."""


def make(root: Path, found: set[tuple[str, str]], ignores: dict[str, list[str]]) -> None:
    """Write the tree; a name that is a folder already stays one."""
    for folder in ignores:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder, _ in sorted(found):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder, name in sorted(found):
        if not (root / folder / name).is_dir():
            (root / folder / name).write_text(f"{folder}/{name}")
    for name, lines in ignores.items():
        (root / name / ".gitignore").write_text("\n".join(lines) + "\n")


def ours(root: Path) -> list[str]:
    try:
        return [file.path for file in snapshot.plan(root).files]
    except SpecError as error:
        if [problem.rule for problem in error.problems] != ["snapshot-empty"]:
            raise
        return []


@pytest.mark.clients
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=TREES, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=files, lines=patterns(negated=True), name=st.sampled_from((".amlignore", ".gitignore")))
def test_the_files_sent_are_azure_ai_mls(
    tmp_path_factory: pytest.TempPathFactory, found: set[tuple[str, str]], lines: list[str], name: str
) -> None:
    from azure.ai.ml._utils import _asset_utils as peer

    root = tmp_path_factory.mktemp("tree")
    make(root, found, {})
    (root / name).write_text("\n".join(lines) + "\n")
    rules = peer.get_ignore_file(root)
    theirs = sorted(path for _, path in peer.get_upload_files_from_folder(root, ignore_file=rules))
    assert ours(root) == theirs


@pytest.mark.processes
@settings(max_examples=TREES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    found=ascii_files,
    top=st.lists(st.sampled_from(SIMPLE), max_size=3),
    nested=st.dictionaries(folders.filter(bool), patterns(negated=True), max_size=3),
)
def test_nested_gitignore_files_are_gits(
    tmp_path_factory: pytest.TempPathFactory,
    found: set[tuple[str, str]],
    top: list[str],
    nested: dict[str, list[str]],
) -> None:
    root = tmp_path_factory.mktemp("tree")
    make(root, found, {"": top, **nested})
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    listed = [
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts
    ]
    asked = "\0".join(listed).encode()
    done = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--no-index", "--stdin", "-z"],
        input=asked,
        capture_output=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    ignored = set(done.stdout.decode().split("\0"))
    expected = sorted(path for path in listed if path not in ignored)
    got = ours(root)
    shutil.rmtree(root)
    assert got == expected
