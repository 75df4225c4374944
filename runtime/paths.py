"""The one way in which names from outside become paths here: beneath a folder, or refused."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from runtime.errors import Problem, RefusedError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 20


def confine(folder: Path, name: str) -> Path:
    """Return the path of a relative name beneath a folder. Raises `RefusedError` for one that would leave it."""
    parts = PurePosixPath(name).parts
    hostile = not parts or any(
        part in {"..", "/"} or "\\" in part or any(ord(char) < ord(" ") or ord(char) == 0x7F for char in part)  # noqa: PLR2004
        for part in parts
    )
    if hostile or PurePosixPath(name).is_absolute():
        raise RefusedError(f"the file name {name!r} does not stay inside the folder; it was not written", code="path")
    here = folder
    for part in parts[:-1]:
        here = here / part
        if here.is_symlink():
            raise RefusedError(f"{here} is a link; nothing is written through it", code="path")
    return folder.joinpath(*parts)


def destination(folder: Path) -> None:
    """Make the folder that files go to, where it is missing. Raises `SpecError` for a path that can't be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        message = f"can't be written to: {why}. Give a folder of yours; one that is missing is made."
        raise SpecError([Problem("--to", 0, 0, "to", message, given=f'"{folder}"', rule="destination")]) from None


def store(folder: Path, name: str, content: Iterable[bytes]) -> bool:
    """Write a file beneath a folder, whole or not at all; return False when it was there with the same content.

    Never overwrites: a file with other content raises `SpecError` and stays as it is.
    """
    target = confine(folder, name)
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            for chunk in content:
                stream.write(chunk)
        if not target.is_symlink() and not target.exists():
            draft.rename(target)
            return True
        if target.is_symlink() or digest(target) != digest(draft):
            message = "exists with other content and was not overwritten. Move it, or choose another folder."
            raise SpecError([Problem(str(target), 1, 1, "", message, rule="no-overwrite")])
    except OSError as error:
        raise SpecError([Problem(str(target), 1, 1, "", f"can't be written: {error.strerror}.", rule="file")]) from None
    finally:
        with contextlib.suppress(OSError):  # where a draft can't be removed, none was made
            draft.unlink()
    return False


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    for chunk in chunks(path):
        found.update(chunk)
    return found.hexdigest()


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file that is no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def existing(folder: Path, given: str) -> Path | None:
    """Return what a user's path means, read from a folder, with `~`; None where it leads to nothing."""
    try:
        path = folder / Path(given).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, a home of nobody, a NUL
        return None


def named(path: Path) -> Path:
    """Return a path as absolute and without `.` and `..`, so that it has a name; links keep theirs."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib has only the one that resolves links


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the regular files below a folder with their relative names, in order; links are left out.

    Of a path that is a file itself, yield that one.
    """
    if folder.is_file():
        yield folder.name, folder.resolve()
        return
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path
