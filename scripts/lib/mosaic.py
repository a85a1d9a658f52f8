"""L1 · Mosaic: the tiles of a layer drawn as integers in one compiled pass, for exports.

The same picture as `compose.render` gives in float32, rounded once. Row by row the tiles' borders
cut the output into pieces; where one tile alone has data it is interpolated straight into the
output, and only elsewhere weights are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import filters, geometry, pixels, warp
from scripts.lib.geometry import Array
from scripts.lib.maps import Grid, Locator, Placed, Window, locator
from scripts.lib.records import TileSpec
from scripts.lib.warp import INTERPOLATIONS, Source

Image = NDArray[Any]

_FUZZ_PX = 1e-3  # by which a place may miss the tile through rounding; as in `warp`


@dataclass(frozen=True, eq=False)
class _Part:
    """What of a tile is drawn: rows and columns `crop` of a level, and where it goes."""

    tile: TileSpec
    level: int
    crop: Window
    matrix: Array  # (2, 3): column and row of the output to x, y of the crop
    data: Array  # (2, 2): lowest and highest x, y of the crop that have data


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
        np.reshape([part.matrix for part in parts], (-1, 2, 3)),
        np.reshape([part.data for part in parts], (-1, 2, 2)),
        np.float32(1 << level),
        last,
        out,
        mask,
    )
    return out, mask


def _part(one: Placed, grid: Grid, level: int) -> _Part | None:
    window = warp.reached(one, grid)
    if window is None:
        return None
    tile = one.tile
    found: Locator = locator(one, grid, window, level)
    crop = warp.needed(found, window, tile, level, INTERPOLATIONS["linear"])
    affine = one.chain.as_affine()
    assert affine is not None  # said by `suits`
    # the half-pixel term: level pixel v is centred on full-scale pixel 2^k v + (2^k - 1) / 2
    shift, unit = ((1 << level) - 1) / 2, 1 << level
    zero = np.array([crop[1].start, crop[0].start], float)
    matrix = geometry.compose(geometry.invert(affine), grid.to_frame) / unit
    matrix[:, 2] -= shift / unit + zero
    data = warp.data_of(tile, level, masked=tile.mask_url)
    limits = (np.array([data.low - _FUZZ_PX, data.high + _FUZZ_PX]) - shift) / unit - zero
    return _Part(tile, level, crop, matrix, limits)
