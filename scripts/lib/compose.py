"""L1 · Compose: tiles to pixels of a box, the one rendering path.

Matching, correlation, export, report and the service's images all come through `render`. Every
output pixel asks, by the inverse of a tile's transforms, where in the tile's own pixels it lies,
and interpolates there linearly: one resampling, no mesh.

Accuracy: OpenCV 5 interpolates float32 maps exactly (4.x rounded them to 1/32 px); coordinates are
float64 until they are handed over as float32, whose step is 0.001 px at 10,000 px. A scan
correction moves one axis as a function of itself; its inverse is tabulated every 1/4 px, which
leaves h**2/8 * |g''| < 0.001 px. A test holds the whole path to 0.02 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib import filters, geometry, pixels
from scripts.lib.geometry import Array, Box
from scripts.lib.records import TileSet, TileSpec
from scripts.lib.transforms import Affine, Chain, Transform

Image = NDArray[np.generic]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Source = Callable[[TileSpec, int], tuple[Image, Image | None]]

_TABLE_STEP = 0.25  # px between the nodes of a tabulated inverse
_PIXELS_AT_ONCE = 1 << 16  # output px: their maps stay in the cache, a quarter faster
_FUZZ = 1e-6  # px by which a coordinate may miss the tile through rounding
_EDGE_WEIGHT = 1e-3  # px; a border pixel counts only where no other tile has data


@dataclass(frozen=True)
class Placed:
    """A tile with the transforms that take its raw full-scale pixels to the output frame."""

    tile: TileSpec
    chain: Chain


@dataclass(frozen=True, eq=False)
class Picture:
    """Rendered pixels: ``pixels`` (h, w) float32, ``mask`` (h, w) False where no tile has data."""

    pixels: Float32
    mask: Bool


@dataclass(frozen=True, eq=False)
class _Patch:
    """What one tile gives to the output: a window of it, values, weights (0 = no data)."""

    window: tuple[slice, slice]
    values: Float32
    weights: Float32


def place(tiles: TileSet) -> list[Placed]:
    """Give all tiles with their whole chains (raw pixels to world), sorted by tile id."""
    return [
        Placed(tile, tiles.chain(tile)) for tile in sorted(tiles.tiles, key=lambda t: t.tile_id)
    ]


def place_layers(tiles: TileSet) -> dict[int, list[Placed]]:
    """Give `place` of each layer, by z in ascending order; z without tiles are absent."""
    out: dict[int, list[Placed]] = {}
    for one in sorted(place(tiles), key=lambda one: one.tile.z):
        out.setdefault(round(one.tile.z), []).append(one)
    return out


def file_source(tile: TileSpec, level: int) -> tuple[Image, Image | None]:
    """Read image, its filters applied, and mask of `tile` at a mipmap level from its URLs."""
    shape = (tile.height, tile.width)
    image = filters.unrounded(pixels.read_image(tile.image_url, level), tile, level)
    return image, pixels.read_mask(tile.mask_url, shape, level)


def render(
    placed: Sequence[Placed],
    box: Box,
    *,
    scale: float = 1.0,
    blend: str = "feather",
    source: Source | None = None,
) -> Picture:
    """Render the tiles inside `box`.

    Output pixel (i, j) shows ``(box.x0 + i / scale, box.y0 + j / scale)`` of the output frame; the
    size is ``trunc(scale * width)`` by ``trunc(scale * height)``. Source pixels come from the
    mipmap level of `pixels.level_for`. Nothing outside a tile's pixel centres is shown.

    Parameters
    ----------
    placed
        Tiles in any order; they are drawn in order of their ids.
    box
        Part of the output frame, px.
    scale
        Output pixels per px of the frame.
    blend
        ``"last"``: the tile with the greatest id wins. ``"feather"``: weighted mean, weight =
        distance to the border of the tile's own unmasked area in source px, so seams vanish.
    source
        Gives image and mask (0 = no data; None = all data) of a tile at a level.

    Raises
    ------
    ValueError
        For an unknown `blend` or a scale that is not positive.
    """
    if blend not in _BLENDS:
        raise ValueError(f"blend must be one of {sorted(_BLENDS)}, found {blend!r}")
    level = pixels.level_for(scale)
    shape = (math.trunc(scale * box.height), math.trunc(scale * box.width))
    ordered = sorted(placed, key=lambda one: one.tile.tile_id)
    patches = (_patch(one, box, scale, shape, level, source or file_source) for one in ordered)
    return _BLENDS[blend]((patch for patch in patches if patch is not None), shape)


def canvas(
    tiles: TileSet,
    tile: TileSpec,
    *,
    scale: float,
    clip: Box | None = None,
    source: Source | None = None,
) -> tuple[Picture, tuple[float, float]]:
    """Render one tile in its matching frame: the scan correction alone, no stage transform.

    Pixel (i, j) shows ``(x + i / scale, y + j / scale)`` of the matching frame, where (x, y) is the
    second result: full-scale px, integers. The frame's origin is the raw tile's, not the corner of
    its box, so that a match point goes to the world by the tile's last transform alone. `clip`
    (full-scale px of the frame) cuts the canvas.
    """
    chain = tiles.scan_chain(tile)
    box = matching_box(tile, chain)
    if clip is not None:
        box = Box(
            max(box.x0, math.floor(clip.x0)),
            max(box.y0, math.floor(clip.y0)),
            min(box.x1, math.ceil(clip.x1)),
            min(box.y1, math.ceil(clip.y1)),
        )
    picture = render([Placed(tile, chain)], box, scale=scale, blend="last", source=source)
    return picture, (box.x0, box.y0)


def matching_box(tile: TileSpec, scan_chain: Chain) -> Box:
    """Give the box of `tile` in its matching frame: whole px around all its pixel centres."""
    border = _border(tile.width, tile.height)
    low, high = _extent(scan_chain.apply(border))
    return Box(
        math.floor(low[0] + _FUZZ),
        math.floor(low[1] + _FUZZ),
        math.floor(high[0] + _FUZZ) + 1,
        math.floor(high[1] + _FUZZ) + 1,
    )


# ---------------------------------------------------------------------------------------------
# one tile
# ---------------------------------------------------------------------------------------------


def _patch(
    one: Placed, box: Box, scale: float, shape: tuple[int, int], level: int, source: Source
) -> _Patch | None:
    tile = one.tile
    window = _window(one, box, scale, shape)
    if window is None:
        return None
    # a tile smaller than the level has no such level: the deepest that holds a pixel serves
    level = min(level, min(tile.width, tile.height).bit_length() - 1)
    image, mask = source(tile, level)
    border = None if mask is None else _border_distance(mask)
    rows, columns = window
    x = box.x0 + np.arange(columns.start, columns.stop) / scale
    values = np.empty((rows.stop - rows.start, len(x)), np.float32)
    weights = np.empty_like(values)
    step = max(1, _PIXELS_AT_ONCE // len(x))
    for first in range(0, len(values), step):
        part = slice(first, min(first + step, len(values)))
        y = box.y0 + np.arange(rows.start + part.start, rows.start + part.stop) / scale
        at_x, at_y = inverse_maps(one.chain, x, y, tile.width, tile.height)
        inside = _inside(at_x, at_y, image.shape, level)
        to_x, to_y = _to_level(at_x, level), _to_level(at_y, level)
        values[part], full = _interpolate(image, mask, to_x, to_y)
        if full is not None:
            inside &= full
        distance = (
            _rectangle_distance(at_x, at_y, tile)
            if border is None
            else (_remap(border, to_x, to_y) - 1) * np.float32(1 << level)
        )
        weights[part] = inside * (np.maximum(distance, 0) + np.float32(_EDGE_WEIGHT))
    return _Patch(window, values, weights)


def _window(
    one: Placed, box: Box, scale: float, shape: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns of the output that the tile can reach, one pixel of margin."""
    low, high = _extent(one.chain.apply(_border(one.tile.width, one.tile.height)))
    origin = np.array([box.x0, box.y0])
    first = np.maximum(np.floor((low - origin) * scale) - 1, 0).astype(int)
    last = np.minimum(np.ceil((high - origin) * scale) + 2, shape[::-1]).astype(int)
    if (first >= last).any():
        return None
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


