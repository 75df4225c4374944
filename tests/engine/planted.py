"""Secrets that a test plants, and where they turn up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "c4n4ry-Pa55phrase-91d0"
CANARIES = {
    "cluster-password": "c4n4ry-Pa55word-7f3e",
    "machine-password": "c4n4ry-Pa55word-b2c8",
    "machine-passphrase": PASSPHRASE,
    "machine-key": Ed25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(PASSPHRASE.encode()))
    .decode(),
}


def places(root: Path, secret: str) -> list[str]:
    """List files below a folder that hold a secret, or a line of it, in clear, whatever their kind."""
    needles = [line.encode() for line in secret.splitlines() if line and not line.startswith("-----")]
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and any(needle in path.read_bytes() for needle in needles)
    ]
