"""The environments of this machine: listed, removed, built ahead. Words and questions; `node` builds and removes."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from console.ask import agreed
from console.progress import step
from console.table import columns, plural, size, took
from node import conda, docker, environments, installers, layout, plan, prune
from runtime import outputs, placing
from runtime.errors import NotDeployedError, Problem, SpecError, TargetError
from runtime.jobfile import open_job
from runtime.project import cache_folder
from specs.stack import LOCAL
from specs.targets import LocalTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from node.prune import Kept
    from runtime.placing import Place
    from runtime.project import Project
    from runtime.wire import Object

DAY_S = 86_400
LOG = "build.log"
"""In the cache: all that the installers said at the last build from the command line."""
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Row:
    """An environment and what it takes of the disk."""

    kept: Kept
    size: int

    def document(self) -> Object:
        """Return it for scripts; credentials in addresses are left out."""
        kept = self.kept
        return {
            "id": kept.id,
            "kind": kept.kind,
            "python": kept.python,
            "packages": [conda.shown(item) for item in kept.packages],
            "image": kept.image,
            "built": kept.built,
            "built_s": kept.built_s,
            "size": self.size,
            "last_used": datetime.fromtimestamp(kept.used, UTC).isoformat(timespec="seconds"),
            "runs": kept.runs,
            "in_use": kept.live,
            "folder": str(kept.folder),
        }


def local_target(project: Project, stack: str) -> LocalTarget:
    """Return how the stack wants jobs to run on this machine; of one that was never brought up, as by default."""
    try:
        return outputs.load(project, stack).local
    except NotDeployedError:
        return LocalTarget(name=LOCAL)


def caches(project: Project, stack: str) -> list[Path]:
    """Return the folders that environments are kept in: the user's, and the one that the stack names for itself."""
    found = [cache_folder() / "environments"]
    if own := local_target(project, stack).environments_folder:
        found.append(project.root / Path(own).expanduser())
    return list(dict.fromkeys(found))


def rows(folders: list[Path]) -> list[Row]:
    """Return every environment there, the last used first."""
    found = [kept for folder in folders for kept in prune.listing(folder)]
    return [Row(kept, prune.disk(kept.folder).size) for kept in sorted(found, key=lambda kept: -kept.used)]


def lines(found: list[Row], folders: list[Path]) -> list[str]:
    """List environments for a person."""
    if not found:
        return [
            f"  no environments in {folders[0]}; a run on this machine builds its own, or: invoke environments.build"
        ]
    head = ["ENVIRONMENT", "PYTHON", "PACKAGES", "BUILT", "IN", "SIZE", "LAST USED", "RUNS"]
    cells = [
        [
            row.kept.id,
            row.kept.python or "-",
            _packages(row.kept),
            (row.kept.built or "-")[:10],
            took(row.kept.built_s),
            size(row.size),
            "now" if row.kept.live else _ago(row.kept.used),
            str(row.kept.runs),
        ]
        for row in found
    ]
    total = size(sum(row.size for row in found))
    return [*columns(head, cells), f"  {plural(len(found), 'environment')}, {total}, in {', '.join(map(str, folders))}"]


def _packages(kept: Kept) -> str:
    """Say how many, and the first ones."""
    match kept.kind:
        case "conda":
            return "a conda file"
        case "image":
            return "an image"
        case "unfinished":
            return "unfinished"
        case _ if not kept.packages:
            return "none"
        case _:
            first = ", ".join(conda.shown(item) for item in kept.packages[:_SHOWN])
            more = len(kept.packages) - _SHOWN
            return f"{first} and {more} more" if more > 0 else first


def _ago(moment: float) -> str:
    seconds = time.time() - moment
    return (
        "just now"
        if seconds < 1
        else f"{took(seconds)} ago"
        if seconds < DAY_S
        else plural(int(seconds / DAY_S), "day")
    )


# --- removing ---


def chosen(found: list[Row], *, older_than: float | None, unused: bool, everything: bool) -> list[Row]:
    """Return what the options name. Raises `SpecError` when they name nothing or can't be."""
    if not (everything or unused or older_than is not None):
        message = "say what to remove: --older-than DAYS, --unused or --all."
        raise SpecError([Problem("the command", 0, 0, "environments.prune", message, rule="prune")])
    limit = None if older_than is None else time.time() - older_than * DAY_S
    return [
        row
        for row in found
        if (everything or (unused and row.kept.runs == 0) or (limit is not None and row.kept.used < limit))
    ]


