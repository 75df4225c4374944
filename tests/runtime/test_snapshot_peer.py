"""The installed azure-ai-ml decides which files go and what their hash is; we must not differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import snapshot
from runtime.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]

FILES = (
    "a.py",
    "b.log",
    "data/a.csv",
    "data/keep.csv",
    "data/sub/a.py",
    "src/a.py",
    "src/data/x.log",
    "Zed/b.txt",
    "x y.txt",
)
PATTERNS = (
    "*.log", "data/", "data", "/data", "data/*", "data/**", "**/data", "**/a.py", "!data/keep.csv", "!keep.csv",
    "!*.py", "# comment", "", "  *.csv  ", "src/*", "!src/data/", "src/**/x.log", "*", "!*/", "/", "x\\ y.txt",
    "[ab].*", "Z?d", "!/a.py", "data/sub/", "!data/sub/a.py", "!data/", "**/sub/*", "\\!x", "sub",
)  # fmt: skip


def theirs(root: Path) -> tuple[list[str], str]:
    from azure.ai.ml._utils import _asset_utils as peer

    rules = peer.get_ignore_file(root)
    files = peer.get_upload_files_from_folder(root, ignore_file=rules)
    return sorted(name for _, name in files), str(peer.get_content_hash(root, rules))


def ours(root: Path) -> tuple[list[str], str]:
    try:
        planned = snapshot.plan(root)
    except SpecError as error:
        return [], error.problems[0].rule
    return [file.path for file in planned.files], planned.hash_202208


def make(root: Path, ignore_file: str, patterns: list[str]) -> None:
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content {number}" * number)
    (root / ignore_file).write_text("\n".join(patterns) + "\n")


@settings(max_examples=300, deadline=None)
@given(
    patterns=st.lists(st.sampled_from(PATTERNS), min_size=0, max_size=5),
    ignore_file=st.sampled_from([".amlignore", ".gitignore"]),
)
def test_files_and_hash_are_azure_ai_mls(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], ignore_file: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    make(root, ignore_file, patterns)
    mine, his = ours(root), theirs(root)
    assert mine[0] == his[0], patterns
    assert mine[1] == (his[1] if his[0] else "snapshot-empty")


def test_links_within_the_folder_are_azure_ai_mls(tmp_path: Path) -> None:
    make(tmp_path, ".amlignore", ["*.log"])
    (tmp_path / "link.py").symlink_to("src/a.py")
    (tmp_path / "linked").symlink_to("data")
    assert ours(tmp_path) == theirs(tmp_path)
