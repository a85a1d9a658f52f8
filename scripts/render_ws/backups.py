"""Copies of the database while it is in use, and the way back.

What was written last lies in the file ``-wal`` beside the database until it is moved over: the
``.db`` alone, copied by hand, may lack all of it. `backup` copies one state of both into one file,
`restore` puts such a file's content into a database; services and jobs that use it go on.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.lib.files import atomic_path
from scripts.lib.job import UserError
from scripts.render_ws import store
from scripts.render_ws.faults import explain


@contextmanager
def faults_explained(path: Path) -> Iterator[None]:
    """Turn a fault of the database `path` into one line.

    Raises
    ------
    UserError
        With the file, what is wrong with it, and what to do.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        said = explain(error, path)
        raise UserError(said[1] if said else f"database {path}: {error}") from error


def check(path: Path, *, whole: bool = True) -> None:
    """Check that a file is a database of this service, and that it is `whole` (reads all of it).

    Raises
    ------
    UserError
        When it is not; in one line.
    """
    if not path.is_file():
        raise UserError(f"database {path}: there is no such file")
    with faults_explained(path), _opened(path) as db:
        version = store.version_of(db)
        if version != store.SCHEMA_VERSION:
            raise UserError(
                f"database {path}: it is no database of this render-ws"
                f" (schema {version}, expected {store.SCHEMA_VERSION})"
            )
        first = db.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
        if first != "ok":
            raise UserError(f"database {path}: it is damaged ({' '.join(first.split())})")


def backup(database: Path, target: Path) -> None:
    """Copy one state of a database, in use or not, into the one file `target`.

    Raises
    ------
    UserError
        When there is a file already, or the copy is not whole; nothing is left then.
    """
    if target.exists():
        raise UserError(f"{target} is there already: name a new file")
    check(database)
    with faults_explained(target), atomic_path(target) as path:
        with _opened(database) as source, _opened(path, write=True) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # of one file alone
        check(path)


def restore(database: Path, source: Path) -> Path | None:
    """Put the content of a backup into a database; return where the former content is kept.

    A service or job that has the database open goes on with the new content, unless the file was no
    database any more: then it is replaced, and what runs on it has to be started again.

    Raises
    ------
    UserError
        When `source` is no whole database, or a former content is kept already; nothing is changed.
    """
    check(source)
    kept = database.with_name(database.name + ".before-restore")
    if kept.exists():
        raise UserError(f"{kept} is there already: what was kept last; move it away first")
    if not database.exists():
        backup(source, database)
        return None
    try:
        backup(database, kept)
    except UserError:  # it is beyond reading: keep it as it is
        return _replace(database, source, kept)
    with faults_explained(database), _opened(source) as db, _opened(database, write=True) as target:
        db.backup(target, progress=_until(time.monotonic() + store.BUSY_TIMEOUT_S), sleep=0.05)
    return kept


def _replace(database: Path, source: Path, kept: Path) -> Path:
    with faults_explained(database):
        database.replace(kept)
        for ending in ("-wal", "-shm"):  # of the old file: they would be played into the new one
            beside = database.with_name(database.name + ending)
            if beside.exists():
                beside.replace(kept.with_name(kept.name + ending))
    backup(source, database)
    return kept


def _until(deadline: float) -> Callable[[int, int, int], None]:
    def _check(_: int, remaining: int, pages: int) -> None:
        done = pages > 0 and remaining == 0  # of a file that is locked no page is counted
        if not done and time.monotonic() > deadline:
            raise TimeoutError(0, "others hold it locked: end what writes to it")

    return _check


def checkpoint(database: Path) -> bool:
    """Move what lies in ``-wal`` into the database; False when others hindered it."""
    with faults_explained(database), _opened(database, write=True) as db:
        return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


@contextmanager
def _opened(path: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        store.uri(path, write=write),
        uri=True,
        timeout=min(store.BUSY_TIMEOUT_S, 10),
        isolation_level=None,
    )
    try:
        yield connection
    finally:
        connection.close()
