"""Sums over the pixels of layers, compiled by Numba: one pass for each step, nothing kept between.

Pictures are uint8, 0 = no data. Their sums are integers and exact. Sums of band-passed texture are
float32 along a row and float64 from row to row; the order within a row is that of the processor's
vectors, so the last digits may depend on it (results are rounded to fewer).

Numba takes a second to import and a machine's first job some seconds to compile: see `lib.kernels`.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Numba takes the types from what it is given
from __future__ import annotations

import numba
import numpy as np

_F = np.float32
_I = np.int32
_PART = 8192  # pixels; so many products of two bytes fit into 32 bits
QUARTER = 4  # px of a picture for one of its surroundings
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_summed = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)


@_compiled
def _products(a, b):  # type: ignore[no-untyped-def]
    total = _I(0)
    for j in range(a.size):
        total = _I(total + _I(_I(a[j]) * _I(b[j])))
    return total


@_compiled
def products(a, b):  # type: ignore[no-untyped-def]
    """Sum the products of two rows.

    Parameters
    ----------
    a, b
        (p,) uint8.

    Returns
    -------
    int
        Exact.
    """
    total = 0
    for start in range(0, a.size, _PART):
        total += _products(a[start : start + _PART], b[start : start + _PART])
    return total


@_compiled
def _add_common(a, b, out):  # type: ignore[no-untyped-def]
    """Add what `regions` gives of two rows, at most `_PART` long."""
    n, s, t, ss, tt, st = _I(0), _I(0), _I(0), _I(0), _I(0), _I(0)
    for j in range(a.size):
        u, v = _I(a[j]), _I(b[j])
        u, v = (u if v != 0 else _I(0)), (v if u != 0 else _I(0))
        n = _I(n + _I(u != 0))
        s = _I(s + u)
        t = _I(t + v)
        ss = _I(ss + _I(u * u))
        tt = _I(tt + _I(v * v))
        st = _I(st + _I(u * v))
    out[0] += n
    out[1] += s
    out[2] += t
    out[3] += ss
    out[4] += tt
    out[5] += st


@_compiled
def regions(a, b, rows, columns):  # type: ignore[no-untyped-def]
    """Sum each region of two pictures over the pixels that have data in both.

    Parameters
    ----------
    a, b
        (h, w) uint8, 0 = no data.
    rows, columns
        Edges of the regions, px.

    Returns
    -------
    NDArray
        (rows, columns, 6) int64: pixels, sums of a, b, a², b² and a b.
    """
    out = np.zeros((rows.size - 1, columns.size - 1, 6), np.int64)
    for r in range(rows.size - 1):
        for i in range(rows[r], rows[r + 1]):
            for c in range(columns.size - 1):
                for start in range(columns[c], columns[c + 1], _PART):
                    part = slice(start, min(start + _PART, columns[c + 1]))
                    _add_common(a[i, part], b[i, part], out[r, c])
    return out


@_compiled
def block_means(pixels, size):  # type: ignore[no-untyped-def]
    """Average blocks of pixels over what has data.

    Parameters
    ----------
    pixels
        (h, w) uint8, 0 = no data.
    size
        Side of a block, px.

    Returns
    -------
    mean : Float32
        (h / size, w / size), rounded up; 0 where there is no data.
    share : Float32
        Of the same shape: share of a block that has data.
    """
    h, w = pixels.shape
    tall, wide = -(-h // size), -(-w // size)
    mean, share = np.zeros((tall, wide), np.float32), np.zeros((tall, wide), np.float32)
    line, known = np.zeros(wide * size, np.int32), np.zeros(wide * size, np.int32)
    for k in range(tall):
        line[:] = 0
        known[:] = 0
        for i in range(k * size, min((k + 1) * size, h)):
            for j in range(w):
                value = _I(pixels[i, j])
                line[j] = _I(line[j] + value)
                known[j] = _I(known[j] + _I(value != 0))
        for m in range(wide):
            total, count = _I(0), _I(0)
            for j in range(m * size, (m + 1) * size):
                total = _I(total + line[j])
                count = _I(count + known[j])
            if count:
                mean[k, m] = total / _F(count)
                share[k, m] = count / _F(size * size)
    return mean, share


@_compiled
def stripes(pixels):  # type: ignore[no-untyped-def]
    """Average rows, and columns without the rows' means: row noise and curtains.

    Parameters
    ----------
    pixels
        (h, w) uint8, 0 = no data.

    Returns
    -------
    row : Float32
        (h,) means, grey levels.
    column : Float32
        (w,) means of what is left, grey levels.
    """
    h, w = pixels.shape
    row, column = np.zeros(h, np.float32), np.zeros(w, np.float32)
    counts = np.zeros(w, np.int32)
    for i in range(h):
        total, count = _I(0), _I(0)
        for j in range(w):
            value = _I(pixels[i, j])
            total = _I(total + value)
            count = _I(count + _I(value != 0))
        row[i] = total / (count if count else 1)
        mean = row[i]
        for j in range(w):
            value = _I(pixels[i, j])
            column[j] += (_F(value) - mean) if value != 0 else _F(0)
            counts[j] = _I(counts[j] + _I(value != 0))
    for j in range(w):
        column[j] /= _F(counts[j] if counts[j] else 1)
    return row, column


@_compiled
def halved(pixels, row, column):  # type: ignore[no-untyped-def]
    """Average 2 x 2 pixels less their stripes; a last odd row or column is left out.

    Parameters
    ----------
    pixels
        (h, w) uint8, 0 = no data.
    row, column
        Of `stripes`.

    Returns
    -------
    mean : Float32
        (h // 2, w // 2), no data counting as 0.
    share : Float32
        Of the same shape: share of the four pixels that has data.
    """
    h, w = pixels.shape[0] // 2, pixels.shape[1] // 2
    out, share = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    line, known = np.empty(2 * w, np.float32), np.empty(2 * w, np.float32)
    for i in range(h):
        upper, lower = row[2 * i], row[2 * i + 1]
        for j in range(2 * w):
            a, b = _I(pixels[2 * i, j]), _I(pixels[2 * i + 1, j])
            line[j] = (_F(a) - upper - column[j]) if a != 0 else _F(0)
            line[j] += (_F(b) - lower - column[j]) if b != 0 else _F(0)
            known[j] = _F(_I(a != 0) + _I(b != 0))
        for j in range(w):
            out[i, j] = (line[2 * j] + line[2 * j + 1]) * _F(0.25)
            share[i, j] = (known[2 * j] + known[2 * j + 1]) * _F(0.25)
    return out, share


@_compiled
def moments(small, share):  # type: ignore[no-untyped-def]
    """Average 2 x 2 pixels of `halved`, and their squares per share of data.

    A last odd row or column is left out.

    Parameters
    ----------
    small, share
        (h, w) float32, of `halved`.

    Returns
    -------
    mean : Float32
        (h // 2, w // 2), grey levels.
    square : Float32
        Of the same shape, grey levels².
    """
    h, w = small.shape[0] // 2, small.shape[1] // 2
    mean, square = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    squares = np.empty(2 * w, np.float32)
    for i in range(h):
        upper, lower = small[2 * i], small[2 * i + 1]
        over, under = share[2 * i], share[2 * i + 1]
        for j in range(2 * w):
            squares[j] = upper[j] * upper[j] / max(over[j], _F(0.25))
            squares[j] += lower[j] * lower[j] / max(under[j], _F(0.25))
        for j in range(w):
            k = 2 * j
            mean[i, j] = (upper[k] + upper[k + 1] + lower[k] + lower[k + 1]) * _F(0.25)
            square[i, j] = (squares[k] + squares[k + 1]) * _F(0.25)
    return mean, square


@_compiled
def _line(surroundings, i, factor, line, out):  # type: ignore[no-untyped-def]
    """Interpolate row `i` of what is `factor` (2 or 4) times as large as the surroundings.

    `line` is room for a row of the surroundings.
    """
    at = (i + 0.5) / factor - 0.5
    low = min(max(int(np.floor(at)), 0), surroundings.shape[0] - 1)
    high = min(low + 1, surroundings.shape[0] - 1)
    share = _F(min(max(at - low, 0.0), 1.0))
    above, below = surroundings[low], surroundings[high]
    for k in range(line.size):
        line[k] = above[k] + (below[k] - above[k]) * share
    half = factor // 2
    out[:half] = line[0]
    out[factor * (line.size - 1) + half :] = line[line.size - 1]
    inner = out[half : factor * (line.size - 1) + half].reshape((line.size - 1, factor))
    if factor == 2:
        for k in range(line.size - 1):
            step = line[k + 1] - line[k]
            inner[k, 0] = line[k] + step * _F(0.25)
            inner[k, 1] = line[k] + step * _F(0.75)
    else:
        for k in range(line.size - 1):
            step = line[k + 1] - line[k]
            inner[k, 0] = line[k] + step * _F(0.125)
            inner[k, 1] = line[k] + step * _F(0.375)
            inner[k, 2] = line[k] + step * _F(0.625)
            inner[k, 3] = line[k] + step * _F(0.875)


@_compiled
def evened(small, share, level, gain):  # type: ignore[no-untyped-def]
    """Normalise a half-size picture by its surroundings' level and contrast, in place.

    Parameters
    ----------
    small, share
        (h, w) float32, of `halved`.
    level, gain
        Of half their size: what is taken off, and the factor of the rest.
    """
    h, w = small.shape
    here = np.empty(max(w, 2 * level.shape[1]), np.float32)
    factor, line = np.empty_like(here), np.empty(level.shape[1], np.float32)
    for i in range(h):
        _line(level, i, 2, line, here)
        _line(gain, i, 2, line, factor)
        for j in range(w):
            small[i, j] = (small[i, j] - here[j] * share[i, j]) * factor[j]


@_summed
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = _F(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@_compiled
def _even_row(pixels, row, column, level, gain, out, there):  # type: ignore[no-untyped-def]
    """Even out one row as `lag_sums` says; tell whether all of it has data."""
    for j in range(pixels.size):
        even = (_F(pixels[j]) - row - column[j] - level[j]) * gain[j]
        out[j] = even if pixels[j] != 0 else _F(0)
    count = _I(0)  # in a loop of its own: of too many arrays no vector code is made
    for j in range(pixels.size):
        known = _I(pixels[j] != 0)
        there[j] = known
        count = _I(count + known)
    return count == pixels.size


@_compiled
def lag_sums(  # type: ignore[no-untyped-def]
    pixels, row, column, level, gain, lags, each, block, step, rows, columns
):
    """Sum products and pixels of pairs of pixels a lag apart, in each cell of a grid.

    Of the pixels less their stripes and level, times the gain. One block is normalised at a time.
    A pair belongs to the cell of its upper pixel.

    Parameters
    ----------
    pixels
        (h, w) uint8, 0 = no data.
    row, column
        Of `stripes`.
    level, gain
        Of a quarter of the size.
    lags
        (m, 2) x, y, px.
    each
        The upper pixel of a pair lies in each `each`-th row of a block.
    block, step
        Rows of a block; rows from the start of one to that of the next.
    rows, columns
        Edges of the cells, px, from 0 to the sides of the picture.

    Returns
    -------
    Array
        (2, m, cells) sums of products, grey levels², and numbers of pairs; cells row after row.
    """
    h, w = pixels.shape
    reach = 0
    for n in range(len(lags)):
        reach = max(reach, abs(lags[n, 0]), abs(lags[n, 1]))
    here = np.empty(max(w, QUARTER * level.shape[1]), np.float32)
    factor, line = np.empty_like(here), np.empty(level.shape[1], np.float32)
    even = np.zeros((block + reach, w + 2 * reach), np.float32)
    there = np.zeros((block + reach, w + 2 * reach), np.float32)
    across = columns.size - 1
    out = np.zeros((2, len(lags), (rows.size - 1) * across))
    for start in range(0, h, step):
        stop = min(start + block + reach, h)
        complete = True
        for i in range(start, stop):
            _line(level, i, QUARTER, line, here)
            _line(gain, i, QUARTER, line, factor)
            inside = slice(reach, reach + w)
            one, other = even[i - start, inside], there[i - start, inside]
            complete &= _even_row(pixels[i], row[i], column, here, factor, one, other)
        for i in range(0, min(block, h - start), each):
            first = (np.searchsorted(rows, start + i, side="right") - 1) * across
            for n in range(len(lags)):
                x, y = lags[n, 0], lags[n, 1]
                if i + y >= stop - start:
                    continue
                for c in range(across):
                    low, high = columns[c], columns[c + 1]
                    upper = slice(reach + low, reach + high)
                    lower = slice(reach + x + low, reach + x + high)
                    out[0, n, first + c] += _dot(even[i, upper], even[i + y, lower])
                    if complete:
                        out[1, n, first + c] += max(min(high, w - x) - max(low, -x), 0)
                    else:
                        out[1, n, first + c] += _dot(there[i, upper], there[i + y, lower])
    return out
