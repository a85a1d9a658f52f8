"""Routes of the render parameters of tiles, boxes and layers."""

from __future__ import annotations

import sqlite3

import orjson
from flask import Blueprint, Response, request

from scripts.render_ws import model, parameters, stacks, tiles
from scripts.render_ws.errors import NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.parameters import Options, TileOptions
from scripts.render_ws.tiles import Region
from scripts.render_ws.web import (
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
_EXCLUDES = (
    "excludeTransformsAfterLast",
    "excludeFirstTransformAndAllAfter",
    "excludeAllTransforms",
)


def options() -> Options:
    """Read the query parameters common to render parameters and images."""
    return Options(
        scale=number("scale"),
        min_intensity=number("minIntensity"),
        max_intensity=number("maxIntensity"),
        channels=request.args.get("channels"),
        convert_to_gray=flag("convertToGray"),
        binary_mask=flag("binaryMask"),
        exclude_mask=flag("excludeMask"),
        do_filter=flag("filter"),
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


@parameter.get("tile/<tile_id>/source/scale/<number:scale>/render-parameters")
def tile_source_render_parameters(tile_id: str, scale: float) -> Response:
    """Return the render parameters of the untransformed source of a tile."""
    with store().reading() as db:
        found = stacks.find(db, stack_key())
        tile = orjson.loads(tiles.body(db, stack_key(), tile_id))
    exclude = {"after_last": (), "first_and_after": (), "exclude_all": True}
    common = Options(scale=scale)
    plan = TileOptions(for_matching=True, exclude=exclude, common=common)
    tile["transforms"] = {"type": "list", "specList": []}
    return answer(parameters.of_tile(tile, found.version, plan))
