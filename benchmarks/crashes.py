"""A thousand crashes: submitters, supervisors, the emulator and sshd are killed, and every run is looked at afterwards.

    python benchmarks/crashes.py [--points 1000] [--seed 5]

No peer: what is measured is how many runs were lost, executed twice or wrongly ended. Exit code 1 when any was. The
tests try 200 points of another seed in every run; `tests/jobs/crashes.py` says what a point is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.jobs import crashes  # noqa: E402 - after the repository's own path


def main() -> int:
    """Sweep in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return crashes.main(Path(folder), options.points, options.seed)


if __name__ == "__main__":
    sys.exit(main())
