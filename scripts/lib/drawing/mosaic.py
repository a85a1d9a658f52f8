"""Mosaic: the tiles of a layer drawn as integers in one compiled pass, the export's rendering path.

There are two rendering paths. `compose.render` (OpenCV, float32) serves everything that looks at
single pictures: any chain of transforms, any mask, any source of pixels, cubic interpolation. This
one serves `compose.prepare`, and so the export, with whole numbers: about five times as fast
(4 tiles of 2,048² with affines, feathered: see `make bench`), but for linear interpolation of tiles
that are moved by affines, before them by a scan correction or not. Both show the same, which
tests/lib/drawing/test_contract.py holds together for all kinds of transforms, masks, filters and
blending: here values are rounded once (and filtered values clipped before they are interpolated,
not after), places to 2^-23 px, and affines so that they err by less than 0.002 px over a tile.

Row by row the tiles' borders cut the output into pieces; where one tile alone has data it is
interpolated straight into the output, and only elsewhere weights are computed. What a pixel shows
does not depend on the area that is drawn.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array, Bool, Image, Int32, Int64
from scripts.lib.drawing import filters, masks, pixels, warp
from scripts.lib.drawing.maps import BITS, FUZZ_PX, ONE, Grid, Placed, Window
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import AxisOffset, Chain

if TYPE_CHECKING:
    from scripts.lib.drawing import kernels

_WEIGHT_STEPS = 256  # per px
_NO_TABLE = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A layer as integers: ``pixels`` (h, w), 0 where no tile has data.

    ``spans`` (h, n, 2): see `scripts.lib.drawing.spans`.
    """

    pixels: Image
    spans: Int32

    def rows(self, part: slice) -> Drawn:
        """Return some rows.

        Parameters
        ----------
        part
            Rows, in steps of one.

        Returns
        -------
        Drawn
            Views.
        """
        return Drawn(self.pixels[part], self.spans[part])

    @property
    def mask(self) -> Bool:
        """Return where there is data.

        Returns
        -------
        Bool
            (h, w), False where no tile has data.
        """
        from scripts.lib.drawing import spans  # a second to import

        return spans.mask_of(self.spans, self.pixels.shape[1])


@dataclass(frozen=True, eq=False)
class _Distortion:
    """The distortion table of a scan correction: where in the image one axis of a place lies.

    Node k lies at ``first + (k << (BITS - level))``, once per full-scale pixel; integers, times
    ONE.
    """

    axis: int = 0  # 0 = x, 1 = y
    first: int = 0
    table: Int64 = field(default_factory=lambda: _NO_TABLE)


@dataclass(frozen=True, eq=False)
class _Part:
    """What of a tile is drawn: rows and columns `crop` of a level, and where it goes."""

    tile: TileSpec
    crop: Window
    matrix: Int64  # (2, 3): column and row of the output to x, y of the crop, times ONE
    bounds: Int64  # (2, 2): lowest and highest x, y of `matrix` that have data, times ONE
    data: Int64  # (2, 2): the same of the crop, before its distortion
    distortion: _Distortion

    @property
    def shape(self) -> tuple[int, int]:
        """Return height and width of the crop."""
        rows, columns = self.crop
        return rows.stop - rows.start, columns.stop - columns.start


def _split(chain: Chain) -> tuple[AxisOffset | None, Array] | None:
    """Return scan correction of a chain, and the affine of the rest; None for any other chain."""
    offset = chain.parts[0] if chain.parts and isinstance(chain.parts[0], AxisOffset) else None
    affine = Chain(chain.parts[1:] if offset else chain.parts).as_affine()
    return None if affine is None else (offset, affine)


def suits(placed: Sequence[Placed], level: int) -> bool:
    """Tell whether a `Layer` can show the tiles.

    They must be moved by an affine, before which a scan correction may move one axis, and must have
    no masks but boxes.

    Parameters
    ----------
    placed
        The tiles.
    level
        Mipmap level to read.

    Returns
    -------
    bool
        Whether all can be shown.
    """
    return all(
        _split(one.chain) is not None
        and min(one.tile.width, one.tile.height) >> level > 0
        and not masks.is_picture(one.tile.mask_url)
        for one in placed
    )


@dataclass(frozen=True, eq=False)
class Layer:
    """Tiles that are read and wait to be drawn, as many rows at a time as are wanted."""

    shape: tuple[int, int]
    dtype: str
    _last: bool
    _parts: Sequence[_Part]
    _pool: Image  # the pixels of all parts, behind each other
    _level: int
    _column: int  # first of the picture, in the whole volume

    @functools.cached_property
    def _tiles(self) -> kernels.Tiles:
        """The parts as the kernel takes them: laid out once, not for each band of rows."""
        from scripts.lib.drawing import kernels  # a second to import

        shapes = [one.shape for one in self._parts]
        tables = [one.distortion.table for one in self._parts]
        ends = np.cumsum([0, *(table.size for table in tables)])
        rows = zip(ends, ends[1:], (one.distortion for one in self._parts), strict=False)
        return kernels.Tiles(
            self._pool,
            np.cumsum([0, *(h * w for h, w in shapes)])[:-1],
            _stacked(shapes, 2),
            _stacked([one.matrix for one in self._parts], 2, 3),
            _stacked([one.bounds for one in self._parts], 2, 2),
            _stacked([one.data for one in self._parts], 2, 2),
            np.concatenate([_NO_TABLE, *tables]),
            _stacked([(a, b, one.first, one.axis) for a, b, one in rows], 4),
        )

    def rows(self, part: slice) -> Drawn:
        """Draw some rows.

        Parameters
        ----------
        part
            Rows of the picture, in steps of one.

        Returns
        -------
        Drawn
            These rows, (n, w) of the type that was asked for.
        """
        from scripts.lib.drawing import kernels  # a second to import

        first, end, _ = part.indices(self.shape[0])
        out = np.empty((end - first, self.shape[1]), self.dtype)
        spans = np.empty((end - first, len(self._parts), 2), np.int32)
        scale = np.float32((1 << self._level) / _WEIGHT_STEPS)
        view = kernels.View(first, self._column, BITS - self._level, scale, self._last)
        kernels.draw(self._tiles, view, out, spans)
        return Drawn(out, spans)


