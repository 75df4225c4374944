from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from runtime import outputs
from runtime.site import Site, open_site
from tests.runtime import kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.project import Project


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("ARM_SUBSCRIPTION_ID", "TRAINYARD_EMULATOR", "TRAINYARD_CRASH_AT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> kit.HeldClock:
    return kit.HeldClock()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return kit.a_project(tmp_path / "project")


@pytest.fixture
def transport() -> kit.FakeTransport:
    return kit.FakeTransport()


@pytest.fixture
def site(project: Project, clock: kit.HeldClock, transport: kit.FakeTransport) -> Site:
    """Make a site whose one control plane answers as the test says."""
    here = open_site(project, clock)
    here.planes["emulator"] = kit.fake_plane(transport, clock)
    return here


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Make a project with a workspace and a cluster in a real emulator process, stopped at the end."""
    from emulator import launch

    project = kit.a_project(tmp_path_factory.mktemp("emulated"))
    home = project.emulator_home
    patch = pytest.MonkeyPatch()
    patch.setenv("TRAINYARD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("ARM_SUBSCRIPTION_ID", "TRAINYARD_EMULATOR"):
        patch.delenv(name, raising=False)
    launch.ensure(home)
    patch.undo()
    try:
        kit.make_workspace(open_site(project).cloud("emulator"))
        outputs.save(project, kit.some_outputs())
        yield project
    finally:
        launch.stop(home)


@pytest.fixture
def line(emulated: Project, tmp_path: Path) -> Project:
    """Make a clone of its own that knows the emulator and the stack, and has no runs."""
    clone = kit.a_project(tmp_path / "clone")
    clone.emulator_home.mkdir(parents=True)
    shutil.copy(emulated.emulator_home / "endpoint.json", clone.emulator_home / "endpoint.json")
    outputs.save(clone, kit.some_outputs())
    return clone
