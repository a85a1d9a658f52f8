"""Routes of the pictures of boxes, layers and tiles.

The pictures are made by `images`, imported at the first request only: a service without the image
libraries still serves all metadata, and jobs that draw nothing do not pay for the import.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from scripts.render_ws import model, parameter_routes, stacks
from scripts.render_ws.errors import ServiceError
from scripts.render_ws.model import Json
from scripts.render_ws.web import OWNER, STACK, required_body, stack_key, store, take_stack

image = Blueprint("image", __name__, url_prefix=STACK)
image.url_value_preprocessor(take_stack)
owner_image = Blueprint("owner_image", __name__, url_prefix=OWNER)

_FORMAT = (
    "<any('png-image','jpeg-image','tiff-image','png16-image','tiff16-image','raw-image',"
    "'raw16-image'):kind>"
)
_MAX_AGE_S = 3600
_LAYER_SCALE = 0.01


@image.get(f"z/<number:z>/box/<numbers(5):box>/{_FORMAT}")
@image.get(f"group/<group>/z/<number:z>/box/<numbers(5):box>/{_FORMAT}")
def box_image(z: float, box: list[float], kind: str, group: str | None = None) -> Response:
    """Return a picture of a box of a layer, of one group only if named."""
    with store().reading() as db:
        plan = parameter_routes.of_box(db, z, box, group)
        etag = _etag(stacks.find(db, stack_key()))
    return _cached(plan, kind, etag)


@image.get(f"tile/<tile_id>/{_FORMAT}")
def tile_image(tile_id: str, kind: str) -> Response:
    """Return a picture of a tile."""
    with store().reading() as db:
        plan = parameter_routes.of_tile(db, tile_id)
        etag = _etag(stacks.find(db, stack_key()))
    return _cached(plan, kind, etag)


@image.get(f"z/<number:z>/{_FORMAT}")
def layer_image(z: float, kind: str) -> Response:
    """Return a small picture of a layer."""
    with store().reading() as db:
        plan = parameter_routes.of_layer(db, z, _LAYER_SCALE)
        etag = _etag(stacks.find(db, stack_key()))
    return _cached(plan, kind, etag)


@owner_image.put(_FORMAT)
def parameters_image(owner: str, kind: str) -> Response:
    """Return the picture of the render parameters in the body."""
    return _drawn(model.mapping(required_body("render parameters")), kind)


def _etag(stack: stacks.Stack) -> str:
    # saving tiles does not change it: caches are right for COMPLETE stacks only
    return str(stack.modified_ms)


def _cached(plan: Json, kind: str, etag: str) -> Response:
    known = request.if_none_match.contains(etag)
    response = Response(status=304) if known else _drawn(plan, kind)
    response.set_etag(etag)
    response.headers["Cache-Control"] = f"max-age={_MAX_AGE_S}"
    return response


def _drawn(plan: Json, kind: str) -> Response:
    try:
        from scripts.render_ws import images
    except ImportError as error:
        raise ServiceError(f"this service draws no pictures: {error}") from error

    content_type, encode = images.FORMATS[kind]
    return Response(encode(images.draw(plan)), content_type=content_type)
