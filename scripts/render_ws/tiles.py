"""Tiles and shared transforms in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scripts.render_ws import model, patterns, resolve, stacks
from scripts.render_ws.errors import BadRequest, IllegalState, NotFound, ServiceError
from scripts.render_ws.model import Json
from scripts.render_ws.stacks import Stack, StackKey
from scripts.render_ws.store import where

MAX_RESOLVED = 50_001  # tiles in one resolvedTiles answer; the reference's limit
_ID_BATCH = 500  # ids of one IN (...) list


@dataclass(frozen=True)
class Region:
    """Which tiles of a stack; None is no limit. All limits are inclusive, boxes are closed."""

    z_min: float | None = None
    z_max: float | None = None
    group: str | None = None
    min_x: float | None = None
    max_x: float | None = None
    min_y: float | None = None
    max_y: float | None = None

    @staticmethod
    def layer(z: float) -> Region:
        """Ask for all tiles of one layer."""
        return Region(z_min=z, z_max=z)

    @staticmethod
    def box(z: float, x: float, y: float, width: float, height: float) -> Region:
        """Ask for the tiles of a layer that a box touches."""
        return Region(z, z, None, x, x + width, y, y + height)

    def condition(self, stack: Stack) -> tuple[str, list[object]]:
        """Return the SQL condition and its values."""
        one_layer = self.z_min is not None and self.z_min == self.z_max
        return where(
            ("stack=?", stack.id),
            # one layer by equality, so that rows come from the index in the order of tile ids
            ("z=?", self.z_min if one_layer else None),
            ("z>=?", None if one_layer else self.z_min),
            ("z<=?", None if one_layer else self.z_max),
            ("grp=?", self.group),
            ("max_x>=?", self.min_x),
            ("min_x<=?", self.max_x),
            ("max_y>=?", self.min_y),
            ("min_y<=?", self.max_y),
        )


# ---------------------------------------------------------------------------------------------
# saving
# ---------------------------------------------------------------------------------------------


Row = tuple[object, ...]  # values of _TILE_COLUMNS or _TRANSFORM_COLUMNS
_TILE_COLUMNS = "id, z, section, grp, min_x, min_y, max_x, max_y, refs, channels, body"
_TRANSFORM_COLUMNS = "id, body"


def prepare(
    collection: Any,  # noqa: ANN401 - any JSON value
    *,
    derive: bool,
    z: float | None,
) -> tuple[list[Row], list[Row]]:
    """Read a ResolvedTileSpecCollection as rows of tiles and of shared transforms.

    Tiles become rows one by one: tens of thousands of small dicts alive at the same time would
    keep the garbage collector busy (measured: half of the time of a save).

    Raises
    ------
    BadRequest
        Without a tile, with a missing box, a z other than `z`, or an unresolved reference.
    """
    source = model.mapping(collection)
    shared = read_shared(model.mapping(source.get("transformIdToSpecMap") or {}))
    given = model.mapping(source.get("tileIdToSpecMap") or {}).values()
    if not given:
        raise BadRequest("the request has no tile specs")
    rows = [_row(_checked(model.tile_spec(tile), shared, derive, z)) for tile in given]
    return rows, shared_rows(shared)


def read_shared(specs: Mapping[str, Any]) -> dict[str, Json]:
    """Read the shared transforms of a request.

    Raises
    ------
    BadRequest
        When one has no id, or refers to itself or to a transform that is not there.
    """
    read = [_shared(key, spec) for key, spec in specs.items()]
    shared = {spec["id"]: spec for spec in read}  # the keys of the request are of no use
    for spec in shared.values():
        resolve.check_references(f"transform {spec['id']}", spec, shared)
    for spec in shared.values():
        if spec["type"] != "leaf":
            _check_resolvable(spec["id"], shared)
    return shared


def _check_resolvable(transform_id: str, shared: Mapping[str, Json]) -> None:
    """Refuse what no reader could resolve: circles, long chains, too many specs."""
    try:
        resolve.gather({transform_id}, lambda ids: {i: shared[i] for i in ids})
        resolve.flatten({"type": "ref", "refId": transform_id}, shared)
    except ServiceError as error:
        raise BadRequest(str(error)) from error


def shared_rows(shared: Mapping[str, Json]) -> list[Row]:
    """Return the rows of shared transforms."""
    return [(spec["id"], orjson.dumps(spec)) for spec in shared.values()]


def _shared(key: str, value: Any) -> Json:  # noqa: ANN401 - any JSON value
    spec = model.transform(value)
    if "id" not in spec:
        raise BadRequest(f"shared transform {key!r} has no id")
    return spec


def _checked(tile: Json, shared: Mapping[str, Json], derive: bool, z: float | None) -> Json:
    resolve.check_references(f"tile {tile['tileId']}", tile["transforms"], shared)
    if derive:
        tile = resolve.with_derived_box(tile, resolve.flatten(tile["transforms"], shared))
    if not tile.keys() >= _BOX:
        raise BadRequest(f"tile {tile['tileId']} has no complete bounding box")
    if z is not None and tile.get("z") != z:
        raise BadRequest(f"tile {tile['tileId']} has z {tile.get('z')}, expected {z}")
    return tile


_BOX = frozenset(model.BOX)


def _row(tile: Json) -> Row:
    refs = set(resolve.references(tile["transforms"]))
    channels = [c["name"] for c in tile.get("channels", ()) if "name" in c]
    return (
        tile["tileId"],
        tile.get("z"),
        tile.get("layout", {}).get("sectionId"),
        tile.get("groupId"),
        tile["minX"],
        tile["minY"],
        tile["maxX"],
        tile["maxY"],
        orjson.dumps(sorted(refs)).decode() if refs else None,
        orjson.dumps(channels).decode() if channels else None,
        orjson.dumps(tile),
    )


def save(
    db: sqlite3.Connection, stack: Stack, tiles: Iterable[Row], shared: Iterable[Row] = ()
) -> None:
    """Store rows of `prepare`, each replacing the one of the same id."""
    _upsert(db, "transform", _TRANSFORM_COLUMNS, stack, shared)
    _upsert(db, "tile", _TILE_COLUMNS, stack, tiles)


def _upsert(
    db: sqlite3.Connection, table: str, columns: str, stack: Stack, rows: Iterable[Row]
) -> None:
    names = columns.split(", ")
    changes = ", ".join(f"{name}=excluded.{name}" for name in names[1:])
    db.executemany(
        f"INSERT INTO {table}(stack, {columns}) VALUES({stack.id}{', ?' * len(names)})"
        f" ON CONFLICT(stack, id) DO UPDATE SET {changes}",
        rows,
    )


def set_z(
    db: sqlite3.Connection, key: StackKey, z: float, tile_ids: Iterable[str] | None, section: str
) -> None:
    """Move tiles (by id, or all of `section` when there are no ids) to layer z; boxes stay."""
    stack = stacks.find(db, key)
    stack.require_state(IllegalState)
    if tile_ids is None:
        query = "SELECT body FROM tile WHERE stack=? AND section=?"
        bodies = [row[0] for row in db.execute(query, (stack.id, section))]
    else:
        bodies = _bodies(db, stack, sorted(set(tile_ids)))
    save(db, stack, [_row(model.tile_spec(orjson.loads(body) | {"z": z})) for body in bodies])


# ---------------------------------------------------------------------------------------------
# reading
# ---------------------------------------------------------------------------------------------


def _bodies(db: sqlite3.Connection, stack: Stack, ids: Sequence[str]) -> list[bytes]:
    found: list[bytes] = []
    for start in range(0, len(ids), _ID_BATCH):
        part = ids[start : start + _ID_BATCH]
        marks = ",".join("?" * len(part))
        query = f"SELECT body FROM tile WHERE stack=? AND id IN ({marks}) ORDER BY id"
        found += [row[0] for row in db.execute(query, (stack.id, *part))]
    return found


def body(db: sqlite3.Connection, key: StackKey, tile_id: str) -> bytes:
    """Return the JSON of one tile, references intact."""
    row = db.execute(
        "SELECT body FROM tile WHERE id=? AND stack="
        "(SELECT id FROM stack WHERE owner=? AND project=? AND name=?)",
        (tile_id, *key),
    ).fetchone()
    if row is None:
        raise NotFound(f"tile spec with id '{tile_id}' does not exist in stack {key}")
    return bytes(row[0])


def ids(db: sqlite3.Connection, key: StackKey, region: Region, pattern: str | None) -> list[str]:
    """Return tile ids sorted as text; none for a stack that does not exist."""
    stack = stacks.search(db, key)
    if stack is None:
        return []
    condition, values = region.condition(stack)
    rows = db.execute(f"SELECT id FROM tile WHERE {condition} ORDER BY id", values)
    found = [row[0] for row in rows]
    return patterns.matching(pattern, found) if pattern else found


def z_values(db: sqlite3.Connection, stack: Stack, region: Region) -> list[float]:
    """Return the distinct z of tiles, ascending."""
    condition, values = region.condition(stack)
    query = f"SELECT DISTINCT z FROM tile WHERE {condition} AND z IS NOT NULL ORDER BY z"
    return [row[0] for row in db.execute(query, values)]


def z_of_section(db: sqlite3.Connection, stack: Stack, section: str) -> float:
    """Return the z of any tile of a section."""
    query = "SELECT z FROM tile WHERE stack=? AND section=? AND z IS NOT NULL ORDER BY z LIMIT 1"
    row = db.execute(query, (stack.id, section)).fetchone()
    if row is None:
        raise NotFound(f"section '{section}' does not exist in stack {stack.key}")
    return float(row[0])


def layer_bounds(db: sqlite3.Connection, stack: Stack, z: float) -> Json:
    """Return the Bounds of a layer."""
    row = db.execute(
        "SELECT min(min_x), min(min_y), z, max(max_x), max(max_y), z FROM tile"
        " WHERE stack=? AND z=?",
        (stack.id, z),
    ).fetchone()
    if row[0] is None:
        raise BadRequest(f"stack {stack.key} has no tiles with z {z}")
    return stacks.bounds(*row)


def tile_bounds(term: str, db: sqlite3.Connection, stack: Stack, value: object) -> list[Json]:
    """Return the TileBounds of the tiles of a layer or section, sorted by tile id.

    `term` is the SQL condition that says which.
    """
    names = ("minX", "minY", "maxX", "maxY", "tileId", "sectionId", "z")
    rows = db.execute(
        "SELECT min_x, min_y, max_x, max_y, id, section, z FROM tile"
        f" WHERE stack=? AND {term} ORDER BY id",
        (stack.id, value),
    )
    return [{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in rows]


def count(db: sqlite3.Connection, stack: Stack, region: Region) -> int:
    """Return the number of tiles."""
    condition, values = region.condition(stack)
    query = f"SELECT count(*) FROM tile WHERE {condition}"
    return int(db.execute(query, values).fetchone()[0])


def shared_transforms(db: sqlite3.Connection, stack: Stack, wanted: set[str]) -> dict[str, Json]:
    """Return shared transforms and all they refer to, by id."""

    def look_up(ids: Sequence[str]) -> dict[str, Json]:
        query = "SELECT body FROM transform WHERE stack=? AND id=?"
        rows = (db.execute(query, (stack.id, i)).fetchone() for i in ids)
        return {i: orjson.loads(row[0]) for i, row in zip(ids, rows, strict=True) if row}

    return resolve.gather(wanted, look_up)


def transform_body(db: sqlite3.Connection, stack: Stack, transform_id: str) -> bytes:
    """Return the JSON of one shared transform."""
    query = "SELECT body FROM transform WHERE stack=? AND id=?"
    row = db.execute(query, (stack.id, transform_id)).fetchone()
    if row is None:
        raise NotFound(f"transform '{transform_id}' does not exist in stack {stack.key}")
    return bytes(row[0])


def resolved(db: sqlite3.Connection, key: StackKey, region: Region) -> bytes:
    """Return the JSON of a ResolvedTileSpecCollection: stored tiles, the transforms they refer to.

    The stored texts are joined, not read and written again: a layer takes well under 1 ms.
    """
    stack = stacks.find(db, key)
    condition, values = region.condition(stack)
    rows = db.execute(
        f"SELECT id, refs, body FROM tile WHERE {condition} ORDER BY id LIMIT {MAX_RESOLVED + 1}",
        values,
    ).fetchall()
    if not rows:
        raise NotFound(f"stack {key} has no tiles for {region}")
    if len(rows) > MAX_RESOLVED:
        raise BadRequest(f"{region} of stack {key} has more than {MAX_RESOLVED} tiles")
    wanted = {i for _, refs, _ in rows if refs is not None for i in orjson.loads(refs)}
    shared = shared_transforms(db, stack, wanted)
    tiles = b",".join(orjson.dumps(tile_id) + b":" + body for tile_id, _, body in rows)
    return (
        b'{"transformIdToSpecMap":' + orjson.dumps(shared) + b',"tileIdToSpecMap":{' + tiles + b"}}"
    )


def flattened(db: sqlite3.Connection, stack: Stack, region: Region) -> list[Json]:
    """Return tile specs with flattened transforms, sorted by tile id."""
    condition, values = region.condition(stack)
    rows = db.execute(f"SELECT body FROM tile WHERE {condition} ORDER BY id", values)
    return flatten_all(db, stack, [row[0] for row in rows])


def flattened_by_id(db: sqlite3.Connection, key: StackKey, tile_ids: Iterable[str]) -> list[Json]:
    """Return the flattened tile specs of these ids, sorted; unknown ids are left out."""
    stack = stacks.search(db, key)
    if stack is None:
        return []
    return flatten_all(db, stack, _bodies(db, stack, sorted(set(tile_ids))))


def flatten_all(db: sqlite3.Connection, stack: Stack, bodies: Iterable[bytes]) -> list[Json]:
    """Return flattened tile specs of stored ones."""
    tiles = [orjson.loads(body) for body in bodies]
    wanted = {i for tile in tiles for i in resolve.references(tile["transforms"])}
    shared = shared_transforms(db, stack, wanted)
    return [resolve.flat_tile(tile, shared) for tile in tiles]


# ---------------------------------------------------------------------------------------------
# deleting
# ---------------------------------------------------------------------------------------------


def delete(db: sqlite3.Connection, key: StackKey, term: str, value: object) -> None:
    """Remove the tiles of a LOADING stack for which the SQL `term` holds."""
    stack = stacks.find(db, key)
    stack.require_state(BadRequest)
    db.execute(f"DELETE FROM tile WHERE stack=? AND {term}", (stack.id, value))
