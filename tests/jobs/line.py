"""What the tests of job files do with the four targets: submit, wait, read logs and files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from emulator import launch
from runtime import hosts, outputs, submitters
from runtime.site import open_site
from runtime.submit import submit
from specs.targets import ComputeInstanceTarget
from tests.runtime import kit
from tests.ssh import kit as ssh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.project import Project
    from runtime.runs import Run
    from runtime.site import Site
    from specs.outputs import StackOutputs
    from tests.ssh.kit import Machine

TARGETS = ("local", "cpu-cluster", "notebook", "gpu-box")
PATIENCE_S = 240.0
INSTANCE = f"{kit.WORKSPACE}/computes/notebook"


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


@contextmanager
def opened(base: Path, cache: Path) -> Iterator[Line]:
    """Make all four in a folder. Without sshd `gpu-box` is left out; in CI that is a failure.

    Until the end HOME is the folder's, and the variables of this process lead nowhere else.
    """
    patch = pytest.MonkeyPatch()
    patch.setenv("TRAINYARD_CACHE", str(cache))
    for name in ("ARM_SUBSCRIPTION_ID", "TRAINYARD_EMULATOR", "TRAINYARD_CRASH_AT", "SSH_AUTH_SOCK"):
        patch.delenv(name, raising=False)
    project = kit.a_project(base / "project")
    launch.ensure(project.emulator_home)
    site = open_site(project)
    plane = site.cloud("emulator")
    kit.make_workspace(plane)
    properties = {"computeType": "ComputeInstance", "properties": {"vmSize": "Standard_D2_v2"}}
    plane.put(INSTANCE, {"location": "westeurope", "properties": properties}, "2025-12-01")
    known = kit.some_outputs()
    instance = ComputeInstanceTarget(name="notebook", id=INSTANCE, workspace="research", vm_size="Standard_D2_v2")
    known = known.model_copy(update={"targets": {**known.targets, "notebook": instance}})
    machine = None
    if ssh.SSHD is not None:
        patch.setenv("HOME", str(base / "user"))
        machine = ssh.Machine(base / "machine")
        machine.let_in(ssh.key_pair(base / "user/.ssh/id_ed25519"))
        machine.start()
        known = known.model_copy(update={"targets": {**ssh.outputs_of(machine).targets, **known.targets}})
    elif os.environ.get("CI"):
        pytest.fail("sshd is not installed (Debian: openssh-server), so no run on a machine can be tried")
    outputs.save(project, known)
    try:
        yield Line(project, site, known, machine)
    finally:
        hosts.close(site)
        if machine is not None:
            machine.clean()
        launch.stop(project.emulator_home)
        patch.undo()
