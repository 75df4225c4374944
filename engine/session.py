"""One stack of one project as the engine sees it: where its state lives, with which environment the engine starts.

State, passphrase and the engine's own home are in `.trainyard/` of the project, readable by nobody else, unless the
user chose a backend. Nothing is written to the user's home. `operations` runs the engine with what is made here.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine import passphrase
from engine.errors import EngineError
from engine.locks import held

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

    def stacks(self) -> list[str]:
        """Return the stacks that have state in the project's own backend."""
        found = (self.data / "pulumi" / ".pulumi" / "stacks").glob("*/*.json*")
        return sorted(path.name.split(".json")[0] for path in found if path.name.endswith((".json", ".json.gz")))

    def prepare(self) -> None:
        """Make the private folders and the passphrase, if they are not there. Idempotent; two at once agree on one.

        Raises:
            EngineError: the passphrase of existing state is lost, or a file is where a folder should be.

        """
        folders = [self.data]
        if not self.users_own_backend():
            folders += [self.data / "pulumi", self.data / "pulumi-home"]
        for folder in folders:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise EngineError(f"{folder} must be a folder, and a file is there", "Move it away.") from error
            folder.chmod(0o700)
        if not self.users_own_backend() and not passphrase.users_own():
            with held(self.data):
                passphrase.keep(self.passphrase_file, self.stacks())

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
            if not passphrase.users_own():
                own["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self.passphrase_file)
        return {**own, **self.cloud, **(extra or {})}
