"""Kernels: the inner loops of the export, compiled by Numba.

Numba takes a second to import and a machine's first job some seconds to compile (the machine code
is kept beside this file, or in the user's cache folder when that is read-only): so this module is
imported where it is used, by jobs that go over gigabytes.

Arithmetic is float32 and not reordered, whatever the vector length; products and sums of the
interpolation are fused, so only a processor older than 2013 may round a value in ten thousand
otherwise.
"""

# ruff: noqa: ANN001 - Numba takes the types from what it is given
from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bool, Image

Spans = NDArray[np.int32]

_F = np.float32
_D = np.float64
_I = np.int32
# Places are whole multiples of 2^-23 px, the finest step that float32 holds below 1: so positions
# and weights are exact, and a pixel has the same value however the picture is cut into areas.
BITS = 23
ONE = 1 << BITS
_UNIT = np.float32(1 / ONE)
_PIECES = (128, 32, 8)  # columns of a scan-corrected tile that are drawn straight, where they are
_STRAIGHT = ONE // 250  # px by which they may miss in their middle: 0.004
_WEIGHT_STEP = 1 / (1 << (BITS - 8))  # from places to the steps of weights, 1/256 px
EDGE_WEIGHT = 1e-3  # px; a border pixel counts only where no other tile has data
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_fused = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_fused
def _run(out, above, below, x, dx, y, dy, half):  # type: ignore[no-untyped-def]  # noqa: ANN202
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
def _steps(fraction, slope, most):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Pixels until ``fraction + k * slope`` leaves [0, ONE), at most `most`."""
    if slope > 0:
        return min((ONE - fraction + slope - 1) // slope, most)
    if slope < 0:
        return min(fraction // -slope + 1, most)
    return most


@_fused
def _clamped(image, x, y, half):  # type: ignore[no-untyped-def]  # noqa: ANN202
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
def _segment(image, x, dx, y, dy, half, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Interpolate `image` at (x + k dx, y + k dy) / ONE for each k of `out`, a part of a row."""
    h, w = image.shape
    slope_x, slope_y = _F(dx - ONE) * _UNIT, _F(dy) * _UNIT
    k = 0
    while k < out.size:
        at_x, at_y = x + dx * k, y + dy * k
        ix, iy = at_x >> BITS, at_y >> BITS
        if ix < 0 or iy < 0 or ix + 1 >= w or iy + 1 >= h:
            out[k] = _clamped(image, at_x, at_y, half)
            k += 1
            continue
        u, v = at_x - ix * ONE, at_y - iy * ONE
        n = min(out.size - k, w - 1 - ix)
        n = min(_steps(u, dx - ONE, n), _steps(v, dy, n))
        above, below = image[iy, ix : ix + n + 1], image[iy + 1, ix : ix + n + 1]
        _run(out[k : k + n], above, below, _F(u) * _UNIT, slope_x, _F(v) * _UNIT, slope_y, half)
        k += n


@_compiled
def _unbent(table, first, span, at):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Look a place up in a table with a node every 2^span, straight on beyond its ends."""
    i = min(max((at - first) >> span, 0), table.size - 2)
    return table[i] + (((table[i + 1] - table[i]) * (at - first - (i << span))) >> span)


@_compiled
def _place(table, bend, span, x, y):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Return x, y of the image where the affine gives x, y: one of them follows its table."""
    if bend[3] == 0:
        return _unbent(table, bend[2], span, x), y
    return x, _unbent(table, bend[2], span, y)


