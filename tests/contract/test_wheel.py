"""The wheel is the whole product: every file is in it, and nothing is looked for in this tree."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from tests.wheel_kit import ROOT, build, environment, install

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

PACKAGES = ["components", "console", "emulator", "engine", "node", "runtime", "specs", "stacks"]
IMPORT_ALL = """
import importlib, pkgutil, sys
names = sys.argv[2:]
for name in list(names):
    package = importlib.import_module(name)
    if hasattr(package, "__path__"):
        names += [item.name for item in pkgutil.walk_packages(package.__path__, f"{name}.")]
loaded = [importlib.import_module(name) for name in names if not name.endswith(".__main__")]
print(len(loaded))
print(*sorted(m.__file__ for m in loaded if m.__file__ and not m.__file__.startswith(sys.prefix)), sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def test_every_file_of_every_package_is_in_it_and_nothing_else(wheel: Path) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    stacks = {name for name in ours if name.startswith("stacks/") and ".yaml" in name}
    with zipfile.ZipFile(wheel) as content:
        found = {name for name in content.namelist() if ".dist-info/" not in name}
    assert found == (ours - stacks) | {"trainyard.py", "tasks.py"}


def test_it_has_two_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        (name,) = [name for name in content.namelist() if name.endswith(".dist-info/entry_points.txt")]
        found = configparser.ConfigParser()
        found.read_string(content.read(name).decode())
    assert {section: dict(found[section]) for section in found.sections()} == {
        "console_scripts": {
            "pulumi-resource-trainyard": "components.provider:main",
            "trainyard": "trainyard:main",
        }
    }


def test_every_module_loads_from_it_and_none_from_this_tree(wheel: Path, tmp_path: Path) -> None:
    scripts = install(wheel, tmp_path / "environment")
    done = subprocess.run(
        [scripts / "python", "-c", IMPORT_ALL, "--", *PACKAGES, "trainyard", "tasks"],
        cwd=tmp_path, env=environment(scripts), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    count, *elsewhere = done.stdout.split()
    modules = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if path.name != "__main__.py"]
    assert int(count) == len(modules) + 2
    assert elsewhere == []


def test_what_it_imports_is_what_it_requires() -> None:
    given = metadata.packages_distributions()
    required = closure("trainyard")
    missing = {
        name: sorted(files)
        for package in [*PACKAGES, "trainyard.py", "tasks.py"]
        for name, files in imported(ROOT / package).items()
        if name not in sys.stdlib_module_names and name not in {*PACKAGES, "trainyard", "tasks"}
        if not {normal(found) for found in given.get(name, [])} & required
    }
    assert missing == {}


def closure(name: str) -> set[str]:
    """Return all that an installation of a distribution brings, by normal names."""
    found, todo = set[str](), [normal(name)]
    while todo:
        here = todo.pop()
        if here in found:
            continue
        try:
            lines = metadata.requires(here) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(here)
        todo += [normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines if "extra ==" not in line]
    return found


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(place: Path) -> dict[str, set[str]]:
    """Map each top-level package that files import to the files that do."""
    found: dict[str, set[str]] = {}
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.relative_to(ROOT).as_posix())
    return found
