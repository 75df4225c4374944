"""The language host for programs in Pulumi YAML: found, or built and cached like the engine.

Our own stacks don't need it. Who uses the component package from a YAML program on a machine where only package
registries are reachable does, and so do the tests of that package; so it is got only when it is asked for.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine import gobuild, obtain
from engine.cache import cache_root, locked
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.10.0"
"""The newest that the module proxies are known to have, with what it requires."""
NAME = "pulumi-language-yaml"


def find() -> Path | None:
    """Return the folder of the host on PATH, beside the engine or in the cache; None if there is none. Gets nothing."""
    if where := shutil.which(NAME):
        return Path(where).parent
    engine = obtain.find()
    folders = [*([engine.bin] if engine else []), kept() / "bin"]
    return next((folder for folder in folders if os.access(folder / NAME, os.X_OK)), None)


def find_or_get(progress: Callable[[str], None]) -> Path:
    """Return the folder of a host, building it if need be (a minute, once a version). Blocks; safe in parallel.

    Raises:
        EngineError: there is none, and Go could not build it.

    """
    if found := find():
        return found
    home = kept().parent
    with locked(home / f"{kept().name}.lock", lambda: progress("another setup is building it; waiting")):
        if found := find():
            return found
        for left in home.glob(f".{kept().name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        staging = home / f".{kept().name}.{os.getpid()}"
        (staging / "bin").mkdir(parents=True)
        try:
            gobuild.build_yaml_host(VERSION, staging, home, progress)
            shutil.rmtree(kept(), ignore_errors=True)
            staging.rename(kept())
        except EngineError as error:
            hint = f"Put {NAME} on PATH, or install Go {gobuild.OLDEST_GO} or newer; then: invoke setup --yaml"
            raise EngineError(f"no {NAME} here, and it could not be built: {error.message}", hint) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return kept() / "bin"


def kept() -> Path:
    """Return where a host that was built is kept."""
    return cache_root() / "engine" / f"yaml-{VERSION}"
