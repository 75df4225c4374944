"""One stack of one project as the engine sees it: where its state lives, with which environment the engine starts.

State, passphrase and the engine's own home are in `.trainyard/` of the project, readable by nobody else, unless the
user chose a backend. Nothing is written to the user's home. `operations` runs the engine with what is made here.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.obtain import Engine

DATA = ".trainyard"
PROJECT_FILE = "Pulumi.yaml"


@dataclass(frozen=True)
class Session:
    """A project root, a stack name, an engine, and what the stack's cloud adds to the environment (the emulator's)."""

    root: Path
    stack: str
    engine: Engine
    cloud: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The project's private data folder."""
        return self.root / DATA

    @property
    def passphrase_file(self) -> Path:
        """The file with the generated passphrase; it encrypts the secrets in state unless the user chose a backend."""
        return self.data / "passphrase"

    @property
    def config_file(self) -> Path:
        """The engine's configuration of this stack, beside the stack file: secrets as ciphertext, the salt."""
        return self.root / "stacks" / f"Pulumi.{self.stack}.yaml"

    def users_own_backend(self) -> bool:
        """Tell whether the user keeps state elsewhere: by environment, or by `backend:` in the project file."""
        if os.environ.get("PULUMI_BACKEND_URL"):
            return True
        try:
            text = (self.root / PROJECT_FILE).read_text("utf-8")
        except FileNotFoundError:
            return False
        return re.search(r"(?m)^backend:", text) is not None

    def prepare(self) -> None:
        """Make the private folders and the passphrase, if they are not there. Idempotent; two at once agree on one."""
        folders = [self.data]
        if not self.users_own_backend():
            folders += [self.data / "pulumi", self.data / "pulumi-home"]
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        if not self.users_own_backend() and not users_own_passphrase():
            make_passphrase(self.passphrase_file)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the engine's environment: the user's own, ours, the stack's cloud, then `extra`; later ones win."""
        own = {
            **os.environ,
            # The language host takes the first `python` on PATH and ignores VIRTUAL_ENV: sdk v3.68.0.
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), str(self.engine.bin), os.environ.get("PATH", os.defpath)]
            ),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # the engine has --event-log only with this
        }
        if not self.users_own_backend():
            own["PULUMI_BACKEND_URL"] = (self.data / "pulumi").absolute().as_uri()
            own["PULUMI_HOME"] = str(self.data / "pulumi-home")
            own["PULUMI_LOG_ROTATION_MAX_TOTAL_MB"] = "20"  # it keeps a log, encrypted, of each operation in its home
            if not users_own_passphrase():
                own["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self.passphrase_file)
        return {**own, **self.cloud, **(extra or {})}


def users_own_passphrase() -> bool:
    """Tell whether the user chose the passphrase; an empty one counts, as it does for the engine."""
    return "PULUMI_CONFIG_PASSPHRASE" in os.environ or bool(os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"))


def make_passphrase(path: Path) -> None:
    """Write a new passphrase to `path`, 0600, unless there is one: whole or not at all, and never a second one."""
    if path.exists():
        path.chmod(0o600)
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # a link never replaces: the first of two setups wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()
