"""A run's own thin layer over a cached environment: what a job's command installs stays with the run.

Published job files begin with `pip install …`, which in Azure changes a container that is thrown away. Here the
environment is shared by every run that asks for the same content, so it is never the one that pip sees as its own.
The layer is a virtual environment of three small files (PEP 405) that looks into the cached one by a `.pth` file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node import layout

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "python"
CONFIGURATION = "pyvenv.cfg"
_NO_PIP = "#!/bin/sh\necho 'this environment has no pip: name what is needed in its conda_file' >&2\nexit 1\n"
_SCRIPT_BYTES = 64 * 1024
_LONG = 3
"""Lines before the Python of a command whose interpreter's path is too long for a first line, or has blanks (distlib,
`scripts.py`): a shell script that is a string to Python."""


def make(run_dir: Path, environment: Path) -> Path | None:
    """Lay a run's own virtual environment over a cached one; return its interpreter. Safe to repeat.

    None where the environment is no virtual one, such as conda's: a job uses that as it is.
    """
    configuration = environment / CONFIGURATION
    libraries = sorted((environment / "lib").glob("python3*/site-packages"))
    if not configuration.is_file() or len(libraries) != 1:
        return None
    own = run_dir / FOLDER
    site = own / libraries[0].relative_to(environment)
    layout.private_dir(site)
    layout.private_dir(own / "bin")
    # Without this line pip would take the base Python's packages for its own.
    text = configuration.read_text(encoding="utf-8")
    (own / CONFIGURATION).write_text(text, encoding="utf-8")
    # Not the path alone: the cached environment may have `.pth` files of its own.
    look = f"import site; site.addsitedir({str(libraries[0])!r})\n"
    (site / "trainyard.pth").write_text(look, encoding="utf-8")
    target = (environment / "bin" / "python").readlink()
    base = target if target.is_absolute() else environment / "bin" / target
    for found in (environment / "bin").iterdir():
        named = own / "bin" / found.name
        if found.name.startswith("python") and not named.is_symlink():
            named.symlink_to(base)
        elif not found.name.startswith(("python", "activate", "Activate")):
            _command(found, named)
    for name in ("pip", "pip3"):
        if not (own / "bin" / name).exists():  # else the machine's own would be found, and the machine changed
            (own / "bin" / name).write_text(_NO_PIP, encoding="ascii")
            (own / "bin" / name).chmod(0o700)
    return own / "bin" / "python"


def _command(found: Path, own: Path) -> None:
    """Give the layer a command of the cached environment that runs by the layer's interpreter."""
    if own.is_symlink() or own.exists():
        return
    content = found.read_bytes() if found.stat().st_size < _SCRIPT_BYTES else b""
    lines = content.split(b"\n", _LONG)
    its = bytes(found.parent) + b"/python"
    if lines[0].startswith(b"#!" + its):
        rest = content.partition(b"\n")[2]
    elif lines[0] == b"#!/bin/sh" and len(lines) > _LONG and its in lines[1]:
        rest = lines[_LONG]
    else:
        own.symlink_to(found)
        return
    own.write_bytes(b"#!/bin/sh\n'''exec' \"$(dirname \"$0\")/python\" \"$0\" \"$@\"\n' '''\n" + rest)
    own.chmod(0o700)
