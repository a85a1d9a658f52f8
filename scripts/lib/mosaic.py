"""L1 · Mosaic: the tiles of a layer drawn as integers in one compiled pass, for exports.

The same picture as `compose.render` gives in float32, rounded once. Row by row the tiles' borders
cut the output into pieces; where one tile alone has data it is interpolated straight into the
output, and only elsewhere weights are computed. Places are rounded to 2^-23 px and affines so that
they err by less than 0.002 px over a tile; what a pixel shows does not depend on the area that is
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import filters, geometry, pixels, warp
from scripts.lib.geometry import Array
from scripts.lib.maps import Grid, Placed, Window, locator
from scripts.lib.records import TileSpec
from scripts.lib.warp import INTERPOLATIONS, Source

Image = NDArray[Any]
Int64 = NDArray[np.int64]

_FUZZ_PX = 1e-3  # by which a place may miss the tile through rounding; as in `warp`
_ONE = 1 << 23  # of a pixel; see `kernels`
_WEIGHT_STEPS = 256  # per px


@dataclass(frozen=True, eq=False)
class _Part:
    """What of a tile is drawn: rows and columns `crop` of a level, and where it goes."""

    tile: TileSpec
    crop: Window
    matrix: Int64  # (2, 3): column and row of the output to x, y of the crop, times _ONE
    data: Int64  # (2, 2): lowest and highest x, y of the crop that have data, times _ONE


def suits(placed: Sequence[Placed], level: int, source: Source | None) -> bool:
    """Tell whether `draw` can show the tiles: affine, without filters, stored at this level."""
    return source is None and all(
        one.chain.as_affine() is not None
        and not filters.filters_of(one.tile)
        and min(one.tile.width, one.tile.height) >> level > 0
        for one in placed
    )


def draw(
    placed: Sequence[Placed], grid: Grid, level: int, *, last: bool, dtype: str
) -> tuple[Image, NDArray[np.bool_]] | None:
    """Draw tiles, later ones over earlier ones; None when a tile is stored in another type.

    Gives pixels and mask. `last`: the last tile that has data is shown, else a mean of all weighted
    by the distance to the borders of their data.
    """
    from scripts.lib import kernels  # a second to import

    parts = [part for one in placed if (part := _part(one, grid, level)) is not None]
    shapes = [tuple(span.stop - span.start for span in part.crop) for part in parts]
    ends = np.cumsum([0, *(h * w for h, w in shapes)])
    pool = np.empty(ends[-1], dtype)
    for part, shape, start, end in zip(parts, shapes, ends, ends[1:], strict=False):
        view = pool[start:end].reshape(shape)
        if not pixels.read_into(view, part.tile.image_url, level, part.crop):
            return None
    out, mask = np.empty(grid.shape, dtype), np.empty(grid.shape, bool)
    kernels.draw(
        pool,
        ends[:-1],
        np.reshape(np.array(shapes, np.int64), (-1, 2)),
        np.reshape(np.array([part.matrix for part in parts], np.int64), (-1, 2, 3)),
        np.reshape(np.array([part.data for part in parts], np.int64), (-1, 2, 2)),
        np.float32((1 << level) / _WEIGHT_STEPS),
        last,
        out,
        mask,
    )
    return out, mask


def _part(one: Placed, grid: Grid, level: int) -> _Part | None:
    window, affine = warp.reached(one, grid), one.chain.as_affine()
    if window is None or affine is None:
        return None
    found = locator(one, grid, window, level)
    crop = warp.needed(found, window, one.tile, level, INTERPOLATIONS["linear"])
    corner = np.array([crop[1].start, crop[0].start], np.int64) * _ONE
    matrix = _matrix(affine, one.tile, grid, level)
    matrix[:, 2] -= corner
    shift, unit = ((1 << level) - 1) / 2, 1 << level
    data = warp.data_of(one.tile, level, masked=one.tile.mask_url)
    limits = (np.array([data.low - _FUZZ_PX, data.high + _FUZZ_PX]) - shift) / unit
    return _Part(one.tile, crop, matrix, _fixed(limits) - corner)


def _matrix(affine: Array, tile: TileSpec, grid: Grid, level: int) -> Int64:
    """Give the map from column and row of the output to x, y of a level, times _ONE.

    It is rounded about the middle of the tile, on the grid of which every area's is a part: all
    areas have the same.
    """
    # the half-pixel term: level pixel v is centred on full-scale pixel 2^k v + (2^k - 1) / 2
    shift, unit = ((1 << level) - 1) / 2, 1 << level
    whole = geometry.compose(geometry.invert(affine), np.eye(2, 3) / grid.scale)
    exact = (whole - [[0, 0, shift], [0, 0, shift]]) / unit
    centre = geometry.apply(affine, np.array([[tile.width / 2, tile.height / 2]]))[0]
    anchor = np.rint(centre * grid.scale)
    corner = np.array([grid.box.x0, grid.box.y0]) * grid.scale
    first = np.rint(corner)
    linear = _fixed(exact[:, :2])
    offset = _fixed(exact[:, :2] @ anchor + exact[:, 2]) + linear @ (first - anchor).astype(int)
    offset += _fixed(exact[:, :2] @ (corner - first))  # 0 where areas are of whole pixels
    return np.column_stack([linear, offset])


def _fixed(values: Array) -> Int64:
    return np.rint(values * _ONE).astype(np.int64)
