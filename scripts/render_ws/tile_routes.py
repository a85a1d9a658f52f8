"""Routes of layers, sections and tiles."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from scripts.render_ws import bulk, layout, model, sections, stacks, tiles
from scripts.render_ws.errors import BadRequest, IllegalState, NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.stacks import Stack
from scripts.render_ws.tiles import Region
from scripts.render_ws.web import (
    STACK,
    answer,
    created,
    done,
    flag,
    number,
    plain,
    reading,
    required_body,
    stack_key,
    store,
    take_stack,
)

tile = Blueprint("tile", __name__, url_prefix=STACK)
tile.url_value_preprocessor(take_stack)


# what is read of a stack by one value of the path
_LOOK_UPS: dict[str, Callable[[sqlite3.Connection, Stack, Any], object]] = {
    "z/<number:z>/sectionData": stacks.live_sections,
    "z/<number:z>/bounds": tiles.layer_bounds,
    "z/<number:z>/tileBounds": partial(tiles.tile_bounds, "z=?"),
    "section/<section>/tileBounds": partial(tiles.tile_bounds, "section=?"),
    "section/<section>/z": tiles.z_of_section,
    "transform/<transform_id>": tiles.transform_body,
}
# whose tiles are removed
_REMOVALS = {"z/<number:z>": "z=?", "section/<section>": "section=?", "tile/<tile_id>": "id=?"}


def _look_up_route(path: str, look_up: Callable[[sqlite3.Connection, Stack, Any], object]) -> None:
    @reading
    def get(db: sqlite3.Connection, **segment: object) -> object:
        (value,) = segment.values()
        return look_up(db, stacks.find(db, stack_key()), value)

    get.__doc__ = getattr(look_up, "func", look_up).__doc__
    tile.add_url_rule(path, f"GET {path}", get)


def _removal_route(path: str, term: str) -> None:
    def delete(**segment: object) -> Response:
        (value,) = segment.values()
        with store().writing() as db:
            tiles.delete(db, stack_key(), term, value)
        return done()

    whose = {"z": "all tiles of a layer", "section": "all tiles of a section", "tile": "a tile"}
    delete.__doc__ = f"Remove {whose[path.partition('/')[0]]}."
    tile.add_url_rule(path, f"DELETE {path}", delete, methods=["DELETE"])


for _path, _look_up in _LOOK_UPS.items():
    _look_up_route(_path, _look_up)
for _path, _term in _REMOVALS.items():
    _removal_route(_path, _term)


def _z_range() -> Region:
    return Region(z_min=number("minZ"), z_max=number("maxZ"))


# -- layers and sections -----------------------------------------------------------------------


@tile.get("zValues")
@reading
def z_values(db: sqlite3.Connection) -> object:
    """Return the z of all layers, from the tiles as they are."""
    region = _z_range()
    return tiles.z_values(db, stacks.find(db, stack_key()), region)


@tile.get("sectionData")
@reading
def section_data(db: sqlite3.Connection) -> object:
    """Return the sections as they were when the stack became COMPLETE."""
    return _saved_sections(db)


@tile.get("reorderedSectionData")
@reading
def reordered_section_data(db: sqlite3.Connection) -> object:
    """Return the sections whose z is not that of their id."""
    return sections.reordered(_saved_sections(db))


@tile.get("mergedZValues")
@reading
def merged_z_values(db: sqlite3.Connection) -> object:
    """Return the z that several sections share."""
    return sections.merged(_saved_sections(db))


@tile.get("mergeableZValues")
@reading
def mergeable_z_values(db: sqlite3.Connection) -> object:
    """Return the z of layers that were imaged again (3407.1 beside 3407.0)."""
    found = tiles.z_values(db, stacks.find(db, stack_key()), _z_range())
    return sections.mergeable(found)


@tile.get("mergeableData")
def mergeable_data() -> Response:
    """Return one line of text for each layer that was imaged again."""
    with store().reading() as db:
        found = tiles.z_values(db, stacks.find(db, stack_key()), _z_range())
    return plain(sections.mergeable_lines(found))


def _saved_sections(db: sqlite3.Connection) -> list[Json]:
    return stacks.saved_sections(db, stacks.find(db, stack_key()), number("minZ"), number("maxZ"))


@tile.put("z/<number:z>/tileIds")
def put_layer_tile_ids(z: float) -> Response:
    """Move tiles to layer z."""
    ids = model.texts(required_body("tile ids"))
    with store().writing() as db:
        tiles.set_z(db, stack_key(), z, ids, "")
    return created()


@tile.put("section/<section>/z")
def put_section_z(section: str) -> Response:
    """Move all tiles of a section to another layer."""
    z = model.double(required_body("z value"))
    with store().writing() as db:
        tiles.set_z(db, stack_key(), z, None, section)
    return created()


# -- collections of tiles ----------------------------------------------------------------------


@tile.get("z/<number:z>/resolvedTiles")
@reading
def layer_resolved_tiles(db: sqlite3.Connection, z: float) -> object:
    """Return the tiles of a layer with the shared transforms they refer to."""
    return tiles.resolved(db, stack_key(), Region.layer(z))


@tile.get("resolvedTiles")
@reading
def resolved_tiles(db: sqlite3.Connection) -> object:
    """Return tiles of a z range, group or box with the shared transforms they refer to."""
    region = Region(
        z_min=number("minZ"),
        z_max=number("maxZ"),
        group=request.args.get("groupId"),
        min_x=number("minX"),
        max_x=number("maxX"),
        min_y=number("minY"),
        max_y=number("maxY"),
    )
    return tiles.resolved(db, stack_key(), region)


@tile.put("resolvedTiles")
@tile.put("z/<number:z>/resolvedTiles")
def put_resolved_tiles(z: float | None = None) -> Response:
    """Save tiles and shared transforms into a LOADING stack, each replacing its namesake."""
    derive = flag("deriveData")
    plain = None if derive else bulk.prepare(request.get_data(), z)
    value = None if plain else required_body("resolved tiles")
    with store().reading() as db:
        stacks.find(db, stack_key()).require_state(IllegalState)
    # read before the write lock is taken, so that other processes write meanwhile
    specs, shared = plain or tiles.prepare(value, derive=derive, z=z)
    with store().writing() as db:
        found = stacks.find(db, stack_key())
        found.require_state(IllegalState)
        tiles.save(db, found, specs, shared)
    return created()


@tile.put("tile-specs-with-ids")
@reading
def tile_specs_with_ids(db: sqlite3.Connection) -> object:
    """Return the flattened specs of the tiles named in the body."""
    ids = model.texts(required_body("tile ids"))
    return tiles.flattened_by_id(db, stack_key(), ids)


@tile.get("z/<number:z>/tile-specs")
def layer_tile_specs(z: float) -> Response:
    """Return the flattened specs of the tiles of a layer."""
    with store().reading() as db:
        specs = tiles.flattened(db, stacks.find(db, stack_key()), Region.layer(z))
    if not specs:
        raise BadRequest(f"stack {stack_key()} has no tiles with z {z}")
    return answer(specs)


@tile.get("z/<number:z>/last-tile-transforms")
def last_tile_transforms(z: float) -> Response:
    """Return the last transform of each tile of a layer."""
    with store().reading() as db:
        specs = tiles.flattened(db, stacks.find(db, stack_key()), Region.layer(z))
    lists = [(spec["tileId"], spec["transforms"]["specList"]) for spec in specs]
    return answer([{"tileId": i, "lastTransform": leaves[-1]} for i, leaves in lists if leaves])


@tile.get("z/<number:z>/box/<numbers(4):box>/tile-count")
@reading
def box_tile_count(db: sqlite3.Connection, z: float, box: list[float]) -> object:
    """Return the number of tiles that a box touches; width and height are whole numbers."""
    x, y, width, height = box
    if width != int(width) or height != int(height):
        raise NotFound(f"width {width} and height {height} must be whole numbers")
    found = stacks.find(db, stack_key())
    return tiles.count(db, found, Region.box(z, x, y, width, height))


@tile.get("layoutFile", defaults={"low": None, "high": None})
@tile.get("zRange/<number:low>,<number:high>/layoutFile")
@tile.get("z/<number:low>/layoutFile", defaults={"high": None})
def layout_file(low: float | None, high: float | None) -> Response:
    """Return one line of text a tile."""
    region = _z_range() if low is None else Region(z_min=low, z_max=low if high is None else high)
    base = request.base_url.split(f"/stack/{stack_key().stack}/")[0] + f"/stack/{stack_key().stack}"
    kind = request.args.get("format", "KARSH")
    with store().reading() as db:
        found = stacks.find(db, stack_key())
        specs = tiles.flattened(db, found, region)
    return plain(layout.text(kind, found.metadata(), specs, base))


# -- one tile ----------------------------------------------------------------------------------


@tile.get("tile/<tile_id>")
@reading
def get_tile(db: sqlite3.Connection, tile_id: str) -> object:
    """Return a tile spec as stored."""
    return tiles.body(db, stack_key(), tile_id)
