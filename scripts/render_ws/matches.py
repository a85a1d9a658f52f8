"""Point matches in the database.

The points of a pair are kept as compressed binary: all coordinates as doubles (exact), the bytes
of equal significance side by side, deflated; about half the size of the JSON, and ten times
faster to write and read.

A pair's points are sent as rows of coordinates, ``[[x...], [y...]]``, or as points,
``[[x, y], ...]``; the reference keeps both as they are, and so does this service: what comes back
is what was sent. Two rows of two are the same text in both forms: whoever reads takes them as x, y.
"""
# ruff: noqa: N815 - field names of the wire form

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson
from isal import isal_zlib
from msgspec import Meta, Struct

from scripts.lib.arrays import Array
from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest, NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.store import where

Pair = tuple[str, str, str, str]  # p group, p id, q group, q id


class CollectionKey(NamedTuple):
    """What names a match collection."""

    owner: str
    name: str

    def __str__(self) -> str:
        """Return the form used in messages."""
        return f"{self.owner}/{self.name}"


# ---------------------------------------------------------------------------------------------
# points
# ---------------------------------------------------------------------------------------------


def pack(points: Array) -> bytes:
    """Compress an (m, n) array of doubles."""
    planes = np.ascontiguousarray(points, "<f8").view(np.uint8).reshape(-1, 8).T
    return isal_zlib.compress(planes.tobytes(), 1)


def unpack(data: bytes, count: int) -> Array:
    """Return the (m, n) array that `pack` compressed; n = `count` (2 + 2 + 1 rows when it is 0)."""
    if count == 0:
        return np.empty((5, 0))
    planes = np.frombuffer(isal_zlib.decompress(data), np.uint8).reshape(8, -1)
    return np.ascontiguousarray(planes.T).view("<f8").reshape(-1, count)


_AS_POINTS = b"P"  # before the packed points of a pair that was sent as points
_DIMENSIONS = (2, 3)


class _Points(Struct):
    p: list[list[float]] | None = None
    q: list[list[float]] | None = None
    w: list[float] | None = None


def _rows(points: _Points) -> tuple[Array, bool]:
    """Return (2 d + 1, n), rows of p, rows of q and w, and whether p and q were sent as points.

    Raises
    ------
    ValueError
        When p and q are of different forms, or do not fit w.
    """
    w = np.array(points.w or (), float)
    # of no points, rows may be missing
    p, q = (np.array(each or np.empty((2, 0)), float) for each in (points.p, points.q))
    if p.shape != q.shape or p.ndim != 2:
        raise ValueError(f"p is {_size(points.p)}, q {_size(points.q)}")
    if p.shape[1] == len(w) and len(p) in _DIMENSIONS:
        return np.concatenate([p, q, w[None]]), False
    if len(p) == len(w) and p.shape[1] in _DIMENSIONS:
        return np.concatenate([p.T, q.T, w[None]]), True
    raise ValueError(f"p and q are {_size(points.p)}, w {len(w)}")


def _size(rows: list[list[float]] | None) -> str:
    lengths = sorted({len(row) for row in rows or ()})
    return f"{len(rows or ())} rows of {' or '.join(map(str, lengths)) or 0}"


def _packed(points: _Points, *, swapped: bool) -> tuple[int, bytes]:
    """Return the number of points and what is kept of them; p and q exchanged if `swapped`."""
    rows, as_points = _rows(points)
    if swapped:
        dims = len(rows) // 2
        rows = np.concatenate([rows[dims : 2 * dims], rows[:dims], rows[-1:]])
    return rows.shape[1], _AS_POINTS * as_points + pack(rows)


def _points_json(kept: bytes, count: int, *, merged: bool) -> dict[str, Array]:
    """Return p, q and w in the form in which they were sent; if `merged`, as rows."""
    as_points = kept.startswith(_AS_POINTS)
    rows = unpack(kept[len(_AS_POINTS) * as_points :], count)
    dims = len(rows) // 2
    p, q = rows[:dims], rows[dims : 2 * dims]
    if as_points and not merged:
        # orjson writes numpy arrays as they are, when contiguous
        p, q = np.ascontiguousarray(p.T), np.ascontiguousarray(q.T)
    return {"p": p, "q": q, "w": rows[-1]}


# ---------------------------------------------------------------------------------------------
# saving
# ---------------------------------------------------------------------------------------------

Row = tuple[str, str, str, str, int, str | None, bytes | None]
_KEY_FIELDS = ("pGroupId", "pId", "qGroupId", "qId")


def _sort_key(group: str, item: str) -> tuple[bytes, bytes]:
    # Java's order of text: UTF-16 units, big end first
    return group.encode("utf-16-be", "surrogatepass"), item.encode("utf-16-be", "surrogatepass")


def ordered(pair: Pair) -> tuple[Pair, bool]:
    """Return the pair with p before q in text order, and whether they were exchanged."""
    p_group, p_id, q_group, q_id = pair
    if _sort_key(p_group, p_id) > _sort_key(q_group, q_id):
        return (q_group, q_id, p_group, p_id), True
    return pair, False


