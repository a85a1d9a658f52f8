"""Kernels: numerics compiled by Numba, which takes a second to import.

So this module is imported where it is used, by jobs that go over gigabytes.
"""

# ruff: noqa: ANN001, ANN201 - Numba takes the types from what it is given
from __future__ import annotations

import numba
import numpy as np

_I = np.int32


@numba.njit(cache=True, nogil=True, error_model="numpy")
def halve(lower, upper, out):  # type: ignore[no-untyped-def]
    """Average 2 x 2 x 2 voxels of two planes, rounded half up.

    Parameters
    ----------
    lower, upper
        (2 h, 2 w) or one more, uint8 or uint16; the same plane twice averages 2 x 2 pixels.
    out
        (h, w) of the same dtype; is written.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            k, m = 2 * i, 2 * j
            total = _I(lower[k, m]) + _I(lower[k, m + 1])
            total += _I(lower[k + 1, m]) + _I(lower[k + 1, m + 1])
            total += _I(upper[k, m]) + _I(upper[k, m + 1])
            total += _I(upper[k + 1, m]) + _I(upper[k + 1, m + 1])
            out[i, j] = (total + _I(4)) >> _I(3)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def to_8_bit(values, low, gain, out):  # type: ignore[no-untyped-def]
    """Show 16-bit grey values in 8: 1 + (v - low) gain, rounded, cut to 1 to 255; 0 stays 0.

    Parameters
    ----------
    values
        (h, w) uint16; 0 is no data.
    low, gain
        (h, w) of each pixel, or (1, 1) of all.
    out
        (h, w) uint8; is written.
    """
    one = low.shape[0] == 1 and low.shape[1] == 1
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            v = values[i, j]
            k, m = (0, 0) if one else (i, j)
            shown = 1.5 + (v - low[k, m]) * gain[k, m]
            out[i, j] = 0 if v == 0 else (1 if shown < 1 else (255 if shown > 255 else int(shown)))
