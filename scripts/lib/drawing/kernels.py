"""Kernels: the tiles of a layer drawn as integers, compiled by Numba for exports.

Numba takes a second to import and a machine's first job some seconds to compile (the machine code
is kept beside this file, or in the user's cache folder when that is read-only): so this module is
imported where it is used, by jobs that go over gigabytes.

Arithmetic is float32 and not reordered, whatever the vector length; products and sums of the
interpolation are fused, so only a processor older than 2013 may round a value in ten thousand
otherwise. Places are whole multiples of 2^-23 px (`maps.ONE` of them are a pixel), the finest step
that float32 holds below 1: so positions and weights are exact, and a pixel has the same value
however the picture is cut into areas.
"""

# ruff: noqa: ANN001, ANN202 - Numba takes the types from what it is given
# mypy: allow-untyped-defs
from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from scripts.lib.arrays import Image, Int32, Int64
from scripts.lib.drawing.maps import BITS, EDGE_WEIGHT, ONE

_F = np.float32
_D = np.float64
_I = np.int32
_UNIT = np.float32(1 / ONE)
_PIECES = (128, 32, 8)  # columns of a scan-corrected tile that are drawn straight, where they are
_STRAIGHT = ONE // 250  # px by which they may miss in their middle: 0.004
_WEIGHT_STEP = 1 / (1 << (BITS - 8))  # from places to the steps of weights, 1/256 px
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_fused = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


class Tiles(NamedTuple):
    """The n tiles of a layer in the order in which they are drawn; places are px times `ONE`.

    Image t is ``pool[offsets[t]:]`` as (h, w) = ``shapes[t]``. A tile with a scan correction has a
    distortion table, ``tables[start:stop]``: one coordinate of a place is looked up in it.
    """

    pool: Image  # values that the output can hold
    offsets: Int64  # (n,)
    shapes: Int64  # (n, 2)
    matrices: Int64  # (n, 2, 3): column and row of the output to x, y of the image
    bounds: Int64  # (n, 2, 2): lowest and highest x, y of `matrices` where the image has data
    data: Int64  # (n, 2, 2): the same of the image; as `bounds` where there is no table
    tables: Int64
    distortions: Int64  # (n, 4): start, stop (equal: no table), first node, axis (0 = x, 1 = y)


class View(NamedTuple):
    """What of the layer is drawn, and how."""

    row: int  # first of the output, in the picture that `Tiles.matrices` are of
    column: int  # first of the output, in the whole volume
    span: int  # nodes of the tables are ``2 ** span`` apart
    scale: np.float32  # full-scale px per pixel of the images, divided by 256
    last: bool  # the last tile with data is shown; else their mean, weighted by distance


class _Line(NamedTuple):
    """Places ``x + k dx``, ``y + k dy`` of the pixels k of a part of a row."""

    x: int
    dx: int
    y: int
    dy: int


class _Distortion(NamedTuple):
    """How the distortion table of a tile is looked up.

    The table itself is an argument beside it: Numba counts references to arrays in tuples.
    """

    first: int
    axis: int
    span: int


@_fused
def _run(out, above, below, x, dx, y, dy, half):
    """Interpolate pixels whose left upper neighbours lie side by side: plain vector code."""
    for j in range(out.size):
        u = x + dx * _F(_I(j))
        v = y + dy * _F(_I(j))
        a = _F(above[j])
        c = _F(below[j])
        top = a + (_F(above[j + 1]) - a) * u
        bottom = c + (_F(below[j + 1]) - c) * u
        out[j] = top + (bottom - top) * v + half