@_compiled
def _straightened(table, bend, span, x, dx, y, dy, column, most):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Return x, y of the image at `column`, their steps, and for how many columns, at most `most`.

    The longest of `_PIECES` that goes straight serves, or one pixel. They begin at multiples of
    their length in the whole volume, so that a pixel is the same in every area.
    """
    for length in _PIECES:
        back = column % length
        u, v = x - dx * back, y - dy * back
        x0, y0 = _place(table, bend, span, u, v)
        x1, y1 = _place(table, bend, span, u + dx * length, v + dy * length)
        x2, y2 = _place(table, bend, span, u + dx * (length // 2), v + dy * (length // 2))
        if max(abs(2 * x2 - x0 - x1), abs(2 * y2 - y0 - y1)) <= 2 * _STRAIGHT:
            step_x, step_y = (x1 - x0) // length, (y1 - y0) // length
            n = min(length - back, most)
            return x0 + step_x * back, step_x, y0 + step_y * back, step_y, n
    x0, y0 = _place(table, bend, span, x, y)
    return x0, 0, y0, 0, 1


@_compiled
def _bent(image, x, dx, y, dy, table, bend, span, column, half, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Interpolate as `_segment` does, at places of `_place`; `column` is that of ``out[0]``."""
    k = 0
    while k < out.size:
        px, pdx, py, pdy, n = _straightened(
            table, bend, span, x + dx * k, dx, y + dy * k, dy, column + k, out.size - k
        )
        if n == 1:
            out[k] = _clamped(image, px, py, half)
        else:
            _segment(image, px, pdx, py, pdy, half, out[k : k + n])
        k += n


@_compiled
def _between(at, slope, low, high, size):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Return the first and end of the columns j of [0, size) with low <= at + slope j <= high."""
    if slope == 0:
        return (0, size) if low <= at <= high else (0, 0)
    if slope < 0:
        at, slope, low, high = -at, -slope, -high, -low
    first = min(max(-((at - low) // slope), 0), size)  # the least j: slope j >= low - at
    last = min((high - at) // slope, size - 1)
    return first, max(last + 1, first)


@_compiled
def _cover(i, matrices, data, width, starts, stops, cuts):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Find the columns that each tile covers in row `i`; give the count of the sorted `cuts`."""
    count = 0
    for t in range(len(matrices)):
        m, d = matrices[t], data[t]
        a, b = _between(m[0, 1] * i + m[0, 2], m[0, 0], d[0, 0], d[1, 0], width)
        c, e = _between(m[1, 1] * i + m[1, 2], m[1, 0], d[0, 1], d[1, 1], width)
        starts[t], stops[t] = max(a, c), min(b, e)
        if starts[t] < stops[t]:
            count = _insert(cuts, _insert(cuts, count, starts[t]), stops[t])
    return count


@_compiled
def _insert(cuts, count, new):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Put a number in its place among the first `count`, sorted; gives their number then."""
    k = count
    while k > 0 and cuts[k - 1] > new:
        cuts[k] = cuts[k - 1]
        k -= 1
    cuts[k] = new
    return count + 1


@_compiled
def _weigh(values, x, dx, y, dy, data, scale, total, weight):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Add values times the distance (full-scale px, in steps of 1/256) to the border of `data`."""
    # float64 holds all of these whole numbers, and has vector code that int64 lacks
    left, right = _D(x - data[0, 0]), _D(data[1, 0] - x)
    top, bottom = _D(y - data[0, 1]), _D(data[1, 1] - y)
    step_x, step_y = _D(dx), _D(dy)
    for k in range(values.size):
        j = _D(_I(k))
        near_x = min(left + step_x * j, right - step_x * j)
        near_y = min(top + step_y * j, bottom - step_y * j)
        steps = np.floor(max(min(near_x, near_y), 0.0) * _WEIGHT_STEP)
        here = _F(steps) * scale + _F(EDGE_WEIGHT)
        total[k] += here * values[k]
        weight[k] += here


