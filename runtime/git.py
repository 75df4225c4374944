"""Where a job's code comes from: repository, branch, commit, and whether the files differ from it.

The names are those under which azure-ai-ml 1.35.2 keeps them in a job's properties (`GitProperties`), with the same
environment variables for machines that build without a repository; the size of the difference is ours. Where git or a
repository is missing, nothing is known, and that is no error.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

REPOSITORY, BRANCH, COMMIT = "mlflow.source.git.repoURL", "mlflow.source.git.branch", "mlflow.source.git.commit"
DIRTY, BUILD_ID, BUILD_URI = "azureml.git.dirty", "azureml.git.build_id", "azureml.git.build_uri"
DIFF_BYTES = "trainyard.git.diff_bytes"
"""Bytes of `git diff HEAD` over the code's folder: what the commit alone does not say."""
VARIABLES = {
    "AZUREML_GIT_REPOSITORY_URI": REPOSITORY,
    "AZUREML_GIT_BRANCH": BRANCH,
    "AZUREML_GIT_COMMIT": COMMIT,
    "AZUREML_GIT_DIRTY": DIRTY,
    "AZUREML_GIT_BUILD_ID": BUILD_ID,
    "AZUREML_GIT_BUILD_URI": BUILD_URI,
}
"""azure-ai-ml's; each wins over what the repository says."""
TIMEOUT_S = 5.0
"""For all of git's answers together: a repository on a slow share must not hold a submission up."""
_CHUNK = 1 << 16
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat")
"""A repository's own settings may name programs to run; asking about it must not start them."""
_SECRET = re.compile(r"(?<=/)[^/]*@")
"""A user, a password or a token in an address: before the host, or before the path as in dev.azure.com/TOKEN@…"""
_SLASHED = re.compile(r"(?<=://)[^/@]*:(?!\d+/)[^@]*/.*@")
"""A password with a slash in it, which what follows the colon tells from a port."""
_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:(?!//)")


def describe(folder: Path, environ: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Say where a folder's files come from. Blocking, for some ten milliseconds; never raises for what git can't do."""
    variables = os.environ if environ is None else environ
    found = _of_repository(_Git(folder, variables, monotonic() + timeout_s))
    given = {name: variables.get(variable, "").strip() for variable, name in VARIABLES.items()}
    found |= {name: value for name, value in given.items() if value}
    if REPOSITORY in found:
        found[REPOSITORY] = stripped(found[REPOSITORY])
    if DIRTY in found:
        found[DIRTY] = str(found[DIRTY].lower() in {"true", "1"})
    return found


def in_background(folder: Path | None) -> Callable[[], dict[str, str]]:
    """Begin to describe a folder now; the returned call waits for the answer."""
    if folder is None:
        return dict
    found: dict[str, str] = {}
    thread = threading.Thread(target=lambda: found.update(describe(folder)), name="git", daemon=True)
    thread.start()

    def answer() -> dict[str, str]:
        thread.join(TIMEOUT_S)
        return dict(found)

    return answer


def stripped(address: str) -> str:
    """Return a repository's address without user, password, token and query; `git@host:path` stays as it is."""
    if _SCP.match(address):
        return address
    plain = _SECRET.sub("", _SLASHED.sub("", address))
    return plain.partition("?")[0].partition("#")[0]


def _of_repository(git: _Git) -> dict[str, str]:
    status = git.text("status", "--porcelain=v2", "--branch", "-z", "--", ".")
    if status is None:
        return {}
    lines = [line for line in status.split("\0") if line]
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# ") and " " in line[2:])
    dirty = any(not line.startswith("# ") for line in lines)
    found = {DIRTY: str(dirty)}
    if (branch := head.get("branch.head", "(detached)")) != "(detached)":
        found[BRANCH] = branch
    if (commit := head.get("branch.oid", "(initial)")) != "(initial)":
        found[COMMIT] = commit
    # Without a remote git answers with the name that one would have.
    address = (git.text("ls-remote", "--get-url") or "").strip()
    if address not in {"", "origin"}:
        found[REPOSITORY] = address
    size = git.size("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", ".") if dirty else 0
    return found | ({DIFF_BYTES: str(size)} if size is not None and COMMIT in found else {})


class _Git:
    """Asks git about one folder, until a deadline."""

    def __init__(self, folder: Path, environ: Mapping[str, str], deadline: float) -> None:
        self.folder = folder if folder.is_dir() else folder.parent
        self.deadline = deadline
        # A submission from within one of git's own hooks has GIT_DIR of that repository.
        kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}
        self.environ = kept | quiet

    def text(self, *words: str) -> str | None:
        """Return what git prints; None where it fails."""
        chunks = list[bytes]()
        return b"".join(chunks).decode("utf-8", "replace") if self._run(words, chunks.append) else None

    def size(self, *words: str) -> int | None:
        """Count the bytes that git prints; None where it fails."""
        counted = 0

        def count(chunk: bytes) -> None:
            nonlocal counted
            counted += len(chunk)

        return counted if self._run(words, count) else None

    def _run(self, words: tuple[str, ...], take: Callable[[bytes], None]) -> bool:
        command = ["git", *_SAFE, *words]
        quiet = subprocess.DEVNULL
        try:
            with subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet
            ) as process:
                watch = threading.Timer(max(0.0, self.deadline - monotonic()), process.kill)
                watch.daemon = True
                watch.start()
                try:
                    while process.stdout and (chunk := process.stdout.read1(_CHUNK)):  # type: ignore[attr-defined]  # a pipe is buffered
                        take(chunk)
                finally:
                    watch.cancel()
        except OSError:  # no git, or no such folder
            return False
        return process.returncode == 0
