"""Sums over the bands of layers, compiled by Numba (see `kernels`): how alike two of them are.

Sums of band-passed texture are float32 along a row and float64 from row to row.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Numba takes the types from what it is given
from __future__ import annotations

import numba
import numpy as np

_F = np.float32
_I = np.int32
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_summed = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)


@_summed
def _row_tensor(above, row, below, around, out):  # type: ignore[no-untyped-def]
    """Add products of the slopes along x and y of one row; `around` is 0 where not all is data."""
    xx, yy, xy = _F(0), _F(0), _F(0)
    for j in range(1, row.size - 1):
        x = (row[j + 1] - row[j - 1]) * _F(0.5) * around[j]
        y = (below[j] - above[j]) * _F(0.5) * around[j]
        xx += x * x
        yy += y * y
        xy += x * y
    out[0] += xx
    out[1] += yy
    out[2] += xy


@_compiled
def tensor(band, inside):  # type: ignore[no-untyped-def]
    """Sum products of the slopes of a band where all around is inside.

    As many as pixels: those at the border, which have none, count as the mean of the others.

    Parameters
    ----------
    band
        (h, w) float32.
    inside
        (h, w) bool.

    Returns
    -------
    Array
        (3,) xx, yy, xy.
    """
    h, w = band.shape
    sums, around = np.zeros(3), np.zeros(w, np.float32)
    for i in range(1, h - 1):
        for j in range(1, w - 1):
            beside = inside[i, j - 1] & inside[i, j + 1]
            around[j] = _F(beside & inside[i - 1, j] & inside[i + 1, j])
        _row_tensor(band[i - 1], band[i], band[i + 1], around, sums)
    return sums * (h * w / (max(h - 2, 1) * max(w - 2, 1)))


@_summed
def _row_similarity(a, b, c, d, out):  # type: ignore[no-untyped-def]
    """Add what `similarity` sums of one row of both bands; c and d are the next row of them."""
    aa, bb, ab, x, y = _F(0), _F(0), _F(0), _F(0), _F(0)
    for j in range(a.size - 1):
        aa += a[j] * a[j]
        bb += b[j] * b[j]
        ab += a[j] * b[j]
        x += a[j] * b[j + 1] - a[j + 1] * b[j]
        y += a[j] * d[j] - c[j] * b[j]
    j = a.size - 1
    out[0] += aa + a[j] * a[j]
    out[1] += bb + b[j] * b[j]
    out[2] += ab + a[j] * b[j]
    out[3] += x
    out[4] += y + (a[j] * d[j] - c[j] * b[j])


@_compiled
def _common(a, b, in_a, in_b, out, other):  # type: ignore[no-untyped-def]
    """Copy a row of both bands where both have data; count it."""
    count = 0
    for j in range(a.size):
        there = in_a[j] & in_b[j]
        out[j] = a[j] * _F(there)
        other[j] = b[j] * _F(there)
        count += there
    return count


@_compiled
def similarity(a, b, in_a, in_b, complete):  # type: ignore[no-untyped-def]
    """Sum two bands over the pixels inside both.

    The slope sums are those of ``a (db/dx) - b (da/dx)``, halved, with central differences.

    Parameters
    ----------
    a, b
        (h, w) float32.
    in_a, in_b
        (h, w) bool: what is inside.
    complete
        Whether all pixels are.

    Returns
    -------
    Array
        (6,) a², b², a b, slopes along x and y, pixels.
    """
    h, w = a.shape
    out = np.zeros(6)
    nothing = np.zeros(w, np.float32)
    if complete:
        for i in range(h):
            c, d = (a[i + 1], b[i + 1]) if i + 1 < h else (nothing, nothing)
            _row_similarity(a[i], b[i], c, d, out)
        out[5] = h * w
        return out
    lines = np.zeros((4, w), np.float32)
    out[5] = _common(a[0], b[0], in_a[0], in_b[0], lines[0], lines[1])
    for i in range(h):
        here, after = 2 * (i % 2), 2 - 2 * (i % 2)
        if i + 1 < h:
            n, m = lines[after], lines[after + 1]
            out[5] += _common(a[i + 1], b[i + 1], in_a[i + 1], in_b[i + 1], n, m)
        else:
            lines[after : after + 2] = 0
        _row_similarity(lines[here], lines[here + 1], lines[after], lines[after + 1], out)
    return out


@_summed
def _add_products(a, b, in_a, in_b, out):  # type: ignore[no-untyped-def]
    """Add what `cell_products` gives of one row of a cell."""
    aa, bb, ab = _F(0), _F(0), _F(0)
    count = _I(0)
    for j in range(a.size):
        u, v = a[j] * _F(in_b[j]), b[j] * _F(in_a[j])
        aa += u * u
        bb += v * v
        ab += u * v
        count = _I(count + _I(in_a[j] & in_b[j]))
    out[0] += aa
    out[1] += bb
    out[2] += ab
    out[3] += count


@_compiled
def cell_products(a, b, in_a, in_b, rows, columns):  # type: ignore[no-untyped-def]
    """Sum products of two bands in each cell of a grid, over the pixels inside both.

    Parameters
    ----------
    a, b
        (h, w) float32, 0 where not inside.
    in_a, in_b
        (h, w) bool: what is inside.
    rows, columns
        Edges of the cells, px, from 0 to the sides of the bands.

    Returns
    -------
    Array
        (4, cells) a², b², a b, and pixels; cells row after row.
    """
    across = columns.size - 1
    out = np.zeros(((rows.size - 1) * across, 4))
    for r in range(rows.size - 1):
        for i in range(rows[r], rows[r + 1]):
            for c in range(across):
                part = slice(columns[c], columns[c + 1])
                total = out[r * across + c]
                _add_products(a[i, part], b[i, part], in_a[i, part], in_b[i, part], total)
    return out.T
