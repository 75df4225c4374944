"""The whole line as a story for a newcomer: deploy, train twice, register, serve, score. Stops at what fails."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from console import listings, plans, run_listings, serving
from console.progress import step
from console.running import Teller, stream
from console.table import took

if TYPE_CHECKING:
    from console.yard import Yard
    from runtime.runs import Run

JOB, DEPLOYMENT, UNSEEN = (Path("examples/digits") / name for name in ("job.yml", "deployment.yml", "unseen.json"))
MODEL, CLUSTER, LOCAL = "digits", "cpu-cluster", "local"
BACK_TO_ZERO_S = 60.0
"""Longest wait for idle nodes to go; the stack's own idle time is a quarter of it."""


def tell(yard: Yard, stack: str) -> None:
    """Run the story. Raises the error of the first step that fails."""
    chapter(f"1. The platform: stacks/{stack}.yaml, in the emulator")
    with step("emulator", "starting the emulator") as work:
        work.note = f"{yard.cloud(stack, yard.spec(stack))['ARM_METADATA_HOSTNAME']}, plays Azure on this machine"
    with step("preview", "planning") as work:
        plan = yard.preview(stack, lambda event: work.say(f"{event.op} {event.name}"))
        work.note = plans.summary(plan).strip()
    show(plans.lines(plan)[:-1])
    with step("up", "deploying") as work:
        done = yard.up(stack, [], lambda event: work.say(f"{event.op} {event.name}"), plan)
        work.note = plans.summary(done, done=True).strip()
    show(listings.targets(yard.targets(stack)))

    chapter(f"2. A training run on {CLUSTER}: {JOB}")
    on_cluster = train(yard, stack, None)
    chapter("3. The same file on this machine: --target local")
    on_laptop = train(yard, stack, LOCAL)

    chapter("4. What ran, and the better model")
    show(run_listings.runs(yard.runs(None)[:5]))
    best = max((on_cluster, on_laptop), key=lambda run: run.metrics.get("accuracy", 0.0))
    model = yard.register(stack, MODEL, "outputs/model", best.id, "accuracy")
    show([f"  {model.name}:{model.version} is registered in the workspace, from {best.id}"])

    chapter(f"5. The model behind HTTP: {DEPLOYMENT}")
    with step("deploy", "starting the service") as work:
        service = yard.deploy(stack, str(DEPLOYMENT), [], work.fact)
        work.note = f"{service.endpoint}  {service.model}  {service.url}"
    show(listings.score(serving.score(yard.project, service.endpoint, UNSEEN)))
    back_to_zero(yard, stack)

    chapter("6. Next")
    down = f"invoke endpoints.delete {service.endpoint} · invoke destroy --stack {stack} · invoke emulator.stop"
    show([
        "  source .venv/bin/activate",
        f"  invoke targets · invoke runs · invoke runs.show {on_cluster.id} · invoke logs {on_cluster.id}",
        f"  edit stacks/{stack}.yaml, then invoke preview --stack {stack}",
        f"  to take it down: {down}",
    ])  # fmt: skip


def train(yard: Yard, stack: str, target: str | None) -> Run:
    """Submit the job and follow it to its end; a run that does not complete ends the story."""
    say = Teller(quiet=False)
    started = time.monotonic()
    run = stream(yard.submit(JOB, target, stack, say), say, quiet=False)
    if run.state != "Completed":
        sys.exit(1)
    files = run.download(Path("downloads") / run.id).written
    say.line("  outputs", f"{len(files)} files in downloads/{run.id}")
    say.line("  in all", took(time.monotonic() - started))
    return run


def back_to_zero(yard: Yard, stack: str) -> None:
    """Wait until the cluster has let its idle nodes go."""
    with step("scale down", f"waiting for {CLUSTER} to let its idle node go") as work:
        deadline = time.monotonic() + BACK_TO_ZERO_S
        while (nodes := nodes_of(yard, stack)) != "0" and time.monotonic() < deadline:
            time.sleep(0.5)
        work.note = f"{CLUSTER} is back to {nodes} nodes: nothing runs, nothing costs"


def nodes_of(yard: Yard, stack: str) -> str:
    """Return the cluster's current number of nodes, as the service says it."""
    return next(row["nodes"].partition("/")[0] for row in yard.targets(stack) if row["name"] == CLUSTER)


def chapter(title: str) -> None:
    """Print a heading."""
    print(f"\n{title}", flush=True)  # noqa: T201 - this is the terminal


def show(lines: list[str]) -> None:
    """Print lines of the story."""
    print("\n".join(lines), flush=True)  # noqa: T201 - this is the terminal
