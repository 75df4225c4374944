"""The run store: SQLite for order and atomic changes, and a self-describing `run.json` in each run's folder.

An intent is committed before anything is sent; a terminal state is written once; a wish to cancel is never lost. The
database can be rebuilt from the `run.json` files, and is when it is gone; a damaged one is reported, never replaced.
Rollback journal and `synchronous=EXTRA`: SQLite below 3.51.3 can corrupt a WAL database (sqlite.org/wal.html).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING

from pydantic import ValidationError

from node import layout, processes
from runtime.errors import StoreError
from runtime.project import private_folder
from runtime.records import TERMINAL, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.project import Project

DATABASE = ".store.db"
"""Begins with a dot, as no run's id does."""
DESCRIPTION = "run.json"
SUBMITTING = "submitting"
"""Locked by the process that submits a run, for as long as it does."""
SCHEMA = 1
BUSY_S = 60.0
_METRICS_ONLY = frozenset({"metrics", "metrics_final"})


class Store:
    """The runs of one project. Every method is one transaction; safe between processes and threads."""

    def __init__(self, project: Project) -> None:
        self.folder = project.runs
        self._path = self.folder / DATABASE

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run (0700), made when first asked for."""
        return private_folder(self.folder / run_id)

    def attempt_folder(self, record: Record) -> Path:
        """Return the folder of a Local run's attempt; not made here."""
        return self.folder / record.id / f"attempt-{record.attempt}"

    def insert(self, record: Record) -> bool:
        """Commit the intent of a run. False when the id is taken, in any spelling of its letters."""
        with self._transaction() as database:
            try:
                database.execute(
                    "INSERT INTO runs (id, state, document) VALUES (?, ?, ?)",
                    (record.id, record.state, record.model_dump_json()),
                )
            except sqlite3.IntegrityError:
                return False
            self._describe(record)
        return True

    def get(self, run_id: str) -> Record | None:
        """Return a run, or None."""
        with self._connection() as database:
            row = database.execute("SELECT document FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None else self._record(row[0])

    def all(self) -> list[Record]:
        """List every run, the newest last."""
        with self._connection() as database:
            rows = database.execute("SELECT document FROM runs ORDER BY number").fetchall()
        return [self._record(row[0]) for row in rows]

    def update(self, run_id: str, **changes: object) -> Record | None:
        """Change a run that has not ended, and return it as it then is. None when there is no such run.

        One that has ended keeps everything but its metrics. A wish to cancel is never taken back.
        """
        with self._transaction() as database:
            row = database.execute("SELECT document FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            before = self._record(row[0])
            if before.terminal and not changes.keys() <= _METRICS_ONLY:
                changes = {name: value for name, value in changes.items() if name in _METRICS_ONLY}
            wish = {"cancel_requested": before.cancel_requested or bool(changes.get("cancel_requested"))}
            after = Record.model_validate({**before.model_dump(), **changes, **wish})
            if after == before:
                return before
            ended = tuple(TERMINAL)
            guard = "" if before.terminal else f"AND state NOT IN ({','.join('?' * len(ended))})"
            changed = database.execute(
                f"UPDATE runs SET state = ?, document = ? WHERE id = ? {guard}",  # noqa: S608 - question marks only
                (after.state, after.model_dump_json(), run_id, *(() if before.terminal else ended)),
            )
            if changed.rowcount != 1:
                raise StoreError(f"{run_id} ended while it was being changed")
            self._describe(after)
        return after

    @contextlib.contextmanager
    def submitting(self, run_id: str) -> Iterator[None]:
        """Hold the mark that this process is submitting a run; it goes when the process does, however it ends."""
        mark = self.run_folder(run_id) / SUBMITTING
        try:
            fd = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{mark} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def is_submitting(self, run_id: str) -> bool:
        """Tell whether some process is submitting this run right now."""
        return processes.is_locked(self.folder / run_id / SUBMITTING)

    def _describe(self, record: Record) -> None:
        try:
            raw = record.model_dump_json(indent=1).encode() + b"\n"
            layout.write_bytes(self.run_folder(record.id) / DESCRIPTION, raw)
        except OSError as error:
            raise StoreError(f"{self.folder / record.id} can't be written: {error.strerror}") from None

    def _record(self, document: str) -> Record:
        try:
            return Record.model_validate_json(document)
        except ValidationError as error:
            raise self._damaged(f"a record has {error.error_count()} wrong fields") from None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            database = self._open()
            try:
                yield database
            finally:
                database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = EXTRA")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            self._current(database, version)
        except BaseException:
            database.close()
            raise
        return database

    def _current(self, database: sqlite3.Connection, version: int) -> None:
        if version > SCHEMA:
            raise StoreError(f"{self._path} was written by a newer Trainyard (schema {version}). Update this one")
        if version < SCHEMA:
            self._migrate(database)

    def _migrate(self, database: sqlite3.Connection) -> None:
        """Make the tables, and fill them from the runs' own files; one process does it, the others wait."""
        database.execute("BEGIN IMMEDIATE")
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] < SCHEMA:
                database.execute(
                    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, "
                    "id TEXT NOT NULL UNIQUE COLLATE NOCASE, state TEXT NOT NULL, document TEXT NOT NULL)"
                )
                for record in self.described():
                    database.execute(
                        "INSERT OR IGNORE INTO runs (id, state, document) VALUES (?, ?, ?)",
                        (record.id, record.state, record.model_dump_json()),
                    )
                database.execute(f"PRAGMA user_version = {SCHEMA}")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def described(self) -> list[Record]:
        """List the runs as their own files tell them, by creation; unreadable files are left out."""
        found = list[Record]()
        for path in self.folder.glob(f"*/{DESCRIPTION}"):
            with contextlib.suppress(OSError, ValidationError):
                record = Record.model_validate_json(path.read_bytes())
                if record.id == path.parent.name:
                    found.append(record)
        return sorted(found, key=lambda record: (record.created, record.id))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self._path}: {error}. Nothing was changed") from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}. Nothing was changed") from None

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"{self._path} is damaged ({why}). Every run is also in its own {DESCRIPTION}. To rebuild the store from "
            f"them: mv {self._path} {self._path}.damaged, and repeat the command"
        )
