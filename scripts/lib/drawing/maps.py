"""Maps: where in a raw tile the pixels of a window of the output lie.

An affine chain is an affine. A chain with a scan correction becomes maps that are exact on a coarse
grid and linear between: the grid is refined until its error, measured half-way between nodes, is
below `MAP_ERROR_PX`.

Accuracy: OpenCV 5 interpolates float32 maps exactly (4.x rounded them to 1/32 px); coordinates are
float64 until they are handed over, relative to the part of the tile that is read, as float32, whose
step is 0.0005 px at 4,000 px. A scan correction moves one axis as a function of itself; its inverse
is tabulated every 1/4 px, which leaves h**2/8 * |g''| < 0.001 px.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array, Float32
from scripts.lib.drawing.tabulated import quick
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import Affine, AxisOffset, Chain, Smooth

Window = tuple[slice, slice]  # rows, columns

MAP_ERROR_PX = 0.01  # of a map between its nodes, far below what a match can tell
FUZZ_PX = 1e-3  # by which a place may miss the tile through rounding: float32, up to 16,384 px
FUZZ_DOUBLE_PX = 1e-6  # the same of a place in float64
# compiled into `kernels`, whose machine code is kept until that file changes
BITS = 23  # of the fraction of a place as a whole number
ONE = 1 << BITS
EDGE_WEIGHT = 1e-3  # px; a border pixel counts only where no other tile has data
_COARSEST_PX = 16  # first distance of a map's nodes
_NARROW_PX = 128  # a strip of maps is not split any more
_BEND_PX = 128  # between rows where a map is tried; landmarks of splines are as far apart
_TABLE_STEP = 0.25  # px between the nodes of a tabulated inverse
_STRIP_PX = 1 << 16  # pixels whose maps are made at once, so that they stay in the cache


@dataclass(frozen=True)
class Placed:
    """A tile with the transforms that take its raw full-scale pixels to the output frame."""

    tile: TileSpec
    chain: Chain

    @functools.cached_property
    def extent(self) -> tuple[Array, Array]:
        """Return the low and the high corner (x, y) of the tile in the output frame.

        Returns
        -------
        tuple of Array
            Of all its pixel centres, px, each (2,).
        """
        return extent(self.chain.apply(border(self.tile.width, self.tile.height)))

    @functools.cached_property
    def inverse(self) -> Array | None:
        """Return the affine from the output frame to raw full-scale pixels.

        Returns
        -------
        Array or None
            (2, 3); None where the chain is no affine.
        """
        affine = self.chain.as_affine()
        return None if affine is None else geometry.invert(affine)


@dataclass(frozen=True)
class Grid:
    """Output pixels: (i, j) shows ``(box.x0 + i / scale, box.y0 + j / scale)``."""

    box: Box
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the output.

        Returns
        -------
        tuple of int
            (h, w): scale times the box's sides, truncated.
        """
        return math.trunc(self.scale * self.box.height), math.trunc(self.scale * self.box.width)

    @property
    def to_frame(self) -> Array:
        """Return the affine from (column, row) to the output frame.

        Returns
        -------
        Array
            (2, 3).
        """
        step = 1 / self.scale
        return np.array([[step, 0, self.box.x0], [0, step, self.box.y0]])


class Locator(Protocol):
    """Says where in the raw tile the pixels of a window lie."""

    def at(self, window: Window) -> tuple[Float32, Float32]:
        """Return where in the raw tile the output pixels of a window lie.

        Parameters
        ----------
        window
            Rows and columns of the output.

        Returns
        -------
        tuple of Float32
            x and y, each (h, w) of the window, full-scale px.
        """

    def sample(self, image: Float32, origin: tuple[int, int], window: Window, how: int) -> Float32:
        """Interpolate a level image at the output pixels of a window.

        Parameters
        ----------
        image
            (h, w) float32, part of a mipmap level.
        origin
            Level pixel (x, y) that is the first of `image`.
        window
            Rows and columns of the output.
        how
            OpenCV's number of the interpolation.

        Returns
        -------
        Float32
            (h, w) of the window; beyond the image its border goes on.
        """


def locator(one: Placed, grid: Grid, window: Window, level: int) -> Locator:
    """Choose and make the locator of a tile in a window of the output.

    Parameters
    ----------
    one
        The tile.
    grid
        The output.
    window
        Rows and columns of the output that will be asked for.
    level
        Mipmap level that will be sampled.

    Returns
    -------
    Locator
        By an affine where the chain is one, else by maps.
    """
    if one.inverse is not None:
        return _AffineLocator(geometry.compose(one.inverse, grid.to_frame), level)
    return _map_locator(one, grid, window, level)


