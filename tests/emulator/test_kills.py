"""`kill -9` of the emulator at seeded random moments of jobs on one and several nodes: each node executes once.

A sample of what was run with 90 kills (seeds 5 and 11) when this was written, 0 of them wrong.
"""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.emulator.dataplane_kit import command_job
from tests.emulator.emulator_kit import Emulator

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.routing import Json

pytestmark = pytest.mark.processes
VERSION = "api-version=2025-01-01-preview"
KINDS: list[tuple[str, str | None, int]] = [
    ("cpu", "PyTorch", 2),
    ("cpu", None, 2),
    ("client-ci", None, 1),
    ("", None, 2),
]
"""Compute (none: serverless), distribution, nodes."""


def submitted(emulator: Emulator, name: str, kind: tuple[str, str | None, int], witness: Path) -> None:
    compute, distribution, nodes = kind
    environment = f"{emulator.workspace}/environments/bare/versions/1"
    emulator.request("PUT", f"{environment}?{VERSION}", {"properties": {"image": "x"}})
    body = command_job(
        f"echo begun >> {witness}/${{RANK:-0}}; sleep 0.6; echo done >> {witness}/${{RANK:-0}}",
        computeId=f"{emulator.workspace}/computes/{compute}" if compute else None,
        environmentId=environment,
        resources={"instanceCount": nodes},
        distribution={"distributionType": distribution} if distribution else None,
    )
    assert emulator.request("PUT", f"{emulator.workspace}/jobs/{name}?{VERSION}", body)[0] == 201


def ended(emulator: Emulator, name: str) -> dict[str, Json]:
    deadline = time.monotonic() + 60
    while True:
        _, details = emulator.request("GET", f"/history/v1.0{emulator.workspace}/runs/{name}/details")
        assert isinstance(details, dict)
        if details["status"] in {"Completed", "Failed", "Canceled"}:
            return details
        assert time.monotonic() < deadline, details
        time.sleep(0.1)


def test_a_kill_at_any_moment_leaves_one_execution_on_each_node(tmp_path: Path) -> None:
    moments = random.Random(5)  # noqa: S311 - seeded, to be repeatable
    emulator = Emulator(tmp_path / "home")
    try:
        emulator.fill()
        for number, kind in enumerate(KINDS):
            witness = tmp_path / str(number)
            witness.mkdir()
            submitted(emulator, f"k{number}", kind, witness)
            time.sleep(moments.uniform(0, 0.8))
            emulator.end(signal.SIGKILL)
            emulator.start()
            details = ended(emulator, f"k{number}")
            assert (details["status"], details["error"]) == ("Completed", None)
            assert {file.name: file.read_text().split() for file in witness.iterdir()} == {
                str(rank): ["begun", "done"] for rank in range(kind[2])
            }
    finally:
        emulator.end_all()
