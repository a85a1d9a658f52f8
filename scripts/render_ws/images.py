"""Pictures from render parameters, drawn by `compose` as those of matching and reports.

Geometry is `compose`'s: output pixel (i, j) shows world point (x + i / scale, y + j / scale), later
tile ids over earlier ones, linear interpolation, each pixel by the exact inverse of the tile's
transforms (the reference uses a mesh of triangles; they differ by some hundredths of a pixel).
Filters, noise, channel weights and debug overlays are not drawn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bytes, Float32
from scripts.lib.drawing import compose, maps
from scripts.lib.drawing.maps import Placed
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import Affine, AxisOffset
from scripts.render_ws import model, resolve
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json

MAX_PIXELS = 1 << 25  # of a picture: 5,792 squared; 65 bytes a pixel are 2.2 GB
_MAX_TILES = 1000  # of a picture; a layer of a FIB-SEM has 1 to 20
_MAX_SIDE_PX = 1 << 17  # of a tile; microscopes scan up to 65,536
_MAX_PLACE_PX = 1 << 31
_at_once = threading.BoundedSemaphore(2)  # pictures: each may take all that memory
_JPEG_QUALITY = 85
_UNCOMPRESSED = [cv2.IMWRITE_TIFF_COMPRESSION, 1]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn picture.

    ``values`` (h, w) float32 in source units; ``gray`` (h, w) uint8 after the intensity range;
    ``alpha`` (h, w) uint8.
    """

    values: Float32
    gray: Bytes
    alpha: Bytes
    keep_gray: bool  # a JPEG with one channel was asked for


def draw(parameters: Json) -> Drawing:
    """Draw RenderParameters; absent fields have the reference's defaults (256 x 256 at scale 1).

    Raises
    ------
    BadRequest
        When an image is missing, a transform is unknown, or the picture has no pixel or too many.
    """
    parameters = model.render_parameters(parameters)
    box, scale = _box(parameters)
    given = parameters.get("tileSpecs", [])
    if len(given) > _MAX_TILES:
        raise BadRequest(f"a picture of {len(given)} tiles; at most {_MAX_TILES} are drawn at once")
    tiles = [resolve.flat_tile(spec, {}) for spec in given]
    exclude_mask = parameters.get("excludeMask", False)
    try:
        records = [_record(spec, exclude_mask) for spec in tiles]
        # what goes beyond all numbers is refused by `_check_place`
        with np.errstate(all="ignore"), _at_once:
            chains = [resolve.chain(spec["transforms"]["specList"]) for spec in tiles]
            placed = [Placed(*pair) for pair in zip(records, chains, strict=True)]
            for one in placed:
                _check_place(one)
            picture = compose.render(placed, box, scale=scale, blend="last")
    except (ValueError, OSError) as error:
        raise BadRequest(str(error)) from error
    low, high = _range(parameters, tiles)
    shown = np.where(picture.mask, picture.pixels, 0).astype(np.float32)
    gray = np.where(picture.mask, to_bytes(shown, low, high), 0).astype(np.uint8)
    masked = any(tile.mask_url is not None for tile in records)
    # without any mask the canvas is opaque, without any tile nothing is painted at all
    alpha = picture.mask if masked or not tiles else np.ones_like(picture.mask)
    keep_gray = parameters.get("convertToGray", False)
    return Drawing(shown, gray, alpha.astype(np.uint8) * np.uint8(255), keep_gray)


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


def _record(spec: Json, exclude_mask: bool) -> TileSpec:
    # a tile with channels shows its first one
    channels = spec.get("channels") or [{}]
    levels: Json = channels[0].get("mipmapLevels") or spec["mipmapLevels"]
    if exclude_mask:
        dropped = ("maskUrl", "maskLoaderType")
        levels = {k: {n: v for n, v in e.items() if n not in dropped} for k, e in levels.items()}
    # its transforms are read by `resolve`, which knows more kinds of specs
    return TileSpec.from_json({**spec, "mipmapLevels": levels, "transforms": {"type": "list"}})


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


# ---------------------------------------------------------------------------------------------
# formats
# ---------------------------------------------------------------------------------------------


def _encode(extension: str, array: NDArray[np.unsignedinteger[Any]], options: list[int]) -> bytes:
    done, data = cv2.imencode(extension, array, options)
    if not done:
        raise RuntimeError(f"{extension} could not be written")
    return bytes(data)


def _png(drawing: Drawing) -> bytes:
    gray = drawing.gray
    return _encode(".png", np.dstack([gray, gray, gray, drawing.alpha]), [])


def _jpeg(drawing: Drawing) -> bytes:
    gray = drawing.gray
    array = gray if drawing.keep_gray else np.dstack([gray] * 3)
    return _encode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _tiff(drawing: Drawing) -> bytes:
    return _encode(".tif", np.dstack([drawing.gray] * 3), _UNCOMPRESSED)


def _words(drawing: Drawing) -> NDArray[np.uint16]:
    return np.clip(np.rint(drawing.values), 0, 65535).astype(np.uint16)


def _png16(drawing: Drawing) -> bytes:
    return _encode(".png", _words(drawing), [])


def _tiff16(drawing: Drawing) -> bytes:
    return _encode(".tif", _words(drawing), _UNCOMPRESSED)


def _raw(drawing: Drawing) -> bytes:
    gray = drawing.gray
    return np.dstack([drawing.alpha, gray, gray, gray]).tobytes()


def _raw16(drawing: Drawing) -> bytes:
    return _words(drawing).astype(">u2").tobytes()


Encoder = Callable[[Drawing], bytes]
FORMATS: dict[str, tuple[str, Encoder]] = {
    "png-image": ("image/png", _png),
    "jpeg-image": ("image/jpeg", _jpeg),
    "tiff-image": ("image/tiff", _tiff),
    "png16-image": ("image/png", _png16),
    "tiff16-image": ("image/tiff", _tiff16),
    "raw-image": ("application/octet-stream", _raw),
    "raw16-image": ("application/octet-stream", _raw16),
}
