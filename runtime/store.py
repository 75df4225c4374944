"""The run store: SQLite for order and atomic changes, and a self-describing `run.json` in each run's folder.

An intent is committed before anything is sent; a terminal state is written once; a wish to cancel is never lost. The
database can be rebuilt from the `run.json` files, and is when it is gone; a damaged one is reported, never replaced.
Rollback journal and `synchronous=EXTRA`: SQLite below 3.51.3 can corrupt a WAL database (sqlite.org/wal.html). Writers
wait in one fair queue (`runtime.turns`), an intent is committed by whoever writes next (`runtime.spool`), and a turn
is the commit only: `run.json` follows it, so that a kill between the two leaves that file one change behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from node import layout, processes
from runtime import spool, turns
from runtime.errors import StoreError
from runtime.project import private_folder
from runtime.records import TERMINAL, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runtime.project import Project

DATABASE = ".store.db"
"""Begins with a dot, as no run's id does."""
DESCRIPTION = "run.json"
SUBMITTING = "submitting"
"""Locked by the process that submits a run, for as long as it does."""
TURN = ".store.lock"
"""Locked by whoever writes: see `runtime.turns`."""
QUEUE = ".queue"
"""Intents that wait for the next writer: see `runtime.spool`."""
SCHEMA = 2
"""2: the table of leases. A database of version 1 is kept as `.store.db.1`."""
BUSY_S = 60.0
_RUNS = (
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, "
    "id TEXT NOT NULL UNIQUE COLLATE NOCASE, state TEXT NOT NULL, document TEXT NOT NULL)"
)
_LEASES = (
    "CREATE TABLE leases (run TEXT PRIMARY KEY COLLATE NOCASE, owner TEXT NOT NULL, folder TEXT NOT NULL, "
    "boot TEXT NOT NULL, until REAL NOT NULL)"
)
_METRICS_ONLY = frozenset({"metrics", "params", "metrics_final"})


class Lease(NamedTuple):
    """The right to drive a run. Lapses when nobody renews it; at once when its holder is proven dead."""

    owner: str
    """Random."""
    folder: str
    """Of the driver, below the run's."""
    boot: str
    """Of the machine: `until` means nothing on another boot, or another machine."""
    until: float
    """On the machine's monotonic clock, which no change of its time moves."""


