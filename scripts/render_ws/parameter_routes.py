"""Routes of the render parameters of tiles, boxes and layers."""

from __future__ import annotations

import sqlite3

import orjson
from flask import Blueprint, Response, request

from scripts.render_ws import model, parameters, stacks, tiles
from scripts.render_ws.errors import BadRequest, NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.parameters import FILTER_LISTS, Options, TileOptions
from scripts.render_ws.tiles import Region
from scripts.render_ws.web import (
    IMAGE_TILE,
    STACK,
    answer,
    flag,
    number,
    reading,
    stack_key,
    store,
    take_stack,
    whole,
)

parameter = Blueprint("parameter", __name__, url_prefix=STACK)
parameter.url_value_preprocessor(take_stack)
_NEIGHBOUR_SHARE = 0.3  # of the sides of a tile
_EXCLUDES = (
    "excludeTransformsAfterLast",
    "excludeFirstTransformAndAllAfter",
    "excludeAllTransforms",
)


def options() -> Options:
    """Read the query parameters common to render parameters and images."""
    named = request.args.get("filterListName")
    if named is not None and named not in FILTER_LISTS:
        known = ", ".join(FILTER_LISTS)
        raise BadRequest(f"filter list {named!r:.200} is not known (known: {known})")
    return Options(
        scale=number("scale"),
        min_intensity=number("minIntensity"),
        max_intensity=number("maxIntensity"),
        channels=request.args.get("channels"),
        convert_to_gray=flag("convertToGray"),
        binary_mask=flag("binaryMask"),
        exclude_mask=flag("excludeMask"),
        do_filter=flag("filter") or named is not None,
        fill_with_noise=flag("fillWithNoise"),
    )


def tile_options() -> TileOptions:
    """Read the query parameters of the picture of one tile."""
    return TileOptions(
        x=whole("x") or 0,
        y=whole("y") or 0,
        width=whole("width"),
        height=whole("height"),
        for_matching=flag("normalizeForMatching"),
        exclude=_exclude(),
        common=options(),
    )


def _exclude() -> dict[str, object] | None:
    # the mere presence of one of the three counts, excludeAllTransforms=false included
    if not any(name in request.args for name in _EXCLUDES):
        return None
    after_last, first_and_after, exclude_all = _EXCLUDES
    return {
        "after_last": request.args.getlist(after_last),
        "first_and_after": request.args.getlist(first_and_after),
        "exclude_all": flag(exclude_all),
    }


def of_tile(db: sqlite3.Connection, tile_id: str) -> Json:
    """Return the render parameters of a tile."""
    found = stacks.find(db, stack_key())
    body = tiles.body(db, stack_key(), tile_id)
    (tile,) = tiles.flatten_all(db, found, [body])
    return parameters.of_tile(tile, found.version, tile_options())


def of_box(db: sqlite3.Connection, z: float, box: list[float], group: str | None) -> Json:
    """Return the render parameters of the box x, y, width, height, scale of a layer."""
    x, y, width, height, scale = box
    if width != int(width) or height != int(height):
        raise NotFound(f"width {width} and height {height} must be whole numbers")
    wide, high = model.integer(width), model.integer(height)
    found = stacks.find(db, stack_key())
    region = Region(z, z, group, x, x + width, y, y + height)
    return parameters.of_box(
        x,
        y,
        wide,
        high,
        scale=scale,
        tiles=tiles.flattened(db, found, region),
        version=found.version,
        options=options(),
    )


def around_tile(db: sqlite3.Connection, tile_id: str) -> Json:
    """Return the render parameters of a tile's box with a share of its sides around it."""
    factors = number("widthFactor"), number("heightFactor")
    share_x, share_y = (_NEIGHBOUR_SHARE if factor is None else factor for factor in factors)
    tile = orjson.loads(tiles.body(db, stack_key(), tile_id))
    if "z" not in tile:
        raise BadRequest(f"tile {tile_id!r} of stack {stack_key()} has no z")
    width, height = tile["maxX"] - tile["minX"], tile["maxY"] - tile["minY"]
    x, y = tile["minX"] - share_x * width, tile["minY"] - share_y * height
    sides = width * (1 + 2 * share_x), height * (1 + 2 * share_y)
    return of_box(db, tile["z"], [x, y, *map(model.integer, sides), 1.0], None)


