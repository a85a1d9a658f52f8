"""Point matches in the database.

The points of a pair are kept as compressed binary: all coordinates as doubles (exact), the bytes
of equal significance side by side, deflated; about half the size of the JSON, and ten times
faster to write and read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from isal import isal_zlib

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


def _points(value: Any) -> Array:  # noqa: ANN401 - any JSON value
    """Read ``{p: [[x…], [y…]], q: …, w: […]}`` as (2 d + 1, n): rows of p, rows of q, w."""
    source = model.mapping(value)
    try:
        w = np.asarray(source.get("w") or [], float)
        p, q = (_rows(source.get(name), len(w)) for name in "pq")
        return np.concatenate([p, q, w[None]])
    except (TypeError, ValueError) as error:
        raise BadRequest(f"matches need lists p, q, w of equal lengths: {error}") from error


def _rows(value: Any, count: int) -> Array:  # noqa: ANN401 - any JSON value
    rows = np.asarray(value or np.empty((2, 0)), float)
    if rows.ndim != 2 or rows.shape[1] != count:
        raise ValueError(f"found {rows.shape} coordinates and {count} weights")
    return rows


def _points_json(points: Array) -> dict[str, Array]:
    dims = len(points) // 2
    # orjson writes numpy arrays as they are, when contiguous
    return {"p": points[:dims], "q": points[dims : 2 * dims], "w": points[-1]}


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


def prepare(value: Any) -> list[Row]:  # noqa: ANN401 - any JSON value
    """Read a list of CanvasMatches as rows for `save`, normalised."""
    if value is None:
        raise BadRequest("the request has no matches")
    return [_row(model.mapping(item)) for item in model.sequence(value)]


def _row(item: Json) -> Row:
    missing = [name for name in _KEY_FIELDS if item.get(name) is None]
    if missing:
        raise BadRequest(f"canvas matches must have {', '.join(missing)}")
    p_group, p_id, q_group, q_id = (model.text(item[name]) for name in _KEY_FIELDS)
    pair, swapped = ordered((p_group, p_id, q_group, q_id))
    consensus = _consensus(item.get("consensusSetData"), swapped=swapped)
    matches = item.get("matches")
    if matches is None:
        return *_columns(pair), 0, consensus, None
    points = _points(matches)
    if swapped:
        dims = len(points) // 2
        points = np.concatenate([points[dims : 2 * dims], points[:dims], points[-1:]])
    return *_columns(pair), points.shape[1], consensus, pack(points)


def _columns(pair: Pair) -> tuple[str, str, str, str]:
    p_group, p_id, q_group, q_id = pair
    return p_group, q_group, p_id, q_id


def _consensus(value: Any, *, swapped: bool) -> str | None:  # noqa: ANN401 - any JSON value
    if value is None:
        return None
    source = model.mapping(value)
    names = ("originalPId", "originalQId")
    texts = [source.get(name) for name in (reversed(names) if swapped else names)]
    out = {"index": source.get("index")} | dict(zip(names, texts, strict=True))
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

    Equal pairs of several collections are joined by appending their points.
    """
    if len(keys) == 1:
        return [_canvas_matches(row) for row in _rows_of(db, keys[0], query, details=details)]
    merged: dict[tuple[str, ...], Json] = {}
    for key in keys:
        for row in _rows_of(db, key, query, details=details):
            item = _canvas_matches(row)
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


def _canvas_matches(row: tuple[Any, ...]) -> Json:
    p_group, q_group, p_id, q_id, count, consensus, points = row
    out: Json = {"pGroupId": p_group, "pId": p_id, "qGroupId": q_group, "qId": q_id}
    if consensus is not None:
        out["consensusSetData"] = orjson.loads(consensus)
    if points is not None:
        out["matches"] = _points_json(unpack(points, count))
    return out | {"matchCount": count}


def _joined(a: Json, b: Json) -> Json:
    out = a | {"matchCount": a["matchCount"] + b["matchCount"]}
    if "matches" in a and "matches" in b:
        points = {n: np.hstack([a["matches"][n], b["matches"][n]]) for n in ("p", "q", "w")}
        out["matches"] = points
    elif "matches" in b:
        out["matches"] = b["matches"]
    return out
