"""Pictures: grey images for the page, as PNG in data URIs.

Pixels come through `lib.compose` (stacks, before and after the alignment) and from the exported
volume; where nothing was imaged the picture is transparent.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.lib import geometry
from scripts.lib.arrays import Bytes
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet
from scripts.lib.volumes.multiscale import Level

WIDTH_PX = 1200  # of a picture that fills the page
MOST_LAYERS = 600  # in a section across layers
SEAM_PX = 120  # side of the enlarged part of a seam, specimen px
INK = (213, 94, 0)  # vermilion, of outlines

Layers = Callable[[int], TileSet]  # tiles of one layer


@dataclass(frozen=True)
class Shown:
    """One picture of the page."""

    uri: str
    width_px: int
    height_px: int
    title: str
    caption: str = ""
    pixelated: bool = False  # shown without smoothing
    wide: bool = False  # a row of its own


def png(picture: Picture) -> bytes:
    """Encode as grey with transparency (transparent = no data)."""
    grey = np.clip(np.rint(picture.pixels), 0, 255).astype(np.uint8)
    stacked = np.dstack([grey, picture.mask.astype(np.uint8) * 255])
    out = io.BytesIO()
    Image.fromarray(stacked, "LA").save(out, "PNG", optimize=True)
    return out.getvalue()


def shown(
    picture: Picture, title: str, caption: str = "", *, pixelated: bool = False, wide: bool = False
) -> Shown:
    """Make a picture of the page."""
    h, w = picture.mask.shape
    return Shown(_uri(png(picture)), w, h, title, caption, pixelated, wide)


def _uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def stretch(picture: Picture, low: float, high: float) -> Picture:
    """Spread grey values low..high over 0..255."""
    scaled = (picture.pixels - low) * (255 / max(high - low, 1e-6))
    return Picture(np.asarray(scaled, np.float32), picture.mask)


def contrast(pictures: Iterable[Picture]) -> tuple[float, float]:
    """Return the grey values of the 0.1th and 99.9th percentile over all pictures."""
    values = [picture.pixels[picture.mask] for picture in pictures]
    pooled = np.concatenate(values) if values else np.empty(0)
    if not pooled.size:
        return 0.0, 255.0
    low, high = np.percentile(pooled, [0.1, 99.9])
    return float(low), float(high)


# ---------------------------------------------------------------------------------------------
# from stacks
# ---------------------------------------------------------------------------------------------


def layer(tiles: TileSet, box: Box, *, scale: float, blend: str = "last") -> Picture:
    """Render one layer inside `box`."""
    box = boxes.whole(box, scale)
    return compose.render(compose.place(tiles), box, scale=scale, blend=blend)


def section(layers: Layers, z: Sequence[int], box: Box, *, y: float, scale: float) -> Picture:
    """Cut across layers: the line `y` of each layer, one row of the picture per layer in `z`."""
    line = boxes.of_pixels(box.x0, y, 1, boxes.shape(box, scale)[1], scale)
    rows = [compose.render(compose.place(layers(k)), line, scale=scale, blend="last") for k in z]
    return Picture(
        np.concatenate([row.pixels for row in rows]),
        np.concatenate([row.mask for row in rows]),
    )


def tall(picture: Picture, factor: float) -> Picture:
    """Repeat rows so that a layer is as thick as it should be beside the pixel size."""
    n = max(1, round(len(picture.mask) * factor))
    at = np.minimum((np.arange(n) / factor).astype(int), len(picture.mask) - 1)
    return Picture(picture.pixels[at], picture.mask[at])


def joined(each: Sequence[Picture], gap_px: int, *, axis: int) -> Picture:
    """Lay pictures side by side (axis 1) or below each other (0) with a gap without data."""
    across = 1 - axis
    size = max(picture.mask.shape[across] for picture in each)
    parts = []
    for number, picture in enumerate(each):
        pads = [(0, 0), (0, 0)]
        pads[across] = (0, size - picture.mask.shape[across])
        pads[axis] = (gap_px if number else 0, 0)
        parts.append((np.pad(picture.pixels, pads), np.pad(picture.mask, pads)))
    pixels, masks = zip(*parts, strict=True)
    return Picture(np.concatenate(pixels, axis), np.concatenate(masks, axis))


def enlarge(picture: Picture, factor: int) -> Picture:
    """Enlarge by whole pixels."""
    return Picture(
        np.kron(picture.pixels, np.ones((factor, factor), np.float32)),
        np.kron(picture.mask, np.ones((factor, factor), bool)),
    )


def shrink(picture: Picture, width_px: int) -> Picture:
    """Average down to at most `width_px`."""
    h, w = picture.mask.shape
    if w <= width_px:
        return picture
    size = (width_px, max(1, round(h * width_px / w)))
    return Picture(
        np.asarray(cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA), np.float32),
        cv2.resize(picture.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0,
    )


def middle_layers(z: Sequence[int]) -> list[int]:
    """Return at most `MOST_LAYERS` layers without a gap, from the middle of the stack."""
    if len(z) <= MOST_LAYERS:
        return list(z)
    start = (len(z) - MOST_LAYERS) // 2
    return list(z[start : start + MOST_LAYERS])


def seam(placed: Sequence[Placed]) -> Box | None:
    """Return a small box on the border of two overlapping tiles of a layer; None without overlap.

    The tile with the greater id, the right or lower one, lies on top: a step shows at its edge.
    """
    overlaps = [
        Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))
        for a, b in itertools.combinations((one.tile.box for one in placed), 2)
        if a.intersects(b)
    ]
    if not overlaps:
        return None
    widest = max(overlaps, key=lambda box: box.width * box.height)
    # two thirds along the seam, where no third tile takes part
    along = (widest.x0 + widest.width * 0.66, widest.y0 + widest.height * 0.66)
    upright = widest.height > widest.width
    x, y = (widest.x0, along[1]) if upright else (along[0], widest.y0)
    return boxes.of_pixels(x - SEAM_PX / 2, y - SEAM_PX / 2, SEAM_PX, SEAM_PX, 1.0)


def outlined(picture: Picture, placed: Sequence[Placed], box: Box, scale: float) -> Bytes:
    """Draw the tiles' outlines over a picture of a layer; (h, w, 3) red, green, blue."""
    canvas = np.dstack([np.clip(np.rint(picture.pixels), 0, 255).astype(np.uint8)] * 3)
    canvas[~picture.mask] = 255
    for one in placed:
        corner = geometry.corners(one.tile.width, one.tile.height)[[0, 1, 3, 2]]
        world = (one.chain.apply(corner) - [box.x0, box.y0]) * scale
        polygon = np.rint(world * 8).astype(np.int32)
        cv2.polylines(canvas, [polygon], True, INK, 1, cv2.LINE_AA, shift=3)
    return np.asarray(canvas, np.uint8)


