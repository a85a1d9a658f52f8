"""The SQLite file behind the service: connections, transactions, tables.

One connection per process and thread. Every request that writes is one ``BEGIN IMMEDIATE``
transaction: a process killed half-way leaves nothing of it, and several processes that write at
once wait for one another (busy timeout) and lose no record. Readers never wait (WAL).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from scripts.render_ws.errors import Forbidden

BUSY_TIMEOUT_S = 120.0
SCHEMA_VERSION = 1
# Ordinary rowid tables: WITHOUT ROWID with bodies of a kilobyte makes every index look-up slow.
# The queried columns stand before the body, so that SQLite reads them without its pages.
_SCHEMA = """
CREATE TABLE stack(
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
  state TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  version_number INTEGER NOT NULL,
  version TEXT NOT NULL,            -- StackVersion as JSON
  stats TEXT,                       -- StackStats as JSON, NULL unless COMPLETE was reached
  has_sections INTEGER NOT NULL DEFAULT 0,
  UNIQUE(owner, project, name));
CREATE TABLE tile(
  stack INTEGER NOT NULL, id TEXT NOT NULL, z REAL, section TEXT, grp TEXT,
  min_x REAL NOT NULL, min_y REAL NOT NULL, max_x REAL NOT NULL, max_y REAL NOT NULL,
  refs TEXT,                        -- JSON list of the shared transforms it refers to, or NULL
  channels TEXT,                    -- JSON list of its channel names, or NULL
  body BLOB NOT NULL,               -- TileSpec as JSON
  UNIQUE(stack, id));
CREATE INDEX tile_z ON tile(stack, z, id);
CREATE INDEX tile_section ON tile(stack, section) WHERE section IS NOT NULL;
CREATE TABLE transform(
  stack INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
  UNIQUE(stack, id));
CREATE TABLE section(
  stack INTEGER NOT NULL, section TEXT NOT NULL, z REAL, body TEXT NOT NULL);
CREATE INDEX section_of_stack ON section(stack, section, z);
CREATE TABLE collection(
  id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL,
  UNIQUE(owner, name));
CREATE TABLE pair(
  collection INTEGER NOT NULL,
  p_group TEXT NOT NULL, q_group TEXT NOT NULL, p_id TEXT NOT NULL, q_id TEXT NOT NULL,
  count INTEGER NOT NULL,
  consensus TEXT,                   -- consensusSetData as JSON, or NULL
  points BLOB,                      -- see matches.pack, NULL without matches
  UNIQUE(collection, p_group, q_group, p_id, q_id));
CREATE INDEX pair_q ON pair(collection, q_group, p_group);
"""


class Store:
    """One database file, opened anew by each process and thread that uses it."""

    def __init__(self, path: str | Path, *, writable: bool = True) -> None:
        self.path = Path(path)
        self.writable = writable
        self._local = threading.local()
        # connections of a parent process: closing one in a child would drop the parent's locks,
        # so they are kept here and never touched
        self._inherited: list[sqlite3.Connection] = []

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        if getattr(local, "process", None) == os.getpid():
            return local.connection  # type: ignore[no-any-return]
        if hasattr(local, "connection"):
            self._inherited.append(local.connection)
        local.connection = _connect(self.path, write=self.writable)
        local.process = os.getpid()
        return local.connection  # type: ignore[no-any-return]

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Return a connection that sees one state of the database to the end of the block."""
        with _transaction(self._connection(), "BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Return a connection for one transaction: all of the block is stored, or nothing.

        Raises
        ------
        Forbidden
            When the store is not writable.
        """
        if not self.writable:
            raise Forbidden(
                f"{self.path} is served to be read only: `serve --write` lets it change"
            )
        with _transaction(self._connection(), "BEGIN IMMEDIATE") as connection:
            yield connection

    def try_to_write(self) -> None:
        """Make the file and its tables where they are absent, and begin a change that is none."""
        connection = self._connection()
        # somebody waits for the answer
        connection.execute(f"PRAGMA busy_timeout={int(1000 * min(BUSY_TIMEOUT_S, 10))}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "process", None) == os.getpid():
            self._local.connection.close()
            del self._local.connection, self._local.process


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    connection.execute(begin)
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def where(*terms: tuple[str, object]) -> tuple[str, list[object]]:
    """Join the SQL terms whose value is not None; return the condition and its values."""
    used = [(term, value) for term, value in terms if value is not None]
    return " AND ".join(term for term, _ in used), [value for _, value in used]


def uri(path: Path, *, write: bool) -> str:
    """Return SQLite's name of a file, to be made where it is absent if it is to be written."""
    name = f"file:{quote(str(path))}"
    if write:
        return f"{name}?mode=rwc"
    # a reader needs the files -wal and -shm, and makes them where it may; an archived file whose
    # folder is closed has none, and nobody changes it
    closed = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return f"{name}?mode=ro" + ("&immutable=1" if closed else "")


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
    # waitress and the tests drop connections in other threads than those that opened them
    connection = sqlite3.connect(
        uri(path, write=write),
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA cache_size=-65536")
        if write:
            _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    _use_wal(connection)
    # FULL: a commit is on disk before the answer, so a receipt never outlives what it stands for
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=67108864")
    _create_tables(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    # the change of mode does not wait for the busy timeout, hence the loop
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _create_tables(connection: sqlite3.Connection) -> None:
    if version_of(connection) == SCHEMA_VERSION:
        return
    with _transaction(connection, "BEGIN IMMEDIATE"):
        found = version_of(connection)  # another process may have been faster
        if found not in (0, SCHEMA_VERSION):
            raise RuntimeError(
                f"the render-ws database has schema {found}, this version knows {SCHEMA_VERSION}"
            )
        if found == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise RuntimeError("the database holds tables of something else than render-ws")
        if found == 0:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables, 0 for a file without any."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
