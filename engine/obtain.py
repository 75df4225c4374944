"""Find the Pulumi engine or get it; first that works: on PATH, the vendor's installer, a build from the module proxy.

What is got is cached per version in the user's cache folder, shared by all clones, so the answer is immediate the next
time. Sits before everything else in the flow: `session` puts the folder found here on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import gobuild, vendor
from engine.cache import cache_root, locked
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "3.255.0"
"""The version that is installed or built: the newest that the module proxies are known to have in full."""
OLDEST = (3, 200, 0)
"""The oldest engine on PATH that is taken as it is; older ones lack what the Python SDK in use asks of them."""
LANGUAGE_HOST = "pulumi-language-python"
ON_PATH = "on PATH"
INSTALLER = "vendor's installer"
MODULE_PROXY = "built from module proxy"
ASK_TIMEOUT_S = 30


@dataclass(frozen=True)
class Engine:
    """An engine that answered: `bin` is the folder to put on PATH, `seconds` what it took to get when it was got."""

    bin: Path
    version: str
    origin: str
    seconds: float
    cached: bool


def find_or_get(progress: Callable[[str], None]) -> Engine:
    """Return a working engine, getting it if need be (minutes, once a version). Blocks; idempotent; safe in parallel.

    Raises:
        EngineError: with everything that was tried and what to type.

    """
    if found := find():
        return found
    home = cache_root() / "engine"
    with locked(home / f"{VERSION}.lock", lambda: progress("another setup is getting the engine; waiting for it")):
        if found := cached(home):
            return found
        started = time.monotonic()
        tried = []
        for origin, get in ((INSTALLER, vendor.install), (MODULE_PROXY, gobuild.build)):
            sweep(home)
            staging = home / f".{VERSION}.{os.getpid()}"
            (staging / "bin").mkdir(parents=True)
            try:
                get(VERSION, staging, home, progress)
                return keep(staging, home, origin, time.monotonic() - started)
            except EngineError as error:
                tried.append(f"{origin}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    raise nothing_worked(tried)


def find() -> Engine | None:
    """Return the engine on PATH or the cached one, without getting anything; None if there is neither."""
    return on_path() or cached(cache_root() / "engine")


def on_path() -> Engine | None:
    """Return the engine on PATH if it is new enough and brings its Python language host, else None."""
    where = shutil.which("pulumi")
    if where is None:
        return None
    folder = Path(where).parent
    version = ask_version(Path(where))
    if version is None or not compatible(version) or not has_language_host(Path(where)):
        return None
    return Engine(folder, version, ON_PATH, 0.0, cached=True)


def cached(home: Path) -> Engine | None:
    """Return the engine that an earlier setup kept in `home`, or None; the folder appears whole or not at all."""
    folder = home / VERSION
    try:
        record = json.loads((folder / "origin.json").read_text("utf-8"))
        origin, seconds = str(record["origin"]), float(record["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not os.access(folder / "bin" / "pulumi", os.X_OK) or not has_language_host(folder / "bin" / "pulumi"):
        return None
    return Engine(folder / "bin", VERSION, origin, seconds, cached=True)


def keep(staging: Path, home: Path, origin: str, seconds: float) -> Engine:
    """Move what was made into its place in one rename, once it answers with the version that it should have.

    Raises:
        EngineError: the new engine doesn't run, or is another one.

    """
    version = ask_version(staging / "bin" / "pulumi")
    if version != VERSION:
        raise EngineError(f"what was made answers to `pulumi version` with {version or 'nothing'}, not {VERSION}")
    if not has_language_host(staging / "bin" / "pulumi"):
        raise EngineError(f"what was made has no {LANGUAGE_HOST} beside it")
    (staging / "origin.json").write_text(json.dumps({"origin": origin, "seconds": round(seconds, 1)}), "utf-8")
    shutil.rmtree(home / VERSION, ignore_errors=True)
    staging.rename(home / VERSION)
    return Engine(home / VERSION / "bin", VERSION, origin, round(seconds, 1), cached=False)


def sweep(home: Path) -> None:
    """Remove what a killed setup left half made. Only under the lock."""
    for left in home.glob(f".{VERSION}.*"):
        shutil.rmtree(left, ignore_errors=True)


def ask_version(binary: Path) -> str | None:
    """Return what `pulumi version` answers, without the v; None if it doesn't run or answers with something else."""
    with tempfile.TemporaryDirectory() as home:  # it logs even this to its home, the user's own otherwise
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_HOME": home}
        try:
            answer = subprocess.run(
                [binary, "version"], env=environment, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
    found = re.fullmatch(r"v(\d+\.\d+\.\d+\S*)", answer.stdout.strip())
    return found[1] if found else None


def compatible(version: str) -> bool:
    """Tell whether an engine of this version can run our programs: 3.x, not older than `OLDEST`."""
    numbers = version_numbers(version)
    return numbers[:1] == OLDEST[:1] and numbers >= OLDEST


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def has_language_host(pulumi: Path) -> bool:
    """Tell whether the Python language host and its helper are where this engine looks: PATH, or beside itself."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), str(pulumi.parent), str(pulumi.resolve().parent)])
    return all(shutil.which(name, path=folders) for name in (LANGUAGE_HOST, f"{LANGUAGE_HOST}-exec"))


def nothing_worked(tried: list[str]) -> EngineError:
    """Return the one message for a machine where no way led to an engine."""
    where = shutil.which("pulumi")
    first = "no pulumi there"
    if where is not None:
        version = ask_version(Path(where))
        first = f"{where} is version {version or 'unknown'}"
        first += ", too old" if version and not compatible(version) else f", without {LANGUAGE_HOST}"
    oldest = ".".join(str(number) for number in OLDEST)
    ways = "\n".join(f"    {line}" for line in [f"{ON_PATH}: {first}", *tried])
    return EngineError(
        f"no Pulumi engine, and no way to get one worked:\n{ways}",
        f"One of these is enough, then `invoke setup` again: put Pulumi {oldest} or newer on PATH; "
        f"or open the network to {vendor.HOST}; or install Go {gobuild.OLDEST_GO} or newer where a Go module proxy "
        "is reachable (`go env GOPROXY` names it).",
    )
