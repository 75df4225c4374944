"""The inputs and outputs of a run on this machine: read where they are, or copied for the run, as their mode says.

| mode of an input | the command gets |
|---|---|
| absent, `ro_mount` | the path itself: of the user's own file or folder, or of the copy in the cache, whose files are made read-only. Nothing but the rights of the files keeps the command from writing: this machine mounts nothing |
| `rw_mount` | the path of the user's own file or folder |
| `download` | a copy in the run's folder, which it may change |
| `direct` | the path or address as text; nothing is fetched |

| an output | |
|---|---|
| without `path` | a folder of the run (`uri_file`: a file in it) |
| `path` a local one | the same, copied there when the run has completed; `rw_mount` and `direct`: that place itself |
| `path` in the cloud | a folder of the run, and a note: nothing is uploaded from here |
"""  # noqa: E501 - tables

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from runtime import inputs, outputs, paths
from runtime.errors import NotDeployedError
from runtime.jobfile import REMOTE
from runtime.project import cache_folder

if TYPE_CHECKING:
    from runtime.jobfile import JobFile
    from runtime.records import Record
    from runtime.site import Site, Submission
    from runtime.wire import Object
    from specs.job import DataOutput

NAMED = "named"
"""Folder of a run that holds its named outputs."""
COPIES = "inputs"
"""Folder of a run that holds the copies of its inputs."""
ITSELF = frozenset({"rw_mount", "mount", "direct"})
"""Modes of an output in which the command writes to the place itself."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The inputs of a run, found and fetched; nothing of the run is written yet."""

    values: Object
    """`inputs` of `job.json`."""
    copies: dict[str, Path] = field(default_factory=dict)
    """What is to be copied into the run's folder, by where it goes there."""


def check(source: JobFile) -> None:
    """Find inputs and outputs that this machine can't give. Raises `SpecError`."""
    inputs.check(source, "Local")
    for name, given in source.data.items():
        source.local(name, given)
    for name, output in source.job.outputs.items():
        if output is not None and output.path:
            _place(source, name, output)


def gather(site: Site, submission: Submission) -> Gathered:
    """Find the inputs, and fetch those that are elsewhere into the cache. Raises as `runtime.inputs.fetch`."""
    source = submission.source
    values: Object = {name: {"value": value} for name, value in source.literals.items()}
    copies = dict[str, Path]()
    for name, given in source.data.items():
        here = source.local(name, given)
        if here is None and given.mode == "direct":
            values[name] = {"value": given.path or ""}
            continue
        if here is None:
            home = _home(site, submission.record)
            here = inputs.fetch(source, name, home, cache_folder(), submission.on_event)
            _protect(here)
        path = paths.named(here)
        if given.mode == "download":
            place = f"{COPIES}/{name}/{path.name}" if path.is_file() else f"{COPIES}/{name}"
            copies[place] = path
            values[name] = {"path": place}
        else:
            values[name] = {"path": str(path)}
    return Gathered(values, copies)


def _home(site: Site, record: Record) -> inputs.Home | None:
    """Return the workspace of the run's stack: its default target's, else its first; None without a stack."""
    if record.stack is None:
        return None
    try:
        known = outputs.load(site.project, record.stack)
    except NotDeployedError:
        return None
    default = known.targets.get(known.default_target)
    name = default.workspace if default else next(iter(known.workspaces), None)
    return inputs.Home(site.cloud(known.cloud), known.workspaces[name].id) if name else None


def _protect(fetched: Path) -> None:
    """Take the right to write off cached files, which other runs read as well; of root only its care keeps them."""
    for _, path in paths.files_below(fetched):
        if path.stat().st_mode & stat.S_IWUSR:
            path.chmod(stat.S_IRUSR)


def copy_inputs(gathered: Gathered, run_dir: Path) -> None:
    """Copy what the command may change. Raises: OSError."""
    for place, source in gathered.copies.items():
        copy(source, run_dir / place)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with all that its links lead to; links that lead to nothing or in a circle are left out.

    The copies belong to the run: owner only, and writable. Raises: OSError.
    """
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(source, target)
        target.chmod(0o700 if os.access(source, os.X_OK) else 0o600)
        return
    _copy_folder(source, target, (source.resolve(),))


def _copy_folder(source: Path, target: Path, above: tuple[Path, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            real = entry.resolve()
            if real not in above:
                _copy_folder(entry, target / entry.name, (*above, real))
        elif entry.is_file():
            copy(entry, target / entry.name)


def outputs_of(source: JobFile) -> Object:
    """Return `outputs` of `job.json`."""
    return {name: _output(source, name, given) for name, given in source.job.outputs.items()}


def with_the_run(name: str, given: DataOutput | None) -> Object:
    """Return an output of `job.json` that is kept with the run: a folder, or a file of the name that it is to have."""
    if given is None or given.type != "uri_file":
        return {"path": f"{NAMED}/{name}"}
    leaf = PurePosixPath(given.path or "").name
    return {"path": f"{NAMED}/{name}/{leaf or name}", "file": True}


def _output(source: JobFile, name: str, given: DataOutput | None) -> Object:
    found = with_the_run(name, given)
    place = _place(source, name, given) if given is not None and given.path else None
    if place is None or given is None:
        return found
    return {**found, "path": str(place)} if given.mode in ITSELF else {**found, "deliver": str(place)}


def _place(source: JobFile, name: str, given: DataOutput) -> Path | None:
    """Return the local place of an output; None for one in the cloud. Raises `SpecError` for one that can't be it."""
    text = given.path or ""
    if is_remote(text):
        return None
    at = ("outputs", name, "path")
    try:
        place = paths.named(source.base / Path(text.removeprefix("file:")).expanduser())
        wrong = place.is_dir() if given.type == "uri_file" else place.exists() and not place.is_dir()
    except (OSError, RuntimeError, ValueError):
        raise source.wrong(at, "is no path that can be written to.", given=text, rule="output-path") from None
    if wrong:
        what = (
            "a folder, and the output is a file (uri_file)" if place.is_dir() else "a file, and the output is a folder"
        )
        raise source.wrong(at, f"is {what}. Give another path, or another type.", given=text, rule="output-path")
    return place


def is_remote(text: str) -> bool:
    """Tell whether a path is one in the cloud."""
    return text.startswith((*REMOTE, "/subscriptions/"))


def notes(source: JobFile) -> list[str]:
    """Say which outputs stay with the run although the job names another place for them. Pure."""
    return [
        f"outputs.{name}.path is in the cloud, and nothing is uploaded from this machine: the output stays with the run"
        for name, given in source.job.outputs.items()
        if given is not None and given.path and is_remote(given.path)
    ]


def restore(folder: str, run_dir_outputs: Path) -> None:
    """Bring back the outputs of the attempt before. Raises: OSError."""
    copy(Path(folder), run_dir_outputs)
