"""Correlation with the next layer, region by region: where in a layer it goes wrong.

Every region is a square of the common picture, compared with the same square of the next layer over
the pixels that have data in both. No resin is left out: a hole in the map would look like a fault.
"""

from __future__ import annotations

import math

import numpy as np

from scripts.lib.arrays import Array, Bytes, Int64
from scripts.zcorr import kernels
from scripts.zcorr.correlation import FLAT

_LEAST_SHARE = 0.01  # of a region's pixels; fewer give no value


def cells(shape: tuple[int, int], region_px: float) -> tuple[int, int]:
    """Count the regions of a picture; they divide it evenly, none larger than asked for.

    Parameters
    ----------
    shape
        Rows and columns of the picture, px.
    region_px
        Largest side of a region, px.

    Returns
    -------
    tuple
        Rows and columns of regions.
    """
    rows, columns = (max(1, math.ceil(n / region_px - 1e-9)) for n in shape)
    return rows, columns


def correlate(a: Bytes, b: Bytes, region_px: float) -> Array:
    """Correlate each region of two pictures; a pixel belongs to the region of its centre.

    Parameters
    ----------
    a, b
        (h, w) grey levels, 0 = no data.
    region_px
        As of `cells`.

    Returns
    -------
    Array
        (rows, columns) Pearson correlation; NaN where there is too little data.
    """
    rows, columns = (
        _edges(n, count) for n, count in zip(a.shape, cells(a.shape, region_px), strict=True)
    )
    sums = np.moveaxis(kernels.regions(a, b, rows, columns), 2, 0).astype(float)
    n, p, q, pp, qq, pq = sums
    vp, vq = n * pp - p * p, n * qq - q * q
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (n * pq - p * q) / np.sqrt(vp * vq)
    pixels = np.outer(np.diff(rows), np.diff(columns))
    enough = (n >= _LEAST_SHARE * pixels) & (np.minimum(vp, vq) > FLAT * np.maximum(n, 1) ** 2)
    return np.where(enough, np.round(np.clip(value, -1, 1), 5), np.nan)


def _edges(size: int, count: int) -> Int64:
    """(count + 1,) first pixels of even parts."""
    return np.asarray(np.ceil(np.arange(count + 1) * (size / count) - 0.5 - 1e-9), np.int64)