class _Consensus(Struct):
    index: Annotated[int, Meta(ge=-(2**31), lt=2**31)] | None = None
    originalPId: str | None = None
    originalQId: str | None = None


_Text = str | int | float | None  # numbers are written out


class _Canvases(Struct):
    """CanvasMatches of the wire; what else it has is dropped, its count is made anew."""

    pGroupId: _Text = None
    pId: _Text = None
    qGroupId: _Text = None
    qId: _Text = None
    consensusSetData: _Consensus | None = None
    matches: _Points | None = None


_decoder = msgspec.json.Decoder(list[_Canvases] | None)


def prepare(data: bytes) -> list[Row]:
    """Read a list of CanvasMatches in JSON as rows for `save`, normalised.

    Raises
    ------
    BadRequest
        When it is of another form; the message names the place.
    """
    try:
        found = _decoder.decode(data) if data.strip() else None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is no list of canvas matches: {error}") from error
    if found is None:
        raise BadRequest("the request has no matches")
    return [_row(item) for item in found]


def _row(item: _Canvases) -> Row:
    names = [getattr(item, name) for name in _KEY_FIELDS]
    if None in names:
        raise BadRequest(f"canvas matches must have {', '.join(_KEY_FIELDS)}")
    p_group, p_id, q_group, q_id = map(model.text, names)
    pair, swapped = ordered((p_group, p_id, q_group, q_id))
    consensus = _consensus(item.consensusSetData, swapped=swapped)
    if item.matches is None:
        return *_columns(pair), 0, consensus, None
    try:
        count, kept = _packed(item.matches, swapped=swapped)
    except ValueError as error:
        raise BadRequest(
            f"matches of {p_id} and {q_id}: p, q and w must have equal lengths, p and q as rows"
            f" of x and of y or as points x, y: {error}"
        ) from error
    return *_columns(pair), count, consensus, kept


def _columns(pair: Pair) -> tuple[str, str, str, str]:
    p_group, p_id, q_group, q_id = pair
    return p_group, q_group, p_id, q_id


def _consensus(value: _Consensus | None, *, swapped: bool) -> str | None:
    if value is None:
        return None
    p, q = value.originalPId, value.originalQId
    if swapped:
        p, q = q, p
    out = {"index": value.index, "originalPId": p, "originalQId": q}
    return orjson.dumps({name: item for name, item in out.items() if item is not None}).decode()


def save(db: sqlite3.Connection, key: CollectionKey, rows: Sequence[Row]) -> None:
    """Store pairs, each replacing the one of the same ids; the first pair makes the collection."""
    if not rows:
        return
    db.execute("INSERT OR IGNORE INTO collection(owner, name) VALUES(?, ?)", key)
    number = find(db, key)
    db.executemany(
        "INSERT INTO pair(collection, p_group, q_group, p_id, q_id, count, consensus, points)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT(collection, p_group, q_group, p_id, q_id) DO UPDATE SET"
        " count=excluded.count, consensus=excluded.consensus, points=excluded.points",
        ((number, *row) for row in rows),
    )


# ---------------------------------------------------------------------------------------------
# collections
# ---------------------------------------------------------------------------------------------


def search(db: sqlite3.Connection, key: CollectionKey) -> int | None:
    """Find the row id of a collection, None when it does not exist."""
    row = db.execute("SELECT id FROM collection WHERE owner=? AND name=?", key).fetchone()
    return None if row is None else int(row[0])


def find(db: sqlite3.Connection, key: CollectionKey) -> int:
    """Find the row id of a collection or raise `NotFound`."""
    number = search(db, key)
    if number is None:
        raise NotFound(f"match collection {key} does not exist")
    return number


def owners(db: sqlite3.Connection) -> list[str]:
    """Return all owners of match collections."""
    return [row[0] for row in db.execute("SELECT DISTINCT owner FROM collection ORDER BY owner")]


def listing(db: sqlite3.Connection, owner: str) -> list[Json]:
    """Return the MatchCollectionMetaData of an owner's collections."""
    rows = db.execute(
        "SELECT name, (SELECT count(*) FROM pair WHERE collection=collection.id)"
        " FROM collection WHERE owner=? ORDER BY name",
        (owner,),
    )
    return [
        {"collectionId": {"owner": owner, "name": name}, "pairCount": count} for name, count in rows
    ]


def delete(db: sqlite3.Connection, key: CollectionKey) -> None:
    """Remove a collection; a missing one raises `NotFound`."""
    number = find(db, key)
    db.execute("DELETE FROM pair WHERE collection=?", (number,))
    db.execute("DELETE FROM collection WHERE id=?", (number,))


def rename(db: sqlite3.Connection, key: CollectionKey, target: CollectionKey) -> None:
    """Rename a collection, or move it to another owner."""
    number = find(db, key)
    if search(db, target) is not None:
        raise BadRequest(f"match collection {target} exists already")
    db.execute("UPDATE collection SET owner=?, name=? WHERE id=?", (*target, number))


