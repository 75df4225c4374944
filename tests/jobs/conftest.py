"""One workspace with a cluster and an instance in a real emulator, one machine with a real sshd, and this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from emulator import launch
from runtime import hosts, outputs
from runtime.site import open_site
from specs.compute import ComputeInstanceTarget
from tests.jobs.line import Line
from tests.runtime import kit
from tests.ssh import kit as ssh

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTANCE = f"{kit.WORKSPACE}/computes/notebook"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/jobs/" in item.path.as_posix() and "line" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.processes)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Make them all, once. Where there is no sshd `gpu-box` is left out aloud; in CI that is a failure."""
    patch, base = pytest.MonkeyPatch(), tmp_path_factory.mktemp("line")
    patch.setenv("TRAINYARD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
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
