"""The generated passphrase of a project, and what to do when it and what it encrypted no longer belong together.

It encrypts the secrets in state and in `stacks/Pulumi.<stack>.yaml`, where `encryptionsalt` holds a sealed word that
only the right passphrase opens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
from typing import TYPE_CHECKING

from engine.errors import PASSPHRASE, EngineError
from engine.locks import held

if TYPE_CHECKING:
    from pathlib import Path

    from engine.session import Session

START_OVER = (
    "To start over without it: invoke emulator.stop, then delete pulumi, emulator and outputs in .trainyard/. "
    "What the stacks made in Azure stays there, to be deleted by hand."
)
SALT = re.compile(r"(?m)^encryptionsalt: v1:(?P<salt>[^:\s]+):v1:(?P<nonce>[^:\s]+):(?P<sealed>[^:\s]+)$")
"""As sdk/v3.255.0 writes it: go/common/resource/config/crypt.go, `symmetricCrypter`; the sealed word is `pulumi`."""
ROUNDS = 1_000_000
SECRET = re.compile(r"(?m)^  (?:[^\s:]+:)?(?P<key>[^\s:]+):\n    secure:")


def users_own() -> bool:
    """Tell whether the user chose the passphrase; an empty one counts, as it does for the engine."""
    return "PULUMI_CONFIG_PASSPHRASE" in os.environ or bool(os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"))


def keep(path: Path, stacks: list[str]) -> None:
    """Make the passphrase in `path` if there is none; never a new one where `stacks` have state that an old one made.

    Raises:
        EngineError: it is lost.

    """
    if stacks and not path.exists():
        raise EngineError(
            f"{path.parent.name}/{path.name} is gone: without it the state of {', '.join(stacks)} can't be read",
            f"Put the file back from a backup. {START_OVER}",
            exit_code=PASSPHRASE,
        )
    make(path)


def make(path: Path) -> None:
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


def set_aside(session: Session) -> str | None:
    """Move away the configuration of a stack without state that another passphrase encrypted; say so in a line.

    Only where state and passphrase are the project's own; None if there was nothing to move. Idempotent.
    """
    if session.users_own_backend() or users_own() or not session.config_file.exists():
        return None
    with held(session.data):
        try:
            text = session.config_file.read_text("utf-8")
        except FileNotFoundError:
            return None
        found = SALT.search(text)
        if found is None or session.stack in session.stacks() or opens(found, session.passphrase_file):
            return None
        names = (session.config_file.with_name(f"{session.config_file.name}.old-{n}") for n in range(1, 10_000))
        aside = next(path for path in names if not path.exists())
        session.config_file.rename(aside)
    moved = f"stacks/{session.config_file.name} was made with a passphrase that is gone; it is stacks/{aside.name} now."
    again = "; ".join(f"invoke secret {key} --stack {session.stack}" for key in SECRET.findall(text))
    return f"{moved} Set its secrets again: {again}" if again else f"{moved} It held no secrets."


def opens(found: re.Match[str], path: Path) -> bool:
    """Tell whether the passphrase in `path` is the one of this salt. What is no salt is nobody's to judge: True."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        salt, nonce, sealed = (base64.b64decode(found[part], validate=True) for part in ("salt", "nonce", "sealed"))
        key = hashlib.pbkdf2_hmac("sha256", path.read_bytes().strip(), salt, ROUNDS, 32)
        return AESGCM(key).decrypt(nonce, sealed, None) == b"pulumi"
    except InvalidTag:
        return False
    except (binascii.Error, ValueError):
        return True
