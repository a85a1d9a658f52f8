"""Stacks in the database: versions, states, statistics, section data, clones."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest, IllegalState, NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.store import where


class StackKey(NamedTuple):
    """What names a stack."""

    owner: str
    project: str
    stack: str

    def __str__(self) -> str:
        """Return the form used in messages."""
        return f"{self.owner}/{self.project}/{self.stack}"


@dataclass(frozen=True)
class Stack:
    """A row of the stack table."""

    id: int
    key: StackKey
    state: str
    modified_ms: int
    version_number: int
    version: Json
    stats: Json | None
    has_sections: bool

    def metadata(self) -> Json:
        """Return the StackMetaData; ``stackId`` comes first, scripts depend on it."""
        out = {
            "stackId": self.key._asdict(),
            "state": self.state,
            "lastModifiedTimestamp": model.from_millis(self.modified_ms),
            "currentVersionNumber": self.version_number,
            "currentVersion": self.version,
        }
        return out if self.stats is None else out | {"stats": self.stats}

    def require_state(self, error: type[IllegalState] | type[BadRequest]) -> None:
        """Raise `error` unless tiles may be changed now."""
        if self.state != "LOADING":
            raise error(
                f"Data can not be changed for stack {self.key} "
                f"because its state is {self.state} and not LOADING."
            )

    def require_writable(self) -> None:
        """Raise `IllegalState` when the stack is READ_ONLY."""
        if self.state == "READ_ONLY":
            raise IllegalState(f"stack {self.key} is READ_ONLY and cannot be modified")


_COLUMNS = (
    "id, owner, project, name, state, modified_ms, version_number, version, stats, has_sections"
)


def _stack(row: Sequence[object]) -> Stack:
    number, owner, project, name, state, modified, version_number, version, stats, sections = row
    return Stack(
        int(number),  # type: ignore[call-overload]
        StackKey(str(owner), str(project), str(name)),
        str(state),
        int(modified),  # type: ignore[call-overload]
        int(version_number),  # type: ignore[call-overload]
        orjson.loads(str(version)),
        None if stats is None else orjson.loads(str(stats)),
        bool(sections),
    )


def _json(value: Json) -> str:
    return orjson.dumps(value).decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---------------------------------------------------------------------------------------------
# look-up
# ---------------------------------------------------------------------------------------------


def search(db: sqlite3.Connection, key: StackKey) -> Stack | None:
    """Find a stack, None when it is not there."""
    query = f"SELECT {_COLUMNS} FROM stack WHERE owner=? AND project=? AND name=?"
    row = db.execute(query, key).fetchone()
    return None if row is None else _stack(row)


def find(db: sqlite3.Connection, key: StackKey) -> Stack:
    """Find a stack or raise `NotFound`."""
    stack = search(db, key)
    if stack is None:
        raise NotFound(f"stack {key} does not exist")
    return stack


def owners(db: sqlite3.Connection) -> list[str]:
    """Return all owners of stacks."""
    return [row[0] for row in db.execute("SELECT DISTINCT owner FROM stack ORDER BY owner")]


def projects(db: sqlite3.Connection, owner: str) -> list[str]:
    """Return the projects of an owner."""
    query = "SELECT DISTINCT project FROM stack WHERE owner=? ORDER BY project"
    return [row[0] for row in db.execute(query, (owner,))]


def listing(db: sqlite3.Connection, owner: str, project: str | None = None) -> list[Stack]:
    """Return the stacks of an owner: project, cycle number, cycle step ascending, newest first."""
    condition, values = where(("owner=?", owner), ("project=?", project))
    query = f"SELECT {_COLUMNS} FROM stack WHERE {condition} ORDER BY name"
    found = [_stack(row) for row in db.execute(query, values)]
    return sorted(found, key=_listing_order)


def _listing_order(stack: Stack) -> tuple[str, int, int, int]:
    # an absent number sorts before all others, as in the reference's data base
    cycle = stack.version.get("cycleNumber", -(2**31))
    step = stack.version.get("cycleStepNumber", -(2**31))
    return stack.key.project, cycle, step, -stack.modified_ms


# ---------------------------------------------------------------------------------------------
# life of a stack
# ---------------------------------------------------------------------------------------------


def save_version(db: sqlite3.Connection, key: StackKey, version: Json) -> None:
    """Make a stack, or a new LOADING version of it; tiles stay."""
    known = search(db, key)
    if known is not None:
        known.require_writable()
    db.execute(
        "INSERT INTO stack(owner, project, name, state, modified_ms, version_number, version)"
        " VALUES(?, ?, ?, 'LOADING', ?, 0, ?)"
        " ON CONFLICT(owner, project, name) DO UPDATE SET state='LOADING', stats=NULL,"
        " modified_ms=excluded.modified_ms, version_number=version_number+1,"
        " version=excluded.version",
        (*key, _now_ms(), _json(version)),
    )


def update_version(db: sqlite3.Connection, stack: Stack, version: Json) -> None:
    """Change the current version in place; neither number nor timestamp change."""
    stack.require_writable()
    db.execute("UPDATE stack SET version=? WHERE id=?", (_json(version), stack.id))


def delete(db: sqlite3.Connection, key: StackKey) -> None:
    """Remove a stack with all it has; a missing one is no error."""
    stack = search(db, key)
    if stack is None:
        return
    stack.require_writable()
    _drop_data(db, stack)
    db.execute("DELETE FROM stack WHERE id=?", (stack.id,))


def _drop_data(db: sqlite3.Connection, stack: Stack) -> None:
    for table in ("tile", "transform", "section"):
        db.execute(f"DELETE FROM {table} WHERE stack=?", (stack.id,))
    db.execute("UPDATE stack SET has_sections=0 WHERE id=?", (stack.id,))


def rename(db: sqlite3.Connection, key: StackKey, target: StackKey) -> None:
    """Rename a stack, or move it to another project or owner."""
    stack = find(db, key)
    if stack.state in ("READ_ONLY", "OFFLINE"):
        raise BadRequest(f"stack {key} is {stack.state} and cannot be renamed")
    if search(db, target) is not None:
        raise BadRequest(f"stack {target} exists already")
    db.execute(
        "UPDATE stack SET owner=?, project=?, name=?, modified_ms=? WHERE id=?",
        (*target, _now_ms(), stack.id),
    )


def clone(
    db: sqlite3.Connection,
    key: StackKey,
    target: StackKey,
    version: Json,
    *,
    z_values: Sequence[float],
    skip_transforms: bool,
) -> None:
    """Copy tiles (those of `z_values`, or all) and shared transforms into `target`.

    Raises
    ------
    IllegalState
        When the target is not LOADING, or holds one of the tiles or transforms already.
    """
    source, known = find(db, key), search(db, target)
    if known is not None:
        known.require_state(IllegalState)
    made = _fresh(db, target, version)
    try:
        if not skip_transforms:
            _copy(db, "transform", "id, body", source, made, ())
        columns = "id, z, section, grp, min_x, min_y, max_x, max_y, refs, channels, body"
        _copy(db, "tile", columns, source, made, z_values)
    except sqlite3.IntegrityError as error:
        raise IllegalState(f"stack {target} holds a tile or transform of {key} already") from error


def _fresh(db: sqlite3.Connection, key: StackKey, version: Json) -> int:
    db.execute(
        "INSERT INTO stack(owner, project, name, state, modified_ms, version_number, version)"
        " VALUES(?, ?, ?, 'LOADING', ?, 0, ?)"
        " ON CONFLICT(owner, project, name) DO UPDATE SET state='LOADING', stats=NULL,"
        " modified_ms=excluded.modified_ms, version_number=0, version=excluded.version",
        (*key, _now_ms(), _json(version)),
    )
    return find(db, key).id


def _copy(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    source: Stack,
    target: int,
    z_values: Sequence[float],
) -> None:
    query = f"INSERT INTO {table}(stack, {columns}) SELECT ?, {columns} FROM {table} WHERE stack=?"
    if not z_values:
        db.execute(query, (target, source.id))
    for z in sorted(set(z_values)):
        db.execute(f"{query} AND z=?", (target, source.id, z))


# ---------------------------------------------------------------------------------------------
# states
# ---------------------------------------------------------------------------------------------

_ALLOWED = {
    "LOADING": {"LOADING", "COMPLETE"},
    "COMPLETE": {"LOADING", "COMPLETE", "READ_ONLY", "OFFLINE"},
    "READ_ONLY": {"COMPLETE", "READ_ONLY", "OFFLINE"},
    "OFFLINE": {"COMPLETE", "OFFLINE"},
}


def set_state(db: sqlite3.Connection, key: StackKey, state: str) -> bool:
    """Change the state as `_ALLOWED` says; False when COMPLETE fails for want of tiles.

    False is no exception, because the section data written before that check must stay.
    """
    stack = find(db, key)
    if state not in _ALLOWED[stack.state]:
        raise BadRequest(f"stack {key} cannot go from {stack.state} to {state}")
    if state == "COMPLETE" and stack.state != "READ_ONLY":
        return _complete(db, stack)
    if state == "OFFLINE":
        _drop_data(db, stack)
    if (stack.state, state) == ("COMPLETE", "LOADING"):
        db.execute(
            "UPDATE stack SET state='LOADING', stats=NULL, modified_ms=?,"
            " version_number=version_number+1 WHERE id=?",
            (_now_ms(), stack.id),
        )
    else:
        db.execute("UPDATE stack SET state=? WHERE id=?", (state, stack.id))
    return True


def _complete(db: sqlite3.Connection, stack: Stack) -> bool:
    _write_sections(db, stack)
    stats = _statistics(db, stack)
    if stats is None:
        return False
    modified = stack.modified_ms if stack.state == "COMPLETE" else _now_ms()
    db.execute(
        "UPDATE stack SET state='COMPLETE', stats=?, modified_ms=? WHERE id=?",
        (_json(stats), modified, stack.id),
    )
    return True


def _statistics(db: sqlite3.Connection, stack: Stack) -> Json | None:
    row = db.execute(
        "SELECT count(*), min(min_x), min(min_y), min(z), max(max_x), max(max_y), max(z),"
        " count(DISTINCT z), count(DISTINCT CASE WHEN z<>CAST(z AS INTEGER) THEN z END),"
        " min(CAST(max_x-min_x AS INTEGER)), max(CAST(max_x-min_x AS INTEGER)),"
        " min(CAST(max_y-min_y AS INTEGER)), max(CAST(max_y-min_y AS INTEGER))"
        " FROM tile WHERE stack=?",
        (stack.id,),
    ).fetchone()
    tiles, *box, layers, fractions, min_width, max_width, min_height, max_height = row
    if tiles == 0:
        return None
    query = "SELECT count(*) FROM transform WHERE stack=?"
    return {
        "stackBounds": bounds(*box),
        "sectionCount": layers,
        "nonIntegralSectionCount": fractions,
        "tileCount": tiles,
        "transformCount": db.execute(query, (stack.id,)).fetchone()[0],
        "minTileWidth": min_width,
        "maxTileWidth": max_width,
        "minTileHeight": min_height,
        "maxTileHeight": max_height,
        "channelNames": _channel_names(db, stack),
    }


def _channel_names(db: sqlite3.Connection, stack: Stack) -> list[str]:
    query = "SELECT DISTINCT channels FROM tile WHERE stack=? AND channels IS NOT NULL"
    return sorted({name for row in db.execute(query, (stack.id,)) for name in orjson.loads(row[0])})


def bounds(
    min_x: float, min_y: float, min_z: float, max_x: float, max_y: float, max_z: float
) -> Json:
    """Return a Bounds record."""
    return {
        "minX": min_x,
        "minY": min_y,
        "minZ": min_z,
        "maxX": max_x,
        "maxY": max_y,
        "maxZ": max_z,
    }


# ---------------------------------------------------------------------------------------------
# section data
# ---------------------------------------------------------------------------------------------


def _write_sections(db: sqlite3.Connection, stack: Stack) -> None:
    db.execute("DELETE FROM section WHERE stack=?", (stack.id,))
    db.executemany(
        "INSERT INTO section(stack, section, z, body) VALUES(?, ?, ?, ?)",
        [(stack.id, s["sectionId"], s["z"], _json(s)) for s in live_sections(db, stack)],
    )
    db.execute("UPDATE stack SET has_sections=1 WHERE id=?", (stack.id,))


def live_sections(db: sqlite3.Connection, stack: Stack, z: float | None = None) -> list[Json]:
    """Return SectionData of all layers, or of one, from the tiles; sorted by section as text."""
    condition, values = where(("stack=?", stack.id), ("z=?", z))
    rows = db.execute(
        "SELECT section, z, count(*), min(min_x), max(max_x), min(min_y), max(max_y) FROM tile"
        f" WHERE {condition} AND section IS NOT NULL GROUP BY section, z ORDER BY section, z",
        values,
    )
    names = ("sectionId", "z", "tileCount", "minX", "maxX", "minY", "maxY")
    return [dict(zip(names, row, strict=True)) for row in rows]


def saved_sections(
    db: sqlite3.Connection, stack: Stack, z_min: float | None, z_max: float | None
) -> list[Json]:
    """Return the section data as they were when the stack became COMPLETE."""
    if not stack.has_sections:
        raise BadRequest(
            f"section data does not exist for stack {stack.key} because it was never COMPLETE"
        )
    condition, values = where(("stack=?", stack.id), ("z>=?", z_min), ("z<=?", z_max))
    query = f"SELECT body FROM section WHERE {condition} ORDER BY section, z"
    return [orjson.loads(row[0]) for row in db.execute(query, values)]