def color(canvas: Bytes, title: str, caption: str = "") -> Shown:
    """Make a picture of the page from (h, w, 3) red, green, blue."""
    out = io.BytesIO()
    Image.fromarray(canvas).save(out, "PNG", optimize=True)
    return Shown(_uri(out.getvalue()), canvas.shape[1], canvas.shape[0], title, caption, wide=True)


# ---------------------------------------------------------------------------------------------
# from the exported volume
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slices:
    """Three slices through the middle of a volume, (z, y), (z, x) and (y, x) planes."""

    xy: Picture
    xz: Picture
    zy: Picture


def slices(level: Level, *, most_layers: int = MOST_LAYERS) -> Slices:
    """Cut a level of the exported volume through its middle.

    The slice in x and z lies at 7/10 of the height, clear of the middle seam.
    """
    depth, height, width = level.shape_zyx
    z, y, x = depth // 2, min(height - 1, height * 7 // 10), width // 2
    start = max(0, (depth - most_layers) // 2)
    every = slice(start, min(depth, start + most_layers))
    return Slices(
        xy=_plane(level.read((slice(z, z + 1), slice(0, height), slice(0, width)))[0]),
        xz=_plane(level.read((every, slice(y, y + 1), slice(0, width)))[:, 0]),
        zy=_plane(level.read((every, slice(0, height), slice(x, x + 1)))[:, :, 0].T),
    )


def contact(level: Level, count: int = 8) -> list[tuple[int, Picture]]:
    """Return `count` evenly spaced layers of a level of the exported volume, with their z index."""
    depth, height, width = level.shape_zyx
    at = np.unique(np.linspace(0, depth - 1, count + 2).astype(int)[1:-1])
    whole = (slice(0, height), slice(0, width))
    return [(int(z), _plane(level.read((slice(int(z), int(z) + 1), *whole))[0])) for z in at]


def _plane(values: NDArray[np.generic]) -> Picture:
    """Turn voxels into a picture; 0 = nothing was rendered there."""
    pixels = values.astype(np.float32)
    return Picture(pixels, pixels > 0)
