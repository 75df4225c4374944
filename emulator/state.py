"""What the emulated cloud remembers: documents by ARM id in SQLite, each write durable before it is answered.

Not a model of Azure: it knows ids and JSON, no rules. Rollback journal, because the SQLite that Pythons link can carry
the WAL-reset bug (3.7.0 to 3.51.2; fixed in 3.51.3, 3.50.7, 3.44.6: sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.routing import Json

SCHEMA = """
create table if not exists document (
  key text primary key,            -- the id in lower case
  collection text not null,        -- parent collection in lower case: the id without its last segment
  kind text not null,              -- free word of the module that owns it: 'arm', 'job', 'operation', 'blob' ...
  sequence integer not null,       -- order of creation
  body text not null
);
create index if not exists by_collection on document (collection);
create index if not exists by_kind on document (kind);
create index if not exists by_sequence on document (sequence);  -- for max() at each insert
"""


class State:
    """Documents by id, compared without case. Thread-safe; `with state.transaction():` groups writes atomically."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("pragma journal_mode = delete")
        self._db.execute("pragma synchronous = extra")
        self._db.executescript(SCHEMA)
        self._lock = threading.RLock()
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the state for a read-then-write; nests. All or nothing."""
        with self._lock:
            if self._depth == 0:
                self._db.execute("begin immediate")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("rollback")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("commit")

    def get(self, id_: str) -> dict[str, Json] | None:
        """Return the document, or None."""
        with self._lock:
            row = self._db.execute("select body from document where key = ?", (id_.lower(),)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, id_: str, body: dict[str, Json], kind: str = "arm") -> None:
        """Create or overwrite the document; it is on disk when this returns (or when the transaction ends)."""
        key = id_.lower()
        with self.transaction():
            self._db.execute(
                "insert into document values (?, ?, ?, (select coalesce(max(sequence), 0) + 1 from document), ?)"
                " on conflict (key) do update set body = excluded.body, kind = excluded.kind",
                (key, key.rpartition("/")[0], kind, json.dumps(body)),
            )

    def delete(self, id_: str) -> bool:
        """Delete the document alone; True when there was one."""
        with self.transaction():
            return self._db.execute("delete from document where key = ?", (id_.lower(),)).rowcount == 1

    def delete_tree(self, id_: str) -> int:
        """Delete the document and all below it; returns how many went."""
        key = id_.lower()
        with self.transaction():
            return self._db.execute(
                "delete from document where key = ? or substr(key, 1, ?) = ?", (key, len(key) + 1, key + "/")
            ).rowcount

    def children(self, collection: str) -> list[dict[str, Json]]:
        """List the documents directly in a collection (an id without its last segment), oldest first."""
        with self._lock:
            rows = self._db.execute(
                "select body from document where collection = ? order by sequence", (collection.lower().rstrip("/"),)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def all(self, kind: str, below: str = "") -> list[tuple[str, dict[str, Json]]]:
        """List `(key, document)` of one kind, oldest first, optionally only below an id."""
        prefix = below.lower()
        with self._lock:
            rows = self._db.execute(
                "select key, body from document where kind = ? and substr(key, 1, ?) = ? order by sequence",
                (kind, len(prefix), prefix),
            ).fetchall()
        return [(key, json.loads(body)) for key, body in rows]

    def close(self) -> None:
        """Close the database; every acknowledged write is already on disk."""
        with self._lock:
            self._db.close()
