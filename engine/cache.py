"""The user's cache folder and the one lock in it: nothing here knows what is cached."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def cache_root(environment: Mapping[str, str] | None = None) -> Path:
    """Return the user's cache folder: `$TRAINYARD_CACHE`, else `trainyard` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    values = os.environ if environment is None else environment
    if chosen := values.get("TRAINYARD_CACHE"):
        return Path(chosen).expanduser()
    base = values.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trainyard"


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on `path`; call `waiting` once if it is taken. Blocks; the kernel frees it on death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
