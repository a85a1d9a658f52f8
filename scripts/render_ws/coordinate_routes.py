"""Routes of the coordinates between tiles and the world.

The way back is computed by the exact inverse of each transform, not by a mesh of affines: the
answers agree with the reference's to its own error (some hundredths of a pixel), and points in the
last pixel of a tile are answered as well.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
from flask import Blueprint, request

from scripts.render_ws import model, resolve, stacks, tiles
from scripts.render_ws.errors import BadRequest, ServiceError
from scripts.render_ws.model import Json
from scripts.render_ws.stacks import Stack, StackKey
from scripts.render_ws.tiles import Region
from scripts.render_ws.web import (
    STACK,
    reading,
    required_body,
    stack_key,
    take_stack,
)

coordinate = Blueprint("coordinate", __name__, url_prefix=STACK)
coordinate.url_value_preprocessor(take_stack)


@coordinate.get("tile/<tile_id>/local-to-world-coordinates/<numbers(2):point>")
@reading
def local_to_world(db: sqlite3.Connection, tile_id: str, point: list[float]) -> object:
    """Map a point of a tile to the world."""
    return _world(db, stacks.find(db, stack_key()), tile_id, point)


@coordinate.put("local-to-world-coordinates")
@coordinate.put("z/<number:z>/local-to-world-coordinates")
@reading
def local_to_world_list(db: sqlite3.Connection, z: float | None = None) -> object:
    """Map points of tiles to the world; a failure is reported in the item."""
    items = _items()
    found = stacks.find(db, stack_key())
    return [_world_or_error(db, found, item) for item in items]


@coordinate.get("z/<number:z>/world-to-local-coordinates/<numbers(2):point>")
@reading
def world_to_local(db: sqlite3.Connection, z: float, point: list[float]) -> object:
    """Map a point of a layer to all tiles that show it."""
    return _local(db, stacks.find(db, stack_key()), z, point)


@coordinate.put("world-to-local-coordinates", defaults={"z": None})
@coordinate.put("z/<number:z>/world-to-local-coordinates")
@reading
def world_to_local_list(db: sqlite3.Connection, z: float | None) -> object:
    """Map points of the world to all tiles that show them; a failure is reported in the item."""
    items = _items()
    found = stacks.find(db, stack_key())
    return [_local_or_error(db, found, z, item) for item in items]


@coordinate.put("tileIdsForCoordinates", defaults={"z": None})
@coordinate.put("z/<number:z>/tileIdsForCoordinates")
@reading
def tile_ids_for_coordinates(db: sqlite3.Connection, z: float | None) -> object:
    """Tell for points of the world which tiles' boxes hold them."""
    items = _items()
    found = stacks.find(db, stack_key())
    return [_with_tile_ids(db, found, z, item) for item in items]


@coordinate.get("z/<number:z>/world-coordinates/<numbers(2):point>/mapped-to-stack/<target>")
@reading
def mapped_to_stack(db: sqlite3.Connection, z: float, point: list[float], target: str) -> object:
    """Map a point of the world to where another stack has the same pixel."""
    key = stack_key()
    owner = request.args.get("toOwner") or key.owner
    other = StackKey(owner, request.args.get("toProject") or key.project, target)
    model.check_stack_names(*other)
    *_, seen = _local(db, stacks.find(db, key), z, point)
    return _world(db, stacks.find(db, other), seen["tileId"], seen["local"])


# ---------------------------------------------------------------------------------------------


def _items() -> list[Json]:
    """Return the items of the body: they are sent back with what was found."""
    return [model.mapping(model.not_deep(v)) for v in model.sequence(required_body("coordinates"))]


def _point(item: Json, name: str) -> list[float]:
    values = [model.double(v) for v in model.sequence(item.get(name))]
    if len(values) < 2:
        raise BadRequest(f"{name} must have at least x and y")
    return values


def _world(db: sqlite3.Connection, stack: Stack, tile_id: str, point: list[float]) -> Json:
    (tile,) = tiles.flatten_all(db, stack, [tiles.body(db, stack.key, tile_id)])
    leaves = tile["transforms"]["specList"]
    if "z" not in tile:
        raise BadRequest(f"tile {tile_id!r} of stack {stack.key} has no z")
    with np.errstate(all="ignore"):
        x, y = resolve.chain(leaves).apply(np.array([point[:2]]))[0]
    if not np.isfinite([x, y]).all():
        raise BadRequest(f"tile {tile_id!r} moves {point[:2]} beyond all numbers")
    return {"tileId": tile_id, "world": [float(x), float(y), tile["z"]]}


def _world_or_error(db: sqlite3.Connection, stack: Stack, item: Json) -> Json:
    try:
        return _world(db, stack, model.text(item.get("tileId")), _point(item, "local"))
    except ServiceError as error:
        return item | {"error": str(error)}


def _touched(db: sqlite3.Connection, stack: Stack, z: float, point: list[float]) -> list[Json]:
    x, y = point[:2]
    found = tiles.flattened(db, stack, Region.box(z, x, y, 0, 0))
    if not found:
        raise BadRequest(f"no tile of stack {stack.key} holds world point ({x}, {y}, {z})")
    return found


def _local(db: sqlite3.Connection, stack: Stack, z: float, point: list[float]) -> list[Json]:
    out: list[Json] = []
    for tile in _touched(db, stack, z, point):
        moved = resolve.chain(tile["transforms"]["specList"])
        within = np.full(2, -1.0), np.array([tile.get("width", 0), tile.get("height", 0)], float)
        try:
            with np.errstate(all="ignore"):
                x, y = moved.undo(np.array([point[:2]]), within)[0]
        except ValueError:
            continue  # a singular transform shows no point
        if 0 <= x <= tile.get("width", 0) and 0 <= y <= tile.get("height", 0):
            out.append({"tileId": tile["tileId"], "local": [float(x), float(y), z]})
    if not out:
        raise ServiceError(f"no tile of stack {stack.key} can be inverted at {point[:2]}, z {z}")
    # the last tile is painted over the others
    out[-1] = {"tileId": out[-1]["tileId"], "visible": True, "local": out[-1]["local"]}
    return out


def _layer(z: float | None, point: list[float]) -> float:
    if z is not None:
        return z
    if len(point) < 3:
        raise BadRequest("world coordinates must have x, y and z")
    return point[2]


def _local_or_error(
    db: sqlite3.Connection, stack: Stack, z: float | None, item: Json
) -> list[Json]:
    try:
        point = _point(item, "world")
        return _local(db, stack, _layer(z, point), point)
    except ServiceError as error:
        return [item | {"error": str(error)}]


def _with_tile_ids(
    db: sqlite3.Connection, stack: Stack, z: float | None, item: Json
) -> list[dict[str, Any]]:
    point = _point(item, "world")
    x, y = point[:2]
    found = tiles.flattened(db, stack, Region.box(_layer(z, point), x, y, 0, 0))
    return [{"tileId": tile["tileId"], **item} for tile in found] or [item]