def groups(
    db: sqlite3.Connection, key: CollectionKey, columns: Sequence[str], *, consensus: bool = False
) -> list[str]:
    """Return the distinct group ids of `columns` (p_group, q_group), sorted as text."""
    number = find(db, key)
    term = " AND consensus IS NOT NULL" if consensus else ""
    found: set[str] = set()
    for column in columns:
        query = f"SELECT DISTINCT {column} FROM pair WHERE collection=?{term}"
        found |= {row[0] for row in db.execute(query, (number,))}
    return sorted(found)


# ---------------------------------------------------------------------------------------------
# queries
# ---------------------------------------------------------------------------------------------


Query = tuple[dict[str, str], ...]  # alternatives of terms, joined by OR: each has an index


def of_p_group(group: str) -> Query:
    """Ask for pairs whose p lies in the group."""
    return ({"p_group=?": group},)


def within(group: str) -> Query:
    """Ask for pairs with both sides in the group."""
    return ({"p_group=?": group, "q_group=?": group},)


def outside(group: str) -> Query:
    """Ask for pairs with exactly one side in the group."""
    return {"p_group=?": group, "q_group<>?": group}, {"q_group=?": group, "p_group<>?": group}


def between(a: str, b: str) -> Query:
    """Ask for pairs between two groups, given in either order."""
    p, q = sorted((a, b), key=lambda text: _sort_key(text, ""))
    return ({"p_group=?": p, "q_group=?": q},)


def of_canvas(group: str, item: str) -> Query:
    """Ask for pairs that have the canvas on either side."""
    return {"p_group=?": group, "p_id=?": item}, {"q_group=?": group, "q_id=?": item}


def of_canvas_and_group(group: str, item: str, other: str) -> Query:
    """Ask for pairs of one canvas with a group."""
    one, two = of_canvas(group, item)
    return one | {"q_group=?": other}, two | {"p_group=?": other}


def of_pair(p_group: str, p_id: str, q_group: str, q_id: str) -> Query:
    """Ask for the one pair of two canvases, given in either order."""
    names = ("p_group=?", "p_id=?", "q_group=?", "q_id=?")
    return (dict(zip(names, ordered((p_group, p_id, q_group, q_id))[0], strict=True)),)


def _condition(number: int, query: Query) -> tuple[str, list[object]]:
    terms = [where(("collection=?", number), *terms.items()) for terms in query]
    return " OR ".join(f"({term})" for term, _ in terms), [v for _, values in terms for v in values]


def remove(db: sqlite3.Connection, key: CollectionKey, query: Query) -> None:
    """Delete pairs; the collection must exist, the pairs need not."""
    condition, values = _condition(find(db, key), query)
    db.execute(f"DELETE FROM pair WHERE {condition}", values)


def select(
    db: sqlite3.Connection, keys: Sequence[CollectionKey], query: Query, *, details: bool = True
) -> list[Json]:
    """Return CanvasMatches sorted by p group, q group, p id, q id, without points if not `details`.

    Equal pairs of several collections are joined by appending their points, as rows then.
    """
    if len(keys) == 1:
        return [_canvas_matches(row) for row in _rows_of(db, keys[0], query, details=details)]
    merged: dict[tuple[str, ...], Json] = {}
    for key in keys:
        for row in _rows_of(db, key, query, details=details):
            item = _canvas_matches(row, merged=True)
            name = tuple(row[:4])
            merged[name] = _joined(merged[name], item) if name in merged else item
    return [merged[name] for name in sorted(merged)]


def _rows_of(
    db: sqlite3.Connection, key: CollectionKey, query: Query, *, details: bool
) -> Iterable[tuple[Any, ...]]:
    condition, values = _condition(find(db, key), query)
    points = "points" if details else "NULL"
    return db.execute(
        f"SELECT p_group, q_group, p_id, q_id, count, consensus, {points} FROM pair"
        f" WHERE {condition} ORDER BY p_group, q_group, p_id, q_id",
        values,
    )


def _canvas_matches(row: tuple[Any, ...], *, merged: bool = False) -> Json:
    p_group, q_group, p_id, q_id, count, consensus, points = row
    out: Json = {"pGroupId": p_group, "pId": p_id, "qGroupId": q_group, "qId": q_id}
    if consensus is not None:
        out["consensusSetData"] = orjson.loads(consensus)
    if points is not None:
        out["matches"] = _points_json(points, count, merged=merged)
    return out | {"matchCount": count}


def _joined(a: Json, b: Json) -> Json:
    out = a | {"matchCount": a["matchCount"] + b["matchCount"]}
    if "matches" in a and "matches" in b:
        points = {n: np.hstack([a["matches"][n], b["matches"][n]]) for n in ("p", "q", "w")}
        out["matches"] = points
    elif "matches" in b:
        out["matches"] = b["matches"]
    return out
