"""Checking a stack file without network, beside `jsonschema` validation of the same value by the same schema.

Run: python benchmarks/check.py [--rounds 20]. Exits with 1 when a shipped file takes 100 ms or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import jsonschema  # noqa: E402 - after the repository's own path

from specs.checks import examine  # noqa: E402 - the repository's own packages
from specs.loader import read  # noqa: E402 - the same
from specs.schema import stack_schema  # noqa: E402 - the same

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_S = 0.1
CLUSTER = "      cpu-{:04d}x:\n        kind: AmlCompute\n        vm_size: Standard_D2_v2\n        max_node_count: 4\n"
LARGE = "cloud: emulator\nlocation: westeurope\nresource_group: rg\nworkspaces:\n  research:\n    computes:\n"


def median(call: Callable[[], object], rounds: int) -> float:
    """Return the median of CPU seconds of a call, after one that warms up."""
    call()
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return statistics.median(spent)


def peer_check(validator: jsonschema.Draft202012Validator, path: Path) -> list[jsonschema.ValidationError]:
    """Validate a file by the schema alone."""
    return list(validator.iter_errors(read(path).value))


def main() -> None:
    """Print ours, the peer's, and the ratio, for the stacks of the repository and one with 1,000 clusters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    validator = jsonschema.Draft202012Validator(json.loads(stack_schema()))
    missed = False
    with tempfile.TemporaryDirectory() as name:
        large = Path(name) / "stacks/large.yaml"
        large.parent.mkdir()
        large.write_text(LARGE + "".join(CLUSTER.format(index) for index in range(1000)))
        files = [ROOT / "stacks/local.yaml", ROOT / "stacks/prod.yaml", ROOT / "tests/stacks/platform.yaml", large]
        print(f"CPU milliseconds, median of {rounds}; both read the file with the same parser")
        for path in files:
            few = 3 if path == large else rounds
            parsing = median(partial(read, path), few) * 1000
            ours = median(partial(examine, path), few) * 1000
            peer = median(partial(peer_check, validator, path), few) * 1000
            ratio = f"{ours / peer:.2f}"
            print(f"  {path.name:14} parse {parsing:7.1f}   check {ours:7.1f}   jsonschema {peer:7.1f}   ratio {ratio}")
            missed |= path != large and ours >= GOAL_S * 1000
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