def prepare(
    placed: Sequence[Placed], grid: Grid, level: int, *, last: bool, dtype: str
) -> Layer | None:
    """Read tiles that are to be drawn, later ones over earlier ones.

    Parameters
    ----------
    placed
        Tiles that `suits` is true for.
    grid
        The output.
    level
        Mipmap level to read.
    last
        The last tile that has data is shown; else a mean of all, weighted by the distance to the
        borders of their data.
    dtype
        Of the output: ``"uint8"`` or ``"uint16"``.

    Returns
    -------
    Layer or None
        None when a tile without filters is stored in another type, or not at this level.
    """
    parts = [part for one in placed if (part := _part(one, grid, level)) is not None]
    pool = _pool(parts, level, dtype)
    column = round(grid.box.x0 * grid.scale)
    return None if pool is None else Layer(grid.shape, dtype, last, parts, pool, level, column)


def _pool(parts: Sequence[_Part], level: int, dtype: str) -> Image | None:
    """Read the crops of all parts behind each other: float32 where there are filters."""
    filtered = any(filters.filters_of(part.tile) for part in parts)
    sizes = [math.prod(part.shape) for part in parts]
    pool = np.empty(sum(sizes), np.float32 if filtered else dtype)
    for part, piece in zip(parts, np.split(pool, np.cumsum(sizes)), strict=False):
        view = piece.reshape(part.shape)
        if filtered:
            image = warp.read(part.tile, level, part.crop)
            np.clip(image, 0, np.iinfo(dtype).max, out=view, casting="unsafe")
        elif not pixels.read_into(view, part.tile.image_url, level, part.crop):
            return None
    return pool


def _stacked(values: Sequence[Any], *shape: int) -> Int64:
    return np.reshape(np.array(values, np.int64), (-1, *shape))


def _part(one: Placed, grid: Grid, level: int) -> _Part | None:
    window, split = warp.reached(one, grid), _split(one.chain)
    if window is None or split is None:
        return None
    offset, affine = split
    crop = _crop(one.tile, offset, affine, grid, window, level)
    corner = np.array([crop[1].start, crop[0].start], np.int64) * ONE
    shift, unit = ((1 << level) - 1) / 2, 1 << level
    found = warp.data_of(one.tile, level, masked=one.tile.mask_url)
    limits = np.array([found.low - FUZZ_PX, found.high + FUZZ_PX])
    matrix, data = _matrix(affine, one.tile, grid, level), _fixed((limits - shift) / unit) - corner
    if offset is None:
        matrix[:, 2] -= corner
        return _Part(one.tile, crop, matrix, data, data, _Distortion())
    first, table = _undone(offset, (one.tile.width, one.tile.height)[offset.axis], level)
    distortion = _Distortion(offset.axis, first, table - corner[offset.axis])
    straight = np.where(np.arange(2) == offset.axis, 0, corner)  # the table holds the other
    matrix[:, 2] -= straight
    bounds = _fixed((offset.apply(limits) - shift) / unit) - straight
    return _Part(one.tile, crop, matrix, bounds, data, distortion)


def _crop(
    tile: TileSpec,
    offset: AxisOffset | None,
    affine: Array,
    grid: Grid,
    window: Window,
    level: int,
) -> Window:
    """Return the rows and columns of the level that the window touches: the rest is not read.

    The corners of the window tell, for both axes go steadily on between them.
    """
    rows, columns = (np.array([part.start, part.stop - 1], float) for part in window)
    corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    at = geometry.apply(geometry.compose(geometry.invert(affine), grid.to_frame), corners)
    size = np.array([tile.width, tile.height])
    if offset is not None:
        ends = offset.apply(np.array([[-1.0, -1.0], size]))
        at = offset.invert(np.clip(at, ends[0], ends[1]))
    at = (at - ((1 << level) - 1) / 2) / (1 << level)
    low = np.clip(np.floor(at.min(axis=0)) - 1, 0, (size >> level) - 1).astype(int)
    high = np.clip(np.ceil(at.max(axis=0)) + 2, low + 1, size >> level).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


@functools.lru_cache(maxsize=64)  # all tiles of a volume share a few corrections
def _undone(offset: AxisOffset, size: int, level: int) -> tuple[int, Int64]:
    """Tabulate the inverse of a correction for a tile of `size` px along its axis, times ONE.

    Return the first node and the value at each, both px of the level.
    """
    ends = offset.apply(np.array([[-2.0, -2.0], [size + 1.0, size + 1.0]]))[:, offset.axis]
    nodes = np.arange(math.floor(ends[0]), math.ceil(ends[1]) + 1, dtype=float)
    at = np.zeros((len(nodes), 2))
    at[:, offset.axis] = nodes
    shift, unit = ((1 << level) - 1) / 2, 1 << level
    first = int(_fixed((nodes[:1] - shift) / unit)[0])
    return first, _fixed((offset.invert(at)[:, offset.axis] - shift) / unit)


def _matrix(affine: Array, tile: TileSpec, grid: Grid, level: int) -> Int64:
    """Return the map from column and row of the output to x, y of a level, times ONE.

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
    return np.rint(values * ONE).astype(np.int64)
