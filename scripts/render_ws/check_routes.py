"""Routes that check specs, and that map points by a spec in the request; they store nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flask import Blueprint, Response

from scripts.render_ws import image_urls, model, resolve, stacks, tiles
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json
from scripts.render_ws.web import (
    OWNER,
    STACK,
    answer,
    number,
    plain,
    required_body,
    stack_key,
    store,
    take_stack,
)

check = Blueprint("check", __name__, url_prefix=STACK)
check.url_value_preprocessor(take_stack)
owner_check = Blueprint("owner_check", __name__, url_prefix=OWNER)


def _tile(value: Any) -> None:  # noqa: ANN401 - any JSON value
    spec = model.tile_spec(value)
    resolve.chain(resolve.flatten_given(spec["transforms"]))


def _transform(value: Any) -> None:  # noqa: ANN401 - any JSON value
    resolve.chain(resolve.flatten_given(model.transform(value)))


def _render(value: Any) -> None:  # noqa: ANN401 - any JSON value
    for spec in model.render_parameters(value).get("tileSpecs", ()):
        _tile(spec)


def _each(check_one: Callable[[Any], None]) -> Callable[[Any], None]:
    def check_all(value: Any) -> None:  # noqa: ANN401 - any JSON value
        for one in model.sequence(value):
            check_one(one)

    return check_all


_CHECKS: dict[str, Callable[[Any], None]] = {
    "render": _render,
    "tile": _tile,
    "tile-array": _each(_tile),
    "transform": _transform,
    "transform-array": _each(_transform),
}


@owner_check.put(
    "validate-json/<any('render','tile','tile-array','transform','transform-array'):kind>"
)
def validate_json(owner: str, kind: str) -> Response:
    """Say whether the body is a right spec: 200 or 400, and what it is."""
    del owner
    _CHECKS[kind](required_body(f"{kind} specification"))
    return plain(f"successfully parsed {kind} specification\n")


@check.get("tile/<tile_id>/validation-info")
def validation_info(tile_id: str) -> Response:
    """Say whether a tile could be drawn: its transforms and files."""
    with store().reading() as db:
        found = stacks.find(db, stack_key())
        (tile,) = tiles.flatten_all(db, found, [tiles.body(db, stack_key(), tile_id)])
    resolve.chain(tile["transforms"]["specList"])
    levels = [tile["mipmapLevels"], *(c["mipmapLevels"] for c in tile.get("channels", ()))]
    for entry in (entry for each in levels for entry in each.values()):
        for kind in ("image", "mask"):
            if f"{kind}Url" in entry:
                image_urls.check(entry[f"{kind}Url"])
    return plain(f"tile spec {tile_id} is valid\n")


@owner_check.put("local-to-world-coordinates/<numbers(2):point>")
def spec_to_world(owner: str, point: list[float]) -> Response:
    """Map a point by the tile spec in the body."""
    del owner
    spec, within, moved = _moving()
    del within
    with np.errstate(all="ignore"):
        x, y = moved.apply(np.array([point]))[0]
    return _point(x, y, spec)


@owner_check.put("world-to-local-coordinates/<numbers(2):point>")
def spec_to_local(owner: str, point: list[float]) -> Response:
    """Map a point back by the tile spec in the body."""
    del owner
    spec, within, moved = _moving()
    try:
        with np.errstate(all="ignore"):
            x, y = moved.undo(np.array([point]), within)[0]
    except ValueError as error:
        raise BadRequest(str(error)) from error
    return _point(x, y, spec)


def _moving() -> tuple[Json, tuple[Any, Any], resolve.Chain]:
    spec = model.tile_spec(required_body("tile spec"))
    number("meshCellSize")  # of no use: places are exact
    sides = np.array([spec.get("width", 0.0), spec.get("height", 0.0)])
    return spec, (np.full(2, -1.0), sides), resolve.chain(resolve.flatten_given(spec["transforms"]))


def _point(x: float, y: float, spec: Json) -> Response:
    if not np.isfinite([x, y]).all():
        raise BadRequest(f"tile {spec['tileId']!r} moves the point beyond all numbers")
    return answer([float(x), float(y), *([spec["z"]] if "z" in spec else [])])
