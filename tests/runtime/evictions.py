"""Evict a checkpointing job at seeded random moments, in a real emulator, and count what is lost each time.

`python -m tests.runtime.evictions 50 SEED` runs all of the acceptance; `test_evictions.py` a small sample of it.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import launch
from runtime import outputs
from runtime.errors import TargetError
from runtime.evictions import evict
from runtime.runs import observe
from runtime.site import open_site
from runtime.submit import submit
from specs.targets import AmlComputeTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.project import Project
    from runtime.runs import Run
    from runtime.site import Site
    from runtime.wire import Json, Object
    from specs.outputs import StackOutputs

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpointing"
SPOT = f"{kit.WORKSPACE}/computes/spot-cluster"
STEPS, STEP_S = 20, 0.1
RESULT = {"steps": 20, "weight": 4.2736383117625065}
"""Of the example's script with its seed, without any eviction."""
STEP = re.compile(rb"step (\d+) of \d+")
BEGINS = re.compile(rb"begins after step (\d+)")
WITHIN_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What one run showed."""

    run: str
    moments: tuple[float, ...]
    """When its node was taken, in seconds after the run was seen running."""
    state: str
    attempts: int
    lost: tuple[int, ...]
    """Steps that each eviction cost: finished by one attempt, done again by the next."""
    result: Object


def spot_outputs() -> StackOutputs:
    """Describe the stack with a low-priority cluster."""
    known = kit.some_outputs()
    spot = AmlComputeTarget(
        name="spot-cluster",
        id=SPOT,
        workspace="research",
        vm_size="Standard_D2_v2",
        vm_priority="LowPriority",
        min_node_count=0,
        max_node_count=2,
    )
    return known.model_copy(update={"targets": {**known.targets, "spot-cluster": spot}})


def make_spot(site: Site) -> None:
    """Make the low-priority cluster."""
    scale: Object = {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    cluster: Object = {"vmSize": "Standard_D2_v2", "vmPriority": "LowPriority", "scaleSettings": scale}
    body: Object = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": cluster}}
    site.cloud("emulator").put(SPOT, body, "2025-12-01")


def a_checkpointing_job(folder: Path, **changes: Json) -> Path:
    """Write the example's job with quick steps and without packages."""
    command = f"python train.py --steps {STEPS} --seconds-per-step {STEP_S}"
    # Runs of many clones share one workspace here, and their names must not meet.
    experiment = f"spot-{secrets.token_hex(4)}"
    job = kit.a_job(folder, command=command, inputs=None, experiment_name=experiment, **changes)
    shutil.copytree(EXAMPLE / "src", folder / "src", dirs_exist_ok=True)
    return job


def evicted(site: Site, known: StackOutputs, job: Path, moments: tuple[float, ...]) -> Outcome:
    """Run the job, take its node at these moments of its life, and see what comes out."""
    run = submit(job, "spot-cluster", stack=known, project=site.project, site=site)
    for number, moment in enumerate(moments, 1):
        run = until_running(run, number)
        time.sleep(moment)
        take(site, known)
    ended = run.wait(WITHIN_S)
    return judged(ended, moments)


def until_running(run: Run, attempt: int) -> Run:
    """Wait until an attempt runs; returns at once when the run has ended before."""
    deadline = time.monotonic() + WITHIN_S
    while not run.terminal and (run.record.attempt, run.state) != (attempt, "Running"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"attempt {attempt} of {run.id} does not run: {run.record}")
        time.sleep(0.05)
        run, _ = observe(run)
    return run


def take(site: Site, known: StackOutputs) -> None:
    """Evict; that there is nothing left to take is no fault, for the run may just have ended."""
    try:
        evict(site.cloud("emulator"), known, "spot-cluster")
    except TargetError as error:
        if "has no node right now" not in str(error):
            raise


def judged(ended: Run, moments: tuple[float, ...]) -> Outcome:
    """Read what each attempt did from its log, and the result from the outputs."""
    from runtime import submitters

    files = {file.name: file for file in submitters.of(ended.record.kind).files(ended.site, ended.record)}

    def content(name: str) -> bytes:
        return b"".join(files[name].read()) if name in files else b""

    logs = [content(f"attempt-{attempt.number}/user_logs/std_log.txt") for attempt in ended.record.attempts]
    logs.append(content("user_logs/std_log.txt"))
    lost, last = list[int](), 0
    for number, log in enumerate(logs):
        began = int(found[1]) if (found := BEGINS.search(log)) else last
        if number:
            # A step may be kept and not yet said when the node goes: nothing is lost then.
            lost.append(max(0, last - began))
        last = max([began, *(int(step) for step in STEP.findall(log))])
    result = json.loads(content("outputs/result.json") or b"{}")
    return Outcome(ended.id, moments, ended.state, ended.record.attempt, tuple(lost), result)


def prepared(home: Path) -> tuple[Project, Site, StackOutputs]:
    """Start an emulator with a low-priority cluster in a new project."""
    project = kit.a_project(home)
    launch.ensure(project.emulator_home)
    site = open_site(project)
    kit.make_workspace(site.cloud("emulator"))
    make_spot(site)
    known = spot_outputs()
    outputs.save(project, known)
    return project, site, known


def main(count: int, seed: int) -> int:
    """Evict so many runs; returns an exit code: 0 when all ended alike with at most one step lost each."""
    dice, faults = random.Random(seed), 0  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory() as folder:
        project, site, known = prepared(Path(folder) / "project")
        try:
            job = a_checkpointing_job(Path(folder) / "job")
            for number in range(count):
                moment = dice.uniform(0.0, STEPS * STEP_S)
                outcome = evicted(site, known, job, (moment,))
                right = (outcome.state, outcome.result) == ("Completed", RESULT) and all(
                    0 <= steps <= 1 for steps in outcome.lost
                )
                faults += not right
                words = f"{outcome.state}, {outcome.attempts} attempts, steps lost {list(outcome.lost)}"
                print(f"{number + 1:3} of {count} at {moment:5.2f} s: {words}{'' if right else '  WRONG'}", flush=True)  # noqa: T201 - a command of its own
                if not right:
                    print(outcome, flush=True)  # noqa: T201 - a command of its own
        finally:
            launch.stop(project.emulator_home)
    print(f"{count} evictions, seed {seed}: {faults} wrong")  # noqa: T201 - a command of its own
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