def of_layer(db: sqlite3.Connection, z: float, scale: float) -> Json:
    """Return the render parameters of a whole layer."""
    bounds = tiles.layer_bounds(db, stacks.find(db, stack_key()), z)
    x, y = bounds["minX"], bounds["minY"]
    width, height = bounds["maxX"] - x, bounds["maxY"] - y
    return of_box(db, z, [x, y, *map(model.integer, (width, height)), scale], None)


@parameter.get("tile/<tile_id>/render-parameters")
@reading
def tile_render_parameters(db: sqlite3.Connection, tile_id: str) -> object:
    """Return the render parameters of a tile."""
    return of_tile(db, tile_id)


@parameter.get("z/<number:z>/box/<numbers(5):box>/render-parameters")
@parameter.get("group/<group>/z/<number:z>/box/<numbers(5):box>/render-parameters")
@reading
def box_render_parameters(
    db: sqlite3.Connection, z: float, box: list[float], group: str | None = None
) -> object:
    """Return the render parameters of a box of a layer, of one group only if named."""
    return of_box(db, z, box, group)


@parameter.get("z/<number:z>/render-parameters")
@reading
def layer_render_parameters(db: sqlite3.Connection, z: float) -> object:
    """Return the render parameters of a layer."""
    return of_layer(db, z, 1.0)


@parameter.get("tile/<tile_id>/withNeighbors/render-parameters")
@reading
def tile_render_parameters_with_neighbours(db: sqlite3.Connection, tile_id: str) -> object:
    """Return the render parameters of a tile and what lies around it."""
    return around_tile(db, tile_id)


@parameter.get(f"{IMAGE_TILE}/render-parameters")
@parameter.get(f"group/<group>/{IMAGE_TILE}/render-parameters")
@reading
def image_tile_render_parameters(
    db: sqlite3.Connection, size: list[float], place: list[float], group: str | None = None
) -> object:
    """Return the render parameters of a part of a layer, as DVID asks for it."""
    (x, y, z), (width, height) = place, size
    return of_box(db, z, [x, y, width, height, 1.0], group)


@parameter.get(f"{IMAGE_TILE}/tile-count")
@parameter.get(f"group/<group>/{IMAGE_TILE}/tile-count")
@reading
def image_tile_count(
    db: sqlite3.Connection, size: list[float], place: list[float], group: str | None = None
) -> object:
    """Return the number of tiles in a part of a layer."""
    (x, y, z), (width, height) = place, size
    region = Region(z, z, group, x, x + width, y, y + height)
    return tiles.count(db, stacks.find(db, stack_key()), region)


@parameter.get("tile/<tile_id>/<any(source,mask):kind>/scale/<number:scale>/render-parameters")
def tile_source_render_parameters(tile_id: str, kind: str, scale: float) -> Response:
    """Return the render parameters of the untransformed source, or the mask, of a tile."""
    with store().reading() as db:
        found = stacks.find(db, stack_key())
        tile = orjson.loads(tiles.body(db, stack_key(), tile_id))
    if kind == "mask":
        tile["mipmapLevels"] = _masks(tile_id, tile["mipmapLevels"])
    exclude = {"after_last": (), "first_and_after": (), "exclude_all": True}
    common = Options(scale=scale)
    plan = TileOptions(for_matching=True, exclude=exclude, common=common)
    tile["transforms"] = {"type": "list", "specList": []}
    return answer(parameters.of_tile(tile, found.version, plan))


def _masks(tile_id: str, levels: Json) -> Json:
    """Return mipmap levels whose images are the masks."""
    found = {
        level: {
            "imageUrl": entry["maskUrl"],
            **({"imageLoaderType": entry["maskLoaderType"]} if "maskLoaderType" in entry else {}),
        }
        for level, entry in levels.items()
        if "maskUrl" in entry
    }
    if not found:
        raise BadRequest(f"tile {tile_id!r} of stack {stack_key()} has no mask")
    return found
