"""A submitter that is killed at any of its steps: the next command, and another clone, judge the run rightly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import runs
from tests.ssh import kit

if TYPE_CHECKING:
    from runtime.runs import Run

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from tests.ssh import kit
folder, port, key = sys.argv[1:]
machine = kit.Known(int(port), key)
with kit.client(Path(folder), machine) as client:
    client.submit(Path(folder, "job.yml"))
"""


def killed_at(client: kit.Client, point: str) -> Run:
    """Submit in another process, which dies at a point; return what the next command sees."""
    project, machine = client.project, client.machine
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(project.root), str(machine.port), machine.host_key],
        env={**os.environ, "TRAINYARD_CRASH_AT": point, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (record,) = client.site.store.all()
    return runs.Run(record, client.site)


@pytest.mark.parametrize(
    ("point", "states"),
    [
        ("intent", {"Failed"}),
        ("snapshot", {"Failed"}),
        ("environment", {"Failed"}),
        ("uploaded", {"Failed"}),
        ("put-sent", {"Completed", "Failed"}),
        ("acknowledged", {"Completed"}),
    ],
)
def test_a_killed_submitter_leaves_a_run_that_is_judged_rightly(
    client: kit.Client, tmp_path: Path, point: str, states: set[str]
) -> None:
    witness = tmp_path / "witness"
    kit.a_job(client.project.root, f"echo once >> {witness}")
    run = killed_at(client, point).wait(120)
    assert run.state in states
    assert (witness.read_text() if witness.exists() else "") == ("once\n" if run.state == "Completed" else "")
    if run.state == "Failed":
        assert run.record.reason is not None
        assert run.record.reason.startswith("the submission was interrupted before the run started; nothing ran.")
