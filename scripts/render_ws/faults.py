"""Faults of the database file in one line: which file, what is wrong with it, what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SAID = {
    sqlite3.SQLITE_FULL: (507, "its disk is full: free some space there, then ask again"),
    **dict.fromkeys(
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
        (500, "it must not be written: check who owns the file and its folder, and the mount"),
    ),
    sqlite3.SQLITE_CANTOPEN: (
        500,
        "it cannot be opened: check that its folder is there and who may write to it",
    ),
    **dict.fromkeys(_BUSY, (503, "another process holds it locked: ask again, or end that one")),
    sqlite3.SQLITE_NOTADB: (500, "it is no SQLite database: name another file, or restore it"),
    sqlite3.SQLITE_CORRUPT: (500, "it is damaged: restore it from a backup"),
    sqlite3.SQLITE_IOERR: (500, "its disk fails or is out of quota: see the system's log"),
}


def explain(error: BaseException, path: Path) -> tuple[int, str] | None:
    """Return status and sentence of a fault of the file; None when it is another fault."""
    if isinstance(error, OSError):  # its folder could not be made
        return 500, f"database {path}: {error.strerror or error}"
    if not isinstance(error, sqlite3.Error):
        return None
    # the low byte is the kind; errors that Python's module raises itself have no code
    said = _SAID.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
    return None if said is None else (said[0], f"database {path}: {said[1]} ({error})")
