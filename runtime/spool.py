"""Intents that wait for whoever writes next: under load one commit takes all of them, where each took its own turn.

A waiting process leaves its record as a file; the next writer, of whatever, puts it into its own transaction and says
by the file's new name, after the commit, what became of it. A file that a dead process left is inserted all the same:
an intent without a submitter is judged by the next command.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from runtime.records import Record

if TYPE_CHECKING:
    from pathlib import Path

WAITING, KEPT, TAKEN = ".json", ".kept", ".taken"
POLL_S = 0.02
OLD_S = 600.0
"""Nobody waits for an answer for so long."""
INSERT = "INSERT INTO runs (id, state, document) VALUES (?, ?, ?)"


def insert(database: sqlite3.Connection, record: Record) -> bool:
    """Insert a run inside a transaction. False when the id is another run's."""
    try:
        database.execute(INSERT, (record.id, record.state, record.model_dump_json()))
    except sqlite3.IntegrityError:
        found = database.execute("SELECT document FROM runs WHERE id = ?", (record.id,)).fetchone()
        # Committed already, by one that died before it said so.
        return found is not None and Record.model_validate_json(found[0]) == record
    return True


def leave(folder: Path, record: Record) -> Path:
    """Leave an intent for the next writer. Raises: OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{time.monotonic_ns():020}-{secrets.token_hex(4)}{WAITING}"
    draft = path.with_suffix(".draft")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(record.model_dump_json().encode())
    draft.rename(path)
    return path


def answer(path: Path) -> bool | None:
    """Return what became of an intent that was left, once; None while it waits."""
    for suffix, kept in ((KEPT, True), (TAKEN, False)):
        with contextlib.suppress(FileNotFoundError):
            path.with_suffix(suffix).unlink()
            return kept
    return None


def take(folder: Path, database: sqlite3.Connection) -> dict[Path, bool]:
    """Insert what waits, in order, inside a transaction; to be told (`tell`) after its commit."""
    told: dict[Path, bool] = {}
    for name in _names(folder):
        path = folder / name
        if not name.endswith(WAITING):
            _sweep(path)
            continue
        with contextlib.suppress(FileNotFoundError, ValidationError):
            told[path] = insert(database, Record.model_validate_json(path.read_bytes()))
    return told


def tell(told: dict[Path, bool]) -> None:
    """Say what became of the intents; they are committed."""
    for path, kept in told.items():
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_suffix(KEPT if kept else TAKEN))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed, and quicker
    except FileNotFoundError:
        return []


def _sweep(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > OLD_S:
            path.unlink()