@_compiled
def _weigh_bent(values, x, dx, y, dy, table, bend, span, column, data, scale, total, weight):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Do as `_weigh` does, at places of `_place`; `column` is that of ``values[0]``."""
    k = 0
    while k < values.size:
        px, pdx, py, pdy, n = _straightened(
            table, bend, span, x + dx * k, dx, y + dy * k, dy, column + k, values.size - k
        )
        here = slice(k, k + n)
        _weigh(values[here], px, pdx, py, pdy, data, scale, total[here], weight[here])
        k += n


@_compiled
def _divide(total, weight, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for k in range(out.size):
        out[k] = _I(total[k] / weight[k] + _F(0.5))


@_compiled
def _present(starts, stops, first, end):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Count the tiles that cover these columns, and find the last of them (-1: none)."""
    count, last = 0, -1
    for t in range(len(starts)):
        if starts[t] <= first and end <= stops[t]:
            count, last = count + 1, t
    return count, last


@_compiled
def _covered(spans, count, first, end):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Add columns to the spans of a row, the last of which goes on; gives their number."""
    if count and spans[count - 1, 1] == first:
        spans[count - 1, 1] = end
        return count
    spans[count, 0], spans[count, 1] = first, end
    return count + 1


@_compiled
def draw(  # type: ignore[no-untyped-def]  # noqa: ANN201
    pool,
    offsets,
    shapes,
    matrices,
    bounds,
    data,
    tables,
    bends,
    span,
    row,
    column,
    scale,
    last,
    out,
    spans,
):
    """Draw tiles over each other, in their order, into integers `out`, (h, w).

    Parameters
    ----------
    pool, offsets, shapes
        Image t is ``pool[offsets[t]:]`` as (h, w) = ``shapes[t]``; values that `out` can hold.
    matrices
        (n, 2, 3) integers: column and row of the output to x, y of the image, times `ONE`.
    bounds
        (n, 2, 2) integers: lowest and highest x, y of `matrices` where the image has data.
    data
        (n, 2, 2) integers: lowest and highest (x, y) of the image with data, a little more for
        rounding, times `ONE`. The same as `bounds` but for tiles with a bend.
    tables, bends
        ``bends[t]`` is start and stop of the tile's part of `tables` (equal: it has none), its
        first node, and the axis (0 = x, 1 = y) whose place in the image is looked up in it.
    span
        Nodes of `tables` are ``2 ** span`` apart.
    row
        First row of the output in the picture that `matrices` are of.
    column
        First column of the output in the whole volume.
    scale
        Full-scale px per pixel of the images, divided by 256.
    last
        Whether the last tile alone is shown where several have data; else their mean, weighted by
        the distance to the border of their data.
    spans
        (h, n, 2), n at least the number of tiles: written as `mix` takes them.
    """
    count, width = len(offsets), out.shape[1]
    starts, stops = np.empty(count, np.int64), np.empty(count, np.int64)
    cuts = np.empty(2 * count, np.int64)
    total, weight = np.empty(width, np.float32), np.empty(width, np.float32)
    values = np.empty(width, np.float32)
    for i in range(out.shape[0]):
        out[i] = 0
        spans[i] = width
        parts = 0
        edges = _cover(row + i, matrices, bounds, width, starts, stops, cuts)
        for k in range(edges - 1):
            a, b = cuts[k], cuts[k + 1]
            if a == b:
                continue
            present, top = _present(starts, stops, a, b)
            if top < 0:
                continue
            parts = _covered(spans[i], parts, a, b)
            alone = present == 1 or last
            sums, weights, piece = total[: b - a], weight[: b - a], values[: b - a]
            if not alone:
                sums[:] = 0
                weights[:] = 0
            for t in range(top if alone else 0, top + 1):
                if starts[t] > a or b > stops[t]:
                    continue
                h, w = shapes[t]
                image = pool[offsets[t] : offsets[t] + h * w].reshape((h, w))
                m, bend = matrices[t], bends[t]
                dx, dy = m[0, 0], m[1, 0]
                at = row + i
                x, y = dx * a + m[0, 1] * at + m[0, 2], dy * a + m[1, 1] * at + m[1, 2]
                table = tables[bend[0] : bend[1]]
                if alone and table.size:
                    _bent(image, x, dx, y, dy, table, bend, span, column + a, _F(0.5), out[i, a:b])
                elif alone:
                    _segment(image, x, dx, y, dy, _F(0.5), out[i, a:b])
                elif table.size:
                    _bent(image, x, dx, y, dy, table, bend, span, column + a, _F(0), piece)
                    _weigh_bent(
                        piece,
                        x,
                        dx,
                        y,
                        dy,
                        table,
                        bend,
                        span,
                        column + a,
                        data[t],
                        scale,
                        sums,
                        weights,
                    )
                else:
                    _segment(image, x, dx, y, dy, _F(0), piece)
                    _weigh(piece, x, dx, y, dy, data[t], scale, sums, weights)
            if not alone:
                _divide(sums, weights, out[i, a:b])


@_compiled
def _part_of(spans, i, k, at):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Find the span of row `i`, from number `k` on, that holds column `at` or comes next.

    Gives its number, whether it holds the column, and where that changes.
    """
    count = spans.shape[1]
    while k < count and spans[i, k, 1] <= at:
        k += 1
    if k == count:
        return k, False, np.iinfo(np.int64).max
    held = spans[i, k, 0] <= at
    return k, held, np.int64(spans[i, k, 1] if held else spans[i, k, 0])