@dataclass(frozen=True, eq=False)
class _AffineLocator:
    """Raw full-scale pixels by an affine of (column, row)."""

    matrix: Array
    level: int

    def at(self, window: Window) -> tuple[Float32, Float32]:
        """See `Locator`."""
        rows, columns = (np.arange(part.start, part.stop, dtype=float) for part in window)
        (a, b, c), (d, e, f) = self.matrix
        x = np.add.outer((b * rows + c).astype(np.float32), (a * columns).astype(np.float32))
        y = np.add.outer((e * rows + f).astype(np.float32), (d * columns).astype(np.float32))
        return x, y

    def sample(self, image: Float32, origin: tuple[int, int], window: Window, how: int) -> Float32:
        """See `Locator`."""
        rows, columns = window
        full = geometry.compose(self.matrix, geometry.translation(columns.start, rows.start))
        # the half-pixel term: level pixel v is centred on full-scale pixel 2^k v + (2^k - 1) / 2
        shift = ((1 << self.level) - 1) / 2
        local = (full - [[0, 0, shift], [0, 0, shift]]) / (1 << self.level)
        local[:, 2] -= origin
        size = (columns.stop - columns.start, rows.stop - rows.start)
        flags = how | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(image, local, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.float32)


@dataclass(frozen=True, eq=False)
class _MapLocator:
    """Raw full-scale pixels by two maps on a grid of nodes, linear between them.

    Node k lies at pixel ``first + (k - 1) * step + (step - 1) / 2``: where `cv2.resize` puts it.
    """

    nodes_x: Array
    nodes_y: Array
    first: tuple[int, int]  # row, column of the window
    step: int
    level: int

    def at(self, window: Window) -> tuple[Float32, Float32]:
        """See `Locator`."""
        return self._relative(window, 0.0, 0.0, 1)

    def sample(self, image: Float32, origin: tuple[int, int], window: Window, how: int) -> Float32:
        """See `Locator`."""
        rows, columns = window
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        unit = 1 << self.level
        zero_x, zero_y = (value * unit + (unit - 1) / 2 for value in origin)
        strip = max(1, _STRIP_PX // out.shape[1])
        for start in range(rows.start, rows.stop, strip):
            part = slice(start, min(start + strip, rows.stop))
            maps = self._relative((part, columns), zero_x, zero_y, unit)
            values = cv2.remap(image, *maps, how, borderMode=cv2.BORDER_REPLICATE)
            out[part.start - rows.start : part.stop - rows.start] = values
        return out

    def _relative(
        self, window: Window, zero_x: float, zero_y: float, unit: int
    ) -> tuple[Float32, Float32]:
        """Return maps of a window, less `zero`, in units of `unit` px."""
        spans = [self._span(part, first) for part, first in zip(window, self.first, strict=True)]
        (rows, cut_rows), (columns, cut_columns) = spans
        maps = []
        for nodes, zero in ((self.nodes_x, zero_x), (self.nodes_y, zero_y)):
            coarse = ((nodes[rows, columns] - zero) / unit).astype(np.float32)
            size = (coarse.shape[1] * self.step, coarse.shape[0] * self.step)
            fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
            maps.append(np.ascontiguousarray(fine[cut_rows, cut_columns], np.float32))
        return maps[0], maps[1]

    def _span(self, part: slice, first: int) -> tuple[slice, slice]:
        """Return the nodes over `part`, and where it lies in what they are enlarged to."""
        start, stop = part.start - first, part.stop - first
        low = start // self.step
        zero = (low - 1) * self.step
        high = low + -(-(stop - zero + self.step) // self.step)
        return slice(low, high), slice(start - zero, stop - zero)


@dataclass(frozen=True, eq=False)
class _StripLocator:
    """Maps of several strips, side by side along `axis` (0: rows, 1: columns)."""

    strips: list[tuple[slice, _MapLocator]]
    axis: int

    def at(self, window: Window) -> tuple[Float32, Float32]:
        """See `Locator`."""
        found = [locator.at(part) for part, locator in self._parts(window)]
        return (
            np.concatenate([x for x, _ in found], axis=self.axis),
            np.concatenate([y for _, y in found], axis=self.axis),
        )

    def sample(self, image: Float32, origin: tuple[int, int], window: Window, how: int) -> Float32:
        """See `Locator`."""
        parts = [one.sample(image, origin, part, how) for part, one in self._parts(window)]
        return np.concatenate(parts, axis=self.axis)

    def _parts(self, window: Window) -> Iterator[tuple[Window, _MapLocator]]:
        whole = window[self.axis]
        for strip, locator in self.strips:
            part = slice(max(whole.start, strip.start), min(whole.stop, strip.stop))
            if part.start < part.stop:
                yield _replaced(window, self.axis, part), locator


def _ends(part: slice) -> tuple[slice, slice]:
    """Return the first and the last row or column of a window."""
    return slice(part.start, part.start + 1), slice(part.stop - 1, part.stop)


def around(locator: Locator, window: Window) -> list[tuple[Float32, Float32]]:
    """Return places in the raw tile between which all of a window lies.

    Parameters
    ----------
    locator
        Of the window.
    window
        Rows and columns of the output.

    Returns
    -------
    list of tuple
        x and y as of `Locator.at`, of some pixels of its border.
    """
    rows, columns = window
    if isinstance(locator, _AffineLocator):  # extremes are in the corners, rounded or not
        return [locator.at((row, column)) for row in _ends(rows) for column in _ends(columns)]
    edges = [(row, columns) for row in _ends(rows)] + [(rows, column) for column in _ends(columns)]
    return [locator.at(edge) for edge in edges]


def _map_locator(one: Placed, grid: Grid, window: Window, level: int) -> Locator:
    """Make the maps of a chain that is not affine.

    The window is halved along the correction's axis until a strip needs no finer step than the
    coarsest, or is narrow: a correction bends most where the beam's line begins.
    """
    axes = {part.axis for part in one.chain.parts if isinstance(part, AxisOffset)}
    axis = 0 if axes == {1} else 1
    strips, todo = [], [window]
    while todo:
        part = todo.pop()
        span = part[axis]
        middle = (span.start + span.stop) // 2
        narrow = span.stop - span.start <= _NARROW_PX
        if not narrow and _map_error(one, grid, part, _COARSEST_PX) > MAP_ERROR_PX:
            halves = slice(middle, span.stop), slice(span.start, middle)
            todo += [_replaced(part, axis, half) for half in halves]
        else:
            strips.append((span, _one_map(one, grid, part, level)))
    return strips[0][1] if len(strips) == 1 else _StripLocator(strips, axis)


def _replaced(window: Window, axis: int, part: slice) -> Window:
    return (part, window[1]) if axis == 0 else (window[0], part)


def _one_map(one: Placed, grid: Grid, window: Window, level: int) -> _MapLocator:
    """Make one map with the widest step that is exact enough."""
    step = _COARSEST_PX
    while step > 1 and _map_error(one, grid, window, step) > MAP_ERROR_PX:
        step //= 2
    rows, columns = (_nodes(part, step) for part in window)
    at = _exact(one, grid, rows, columns)
    return _MapLocator(*at, (window[0].start, window[1].start), step, level)


def _nodes(part: slice, step: int) -> Array:
    count = -(-(part.stop - part.start) // step) + 4
    nodes: Array = part.start + (np.arange(count) - 1) * step + (step - 1) / 2
    return nodes


def _exact(one: Placed, grid: Grid, rows: Array, columns: Array) -> tuple[Array, Array]:
    x, y = grid.box.x0 + columns / grid.scale, grid.box.y0 + rows / grid.scale
    return inverse_maps(one.chain, x, y, one.tile.width, one.tile.height)


def _map_error(one: Placed, grid: Grid, window: Window, step: int) -> float:
    """Return the error half-way between nodes, raw px, along rows and columns."""
    worst = 0.0
    # what moves one axis as a function of itself bends along the border as it does inside
    apart = _BEND_PX if any(isinstance(part, Smooth) for part in one.chain.parts) else None
    lines = [_lines(part, apart) for part in window]
    fine = [np.arange(part.start - step / 2, part.stop + step, step / 2) for part in window]
    for turned in (False, True):
        rows, columns = (fine[0], lines[1]) if turned else (lines[0], fine[1])
        for found in _exact(one, grid, rows, columns):
            line = found.T if turned else found
            line = line[:, : (line.shape[1] - 1) // 2 * 2 + 1]
            missed = line[:, 1::2] - (line[:, :-2:2] + line[:, 2::2]) / 2
            worst = max(worst, float(np.abs(missed).max(initial=0.0)))
    return worst


def _lines(part: slice, apart: int | None) -> Array:
    """Return the first and last row or column of a window, and some between."""
    between = 0 if apart is None else (part.stop - part.start) // apart
    return np.linspace(part.start, part.stop, 2 + between)


def inverse_maps(chain: Chain, x: Array, y: Array, width: int, height: int) -> tuple[Array, Array]:
    """Return the raw pixel coordinates of a grid of output coordinates.

    Parameters
    ----------
    chain
        Raw pixels to the output frame.
    x, y
        (n,) and (m,) coordinates of the output frame.
    width, height
        Of the raw tile: they bound the part of the plane where the inverse must be exact; outside
        it the maps only stay outside the tile.

    Returns
    -------
    tuple of Array
        x and y of the raw tile, each (m, n), full-scale px.
    """
    at_x: Array = np.broadcast_to(x, (len(y), len(x)))
    at_y: Array = np.broadcast_to(y[:, None], (len(y), len(x)))
    pending: Array | None = None
    # a px wider than the tile
    domains = chain.domains((np.full(2, -1.0), np.array([width, height], float)))
    for part, domain in zip(reversed(chain.parts), reversed(domains), strict=True):
        if isinstance(part, Affine):
            step = geometry.invert(part.matrix)
            pending = step if pending is None else geometry.compose(step, pending)
            continue
        at_x, at_y = _moved(pending, at_x, at_y)
        pending = None
        if isinstance(part, AxisOffset):
            at_x, at_y = _undo(part, at_x, at_y, domain)
        else:
            same = quick(part, domain) if isinstance(part, Smooth) else part
            flat = same.undo(np.column_stack([at_x.ravel(), at_y.ravel()]), domain)
            at_x, at_y = flat[:, 0].reshape(at_x.shape), flat[:, 1].reshape(at_x.shape)
    return _moved(pending, at_x, at_y)


def _moved(affine: Array | None, at_x: Array, at_y: Array) -> tuple[Array, Array]:
    if affine is None:
        return at_x, at_y
    (a, b, c), (d, e, f) = affine
    return a * at_x + (b * at_y + c), d * at_x + (e * at_y + f)


def _undo(
    part: AxisOffset, at_x: Array, at_y: Array, domain: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Invert `part`, which moves one axis as a function of itself, by a table of its inverse."""
    low, high = float(domain[0][part.axis]), float(domain[1][part.axis])
    if part.axis == 0:
        return _by_table(part, at_x, low, high), at_y
    return at_x, _by_table(part, at_y, low, high)


def _by_table(part: AxisOffset, grid: Array, low: float, high: float) -> Array:
    """Return the inverse of `part` at `grid`; straight on beyond the tile: maps have no kink."""
    first, step, table = _table(part, low, high)
    at = (grid - first) / step
    index = np.clip(at, 0, len(table) - 2).astype(np.int32)
    out: Array = table[index] + np.diff(table)[index] * (at - index)
    return out


@functools.lru_cache(maxsize=64)  # all tiles of a volume share a few corrections
def _table(part: AxisOffset, low: float, high: float) -> tuple[float, float, Array]:
    """Return first place, step and inverse of `part` between the images of `low` and `high`."""
    ends = np.zeros((2, 2))
    ends[:, part.axis] = low, high
    first, last = (float(v) for v in part.apply(ends)[:, part.axis])
    count = max(2, math.ceil((last - first) / _TABLE_STEP) + 1)
    step = (last - first) / (count - 1)
    nodes = np.zeros((count, 2))
    nodes[:, part.axis] = first + step * np.arange(count)
    return first, step, part.invert(nodes)[:, part.axis]


def border(width: int, height: int) -> Array:
    """Return points along the border of a tile's pixel centres, at most 16 px apart.

    Parameters
    ----------
    width, height
        Of the tile, px.

    Returns
    -------
    Array
        (n, 2): x, y.
    """
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


def extent(xy: Array) -> tuple[Array, Array]:
    """Return the low and the high corner of points.

    Parameters
    ----------
    xy
        (n, 2).

    Returns
    -------
    tuple of Array
        Least and greatest x, y, each (2,).
    """
    return xy.min(axis=0), xy.max(axis=0)
