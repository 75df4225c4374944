"""A run on this machine beside the bare subprocess, and beside submitit's local executor with the same command.

    python benchmarks/local_run.py [--rounds 20] [--json]

In one process, in turns: `submit` to `local` and `wait` until Completed; `submitit.LocalExecutor.submit` of a function
that runs the same command, until its result is there (asked every millisecond, as `result()` itself looks once a
second); and the command alone, `sh -c "python -c pass"`, with the interpreter of the run's own cached environment.
Imports of this process are in none of them. submitit keeps no snapshot, no record and no environment of a run. Exit
code 1 when our median is more than 60 ms above the bare subprocess's, or above submitit's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import submitit
from clone import circumstances, clone, write_job

from runtime.submit import submit

if TYPE_CHECKING:
    from pathlib import Path

    from console.yard import Yard
    from runtime.runs import Run

OVERHEAD_MS = 60.0
LINE = ["/bin/sh", "-c", "python -c pass"]
PEER_S = 30.0


def completed(run: Run) -> Run:
    """Insist on it."""
    if run.state != "Completed":
        sys.exit(f"{run.id} is {run.state}: {run.record.reason}")
    return run


def bare(environment: dict[str, str], folder: Path) -> None:
    """Run the command."""
    subprocess.run(LINE, env=environment, check=True, cwd=folder)


def by_submitit(executor: submitit.LocalExecutor, environment: dict[str, str], folder: Path) -> None:
    """Have submitit run the command."""
    job = executor.submit(subprocess.run, LINE, env=environment, check=True, cwd=str(folder))
    deadline = time.monotonic() + PEER_S
    while not job.done(force_check=True):
        if time.monotonic() > deadline:
            sys.exit("submitit's job does not end")
        time.sleep(0.001)
    job.result()


def measure(yard: Yard, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of each; a first round builds the environment."""
    job, known = write_job(yard, "python -c pass", files=5), yard.outputs("local")
    first = completed(submit(job, "local", stack=known, project=yard.project).wait())
    status = json.loads((first.site.store.attempt_folder(first.record) / "status.json").read_bytes())
    folder = os.path.dirname(status["environment"]["interpreter"])  # noqa: PTH120 - a string for PATH
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    root = yard.project.root
    executor = submitit.LocalExecutor(folder=root / "submitit")
    by_submitit(executor, environment, root)
    taken: dict[str, list[float]] = {"run": [], "submitted": [], "submitit": [], "bare": []}
    for _ in range(rounds):
        began = time.perf_counter()
        run = submit(job, "local", stack=known, project=yard.project)
        taken["submitted"].append((time.perf_counter() - began) * 1000)
        completed(run.wait())
        taken["run"].append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        by_submitit(executor, environment, root)
        taken["submitit"].append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        bare(environment, root)
        taken["bare"].append((time.perf_counter() - began) * 1000)
    return taken


def main() -> int:
    """Measure, print, and tell whether the goals are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with clone() as yard:
        taken = measure(yard, options.rounds)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    above, ratio = medians["run"] - medians["bare"], medians["run"] / medians["submitit"]
    if options.json:
        print(json.dumps({"above_ms": above, "ratio": ratio, "medians_ms": medians, "all_ms": taken}, indent=1))
    else:
        print(f"a local run, medians of {options.rounds} in milliseconds ({circumstances()})")
        print(f"  run {medians['run']:.0f}   bare subprocess {medians['bare']:.0f}   above it {above:.0f}", end="")
        print(f"   (of the run, {medians['submitted']:.0f} until submit returns)")
        print(f"  submitit {medians['submitit']:.0f}   ours by it {ratio:.2f}")
        least = {name: min(values) for name, values in taken.items()}
        print(f"  the quickest of each: run {least['run']:.0f}   bare {least['bare']:.0f}", end="")
        print(f"   above it {least['run'] - least['bare']:.0f}   submitit {least['submitit']:.0f}")
    return int(above > OVERHEAD_MS or ratio > 1)


if __name__ == "__main__":
    sys.exit(main())