@_fused
def _mix_row(a, b, share, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for j in range(out.size):
        p, q = _F(a[j]), _F(b[j])
        out[j] = _I(np.rint(q + (p - q) * share))


@_compiled
def _mix(a, spans_a, b, spans_b, share, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    width = out.shape[1]
    for i in range(out.shape[0]):
        at, k, m = 0, 0, 0
        while at < width:
            k, has_a, end_a = _part_of(spans_a, i, k, at)
            m, has_b, end_b = _part_of(spans_b, i, m, at)
            end = min(end_a, end_b, width)
            if has_a and has_b:
                _mix_row(a[i, at:end], b[i, at:end], share, out[i, at:end])
            elif has_a:
                out[i, at:end] = a[i, at:end]
            else:
                out[i, at:end] = b[i, at:end]
            at = end


def mix(a: Image, spans_a: Spans, b: Image, spans_b: Spans, share: float, out: Image) -> None:
    """Write ``share * a + (1 - share) * b``, rounded (halves to even), into `out`; all (h, w).

    Where one has no data the other alone is shown. Spans are (h, n, 2): first and end of the
    columns of each row that have data, ascending, those not used (w, w); `a` and `b` are 0 outside.
    """
    _mix(a, spans_a, b, spans_b, _F(share), out)


@_compiled
def _spans(mask, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Write the spans of a mask as far as there is room; gives the most that a row has."""
    most = 0
    for i in range(mask.shape[0]):
        count, inside = 0, False
        for j in range(mask.shape[1]):
            if mask[i, j] == inside:
                continue
            inside = mask[i, j]
            if count < out.shape[1]:
                out[i, count, 0 if inside else 1] = j
            count += 0 if inside else 1
        most = max(most, count + (1 if inside else 0))
    return most


def spans_of(mask: Bool) -> Spans:
    """Return the spans of a (h, w) mask, as `mix` takes them."""
    none = np.empty((len(mask), 0, 2), np.int32)
    out = np.full((len(mask), _spans(mask, none), 2), mask.shape[1], np.int32)
    _spans(mask, out)
    return out


@_compiled
def _show(spans, mask):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for i in range(spans.shape[0]):
        for k in range(spans.shape[1]):
            mask[i, spans[i, k, 0] : spans[i, k, 1]] = True


def mask_of(spans: Spans, width: int) -> Bool:
    """Return the mask of spans: what `spans_of` undoes."""
    mask = np.zeros((len(spans), width), bool)
    _show(spans, mask)
    return mask


@_compiled
def _copy(values, out):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = values[i, j, k]


def contiguous(block: Image) -> Image:
    """Return a copy of a (z, y, x) block of bytes in one piece, in half of numpy's time."""
    out = np.empty(block.shape, block.dtype)
    _copy(block, out)
    return out
