"""The secrets of a job while it runs: held in the supervisor's memory only, and kept out of what it writes for the job.

What the job's processes print comes through the supervisor then, and reaches the log without the values. A job without
secrets has none of this: its processes write into their logs themselves.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

from node import layout
from node.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from node.layout import Json

_CHUNK = 1 << 16
_PATIENCE_S = 5.0
"""How long to wait, once the job's processes are gone, for one that left the run with its output still open."""


def packed(secrets: Mapping[str, str]) -> bytes:
    """Return what a launcher writes to a supervisor on standby."""
    return json.dumps(dict(secrets)).encode()


def unpacked(content: bytes) -> dict[str, str]:
    """Return what `packed` packed. Raises: ValueError, which never shows a value."""
    try:
        found = json.loads(content)
    except ValueError:
        raise ValueError("the secrets of the job did not arrive whole") from None
    return named(found)


def named(found: Json) -> dict[str, str]:
    """Check that this is a value by name. Raises: ValueError, which never shows a value."""
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("the secrets of the job must be an object of texts")
    return {name: str(value) for name, value in found.items()}


def lacking(wanted: Collection[str], given: Collection[str]) -> str | None:
    """Say which secrets a job was promised and did not get; None when all are there."""
    missing = sorted(set(wanted) - set(given))
    if not missing:
        return None
    return f"the values of its secrets were not given: {', '.join(missing)}. They are kept nowhere: submit it again"


class Mask:
    """Replaces the values of secrets in texts and streams."""

    def __init__(self, values: Collection[str] = ()) -> None:
        # Programs strip what they read: the newline at the end of a value is seldom printed with it.
        self.values = frozenset({*values, *(value.strip() for value in values)} - {""})

    def text(self, text: str) -> str:
        """Return a text without them."""
        if not self.values:
            return text
        redactor, raw = Redactor(self.values), text.encode("utf-8", "surrogatepass")
        return (redactor.feed(raw) + redactor.end()).decode("utf-8", "surrogatepass")

    def tree(self, value: Json, kept: Collection[str] = ()) -> Json:
        """Return a JSON value without them, names of fields as well; `kept`: fields that stay as they are."""
        if not self.values:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item, kept) for item in value]
        if isinstance(value, dict):
            return {self.text(key): item if key in kept else self.tree(item, kept) for key, item in value.items()}
        return value


class Logs:
    """Pipes that end in log files, each with a thread that takes the values out on the way."""

    def __init__(self, mask: Mask) -> None:
        self.lost: str | None = None
        """Why a log could not be written to its end."""
        self._mask, self._threads = mask, list[threading.Thread]()
        self._held, self._fifos = list[int](), list["Path"]()

    def pipe(self, log: Path) -> int:
        """Return where a process shall write, to be closed here when it has it."""
        ours, its = os.pipe()
        self._follow(ours, log)
        return its

    def fifo(self, log: Path) -> None:
        """Make what a process opens by itself instead of its log."""
        path = log.with_name(layout.fifo(log.name))
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        self._fifos.append(path)
        # Linux opens both ends without waiting. Ours keeps it open until the last process could have come.
        self._held.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        self._follow(os.open(path, os.O_RDONLY | os.O_CLOEXEC), log)

    def close(self) -> None:
        """Wait until everything that was written has arrived. Idempotent."""
        for fd in self._held:
            os.close(fd)
        self._held.clear()
        deadline = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        for path in self._fifos:
            path.unlink(missing_ok=True)
        self._fifos.clear()

    def _follow(self, source: int, log: Path) -> None:
        kept = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        thread = threading.Thread(target=self._copy, args=(source, kept), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _copy(self, source: int, kept: int) -> None:
        redactor, broken = Redactor(self._mask.values), False
        try:
            while True:
                chunk = os.read(source, _CHUNK)
                text = redactor.feed(chunk) if chunk else redactor.end()
                if not broken:
                    broken = not self._written(kept, text)  # what still comes is taken, so that nobody waits for us
                if not chunk:
                    return
        finally:
            os.close(source)
            os.close(kept)

    def _written(self, kept: int, text: bytes) -> bool:
        try:
            layout.write_all(kept, text)
        except OSError as error:
            self.lost = error.strerror or str(error)
            return False
        return True
