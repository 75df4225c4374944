"""Where a project keeps its things: one private folder beside `Pulumi.yaml`, and one cache for the user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import NotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER = "Pulumi.yaml"
DATA = ".trainyard"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with `Pulumi.yaml`, and the private data folder in it."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Walk up from a folder (absent: the current one) to the project. Raises `NotFoundError`."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / MARKER).is_file():
                return cls(folder)
        advice = "Change into one, or make one in an empty folder: trainyard init"
        raise NotFoundError(f"no {MARKER} in {here} or above: this is not a Trainyard project. {advice}")

    @property
    def data(self) -> Path:
        """The project's private folder (0700); made when first asked for."""
        return private_folder(self.root / DATA)

    @property
    def runs(self) -> Path:
        """The run store (0700)."""
        return private_folder(self.data / "runs")

    @property
    def emulator_home(self) -> Path:
        """Where the emulator of this project lives; not made here."""
        return self.root / DATA / "emulator"

    def outputs_file(self, stack: str) -> Path:
        """Return where the outputs of a stack are cached."""
        return self.root / DATA / "outputs" / f"{stack}.json"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, whatever the umask; an existing one is tightened when it is ours.

    Raises `StoreError` where there can be none.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_mode & 0o077 and path.stat().st_uid == os.getuid():
            path.chmod(0o700)
    except FileExistsError:
        raise StoreError(f"{path} must be a folder, and is something else. Move it away, and repeat") from None
    except OSError as error:
        raise StoreError(f"{path} can't be made or entered: {error.strerror}. Nothing was changed") from None
    return path


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the user's cache: $TRAINYARD_CACHE, else $XDG_CACHE_HOME/trainyard, else ~/.cache/trainyard."""
    variables = os.environ if environ is None else environ
    if own := variables.get("TRAINYARD_CACHE"):
        return Path(own).expanduser().absolute()
    base = variables.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trainyard"
