"""Pictures from render parameters, drawn by `compose` as those of matching and reports.

Geometry is `compose`'s: output pixel (i, j) shows world point (x + i / scale, y + j / scale), later
tile ids over earlier ones, linear interpolation, each pixel by the exact inverse of the tile's
transforms (the reference uses a mesh of triangles; they differ by some hundredths of a pixel).
A mask counts where it is 255, without shades between. Debug overlays are not drawn.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np

from scripts.lib.arrays import Bytes, Float32
from scripts.lib.drawing import compose, maps
from scripts.lib.drawing.maps import Placed
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import Affine, AxisOffset
from scripts.render_ws import channels, model, resolve, sources
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json
from scripts.render_ws.picture_formats import Drawing
from scripts.render_ws.sources import Sources

MAX_PIXELS = 1 << 25  # of a picture: 5,792 squared; 65 bytes a pixel are 2.2 GB
_MAX_TILES = 1000  # of a picture; a layer of a FIB-SEM has 1 to 20
_MAX_SIDE_PX = 1 << 17  # of a tile; microscopes scan up to 65,536
_MAX_PLACE_PX = 1 << 31
_at_once = threading.BoundedSemaphore(2)  # pictures: each may take all that memory
_MAX_OUTLINES = 100_000


def draw(parameters: Json, *, channel: str | None = None, most_tiles: int | None = None) -> Drawing:
    """Draw RenderParameters; absent fields have the reference's defaults (256 x 256 at scale 1).

    `channel` is shown where the parameters name none and a tile has it (the stack's default);
    more than `most_tiles` tiles are outlined only, without a look at any image.

    Raises
    ------
    BadRequest
        When an image is missing, a transform or channel is unknown, or the picture has no pixel or
        too many.
    """
    parameters = model.render_parameters(parameters)
    box, scale = _box(parameters)
    given = parameters.get("tileSpecs", [])
    if most_tiles is not None and 0 <= most_tiles < len(given):
        return _outlines(given[:_MAX_OUTLINES], box, scale)
    if len(given) > _MAX_TILES:
        raise BadRequest(f"a picture of {len(given)} tiles; at most {_MAX_TILES} are drawn at once")
    tiles = [
        resolve.with_transforms(spec, resolve.flatten_given(spec["transforms"])) for spec in given
    ]
    try:
        # what goes beyond all numbers is refused by `_check_place`
        with np.errstate(all="ignore"), _at_once:
            return _channels(parameters, tiles, box, scale, channel)
    except (ValueError, OSError) as error:
        raise BadRequest(str(error)) from error


def _channels(
    parameters: Json, tiles: list[Json], box: Box, scale: float, default: str | None
) -> Drawing:
    """Draw the channels that are asked for, and add them up by their weights."""
    wanted = channels.weights(parameters.get("channels"))
    if wanted is None:
        shown = [channels.first(tile, default) for tile in tiles]
        return _one_channel(parameters, shown, box, scale)
    channels.check(wanted, tiles)
    parts = []
    for name, weight in wanted.items():
        found = [channels.named(tile, name) for tile in tiles]
        part = _one_channel(parameters, [tile for tile in found if tile], box, scale)
        parts.append((part, weight))
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    total = sum((weight * part.values for part, weight in parts), np.float32(0))
    gray = sum((weight * part.gray for part, weight in parts), np.float32(0))
    alpha = np.maximum.reduce([part.alpha for part, _ in parts])
    whole = np.clip(np.rint(gray), 0, 255).astype(np.uint8)
    return Drawing(np.asarray(total, np.float32), whole, alpha, parts[0][0].keep_gray)


def _one_channel(parameters: Json, tiles: list[Json], box: Box, scale: float) -> Drawing:
    exclude_mask = parameters.get("excludeMask", False)
    specs = [_drawable(spec, exclude_mask) for spec in tiles]
    placed = [Placed(_record(spec), resolve.chain(_leaves(spec))) for spec in specs]
    for one in placed:
        _check_place(one)
    source = Sources(
        {id(one.tile): spec for one, spec in zip(placed, specs, strict=True)},
        parameters.get("mipmapPathBuilder"),
        parameters.get("doFilter", False),
    )
    picture = compose.render(
        placed, box, scale=scale, blend="last", source=source if source.needed() else None
    )
    low, high = _range(parameters, specs)
    shown = np.where(picture.mask, picture.pixels, 0).astype(np.float32)
    gray = np.where(picture.mask, to_bytes(shown, low, high), 0).astype(np.uint8)
    if parameters.get("fillWithNoise", False):
        noise = np.random.default_rng(0).integers(0, 256, gray.shape).astype(np.uint8)
        gray = np.where(picture.mask, gray, noise)
    masked = any(one.tile.mask_url is not None for one in placed)
    # without any mask the canvas is opaque, without any tile nothing is painted at all
    alpha = picture.mask if masked or not tiles else np.ones_like(picture.mask)
    keep_gray = parameters.get("convertToGray", False)
    return Drawing(shown, gray, alpha.astype(np.uint8) * np.uint8(255), keep_gray)


def _outlines(given: list[Json], box: Box, scale: float) -> Drawing:
    """Draw the boxes of tiles."""
    shape = maps.Grid(box, scale).shape
    lines = np.zeros(shape, np.uint8)
    for tile in given:
        corners = np.array([tile.get(name, 0.0) for name in model.BOX]).reshape(2, 2)
        ends = np.clip((corners - [box.x0, box.y0]) * scale, -9, np.array(shape[::-1]) + 9)
        first, last = (tuple(map(int, end)) for end in np.nan_to_num(ends))
        cv2.rectangle(lines, first, last, 255)
    nothing = np.zeros(shape, np.uint8)
    alpha = np.full(shape, 255, np.uint8)
    return Drawing(nothing.astype(np.float32), nothing, alpha, False, lines)


def draw_file(tile: Json, kind: str, scale: float) -> Drawing:
    """Draw the image or mask (`kind`) of a tile as it is, the nearest pixel of each place."""
    spec = _drawable(channels.first(tile, None), False)
    record = _record(spec)
    source = Sources({id(record): spec})
    box, _ = _box({"width": record.width, "height": record.height, "scale": scale})
    shape = maps.Grid(box, scale).shape
    try:
        values = source(record, 0)[0] if kind == "source" else source.mask(record, 0)
    except (ValueError, OSError) as error:
        raise BadRequest(str(error)) from error
    if values is None:
        raise BadRequest(f"tile {tile['tileId']!r} has no mask")
    rows, columns = (
        np.minimum((np.arange(n) / scale).astype(int), size - 1)
        for n, size in zip(shape, values.shape, strict=True)
    )
    shown = values[np.ix_(rows, columns)].astype(np.float32)
    low, high = (0.0, 255.0) if kind == "mask" else _range({}, [spec])
    return Drawing(shown, to_bytes(shown, low, high), np.full(shape, 255, np.uint8), False)


def _box(parameters: Json) -> tuple[Box, float]:
    """Return the box and the scale, checked."""
    scale = parameters.get("scale", 1.0)
    x, y = parameters.get("x", 0.0), parameters.get("y", 0.0)
    width, height = parameters.get("width", 256), parameters.get("height", 256)
    size = f"{width} x {height} px at scale {scale:g}"
    if not scale > 0 or scale * width < 1 or scale * height < 1:
        raise BadRequest(f"{size} make no picture")
    if scale * width * scale * height > MAX_PIXELS:
        raise BadRequest(f"{size} are more than {MAX_PIXELS} pixels: ask for parts of it")
    if max(abs(x), abs(y)) > _MAX_PLACE_PX:
        raise BadRequest(f"the box begins at {x:g}, {y:g}: beyond {_MAX_PLACE_PX} px")
    return Box(x, y, x + width, y + height), scale


def _check_place(one: Placed) -> None:
    """Refuse a tile that no microscope makes, or that its transforms put out of the world.

    Tables and borders have a length of the tile's, before and after a correction of one axis.
    """
    tile = one.tile
    if not 0 < min(tile.width, tile.height) <= max(tile.width, tile.height) <= _MAX_SIDE_PX:
        raise BadRequest(
            f"tile {tile.tile_id!r} is {tile.width} x {tile.height} px:"
            f" sides of 1 to {_MAX_SIDE_PX} px are drawn"
        )
    points = maps.border(tile.width, tile.height)
    for part in one.chain.parts:
        before, points = points, part.apply(points)
        if not isinstance(part, Affine):  # the lengths of its tables
            axes = part.axis if isinstance(part, AxisOffset) else slice(None)
            sides = np.ptp(before[:, axes], axis=0).max(), np.ptp(points[:, axes], axis=0).max()
            limited = bool(max(sides) <= 2 * _MAX_SIDE_PX)
        else:
            limited = True
        if not limited or not np.abs(points).max() <= _MAX_PLACE_PX:
            raise BadRequest(f"the transforms of tile {tile.tile_id!r} put it out of the world")


def _drawable(spec: Json, exclude_mask: bool) -> Json:
    """Return a spec with a size, and without masks that are not wanted."""
    levels: Json = spec["mipmapLevels"]
    if exclude_mask:
        dropped = ("maskUrl", "maskLoaderType")
        levels = {k: {n: v for n, v in e.items() if n not in dropped} for k, e in levels.items()}
    if "width" in spec and "height" in spec:
        return {**spec, "mipmapLevels": levels}
    width, height = sources.size(levels)
    return {**spec, "mipmapLevels": levels, "width": width, "height": height}


def _record(spec: Json) -> TileSpec:
    # its transforms are read by `resolve`, which knows more kinds of specs
    return TileSpec.from_json({**spec, "transforms": {"type": "list"}})


def _leaves(spec: Json) -> list[Json]:
    return list(spec["transforms"]["specList"])


def _range(parameters: Json, tiles: list[Json]) -> tuple[float, float]:
    """Intensity range: the request's, else that of the last tile drawn."""
    last = max(tiles, key=lambda tile: tile["tileId"]) if tiles else {}
    given: Json = {"minIntensity": 0.0, "maxIntensity": 255.0} | last | parameters
    return float(given["minIntensity"]), float(given["maxIntensity"])


def to_bytes(values: Float32, low: float, high: float) -> Bytes:
    """Map the range to 0..255 as ImageJ does: a range within 0..255 as 8-bit data, else 16-bit."""
    whole = np.rint(values).astype(np.float64)
    if high <= 255 and low >= 0:
        shown = np.trunc(256 * (whole - low) / max(high - low, 1e-9))
    else:
        shown = np.trunc((whole - low) * 256 / (high - low + 1) + 0.5)
    return np.clip(shown, 0, 255).astype(np.uint8)
