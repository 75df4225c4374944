"""Private keys under a passphrase: opened before they go to the service, which has no field for a passphrase.

Pure. The messages name config keys, never a key or a passphrase.
"""

from __future__ import annotations

import base64
import hashlib
import struct

import pulumi

_MAGIC = b"openssh-key-v1\x00"
_LINE = 70
"""ssh-keygen's line length."""


class LockedKeyError(ValueError):
    """The key can't be opened; the message says why and holds no secret."""


def unlocked(key: str, passphrase: str) -> str:
    """Open a private key and write it without a passphrase, in OpenSSH's format.

    The same key gives the same text every time: another one would look like a changed key and replace the compute.
    OpenSSH's own writers put a random number in (PROTOCOL.key, checkint); here it is made of the key.

    Raises:
        LockedKeyError: it is no private key, or the passphrase is wrong.

    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    text = key.strip().encode() + b"\n"
    load = serialization.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else serialization.load_pem_private_key
    try:
        found = load(text, passphrase.encode())
        plain = found.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    except TypeError:
        raise LockedKeyError("has no passphrase. Delete private_key_passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # Nothing of the cause is repeated: it might quote what it was given.
        raise LockedKeyError("can't be opened: the passphrase is wrong, or it is no private key") from None
    return _steady(plain)


def _steady(plain: bytes) -> str:
    """Replace the random checkint of an unencrypted OpenSSH key by one made of the key itself."""
    blob = base64.b64decode(b"".join(plain.strip().splitlines()[1:-1]))
    at = len(_MAGIC)
    for _ in range(3):  # cipher, kdf, options of the kdf
        at = _after(blob, at)
    at = _after(blob, at + 4)  # the number of keys, then the public key
    checks = at + 4
    body = blob[checks + 8 :]
    number = hashlib.sha256(body).digest()[:4]
    text = base64.b64encode(blob[:checks] + number + number + body).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])


def _after(blob: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">I", blob, at)
    return at + 4 + int(length)


def open_key(pair: list[str], *, compute: str, key: str, passphrase: str) -> str:
    """Open a key inside an apply; `key` and `passphrase` are the names of their config keys.

    Raises:
        pulumi.RunError: it can't be opened. The engine prints its message alone.

    """
    try:
        return unlocked(*pair)
    except LockedKeyError as fault:
        words = f"{compute}: the private key in {key} {fault}. Its passphrase is in {passphrase}."
        raise pulumi.RunError(f"{words} To change either: invoke secret NAME") from None
