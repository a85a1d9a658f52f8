"""Spans: where rows have data, and the mixture of two layers by them; compiled by Numba.

The spans of a (h, w) picture are (h, n, 2) int32: first and end of the columns of each row that
have data, ascending; those not used are (w, w). Small beside a mask, and what lies within one is
gone over without asking. Imported where it is used: see `kernels`.
"""

# ruff: noqa: ANN001, ANN202 - Numba takes the types from what it is given
# mypy: allow-untyped-defs
from __future__ import annotations

import numba
import numpy as np

from scripts.lib.arrays import Bool, Image, Int32

_F = np.float32
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_fused = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _part_of(spans, i, k, at):
    """Find the span of row `i`, from number `k` on, that holds column `at` or comes next.

    Return its number, whether it holds the column, and where that changes.
    """
    count = spans.shape[1]
    while k < count and spans[i, k, 1] <= at:
        k += 1
    if k == count:
        return k, False, np.iinfo(np.int64).max
    held = spans[i, k, 0] <= at
    return k, held, np.int64(spans[i, k, 1] if held else spans[i, k, 0])


@_fused
def _mix_row(a, b, share, out):
    for j in range(out.size):
        p, q = _F(a[j]), _F(b[j])
        out[j] = np.int32(np.rint(q + (p - q) * share))


@_compiled
def _mix(a, spans_a, b, spans_b, share, out):
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


def mix(a: Image, spans_a: Int32, b: Image, spans_b: Int32, share: float, out: Image) -> None:
    """Write ``share * a + (1 - share) * b``, rounded (halves to even), into `out`.

    Where one has no data the other alone is shown.

    Parameters
    ----------
    a, spans_a, b, spans_b
        Pictures (h, w) of the same integer type, 0 where they have no data, and their spans.
    share
        Of `a`, 0 to 1.
    out
        (h, w) of that type, written.
    """
    _mix(a, spans_a, b, spans_b, _F(share), out)


@_compiled
def _spans(mask, out):
    """Write the spans of a mask as far as there is room; return the most that a row has."""
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


def spans_of(mask: Bool) -> Int32:
    """Return the spans of a mask.

    Parameters
    ----------
    mask
        (h, w).

    Returns
    -------
    Int32
        (h, n, 2), see the module.
    """
    none = np.empty((len(mask), 0, 2), np.int32)
    out = np.full((len(mask), _spans(mask, none), 2), mask.shape[1], np.int32)
    _spans(mask, out)
    return out


@_compiled
def _show(spans, mask):
    for i in range(spans.shape[0]):
        for k in range(spans.shape[1]):
            mask[i, spans[i, k, 0] : spans[i, k, 1]] = True


def mask_of(spans: Int32, width: int) -> Bool:
    """Return the mask of spans: what `spans_of` undoes.

    Parameters
    ----------
    spans
        (h, n, 2).
    width
        Columns of the mask.

    Returns
    -------
    Bool
        (h, w), True where there is data.
    """
    mask = np.zeros((len(spans), width), bool)
    _show(spans, mask)
    return mask