def _border(width: int, height: int) -> Array:
    """Points along the border of the pixel centres, at most 16 px apart."""
    x = np.linspace(0, width - 1, 2 + width // 16)
    y = np.linspace(0, height - 1, 2 + height // 16)
    return np.concatenate(
        [
            np.column_stack([x, np.zeros_like(x)]),
            np.column_stack([x, np.full_like(x, height - 1)]),
            np.column_stack([np.zeros_like(y), y]),
            np.column_stack([np.full_like(y, width - 1), y]),
        ]
    )


def _extent(xy: Array) -> tuple[Array, Array]:
    return xy.min(axis=0), xy.max(axis=0)


def inverse_maps(chain: Chain, x: Array, y: Array, width: int, height: int) -> tuple[Array, Array]:
    """Give raw pixel coordinates of the grid of output coordinates `x` (n,) by `y` (m,).

    Returns two (m, n) float64 maps, x and y. `width` and `height` of the raw tile bound the part of
    the plane where the inverse must be exact; outside it the maps only stay outside the tile.
    """
    at_x: Array = np.broadcast_to(x, (len(y), len(x)))
    at_y: Array = np.broadcast_to(y[:, None], (len(y), len(x)))
    pending: Array | None = None
    domains = _domains(chain, width, height)
    for part, domain in zip(reversed(chain.parts), reversed(domains), strict=True):
        if isinstance(part, Affine):
            step = geometry.invert(part.matrix)
            pending = step if pending is None else geometry.compose(step, pending)
            continue
        at_x, at_y = _moved(pending, at_x, at_y)
        pending = None
        at_x, at_y = _undo(part, at_x, at_y, domain)
    return _moved(pending, at_x, at_y)


def _moved(affine: Array | None, at_x: Array, at_y: Array) -> tuple[Array, Array]:
    if affine is None:
        return at_x, at_y
    (a, b, c), (d, e, f) = affine
    return a * at_x + (b * at_y + c), d * at_x + (e * at_y + f)


def _domains(chain: Chain, width: int, height: int) -> list[tuple[Array, Array]]:
    """Low and high corner of the tile, one px wider, at the input of each part of `chain`."""
    points = _border(width + 2, height + 2) - 1
    domains = []
    for part in chain.parts:
        domains.append(_extent(points))
        points = part.apply(points)
    return domains


def _undo(
    part: Transform, at_x: Array, at_y: Array, domain: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Invert `part`, which moves one axis as a function of itself, by a table of its inverse."""
    axis = getattr(part, "axis", None)
    if axis is None:
        flat = part.invert(np.column_stack([at_x.ravel(), at_y.ravel()]))
        return flat[:, 0].reshape(at_x.shape), flat[:, 1].reshape(at_x.shape)
    ends = np.zeros((2, 2))
    ends[:, axis] = domain[0][axis], domain[1][axis]
    low, high = part.apply(ends)[:, axis]
    grid = at_x if axis == 0 else at_y
    low, high = max(low, float(grid.min())), min(high, float(grid.max()))
    if low >= high:
        low, high = part.apply(ends)[:, axis]
    moved = _by_table(part, axis, grid, low, high)
    return (moved, at_y) if axis == 0 else (at_x, moved)


def _by_table(part: Transform, axis: int, grid: Array, low: float, high: float) -> Array:
    """Inverse of `part` at `grid` inside [low, high]; slope 1 beyond, where the tile is not."""
    n = math.ceil((high - low) / _TABLE_STEP) + 1
    nodes = np.zeros((n + 1, 2))
    step = (high - low) / (n - 1) if n > 1 else 1.0
    nodes[:, axis] = low + step * np.arange(n + 1)
    nodes[-1, axis] = high  # the spare node only keeps the last index in range
    table = part.invert(nodes)[:, axis]
    clipped = np.clip(grid, low, high)
    at = (clipped - low) / step
    index = at.astype(np.int32)
    rise = np.diff(table)
    return table[index] + rise[index] * (at - index) + (grid - clipped)


def _to_level(full: Array, level: int) -> Float32:
    """Full-scale coordinate to a coordinate of the level image, half-pixel term included."""
    return ((full - ((1 << level) - 1) / 2) / (1 << level)).astype(np.float32)


def _inside(at_x: Array, at_y: Array, shape: tuple[int, ...], level: int) -> Bool:
    """Where the coordinates lie between the tile's first and last pixel centre.

    An odd last row that the level does not hold is outside; the half level pixel between the
    tile's border and the first centre of the level is inside, and takes that centre's value.
    """
    right, bottom = ((n << level) - 1 + _FUZZ for n in shape[1::-1])
    inside: Bool = (at_x >= -_FUZZ) & (at_x <= right) & (at_y >= -_FUZZ) & (at_y <= bottom)
    return inside


def _interpolate(
    image: Image, mask: Image | None, at_x: Float32, at_y: Float32
) -> tuple[Float32, Bool | None]:
    """Values by linear interpolation, and where all pixels that take part are unmasked."""
    crop, x0, y0 = _needed(image.shape, at_x, at_y)
    at_x, at_y = at_x - np.float32(x0), at_y - np.float32(y0)
    values = _remap(image[crop], at_x, at_y)
    if mask is None:
        return values, None
    return values, _remap(_unmasked(mask)[crop], at_x, at_y) > 1 - 1e-4


def _unmasked(mask: Image) -> NDArray[np.uint8]:
    """1 where the whole level pixel is unmasked (True, or 255 of 255), else 0."""
    return np.equal(mask, True if mask.dtype == bool else 255).astype(np.uint8)


def _needed(
    shape: tuple[int, ...], at_x: Float32, at_y: Float32
) -> tuple[tuple[slice, slice], int, int]:
    """Part of the source that the maps touch: the rest need not become float32."""
    x0 = int(np.clip(math.floor(at_x.min()) - 1, 0, shape[1] - 1))
    y0 = int(np.clip(math.floor(at_y.min()) - 1, 0, shape[0] - 1))
    x1 = int(np.clip(math.ceil(at_x.max()) + 2, x0 + 1, shape[1]))
    y1 = int(np.clip(math.ceil(at_y.max()) + 2, y0 + 1, shape[0]))
    return (slice(y0, y1), slice(x0, x1)), x0, y0


def _remap(image: Image, at_x: Float32, at_y: Float32) -> Float32:
    source = np.ascontiguousarray(image, dtype=np.float32)
    out = cv2.remap(source, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32)


def _rectangle_distance(at_x: Array, at_y: Array, tile: TileSpec) -> Float32:
    """Distance to the outermost pixel centres of an unmasked tile, source px."""
    near_x = np.minimum(at_x, tile.width - 1 - at_x)
    near_y = np.minimum(at_y, tile.height - 1 - at_y)
    return np.minimum(near_x, near_y).astype(np.float32)


def _border_distance(mask: Image) -> Float32:
    """Distance of each unmasked pixel to the nearest that is not, level px; the outermost 1."""
    ring = cv2.copyMakeBorder(_unmasked(mask), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    field = cv2.distanceTransform(ring, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.ascontiguousarray(field[1:-1, 1:-1], np.float32)


# ---------------------------------------------------------------------------------------------
# several tiles
# ---------------------------------------------------------------------------------------------


def _last(patches: Iterable[_Patch], shape: tuple[int, int]) -> Picture:
    """Later tiles overwrite earlier ones wherever they have data."""
    out, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for patch in patches:
        has = patch.weights > 0
        np.copyto(out[patch.window], patch.values, where=has)
        mask[patch.window] |= has
    return Picture(out, mask)


def _feather(patches: Iterable[_Patch], shape: tuple[int, int]) -> Picture:
    """Weighted mean of all tiles that have data."""
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for patch in patches:
        total[patch.window] += patch.weights * patch.values
        weight[patch.window] += patch.weights
    mask = weight > 0
    np.divide(total, weight, out=total, where=mask)
    return Picture(total, mask)


_BLENDS: dict[str, Callable[[Iterable[_Patch], tuple[int, int]], Picture]] = {
    "last": _last,
    "feather": _feather,
}
