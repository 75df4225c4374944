"""What looks like a secret in a source folder: names that only credentials have, and what their content begins with.

A guard against accidents, not a proof: it knows the formats below and no others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate

VERSION = 2
"""Grows with the rules, so that what an older version found clean is looked at again."""
OVERLAP = 4096
"""Bytes that two neighbouring chunks share, so that a secret across their border is seen."""

_NAMES = {
    "environment variables with secrets": (".env", ".env.*"),
    "an SSH private key": ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "*.ppk"),
    "Kubernetes credentials": ("kubeconfig", "*.kubeconfig"),
    "Git credentials": (".git-credentials",),
    "Databricks credentials": (".databrickscfg",),
    "network credentials": (".netrc", "_netrc"),
    "package index credentials": (".pypirc",),
    "a key store": ("*.pfx", "*.p12", "*.jks"),
}
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")
_PATHS = {
    "AWS credentials": (".aws/credentials",),
    "Azure credentials": (".azure/accesstokens.json", ".azure/msal_token_cache.json", ".azure/msal_token_cache.bin"),
    "Kubernetes credentials": (".kube/config",),
    "Docker credentials": (".docker/config.json",),
}
_ANY_NAME = re.compile("|".join(translate(glob) for globs in _NAMES.values() for glob in globs))
_ANY_END = tuple(end for ends in _PATHS.values() for end in ends)
_CONTENT: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = (
    ("a private key", b"PRIVATE KEY-----", re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("a Databricks token", b"dapi", re.compile(rb"(?<![A-Za-z0-9])dapi[0-9a-f]{32}(?![0-9a-f])")),
    ("a storage account key", b"AccountKey=", re.compile(rb"AccountKey=[A-Za-z0-9+/]{20,}={0,2}")),
    ("a shared access key", b"SharedAccessKey=", re.compile(rb"SharedAccessKey=[A-Za-z0-9+/]{20,}")),
    ("a shared access signature", b"sig=", re.compile(rb"[?&;\"']sig=(?:[A-Za-z0-9+/]|%[0-9A-Fa-f]{2}){20,}")),
    (
        "a GitHub token",
        b"gh",
        re.compile(rb"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"),
    ),
    ("a Hugging Face token", b"hf_", re.compile(rb"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{34}(?![A-Za-z0-9])")),
    ("an AWS access key", b"AKIA", re.compile(rb"(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![A-Za-z0-9])")),
)
"""What it is, bytes that are cheap to look for, and the proof. Formats: PEM (RFC 7468), Databricks personal access
tokens, Azure Storage connection strings and SAS, GitHub's, Hugging Face's and AWS's documented token
prefixes."""
_PUBLISHED = b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq"
"""The storage emulator's account key, the same on every machine and printed in its documentation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A likely secret in a file."""

    what: str
    line: int


def by_name(path: str) -> str | None:
    """Say what a file's relative path gives it away as; None where it is an ordinary name."""
    lower = path.lower()
    name = lower.rpartition("/")[2]
    if _ANY_NAME.match(name) and name not in _HARMLESS:
        return next(what for what, globs in _NAMES.items() if any(fnmatchcase(name, glob) for glob in globs))
    if lower.endswith(_ANY_END):
        tails = ((what, tuple(f"/{end}" for end in ends)) for what, ends in _PATHS.items())
        return next((what for what, ends in tails if f"/{lower}".endswith(ends)), None)
    return None


class Scanner:
    """Looks through one file, chunk by chunk."""

    def __init__(self) -> None:
        self.finding: Finding | None = None
        self._tail = b""
        self._lines = 1

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes; the first finding is kept."""
        if self.finding:
            return
        window = self._tail + chunk
        for what, cheap, proof in _CONTENT:
            if cheap in window:
                for match in proof.finditer(window):
                    if _PUBLISHED not in match.group():
                        self.finding = Finding(what, self._lines + window.count(b"\n", 0, match.start()))
                        return
        keep = min(len(window), OVERLAP)
        self._lines += window.count(b"\n", 0, len(window) - keep)
        self._tail = window[len(window) - keep :]
