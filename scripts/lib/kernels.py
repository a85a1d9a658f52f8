"""L1 · Kernels: the inner loops of the export, compiled by Numba.

Numba takes a second to import and a machine's first job some seconds to compile (the machine code
is kept beside this file, or in the user's cache folder when that is read-only): so this module is
imported where it is used, by jobs that go over gigabytes.

Arithmetic is float32 and not reordered, whatever the vector length; products and sums of the
interpolation are fused, so only a processor older than 2013 may round a value in ten thousand
otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
Float32 = NDArray[np.float32]

_F = np.float32
_I = np.int32
EDGE_WEIGHT = 1e-3  # px; a border pixel counts only where no other tile has data
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_fused = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_fused
def _run(out, above, below, x, dx, y, dy, half):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
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
def _steps(fraction, slope, most):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Pixels until ``fraction + k * slope`` leaves [0, 1), at least 1 and at most `most`."""
    if slope > 0:
        steps = math.ceil((1.0 - fraction) / slope)
    elif slope < 0:
        steps = math.floor(fraction / -slope) + 1.0
    else:
        return most
    return most if steps >= most else max(int(steps), 1)


@_compiled
def _clamped(image, x, y):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Interpolate one pixel; beyond the image its border goes on."""
    h, w = image.shape
    x = min(max(x, 0.0), w - 1.0)
    y = min(max(y, 0.0), h - 1.0)
    i, j = int(y), int(x)
    k, m = min(i + 1, h - 1), min(j + 1, w - 1)
    u, v = _F(x - j), _F(y - i)
    top = _F(image[i, j]) + (_F(image[i, m]) - _F(image[i, j])) * u
    bottom = _F(image[k, j]) + (_F(image[k, m]) - _F(image[k, j])) * u
    return top + (bottom - top) * v


@_compiled
def _segment(image, x, dx, y, dy, half, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Interpolate `image` at (x + k dx, y + k dy) for each k of `out`, a part of a row."""
    h, w = image.shape
    k = 0
    while k < out.size:
        at_x, at_y = x + dx * k, y + dy * k
        ix, iy = int(math.floor(at_x)), int(math.floor(at_y))
        if ix < 0 or iy < 0 or ix + 1 >= w or iy + 1 >= h:
            out[k] = _clamped(image, at_x, at_y) + half
            k += 1
            continue
        n = min(out.size - k, w - 1 - ix)
        n = min(_steps(at_x - ix, dx - 1.0, n), _steps(at_y - iy, dy, n))
        above, below = image[iy, ix : ix + n + 1], image[iy + 1, ix : ix + n + 1]
        u, v = _F(at_x - ix), _F(at_y - iy)
        _run(out[k : k + n], above, below, u, _F(dx - 1.0), v, _F(dy), half)
        k += n


