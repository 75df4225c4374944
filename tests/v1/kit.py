"""A v1 workspace of a project, and a folder with a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import outputs
from runtime.v1_workspace import Workspace
from tests.runtime import kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site

ECHO = "import sys, json, pathlib\npathlib.Path('outputs/argv.json').write_text(json.dumps(sys.argv[1:]))\n"


def a_workspace(project: Project, site: Site | None = None) -> Workspace:
    """Make the workspace of `tests.runtime.kit`'s stack."""
    outputs.save(project, kit.some_outputs())
    return Workspace(project, kit.some_outputs(), "research", site)


def a_folder(tmp_path: Path, script: str = ECHO) -> Path:
    """Make a source folder with `train.py`."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "train.py").write_text(script)
    return folder
