"""A run on this machine beside the bare subprocess, and how long a line of a log takes to the terminal.

    python benchmarks/local_run.py [--rounds 20] [--lines 100] [--json]

Overhead: in one process, in turns, `submit` to `local` and `wait` until Completed, and `sh -c "python -c pass"` with
the interpreter of the run's own cached environment; imports of this process are in neither figure. Lines: a job writes
the moment with each line, at random pauses; `Run.stream` notes when the line comes to the function that writes to the
terminal; both read one machine's clock. Exit code 1 when the median overhead is above 60 ms, or the 95th percentile of
the lines, on `local` or on the emulated cluster, above 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from clone import circumstances, clone, write_job

from runtime.submit import submit

if TYPE_CHECKING:
    from console.yard import Yard
    from runtime.runs import Run

OVERHEAD_MS, LINE_S = 60.0, 0.5
TALKER = """
import random, sys, time
random.seed(7)
for _ in range(int(sys.argv[1])):
    time.sleep(random.uniform(0.0, 0.4))
    print("at", time.time(), flush=True)
"""


def completed(run: Run) -> Run:
    """Insist on it."""
    if run.state != "Completed":
        sys.exit(f"{run.id} is {run.state}: {run.record.reason}")
    return run


def overhead(yard: Yard, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of runs and of bare subprocesses; a first round builds the environment."""
    job, known = write_job(yard, "python -c pass", files=5), yard.outputs("local")
    first = completed(submit(job, "local", stack=known, project=yard.project).wait())
    status = json.loads((first.site.store.attempt_folder(first.record) / "status.json").read_bytes())
    folder = os.path.dirname(status["environment"]["interpreter"])  # noqa: PTH120 - a string for PATH
    bare = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    taken: dict[str, list[float]] = {"run": [], "submitted": [], "bare": []}
    for _ in range(rounds):
        began = time.perf_counter()
        run = submit(job, "local", stack=known, project=yard.project)
        taken["submitted"].append((time.perf_counter() - began) * 1000)
        completed(run.wait())
        taken["run"].append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        subprocess.run(["/bin/sh", "-c", "python -c pass"], env=bare, check=True, cwd=yard.project.root)
        taken["bare"].append((time.perf_counter() - began) * 1000)
    return taken


def delays(yard: Yard, target: str, count: int) -> list[float]:
    """Return how many seconds each line took."""
    job = write_job(yard, f"python talk.py {count}", files=1)
    (yard.project.root / "src" / "talk.py").write_text(TALKER)
    found: list[float] = []

    def write(chunk: bytes) -> None:
        now = time.time()
        found.extend(now - float(line[3:]) for line in chunk.decode().splitlines() if line.startswith("at "))

    completed(submit(job, target, stack=yard.outputs("local"), project=yard.project).stream(write))
    if len(found) != count:
        sys.exit(f"{target}: {len(found)} lines came, not {count}")
    return found


def p95(values: list[float]) -> float:
    """Return the 95th percentile (nearest rank)."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def main() -> int:
    """Measure, print, and tell whether the goals are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with clone() as yard:
        taken = overhead(yard, options.rounds)
        lines = {target: delays(yard, target, options.lines) for target in ("local", "cpu-cluster")}
    medians = {name: statistics.median(values) for name, values in taken.items()}
    above = medians["run"] - medians["bare"]
    late = {target: p95(values) for target, values in lines.items()}
    if options.json:
        print(json.dumps({"overhead_ms": above, "medians_ms": medians, "line_p95_s": late, "all_ms": taken}, indent=1))
    else:
        print(f"a local run, medians of {options.rounds} in milliseconds ({circumstances()})")
        print(f"  run {medians['run']:.0f}   bare subprocess {medians['bare']:.0f}   above it {above:.0f}", end="")
        print(f"   (of the run, {medians['submitted']:.0f} until submit returns)")
        for target, values in lines.items():
            print(f"log line to terminal, {target}, seconds of {len(values)} lines: ", end="")
            print(f"median {statistics.median(values):.2f}   p95 {late[target]:.2f}   most {max(values):.2f}")
    return int(above > OVERHEAD_MS or any(value > LINE_S for value in late.values()))


if __name__ == "__main__":
    sys.exit(main())