def days(text: str) -> float:
    """Read `--older-than`. Raises `SpecError`."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        message = "must be a number of days, 0 or more."
        raise SpecError([Problem("the command", 0, 0, "--older-than", message, given=f'"{text}"', rule="prune")])
    return found


def remove(picked: list[Row], *, yes: bool) -> Object | None:
    """Ask, then remove; return what was done, None where the user did not agree. Environments in use stay."""
    live = [row for row in picked if row.kept.live]
    free = [row for row in picked if not row.kept.live]
    if not free:
        return _done([], 0, live)
    question = f"{plural(len(free), 'environment')}, {size(sum(row.size for row in free))}, will be removed."
    if not yes and not agreed(question, "remove"):
        return None
    removed, freed = list[Row](), 0
    with step("prune", "removing") as work:
        for row in free:
            work.say(f"removing {row.kept.id}")
            gone = _removed(row.kept)
            if gone is None:
                live.append(row)
            else:
                removed.append(row)
                freed += gone
        work.note = f"{plural(len(removed), 'environment')} removed, {size(freed)} freed"
    return _done(removed, freed, live)


def _removed(kept: Kept) -> int | None:
    try:
        return prune.remove(kept)
    except installers.EnvironmentRefused as refused:
        raise TargetError(f"{kept.id} was not removed: {refused}") from None
    except OSError as error:
        raise TargetError(
            f"{kept.folder} can't be removed: {error.strerror}. What was removed before is gone"
        ) from None


def told(done: Object) -> list[str]:
    """Say what was removed, and what stays."""
    removed, kept = done["removed"], done["in_use"]
    lines = [f"  {id_} removed" for id_ in removed] if isinstance(removed, list) else []
    lines += [f"  {id_} stays: a run uses it" for id_ in kept] if isinstance(kept, list) else []
    return lines or ["  nothing to remove"]


def _done(removed: list[Row], freed: int, live: list[Row]) -> Object:
    return {
        "removed": [row.kept.id for row in removed],
        "freed": freed,
        "in_use": [row.kept.id for row in live],
    }


# --- building ---


def build(project: Project, job: Path, stack: str, *, exact: bool) -> Object:
    """Build the environment of a job file ahead, on this machine; return what it is.

    Raises: `SpecError`, `TargetError` with the installer's own words.
    """
    source = open_job(job)
    able = placing.probe_here(source, fresh=exact)
    how = placing.place(project, source, local_target(project, stack), able, exact=exact)
    if how.fidelity == "user-managed":
        raise TargetError(f"there is nothing to build: {how.notes[0]}")
    cache = Path(str(how.environment["cache"]))
    with step("environment", "building the environment") as work:
        for note in how.notes:
            work.fact(note)
        try:
            with (layout.private_dir(cache) / LOG).open("wb") as log:
                id_, cached, seconds = _built(how, cache, _Tee(log, work.say))
        except installers.EnvironmentRefused as refused:
            raise TargetError(f"{refused}\n  All that the installer said: {cache / LOG}") from None
        except OSError as error:
            raise TargetError(f"{cache} can't be written: {error.strerror}. Nothing was built") from None
        work.note = f"{how.fidelity}, {'was built before' if cached else 'built'}, {id_}"
    return {"id": id_, "fidelity": how.fidelity, "environment": how.words, "cached": cached, "built_s": seconds}


def _built(how: Place, cache: Path, log: BinaryIO) -> tuple[str, bool, float]:
    wanted = plan.parse(how.environment)
    if wanted.image is not None:
        ready = docker.prepare(wanted, cache, log, _never)
        return ready.image, ready.cached, ready.built_s
    if wanted.conda is not None:
        built = environments.ensure_conda(wanted.conda, cache, log, _never)
    else:
        built = environments.ensure(wanted.python, wanted.pip, cache, log, _never)
    return built.id, built.cached, built.built_s


def _never() -> bool:
    return False


class _Tee(io.BytesIO):
    """A log that also shows its last line."""

    def __init__(self, log: BinaryIO, say: Callable[[str], None]) -> None:
        super().__init__()
        self._log, self._say = log, say

    def write(self, content: object) -> int:  # whatever bytes are like
        """Write, and show."""
        raw = bytes(content)  # type: ignore[call-overload]
        last = raw.decode("utf-8", "replace").strip().splitlines()[-1:]
        for line in last:
            self._say("".join(letter for letter in line if letter.isprintable())[:100].replace("[", "\\["))
        return self._log.write(raw)

    def flush(self) -> None:
        """Flush the file."""
        self._log.flush()
