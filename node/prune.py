"""List what a cache of environments holds, and remove from it; what a run uses or a build fills is never touched."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from node import docker, environments, processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.layout import Json

_KEY = re.compile(r"[0-9a-f]{20}")
_BLOCK = 512
"""What `st_blocks` counts in, whatever the disk's own blocks are (stat(2))."""


class Disk(NamedTuple):
    """What a folder takes of a disk, in bytes."""

    size: int
    freed: int
    """Of that, what its removal gives back: a file that an installer's own cache shares stays there."""


@dataclass(frozen=True)
class Kept:
    """One environment of a cache."""

    id: str
    folder: Path
    kind: str
    """`venv`, `conda`, `image`; `unfinished` for what an interrupted build left."""
    python: str | None
    packages: tuple[str, ...]
    """Requirements as they were asked for; of a conda file, its lines are not taken apart."""
    image: str | None
    built: str | None
    """ISO 8601 UTC."""
    built_s: float | None
    used: float
    """Moment of the last use, seconds since the epoch; of one that no run used, of its build."""
    runs: int
    """How many got it."""
    live: bool
    """A run uses it, or it is being built, right now."""


def listing(cache: Path) -> list[Kept]:
    """Return the environments of a cache, the last used first; none where there is no such folder."""
    try:
        folders = [cache / name for name in os.listdir(cache) if _KEY.fullmatch(name)]  # noqa: PTH208
    except FileNotFoundError:
        return []
    return sorted((_kept(folder) for folder in folders if folder.is_dir()), key=lambda kept: (-kept.used, kept.id))


def _kept(folder: Path) -> Kept:
    marker = environments.marker_of(folder) or {}
    seconds = marker.get("built_s")
    return Kept(
        id=folder.name,
        folder=folder,
        kind=_text(marker, "kind") or ("venv" if marker else "unfinished"),
        python=_text(marker, "python"),
        packages=tuple(str(item) for item in _list(marker, "pip")),
        image=_text(marker, "image"),
        built=_text(marker, "at"),
        built_s=seconds if isinstance(seconds, float) else None,
        used=_moment(folder / environments.READY if marker else folder),
        runs=_size(folder / environments.USES),
        live=_is_live(folder),
    )


def _is_live(folder: Path) -> bool:
    cache, key = folder.parent, folder.name
    return processes.is_locked(cache / f"{key}.lock") or processes.is_locked(
        environments.use_lock(cache, key), or_shared=True
    )


def _moment(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _text(marker: dict[str, Json], key: str) -> str | None:
    value = marker.get(key)
    return value if isinstance(value, str) else None


def _list(marker: dict[str, Json], key: str) -> list[Json]:
    value = marker.get(key)
    return value if isinstance(value, list) else []


def disk(folder: Path) -> Disk:
    """Measure a folder; a file with several names in it counts once."""
    size = freed = 0
    left: dict[tuple[int, int], int] = {}
    for found in _stats(folder):
        key, taken = (found.st_dev, found.st_ino), found.st_blocks * _BLOCK
        if key not in left:
            size += taken
            left[key] = found.st_nlink
        left[key] -= 1
        if left[key] == 0:
            freed += taken
    return Disk(size, freed)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    """Yield what is known of everything below a folder but folders themselves; what vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _stats(folder / entry.name)
                else:
                    yield entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return


def remove(kept: Kept) -> int | None:
    """Remove an environment; return the bytes that its folder gave back, None where a run or a build has it.

    Raises: EnvironmentRefused for an image that the engine keeps; OSError.
    """
    cache = kept.folder.parent
    building = processes.acquire(cache / f"{kept.id}.lock")
    if building is None:
        return None
    try:
        used = processes.acquire(environments.use_lock(cache, kept.id))
        if used is None:
            return None
        try:
            if kept.image is not None:
                docker.remove_image(kept.image)
            freed = disk(kept.folder).freed
            # Without its marker a folder is half-built: whoever asks for it next builds it again.
            (kept.folder / environments.READY).unlink(missing_ok=True)
            shutil.rmtree(kept.folder)
        finally:
            os.close(used)
    finally:
        os.close(building)
    return freed