class Store:
    """The runs of one project. Every method is one transaction; safe between processes and threads."""

    def __init__(self, project: Project) -> None:
        self.folder = project.runs
        self._path = self.folder / DATABASE
        self._marks: dict[str, int] = {}
        """Open files that are the marks of runs that were just inserted."""

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run (0700), made when first asked for."""
        return private_folder(self.folder / run_id)

    def attempt_folder(self, record: Record) -> Path:
        """Return the folder of a Local run's attempt; not made here."""
        return self.folder / record.id / f"attempt-{record.attempt}"

    def insert(self, record: Record, *, mark: bool = False) -> bool:
        """Commit the intent of a run. False when the id is taken, in any spelling of its letters.

        `mark`: the run counts as being submitted (`submitting`) from before anybody can see it.
        """
        if mark:
            fd = processes.acquire(self._mark(record.id))
            if fd is None:
                return False
            self._marks[record.id] = fd
        kept = False
        try:
            kept = self._insert(record)
        finally:
            if mark and not kept:
                os.close(self._marks.pop(record.id))
        return kept

    def _mark(self, run_id: str) -> Path:
        return self.run_folder(run_id) / SUBMITTING

    def _insert(self, record: Record) -> bool:
        with self._translated():
            try:
                with self._writing(0.0) as database:
                    kept = spool.insert(database, record)
            except TimeoutError:
                kept = self._queued(record)
        if kept:
            self._describe(record.id)
        return kept

    def _queued(self, record: Record) -> bool:
        """Let whoever writes next write this too; write it ourselves once nobody does."""
        path, deadline = spool.leave(self.folder / QUEUE, record), time.monotonic() + BUSY_S
        while (found := spool.answer(path)) is None:
            if time.monotonic() > deadline:
                path.unlink(missing_ok=True)
                raise TimeoutError(f"another process has held it for more than {BUSY_S:g} s")
            try:
                with self._writing(0.0):
                    pass  # it takes what waits
            except TimeoutError:
                time.sleep(spool.POLL_S)
        return found

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

    def update(self, run_id: str, expect: Mapping[str, object] | None = None, **changes: object) -> Record | None:
        """Change a run that has not ended, and return it as it then is. None when there is no such run.

        One that has ended keeps everything but its metrics. A wish to cancel is never taken back. `expect`: fields that
        must still have these values; where one has not, what was seen is old, and nothing is changed.
        """
        with self._transaction() as database:
            row = database.execute("SELECT document FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            before = self._record(row[0])
            if any(getattr(before, name) != value for name, value in (expect or {}).items()):
                return before
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
        self._describe(after.id)
        return after

    @contextlib.contextmanager
    def submitting(self, run_id: str) -> Iterator[None]:
        """Hold the mark that this process is submitting a run; it goes when the process does, however it ends."""
        mark, held = self._mark(run_id), self._marks.pop(run_id, None)
        try:
            fd = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if held is None else held
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

    def lease(self, run_id: str) -> Lease | None:
        """Return who drives a run, or None."""
        with self._connection() as database:
            return _lease(database, run_id)

    def take_lease(self, run_id: str, lease: Lease, before: Lease | None) -> bool:
        """Become who drives a run; False when somebody else took it since `before` was seen."""
        with self._transaction() as database:
            if _lease(database, run_id) != before:
                return False
            row = (run_id, *lease)
            database.execute(
                "INSERT OR REPLACE INTO leases (run, owner, folder, boot, until) VALUES (?, ?, ?, ?, ?)", row
            )
            return True

    def renew_lease(self, run_id: str, owner: str, until: float) -> bool:
        """Hold on to a lease; False when it is another's by now."""
        with self._transaction() as database:
            where = (until, run_id, owner)
            return database.execute("UPDATE leases SET until = ? WHERE run = ? AND owner = ?", where).rowcount == 1

    def drop_lease(self, run_id: str, owner: str) -> None:
        """Give a lease back; safe to repeat."""
        with self._transaction() as database:
            database.execute("DELETE FROM leases WHERE run = ? AND owner = ?", (run_id, owner))

    def _describe(self, run_id: str) -> None:
        """Bring the run's own file up to what is committed; the last of several who do so at once writes the newest."""
        folder = self.run_folder(run_id)
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                record = self.get(run_id)
                if record is not None:
                    layout.write_bytes(folder / DESCRIPTION, record.model_dump_json(indent=1).encode() + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreError(f"{folder} can't be written: {error.strerror}") from None

    def _record(self, document: str) -> Record:
        try:
            return Record.model_validate_json(document)
        except ValidationError as error:
            raise self._damaged(f"a record has {error.error_count()} wrong fields") from None

    @contextlib.contextmanager
    def _connection(self, *, turned: bool = False) -> Iterator[sqlite3.Connection]:
        with self._translated():
            database = self._open(turned=turned)
            try:
                yield database
            finally:
                database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._writing(BUSY_S) as database:
            yield database

    @contextlib.contextmanager
    def _writing(self, patience_s: float) -> Iterator[sqlite3.Connection]:
        """Change all or nothing, and what waits in the queue with it. Raises `TimeoutError` besides SQLite's own."""
        # Opening reads already; inside the turn it never waits for a writer, nor a writer for it.
        with turns.turn(self.folder / TURN, patience_s), self._connection(turned=True) as database:
            with _immediate(database):
                yield database
                told = spool.take(self.folder / QUEUE, database)
            spool.tell(told)

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        return turns.turn(self.folder / TURN, BUSY_S)

    def _open(self, *, turned: bool) -> sqlite3.Connection:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = EXTRA")
            database.execute("PRAGMA journal_mode = PERSIST")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            self._current(database, version, turned=turned)
        except BaseException:
            database.close()
            raise
        return database

    def _current(self, database: sqlite3.Connection, version: int, *, turned: bool) -> None:
        if version > SCHEMA:
            raise StoreError(f"{self._path} was written by a newer Trainyard (schema {version}). Update this one")
        if version < SCHEMA:
            with contextlib.nullcontext() if turned else self._turn():
                self._migrate(database)

    def _migrate(self, database: sqlite3.Connection) -> None:
        """Make the tables that lack, runs from their own files; one process does it, the others wait.

        An older database is copied first: whatever goes wrong, nothing of it is lost.
        """
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if 0 < version < SCHEMA:
            self._back_up(database, version)
        with _immediate(database):
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version < 1:
                database.execute(_RUNS)
                self._rebuild(database)
            if version < SCHEMA:
                database.execute(_LEASES)
                database.execute(f"PRAGMA user_version = {SCHEMA}")

    def _rebuild(self, database: sqlite3.Connection) -> None:
        for record in self.described():
            database.execute(
                "INSERT OR IGNORE INTO runs (id, state, document) VALUES (?, ?, ?)",
                (record.id, record.state, record.model_dump_json()),
            )

    def _back_up(self, database: sqlite3.Connection, version: int) -> None:
        """Copy the database beside itself, once, whole."""
        kept = self._path.with_name(f"{DATABASE}.{version}")
        if not kept.exists():
            # SQLite's own image of a consistent moment.
            layout.write_bytes(kept, database.serialize())

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
            raise StoreError(f"{self._path}: {error.strerror or error}. Nothing was changed") from None

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"{self._path} is damaged ({why}). Every run is also in its own {DESCRIPTION}. To rebuild the store from "
            f"them: mv {self._path} {self._path}.damaged, and repeat the command"
        )


@contextlib.contextmanager
def _immediate(database: sqlite3.Connection) -> Iterator[None]:
    """Change all or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _lease(database: sqlite3.Connection, run_id: str) -> Lease | None:
    row = database.execute("SELECT owner, folder, boot, until FROM leases WHERE run = ?", (run_id,)).fetchone()
    return None if row is None else Lease(*row)
