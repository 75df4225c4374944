"""What a run left, brought to a folder: only what is new or changed, during the run and, completely, at its end.

A small file in the folder (`.RUN.trainyard`) remembers what was written there. So a file of the run that has changed
since (a log that grew, a new checkpoint) replaces what we wrote, and never what somebody else wrote or changed. A file
has its name only when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from runtime import paths, submitters
from runtime.errors import ConnectionLostError, NotFoundError, Problem, RefusedError, SpecError
from runtime.events import Event, silent
from runtime.events import size as bytes_for_people
from runtime.manifest import Entry, Manifest
from runtime.runs import observe

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.events import OnEvent
    from runtime.runs import Run
    from runtime.site import RunFile

PARALLEL = 8
PAUSE_FIRST_S, PAUSE_MOST_S, PAUSE_SHARE = 1.0, 15.0, 10.0
"""Between two passes of `follow`; after a long one ten times as long, so that a big growing file costs a tenth."""
AWAY_S = 300.0
"""How long a service may be unreachable before a download that follows gives up."""
Outcome: TypeAlias = Literal["written", "already", "kept"]


class Downloaded(NamedTuple):
    """What a download did. Both hold the paths of files, which all have the run's content."""

    written: list[Path]
    already: list[Path]


def download(run: Run, destination: Path, *, follow: bool = False, on_event: OnEvent | None = None) -> Downloaded:
    """Bring a run's outputs and logs beneath a folder; what is there already, and unchanged, is not fetched again.

    A file that is there with content that this run did not put there stays. After everything else has been fetched,
    `SpecError` names each of these. `follow`: go on until the run has ended; a lost connection is waited out.
    Raises also `NotFoundError` where the run left nothing, `ConnectionLostError`, `RefusedError`.
    """
    passing = _Download(run, destination, on_event or silent)
    files = [] if follow else passing.files()
    if files or follow:
        paths.destination(destination)
        with passing.manifest:
            if follow:
                passing.follow()
            else:
                passing.once(files)
    if not passing.outcomes:
        yet = "" if passing.run.terminal else " yet"
        raise NotFoundError(f"{run.id} has left no files{yet}. See: invoke runs.show {run.id}")
    return passing.result()


class _Download:
    """One download: what became of each file so far."""

    def __init__(self, run: Run, folder: Path, say: OnEvent) -> None:
        self.run, self.folder, self.say = run, folder, say
        self.manifest = Manifest(paths.confine(folder, f".{run.id}.trainyard"), run.id)
        self.outcomes: dict[str, Outcome] = {}
        self._kept: dict[str, str] = {}
        """Version of the run's file that did not get the place of another."""
        self._lock = threading.Lock()
        self._done = 0

    def files(self) -> list[RunFile]:
        """List what the run has left so far; a name that is listed twice counts once."""
        try:
            found = submitters.of(self.run.record.kind).files(self.run.site, self.run.record)
        except NotFoundError:
            if self.run.terminal:
                raise
            return []
        return list({file.name: file for file in found}.values())

    def once(self, files: list[RunFile]) -> None:
        """Fetch those that are new or changed."""
        total, self._done = sum(file.size for file in files), 0
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="download") as pool:
            for file, outcome in zip(files, pool.map(lambda file: self._one(file, total), files), strict=True):
                self._note(file, outcome)

    def follow(self) -> None:
        """Fetch again and again until the run has ended, and then once more."""
        clock, pause, away_since = self.run.site.clock, PAUSE_FIRST_S, None
        while True:
            began = clock.monotonic()
            try:
                self._look()
                self.once(self.files())
                away_since = None
            except ConnectionLostError as lost:
                if away_since is None:
                    away_since = began
                    self.say(Event("note", f"connection lost, waiting for it ({lost}). The run goes on"))
                elif began - away_since > AWAY_S:
                    raise
            if self.run.terminal and away_since is None:
                return
            pause = min(PAUSE_MOST_S, pause * 1.3)
            clock.sleep(max(pause, PAUSE_SHARE * (clock.monotonic() - began)) if away_since is None else 1.0)

    def _look(self) -> None:
        if self.run.terminal:
            return
        self.run, found = observe(self.run)
        if found.lost:
            raise NotFoundError(f"{self.run.id}: {found.reason}")

    def _note(self, file: RunFile, outcome: Outcome) -> None:
        before = self.outcomes.get(file.name)
        if outcome == "written":
            self.say(Event("file", f"{file.name}  {bytes_for_people(file.size)}"))
        elif outcome == "kept":
            if before != "kept":
                self.say(Event("kept", f"{file.name}  {self._why(file.name)}"))
            self._kept[file.name] = file.version
        if outcome != "already" or before is None:
            self.outcomes[file.name] = outcome

    def _why(self, name: str) -> str:
        ours = bool(self.manifest.ours(name))
        return "was changed here since it was downloaded" if ours else "exists with other content"

    def result(self) -> Downloaded:
        """Sum up. Raises `SpecError` with every file that was left as it is."""
        kept = [name for name, outcome in self.outcomes.items() if outcome == "kept"]
        if kept:
            advice = "and was not overwritten. Move it away and repeat, or choose another folder with --to."
            raise SpecError([
                Problem(str(self.folder / name), 0, 0, "", f"{self._why(name)} {advice}", rule="no-overwrite")
                for name in kept
            ])  # fmt: skip
        written = [self.folder / name for name, outcome in self.outcomes.items() if outcome == "written"]
        return Downloaded(
            written, [self.folder / name for name, outcome in self.outcomes.items() if outcome == "already"]
        )

    def _one(self, file: RunFile, total: int) -> Outcome:
        target = paths.confine(self.folder, file.name)
        if target == self.manifest.path:
            raise RefusedError(f"the run left a file {file.name}, which is a name of ours; nothing is written there")
        try:
            outcome = self._bring(file, target)
        except OSError as error:
            problem = Problem(str(target), 0, 0, "", f"can't be written: {error.strerror}.", rule="file")
            raise SpecError([problem]) from None
        with self._lock:
            self._done += file.size
            self.say(Event("download", file.name, self._done, total))
        return outcome

    def _bring(self, file: RunFile, target: Path) -> Outcome:
        known = self.manifest.latest(file.name)
        same = known is not None and bool(file.version) and known.version == file.version
        if same and known is not None and known.is_at(target):
            return "already"
        present = _present(target)
        ours = self.manifest.ours(file.name)
        seen = same or (bool(file.version) and self._kept.get(file.name) == file.version)
        if seen and present is not None and present not in ours:
            return "kept"
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{hashlib.sha256(f'{self.run.id}/{file.name}'.encode()).hexdigest()[:16]}.part")
        try:
            entry = _fetch(file, draft)
            if present == entry.sha256:
                self.manifest.add(entry._replace(mtime_ns=target.stat().st_mtime_ns))
                return "already"
            if present is not None and present not in ours:
                return "kept"
            self.manifest.add(entry)
            if _present(target) != present:  # somebody was quicker than the transfer
                return "kept"
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return "written"


def _fetch(file: RunFile, draft: Path) -> Entry:
    found, length = hashlib.sha256(), 0
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        for chunk in file.read():
            stream.write(chunk)
            found.update(chunk)
            length += len(chunk)
    return Entry(file.name, found.hexdigest(), length, draft.stat().st_mtime_ns, file.version)


def _present(target: Path) -> str | None:
    """Return the hash of what is there: None for nothing, empty for what is no plain file."""
    if target.is_symlink() or (target.exists() and not target.is_file()):
        return ""
    with contextlib.suppress(FileNotFoundError):
        return paths.digest(target)
    return None