@_compiled
def _steps(fraction, slope, most):
    """Pixels until ``fraction + k * slope`` leaves [0, ONE), at most `most`."""
    if slope > 0:
        return min((ONE - fraction + slope - 1) // slope, most)
    if slope < 0:
        return min(fraction // -slope + 1, most)
    return most


@_fused
def _clamped(image, x, y, half):
    """Interpolate one pixel; beyond the image its border goes on."""
    h, w = image.shape
    x = min(max(x, 0), (w - 1) * ONE)
    y = min(max(y, 0), (h - 1) * ONE)
    i, j = y >> BITS, x >> BITS
    k, m = min(i + 1, h - 1), min(j + 1, w - 1)
    u, v = _F(x - j * ONE) * _UNIT, _F(y - i * ONE) * _UNIT
    a, c = _F(image[i, j]), _F(image[k, j])
    top = a + (_F(image[i, m]) - a) * u
    bottom = c + (_F(image[k, m]) - c) * u
    return top + (bottom - top) * v + half


@_compiled
def _interpolate(image, line, half, out):
    """Interpolate `image` along a line into `out`, a part of a row."""
    h, w = image.shape
    slope_x, slope_y = _F(line.dx - ONE) * _UNIT, _F(line.dy) * _UNIT
    k = 0
    while k < out.size:
        at_x, at_y = line.x + line.dx * k, line.y + line.dy * k
        ix, iy = at_x >> BITS, at_y >> BITS
        if ix < 0 or iy < 0 or ix + 1 >= w or iy + 1 >= h:
            out[k] = _clamped(image, at_x, at_y, half)
            k += 1
            continue
        u, v = at_x - ix * ONE, at_y - iy * ONE
        n = min(out.size - k, w - 1 - ix)
        n = min(_steps(u, line.dx - ONE, n), _steps(v, line.dy, n))
        above, below = image[iy, ix : ix + n + 1], image[iy + 1, ix : ix + n + 1]
        _run(out[k : k + n], above, below, _F(u) * _UNIT, slope_x, _F(v) * _UNIT, slope_y, half)
        k += n


@_compiled
def _place(table, distortion, x, y):
    """Return x, y of the image where the affine gives x, y; straight on beyond the table's ends."""
    first, axis, span = distortion
    at = y if axis else x
    i = min(max((at - first) >> span, 0), table.size - 2)
    found = table[i] + (((table[i + 1] - table[i]) * (at - first - (i << span))) >> span)
    return (x, found) if axis else (found, y)


@_compiled
def _straight(table, distortion, line, column, k, end):
    """Return the line that the image is read along from pixel k on, and for how many pixels.

    Without distortion the line itself serves to the `end`. Else the longest of `_PIECES` that goes
    straight, or one pixel. They begin at multiples of their length in the whole volume, so that a
    pixel is the same in every area; `column` is that of pixel 0 there.
    """
    dx, dy = line.dx, line.dy
    x, y = line.x + dx * k, line.y + dy * k
    if table.size == 0:
        return _Line(x, dx, y, dy), end - k
    for length in _PIECES:
        back = (column + k) % length
        u, v = x - dx * back, y - dy * back
        x0, y0 = _place(table, distortion, u, v)
        x1, y1 = _place(table, distortion, u + dx * length, v + dy * length)
        x2, y2 = _place(table, distortion, u + dx * (length // 2), v + dy * (length // 2))
        if max(abs(2 * x2 - x0 - x1), abs(2 * y2 - y0 - y1)) <= 2 * _STRAIGHT:
            dx, dy = (x1 - x0) // length, (y1 - y0) // length
            return _Line(x0 + dx * back, dx, y0 + dy * back, dy), min(length - back, end - k)
    x, y = _place(table, distortion, x, y)
    return _Line(x, 0, y, 0), 1


@_compiled
def _draw_part(image, line, table, distortion, column, half, out):
    """Interpolate as `_interpolate` does, through the distortion table."""
    k = 0
    while k < out.size:
        piece, n = _straight(table, distortion, line, column, k, out.size)
        if n == 1:
            out[k] = _clamped(image, piece.x, piece.y, half)
        else:
            _interpolate(image, piece, half, out[k : k + n])
        k += n


@_compiled
def _between(at, slope, low, high, size):
    """Return the first and end of the columns j of [0, size) with low <= at + slope j <= high."""
    if slope == 0:
        return (0, size) if low <= at <= high else (0, 0)
    if slope < 0:
        at, slope, low, high = -at, -slope, -high, -low
    first = min(max(-((at - low) // slope), 0), size)  # the least j: slope j >= low - at
    last = min((high - at) // slope, size - 1)
    return first, max(last + 1, first)


@_compiled
def _cover(tiles, row, width, starts, stops, cuts):
    """Find the columns that each tile covers in a row; return the count of the sorted `cuts`."""
    count = 0
    for t in range(len(starts)):
        m, d = tiles.matrices[t], tiles.bounds[t]
        a, b = _between(m[0, 1] * row + m[0, 2], m[0, 0], d[0, 0], d[1, 0], width)
        c, e = _between(m[1, 1] * row + m[1, 2], m[1, 0], d[0, 1], d[1, 1], width)
        starts[t], stops[t] = max(a, c), min(b, e)
        if starts[t] < stops[t]:
            count = _insert(cuts, _insert(cuts, count, starts[t]), stops[t])
    return count


@_compiled
def _insert(cuts, count, new):
    """Put a number in its place among the first `count`, sorted; return their number then."""
    k = count
    while k > 0 and cuts[k - 1] > new:
        cuts[k] = cuts[k - 1]
        k -= 1
    cuts[k] = new
    return count + 1


@_compiled
def _weigh(values, line, data, scale, total, weight):
    """Add values times the distance (full-scale px, in steps of 1/256) to the border of `data`."""
    # float64 holds all of these whole numbers, and has vector code that int64 lacks
    left, right = _D(line.x - data[0, 0]), _D(data[1, 0] - line.x)
    top, bottom = _D(line.y - data[0, 1]), _D(data[1, 1] - line.y)
    step_x, step_y = _D(line.dx), _D(line.dy)
    for k in range(values.size):
        j = _D(_I(k))
        near_x = min(left + step_x * j, right - step_x * j)
        near_y = min(top + step_y * j, bottom - step_y * j)
        steps = np.floor(max(min(near_x, near_y), 0.0) * _WEIGHT_STEP)
        here = _F(steps) * scale + _F(EDGE_WEIGHT)
        total[k] += here * values[k]
        weight[k] += here


@_compiled
def _tile(tiles, t, view, row, column):
    """Return image, line, table and distortion of tile t from a place of the output on."""
    h, w = tiles.shapes[t, 0], tiles.shapes[t, 1]
    image = tiles.pool[tiles.offsets[t] : tiles.offsets[t] + h * w].reshape((h, w))
    m, d = tiles.matrices[t], tiles.distortions[t]
    dx, dy = m[0, 0], m[1, 0]
    x, y = dx * column + m[0, 1] * row + m[0, 2], dy * column + m[1, 1] * row + m[1, 2]
    distortion = _Distortion(d[2], d[3], view.span)
    return image, _Line(x, dx, y, dy), tiles.tables[d[0] : d[1]], distortion


@_compiled
def _draw_mean(tiles, present, view, row, column, work, out):
    """Write the weighted mean of the tiles that are `present` into `out`, a part of a row."""
    total, weight, values = work[0, : out.size], work[1, : out.size], work[2, : out.size]
    total[:] = 0
    weight[:] = 0
    for t in range(len(present)):
        if not present[t]:
            continue
        image, line, table, distortion = _tile(tiles, t, view, row, column)
        data, first = tiles.data[t], view.column + column
        _draw_part(image, line, table, distortion, first, _F(0), values)
        k = 0
        while k < out.size:
            piece, n = _straight(table, distortion, line, first, k, out.size)
            here = slice(k, k + n)
            _weigh(values[here], piece, data, view.scale, total[here], weight[here])
            k += n
    for k in range(out.size):
        out[k] = _I(total[k] / weight[k] + _F(0.5))


@_compiled
def _find_present(starts, stops, first, end, present):
    """Mark the tiles that cover these columns; return their count and the last (-1: none)."""
    count, last = 0, -1
    for t in range(len(starts)):
        present[t] = starts[t] <= first and end <= stops[t]
        if present[t]:
            count, last = count + 1, t
    return count, last


@_compiled
def _add_span(spans, count, first, end):
    """Add columns to the spans of a row, the last of which goes on; return their number."""
    if count and spans[count - 1, 1] == first:
        spans[count - 1, 1] = end
        return count
    spans[count, 0], spans[count, 1] = first, end
    return count + 1


@_compiled
def draw(tiles: Tiles, view: View, out: Image, spans: Int32) -> None:
    """Draw tiles over each other, in their order.

    Parameters
    ----------
    tiles
        What is drawn, and where.
    view
        Which part of it.
    out
        (h, w) integers, written.
    spans
        (h, n, 2), written as `spans.mix` takes them; n at least the number of tiles.
    """
    count, width = len(tiles.offsets), out.shape[1]
    starts, stops = np.empty(count, np.int64), np.empty(count, np.int64)
    cuts, present = np.empty(2 * count, np.int64), np.empty(count, np.bool_)
    work = np.empty((3, width), np.float32)
    for i in range(out.shape[0]):
        out[i] = 0
        spans[i] = width
        parts, row = 0, view.row + i
        edges = _cover(tiles, row, width, starts, stops, cuts)
        for k in range(edges - 1):
            a, b = cuts[k], cuts[k + 1]
            if a == b:
                continue
            seen, top = _find_present(starts, stops, a, b, present)
            if top < 0:
                continue
            parts = _add_span(spans[i], parts, a, b)
            if seen == 1 or view.last:
                image, line, table, distortion = _tile(tiles, top, view, row, a)
                _draw_part(image, line, table, distortion, view.column + a, _F(0.5), out[i, a:b])
            else:
                _draw_mean(tiles, present, view, row, a, work, out[i, a:b])
