"""First-order recursions along layers, compiled by Numba.

`scipy.signal.lfilter` does the same to the same bits; to import it costs a second, since it brings
all of `scipy.stats`.
"""

# ruff: noqa: ANN001, ANN201 - Numba takes the types from what it is given
from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def decayed(values, gain, keep):  # type: ignore[no-untyped-def]
    """Filter the columns of an array by ``y[i] = gain * x[i] + keep * y[i - 1]``.

    Parameters
    ----------
    values
        (n, k) float64.
    gain, keep
        Of what is new, and of the row before.

    Returns
    -------
    Array
        (n, k) float64.
    """
    out = np.empty(values.shape)
    before = np.zeros(values.shape[1])
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            before[j] = gain * values[i, j] + keep * before[j]
            out[i, j] = before[j]
    return out
