"""Residual misalignment, distinguished from tissue that runs obliquely, taken off correlations.

Two layers that lie a tenth of a pixel beside each other correlate less, and that would count as
distance, another one for each layer. The shift at which a pair correlates best is known with the
correlation (`isotropy.similarity`). Oblique tissue shifts as well, but alike in layers that follow
one another, while what an alignment leaves changes from layer to layer: so a pair's correlation is
taken at its own shift less the mean shift of the pairs around it.
"""

from __future__ import annotations

import numpy as np

from scripts.lib.arrays import Array, Bool

MOST_SHIFT_PX = 1.0  # of the band, two pixels of the picture; more is no rest of an alignment


def compensated(band: Array, shift: Array, curvature: Array, layers: float) -> Array:
    """Take the residual misalignment off the correlations of layers i and i + k + 1.

    Parameters
    ----------
    band
        (n, R) correlations as the layers lie; NaN = none.
    shift
        (n, R, 2) shift x, y at which each pair correlates best, px of the band.
    curvature
        (n, R, 3) second derivatives xx, yy, xy of the correlation, made positive.
    layers
        Layers over which tissue goes on alike: sd of the mean around a pair.

    Returns
    -------
    Array
        (n, R) correlations at most 1.
    """
    around = np.stack([_mean(shift[:, k], layers) for k in range(shift.shape[1])], axis=1)
    size = np.linalg.norm(shift - around, axis=2, keepdims=True)
    x, y = np.moveaxis(
        (shift - around) * np.minimum(1, MOST_SHIFT_PX / np.maximum(size, 1e-12)), 2, 0
    )
    u, v = np.moveaxis(shift, 2, 0)
    xx, yy, xy = np.moveaxis(curvature, 2, 0)
    uphill = x * (xx * u + xy * v) + y * (xy * u + yy * v)
    gain = uphill - (xx * x * x + 2 * xy * x * y + yy * y * y) / 2
    return np.asarray(np.minimum(band + np.nan_to_num(gain), 1.0))


def _mean(values: Array, layers: float) -> Array:
    """Gaussian mean of (n, 2) along z over what is known."""
    reach = int(np.ceil(3 * layers))
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / layers) ** 2)
    known: Bool = np.asarray(np.isfinite(values).all(axis=1))
    filled = np.where(known[:, None], values, 0.0)
    total = np.stack([_convolved(filled[:, axis], weight) for axis in (0, 1)], axis=1)
    return total / np.maximum(_convolved(known.astype(float), weight), 1e-12)[:, None]


def _convolved(values: Array, weight: Array) -> Array:
    reach = len(weight) // 2
    return np.asarray(np.convolve(np.pad(values, reach), weight, mode="valid"))
