"""Planning a snapshot, beside azure-ai-ml's own two steps (hash the folder, list the files to upload) on the same tree.

    python benchmarks/snapshot.py [--json]

Trees: 500 sources beside 20,000 ignored files, first time and again; 10,000 sources, unchanged since the last plan.
Medians of several rounds in one process, so imports are in neither figure. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def make(root: Path, sources: int, ignored: int, more: str = "") -> None:
    """Write the tree: folders of 100 sources, and ignored data in folders of 1,000."""
    root.mkdir()
    (root / ".gitignore").write_text(f"data/\n*.log\n*.pyc\n.venv/\n{more}")
    for number in range(sources):
        path = root / f"package_{number // 100}" / f"module_{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"print({number})\n" * 50)
    for number in range(ignored):
        path = root / "data" / str(number // 1000) / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")


def median_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Time it."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(taken), 1)


def peer(root: Path) -> str:
    """Do what azure-ai-ml does before it uploads."""
    from azure.ai.ml._utils import _asset_utils as theirs

    rules = theirs.get_ignore_file(root)
    digest = str(theirs.get_content_hash(root, rules))
    theirs.get_upload_files_from_folder(root, ignore_file=rules)
    return digest


def measure(base: Path) -> list[tuple[str, float, float, float]]:
    """Return name, ours, azure-ai-ml's and the limit, in milliseconds. Ours first: his import slows a process."""
    many, keeps, large, cache = base / "many", base / "keeps", base / "large", base / "cache"
    make(many, 500, 20_000)
    make(keeps, 500, 20_000, "!keep.csv\n")
    make(large, 10_000, 0)
    hashes = {root: snapshot.plan(root, cache=cache).hash_202208 for root in (many, keeps, large)}
    ours = [
        ("500 sources beside 20,000 ignored, first time", median_ms(lambda: snapshot.plan(many)), many, 50),
        ("the same, unchanged", median_ms(lambda: snapshot.plan(many, cache=cache)), many, 50),
        ("the same, with a ! that could be anywhere", median_ms(lambda: snapshot.plan(keeps, cache=cache)), keeps, 50),
        ("10,000 sources, unchanged", median_ms(lambda: snapshot.plan(large, cache=cache)), large, 200),
    ]
    for root, digest in hashes.items():
        if digest != peer(root):
            sys.exit(f"the hash of {root.name} is not azure-ai-ml's")
    his = {root: median_ms(lambda root=root: peer(root), 3) for root in hashes}
    return [(name, taken, his[root], limit) for name, taken, root, limit in ours]


def main() -> int:
    """Measure, print, and tell whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    if as_json:
        keys = ("case", "ours_ms", "azure_ai_ml_ms", "limit_ms")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
    else:
        for name, ours, his, limit in rows:
            print(f"{name:<48} {ours:8.1f} ms   azure-ai-ml {his:8.1f} ms   limit {limit:.0f} ms")
    return int(any(ours > limit for _, ours, _, limit in rows))


if __name__ == "__main__":
    sys.exit(main())
