"""Routes of the pictures of boxes, layers and tiles.

The pictures are made by `images`, imported at the first request only: a service without the image
libraries still serves all metadata, and jobs that draw nothing do not pay for the import.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson
from flask import Blueprint, Response, request

from scripts.render_ws import model, parameter_routes, stacks, tiles
from scripts.render_ws.errors import BadRequest, ServiceError
from scripts.render_ws.model import Json
from scripts.render_ws.stacks import Stack
from scripts.render_ws.web import (
    IMAGE_TILE,
    OWNER,
    STACK,
    flag,
    number,
    required_body,
    stack_key,
    store,
    take_stack,
    whole,
)

if TYPE_CHECKING:
    from scripts.render_ws.picture_formats import Drawing

image = Blueprint("image", __name__, url_prefix=STACK)
image.url_value_preprocessor(take_stack)
owner_image = Blueprint("owner_image", __name__, url_prefix=OWNER)

_FORMAT = (
    "<any('png-image','jpeg-image','tiff-image','png16-image','tiff16-image','raw-image',"
    "'raw16-image'):kind>"
)
_MAX_AGE_S = 3600
_LAYER_SCALE = 0.01
_OVERVIEW_PX = 192
_MOST_TILES = 40  # of a tile of a pyramid, unless the request says more
_MAX_LEVEL = 24
_KINDS = {"png": "png-image", "jpg": "jpeg-image", "tif": "tiff-image"}


@image.get(f"z/<number:z>/box/<numbers(5):box>/{_FORMAT}")
@image.get(f"group/<group>/z/<number:z>/box/<numbers(5):box>/{_FORMAT}")
def box_image(z: float, box: list[float], kind: str, group: str | None = None) -> Response:
    """Return a picture of a box of a layer, of one group only if named."""
    with store().reading() as db:
        plan = parameter_routes.of_box(db, z, box, group)
        found = stacks.find(db, stack_key())
    return _cached(plan, kind, found, most_tiles=_most_tiles())


@image.get(f"tile/<tile_id>/{_FORMAT}")
def tile_image(tile_id: str, kind: str) -> Response:
    """Return a picture of a tile."""
    with store().reading() as db:
        plan = parameter_routes.of_tile(db, tile_id)
        found = stacks.find(db, stack_key())
    return _cached(plan, kind, found)


@image.get(f"tile/<tile_id>/<any(source,mask):part>/{_FORMAT}")
def tile_file(tile_id: str, part: str, kind: str) -> Response:
    """Return the image or the mask of a tile as it is, without transforms."""
    scale = number("scale")
    with store().reading() as db:
        tile = orjson.loads(tiles.body(db, stack_key(), tile_id))
    images = _images()
    drawing = images.draw_file(tile, part, 1.0 if scale is None else scale)
    return _sent(drawing, kind)


@image.get(f"tile/<tile_id>/withNeighbors/{_FORMAT}")
def tile_image_with_neighbours(tile_id: str, kind: str) -> Response:
    """Return a picture of a tile and what lies around it, or of their boxes alone."""
    with store().reading() as db:
        plan = parameter_routes.around_tile(db, tile_id)
        found = stacks.find(db, stack_key())
    return _cached(plan, kind, found, most_tiles=0 if flag("boundingBoxesOnly") else None)


_LARGE = "largeDataTileSource/<int:width>/<int:height>"
_ENDS = "<any(png,jpg):end>"


@image.get(f"{_LARGE}/<int:level>/<number:z>/<int:row>/<int:column>.{_ENDS}")
def large_data_tile(
    width: int, height: int, level: int, z: float, row: int, column: int, end: str
) -> Response:
    """Return a tile of a layer's pyramid, as CATMAID asks for it."""
    if level > _MAX_LEVEL:
        raise BadRequest(f"level {level}: at most {_MAX_LEVEL}")
    wide, high = width << level, height << level
    box = [float(column * wide), float(row * high), float(wide), float(high), 0.5**level]
    with store().reading() as db:
        plan = parameter_routes.of_box(db, z, box, None)
        found = stacks.find(db, stack_key())
    most = _most_tiles()
    return _cached(plan, _KINDS[end], found, most_tiles=_MOST_TILES if most is None else most)


@image.get(f"{_LARGE}/small/<number:z>.{_ENDS}")
def large_data_overview(width: int, height: int, z: float, end: str) -> Response:
    """Return a small picture of a whole layer."""
    del width, height
    with store().reading() as db:
        found = stacks.find(db, stack_key())
        bounds = tiles.layer_bounds(db, found, z)
        side = max(bounds["maxX"] - bounds["minX"], bounds["maxY"] - bounds["minY"], 1.0)
        plan = parameter_routes.of_layer(db, z, min(1.0, _OVERVIEW_PX / side))
    return _cached(plan, _KINDS[end], found)


@image.get(f"{IMAGE_TILE}/<any(png,jpg,tif):end>")
@image.get(f"group/<group>/{IMAGE_TILE}/<any(png,jpg,tif):end>")
def image_tile(
    size: list[float], place: list[float], end: str, group: str | None = None
) -> Response:
    """Return a picture of a part of a layer, as DVID asks for it."""
    (x, y, z), (width, height) = place, size
    with store().reading() as db:
        plan = parameter_routes.of_box(db, z, [x, y, width, height, 1.0], group)
        found = stacks.find(db, stack_key())
    return _cached(plan, _KINDS[end], found, most_tiles=_most_tiles())


@image.get(f"z/<number:z>/{_FORMAT}")
def layer_image(z: float, kind: str) -> Response:
    """Return a small picture of a layer."""
    with store().reading() as db:
        plan = parameter_routes.of_layer(db, z, _LAYER_SCALE)
        found = stacks.find(db, stack_key())
    return _cached(plan, kind, found, most_tiles=_most_tiles())


@owner_image.put(_FORMAT)
def parameters_image(owner: str, kind: str) -> Response:
    """Return the picture of the render parameters in the body."""
    return _drawn(model.mapping(required_body("render parameters")), kind)


def _most_tiles() -> int | None:
    return whole("maxTileSpecsToRender")


def _cached(plan: Json, kind: str, stack: Stack, *, most_tiles: int | None = None) -> Response:
    # saving tiles does not change the etag: caches are right for COMPLETE stacks only
    etag = str(stack.modified_ms)
    if request.if_none_match.contains(etag):
        response = Response(status=304)
    else:
        channel = stack.version.get("defaultChannel")
        response = _drawn(plan, kind, channel=channel, most_tiles=most_tiles)
    response.set_etag(etag)
    response.headers["Cache-Control"] = f"max-age={_MAX_AGE_S}"
    return response


def _drawn(plan: Json, kind: str, **how: Any) -> Response:  # noqa: ANN401 - as `images.draw`
    return _sent(_images().draw(plan, **how), kind)


def _sent(drawing: Drawing, kind: str) -> Response:
    from scripts.render_ws.picture_formats import FORMATS

    content_type, encode = FORMATS[kind]
    return Response(encode(drawing), content_type=content_type)


def _images() -> ModuleType:
    try:
        from scripts.render_ws import images
    except ImportError as error:
        raise ServiceError(f"this service draws no pictures: {error}") from error
    return images
