"""Train in steps, and survive the loss of the machine: every step ends with a checkpoint that is whole.

The checkpoint is replaced by a rename, so whoever reads it sees the last step or the one before, never a part of one.
Nothing here knows of Trainyard or Azure ML but the folder `outputs`, which a next attempt begins with.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

OUTPUTS = Path("outputs")
CHECKPOINT = OUTPUTS / "checkpoint.json"


def main() -> None:
    """Go on from the last checkpoint, if there is one, to the last step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds-per-step", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()

    OUTPUTS.mkdir(exist_ok=True)
    step, weight = load()
    print(f"begins after step {step}", flush=True)
    while step < given.steps:
        step += 1
        time.sleep(given.seconds_per_step)
        # A step depends on the steps before and on its own number only: where it runs makes no difference.
        weight = 0.9 * weight + random.Random(given.seed * 1000 + step).random()  # noqa: S311 - no secret
        save(step, weight)
        print(f"step {step:02} of {given.steps}: weight {weight:.12f}", flush=True)
    replace(OUTPUTS / "result.json", {"steps": step, "weight": weight})


def load() -> tuple[int, float]:
    """Return the last finished step and what it had learned."""
    try:
        kept = json.loads(CHECKPOINT.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0, 0.0
    return kept["step"], kept["weight"]


def save(step: int, weight: float) -> None:
    """Keep what a step learned."""
    replace(CHECKPOINT, {"step": step, "weight": weight})


def replace(path: Path, value: dict[str, float]) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


if __name__ == "__main__":
    main()
