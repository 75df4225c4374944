"""What the tests of job files do with the four targets: submit, wait, read logs and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runtime import submitters
from runtime.submit import submit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.runs import Run
    from runtime.site import Site
    from specs.outputs import StackOutputs
    from tests.ssh.kit import Machine

TARGETS = ("local", "cpu-cluster", "notebook", "gpu-box")
PATIENCE_S = 240.0


@dataclass
class Line:
    """Four targets of one stack."""

    project: Project
    site: Site
    known: StackOutputs
    machine: Machine | None

    def needs(self, target: str) -> None:
        """Skip aloud where there is no sshd."""
        if target == "gpu-box" and self.machine is None:
            pytest.skip("sshd is not installed (Debian: openssh-server), so no run on a machine can be tried")

    def submit(self, job: Path, target: str) -> Run:
        """Submit a job file as it is."""
        return submit(job, target, stack=self.known, project=self.project, site=self.site)

    def ended(self, run: Run) -> Run:
        """Wait for its end."""
        return run.wait(PATIENCE_S)

    def logs(self, run: Run) -> dict[str, str]:
        """Read every log of the job's own, by its last name."""
        driver = submitters.of(run.record.kind)
        found = driver.look(self.site, run.record).logs
        return {
            name.rpartition("/")[2]: b"".join(self._chunks(run, address)).decode()
            for name, address in found.items()
            if name.startswith("user_logs/")
        }

    def _chunks(self, run: Run, address: str) -> list[bytes]:
        chunks: list[bytes] = []
        read = submitters.of(run.record.kind).read_log
        while chunk := read(self.site, run.record, address, sum(map(len, chunks))):
            chunks.append(chunk)
        return chunks

    def files(self, run: Run) -> dict[str, bytes]:
        """Read every file that it left, but the logs."""
        found = submitters.of(run.record.kind).files(self.site, run.record)
        return {
            file.name: b"".join(file.read())
            for file in found
            if not file.name.startswith(("user_logs/", "azureml-logs/"))
        }