@_compiled
def _between(at, slope, low, high, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Give the first and end of the columns j of [0, size) with low <= at + slope j <= high."""
    if abs(slope) < 1e-12:
        return (0, size) if low <= at <= high else (0, 0)
    one, other = (low - at) / slope, (high - at) / slope
    first = min(max(math.ceil(min(one, other)), 0.0), float(size))
    last = min(math.floor(max(one, other)), size - 1.0)
    return int(first), max(int(last) + 1, int(first))


@_compiled
def _cover(i, matrices, data, width, starts, stops, cuts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Find the columns that each tile covers in row `i`; give the count of the sorted `cuts`."""
    count = 0
    for t in range(len(matrices)):
        m, d = matrices[t], data[t]
        a, b = _between(m[0, 1] * i + m[0, 2], m[0, 0], d[0, 0], d[1, 0], width)
        c, e = _between(m[1, 1] * i + m[1, 2], m[1, 0], d[0, 1], d[1, 1], width)
        starts[t], stops[t] = max(a, c), min(b, e)
        if starts[t] < stops[t]:
            cuts[count], cuts[count + 1] = starts[t], stops[t]
            count += 2
    cuts[:count].sort()
    return count


@_compiled
def _weigh(values, x, dx, y, dy, data, scale, total, weight):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Add values times the distance (full-scale px) to the nearest border of `data`."""
    left, right, top, bottom = _F(data[0, 0]), _F(data[1, 0]), _F(data[0, 1]), _F(data[1, 1])
    x, dx, y, dy = _F(x), _F(dx), _F(y), _F(dy)
    for k in range(values.size):
        at_x, at_y = x + dx * _F(_I(k)), y + dy * _F(_I(k))
        near_x = min(at_x - left, right - at_x)
        near_y = min(at_y - top, bottom - at_y)
        here = max(min(near_x, near_y), _F(0)) * scale + _F(EDGE_WEIGHT)
        total[k] += here * values[k]
        weight[k] += here


@_compiled
def _divide(total, weight, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for k in range(out.size):
        out[k] = _I(total[k] / weight[k] + _F(0.5))


@_compiled
def draw(pool, offsets, shapes, matrices, data, scale, last, out, mask):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Draw tiles over each other, in their order, into integers `out` and `mask`, both (h, w).

    Parameters
    ----------
    pool, offsets, shapes
        Image t is ``pool[offsets[t]:]`` as (h, w) = ``shapes[t]``; of the type of `out`.
    matrices
        (n, 2, 3): column and row of the output to x, y of the image.
    data
        (n, 2, 2): lowest and highest (x, y) of the image with data, a little more for rounding.
    scale
        Full-scale px per pixel of the images.
    last
        Whether the last tile alone is shown where several have data; else their mean, weighted by
        the distance to the border of their data.
    """
    count, width = len(offsets), out.shape[1]
    starts, stops = np.empty(count, np.int64), np.empty(count, np.int64)
    cuts = np.empty(2 * count, np.int64)
    total, weight = np.empty(width, np.float32), np.empty(width, np.float32)
    values = np.empty(width, np.float32)
    for i in range(out.shape[0]):
        out[i] = 0
        mask[i] = False
        edges = _cover(i, matrices, data, width, starts, stops, cuts)
        for k in range(edges - 1):
            a, b = cuts[k], cuts[k + 1]
            if a == b:
                continue
            present, top = 0, -1
            for t in range(count):
                if starts[t] <= a and b <= stops[t]:
                    present, top = present + 1, t
            if top < 0:
                continue
            mask[i, a:b] = True
            alone = present == 1 or last
            if not alone:
                total[: b - a] = 0
                weight[: b - a] = 0
            for t in range(top if alone else 0, top + 1):
                if starts[t] > a or b > stops[t]:
                    continue
                h, w = shapes[t]
                image = pool[offsets[t] : offsets[t] + h * w].reshape((h, w))
                m = matrices[t]
                x, y = m[0, 0] * a + m[0, 1] * i + m[0, 2], m[1, 0] * a + m[1, 1] * i + m[1, 2]
                if alone:
                    _segment(image, x, m[0, 0], y, m[1, 0], _F(0.5), out[i, a:b])
                    continue
                _segment(image, x, m[0, 0], y, m[1, 0], _F(0), values[: b - a])
                _weigh(
                    values[: b - a],
                    x,
                    m[0, 0],
                    y,
                    m[1, 0],
                    data[t],
                    scale,
                    total[: b - a],
                    weight[: b - a],
                )
            if not alone:
                _divide(total[: b - a], weight[: b - a], out[i, a:b])


@_compiled
def _mix(a, mask_a, b, mask_b, share, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            has_a, has_b = mask_a[i, j], mask_b[i, j]
            p, q = _F(a[i, j]), _F(b[i, j])
            mixed = q + (p - q) * share
            alone = p if has_a else q
            out[i, j] = _I(np.rint(mixed if has_a and has_b else alone))


def mix(
    a: Image,
    mask_a: NDArray[np.bool_],
    b: Image,
    mask_b: NDArray[np.bool_],
    share: float,
    out: Image,
) -> None:
    """Write ``share * a + (1 - share) * b``, rounded (halves to even), into `out`; all (h, w).

    Where one has no data (mask False, value 0) the other alone is shown.
    """
    _mix(a, mask_a, b, mask_b, _F(share), out)


@_compiled
def halve(lower, upper, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Average 2×2×2 voxels of two planes of even sides, rounded half up, into `out`."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            k, m = 2 * i, 2 * j
            total = _I(lower[k, m]) + _I(lower[k, m + 1])
            total += _I(lower[k + 1, m]) + _I(lower[k + 1, m + 1])
            total += _I(upper[k, m]) + _I(upper[k, m + 1])
            total += _I(upper[k + 1, m]) + _I(upper[k + 1, m + 1])
            out[i, j] = (total + _I(4)) >> _I(3)
