"""One stack of many clusters: preview and an `up` that changes nothing, in seconds, with all of it deployed.

Run: python benchmarks/large.py [--clusters 1000] [--peer]. With --peer also the plain flat program of preview.py. The
first `up` of each is bound by ARM's throttle (200 writes, then 10 a second), which the emulator plays: not compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.preview import flat, ours  # noqa: E402 - the repository's own packages
from emulator import launch  # noqa: E402
from engine import obtain, operations  # noqa: E402
from engine.session import Session  # noqa: E402
from runtime.control_plane import connect  # noqa: E402
from runtime.project import Project  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.obtain import Engine

LOCATION = "/subscriptions/{}/providers/Microsoft.MachineLearningServices/locations/westeurope/trainyard.limits"


def measured(kind: str, write: Callable[[Path, int], None], count: int, engine: Engine) -> dict[str, float]:
    """Deploy so many clusters in an emulator of their own, and time what follows."""
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        home = project.emulator_home
        endpoint = launch.ensure(home)
        try:
            plane = connect("emulator", project)
            limits = {"limits": {"TotalClusters": count + 10}}
            plane.post(LOCATION.format(endpoint.subscription_id), limits, "2025-12-01")
            folder = Path(name) / kind
            folder.mkdir()
            write(folder, count)
            session = Session(folder, "bench", engine, endpoint.environment())
            # The engine writes its whole state at every step: that of the first `up`, quadratic, is not what is asked.
            quick = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
            hasty = Session(folder, "bench", engine, {**endpoint.environment(), **quick})
            times = {}
            for label, operation in (
                ("first up", operations.up),
                ("preview", operations.preview),
                ("up", operations.up),
            ):
                started = time.monotonic()
                plan = operation(hasty if label == "first up" else session)
                times[label] = time.monotonic() - started
                changes = 0 if label != "first up" else count
                if sum(change.type.endswith(":Compute") for change in plan.differences) != changes:
                    sys.exit(f"{kind}, {label}: {plan.counts}")
            return times
        finally:
            launch.stop(home)


def main() -> None:
    """Print the times, and the ratio to the peer's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    engine = obtain.find()
    if engine is None:
        sys.exit("no Pulumi engine: invoke setup")
    print(f"{options.clusters} clusters in one stack, seconds ({os.cpu_count()} cores)")
    mine = measured("ours", ours, options.clusters, engine)
    print("  ours  " + "   ".join(f"{label} {value:.1f}" for label, value in mine.items()))
    if options.peer:
        theirs = measured("flat", flat, options.clusters, engine)
        print("  flat  " + "   ".join(f"{label} {value:.1f}" for label, value in theirs.items()))
        print("  ratio " + "   ".join(f"{label} {mine[label] / theirs[label]:.2f}" for label in ("preview", "up")))


if __name__ == "__main__":
    main()
