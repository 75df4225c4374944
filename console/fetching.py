"""A download as it looks on a terminal: what goes on, a line a file while a run goes on, one line at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.failures import say
from console.progress import step
from console.table import plural, size

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.events import Event
    from runtime.runs import Run


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a download brought, by name beneath its folder."""

    folder: Path
    written: list[str]
    already: list[str]


def fetch(run: Run, folder: Path, *, follow: bool, quiet: bool) -> Fetched:
    """Download a run and say so. Raises as `Run.download`, after a word on each file that stayed as it is."""
    with step("download", f"asking for the files of {run.id}") as work:

        def tell(event: Event) -> None:
            if event.topic == "download" and event.total:
                work.say(f"{event.text}  {size(event.done or 0)} of {size(event.total)}")
            elif not quiet and (event.topic == "note" or (follow and event.topic == "file")):
                say(f"    {event.text}")

        done = run.download(folder, follow=follow, on_event=tell)
        total = size(sum(path.stat().st_size for path in done.written))
        there = f"; {plural(len(done.already), 'file')} already there" if done.already else ""
        new = f"{plural(len(done.written), 'file')}, {total}" if done.written else "nothing new"
        work.note = f"{new} in {folder}{there}"
    names = [[path.relative_to(folder).as_posix() for path in paths] for paths in done]
    return Fetched(folder, *names)
