"""Correlation with the next layer, region by region: where in a layer it goes wrong.

Every region is a square of the common picture, compared with the same square of the next layer over
the pixels that have data in both. No resin is left out: a hole in the map would look like a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from scripts.lib.compose import Picture
from scripts.zcorr.correlation import FLAT, Array, Bool, Float32

_LEAST_SHARE = 0.01  # of a region's pixels; fewer give no value


def cells(shape: tuple[int, int], region_px: float) -> tuple[int, int]:
    """Rows and columns of regions; they divide the picture evenly, none larger than asked."""
    rows, columns = (max(1, math.ceil(n / region_px - 1e-9)) for n in shape)
    return rows, columns


@dataclass(frozen=True, eq=False)
class Map:
    """A layer ready to be compared by regions; what needs one layer alone is summed once."""

    values: Float32  # (h, w) about 0, 0 where there is no data
    valid: Bool | None  # (h, w); None = data everywhere
    rows: csr_array  # (rows, h) shares of pixels in regions
    columns: csr_array  # (columns, w)
    mean: Array  # (rows, columns)
    square: Array  # (rows, columns) mean square

    def average(self, values: Float32) -> Array:
        """Give the mean of a picture in each region."""
        return np.asarray((self.columns @ (self.rows @ values).T).T, np.float64)


def prepare(centred: Picture, region_px: float) -> Map:
    """Make a layer ready, of which `correlation.about_zero` took the mean.

    About 0, for the mean square would else lose the variance in float32.
    """
    values, valid = centred.pixels, centred.mask
    rows, columns = (
        _members(n, cell)
        for n, cell in zip(valid.shape, cells(valid.shape, region_px), strict=True)
    )
    empty = np.zeros((0, 0))
    bare = Map(values, None if valid.all() else valid, rows, columns, empty, empty)
    return replace(bare, mean=bare.average(values), square=bare.average(values * values))


def correlate(a: Map, b: Map) -> Array:
    """(rows, columns) Pearson correlation of each region; NaN where there is too little data."""
    if a.valid is None and b.valid is None:
        n, p, q, pp, qq = np.ones_like(a.mean), a.mean, b.mean, a.square, b.square
    else:
        both = np.ones(a.values.shape, np.float32)
        for one in (a, b):
            both *= 1 if one.valid is None else one.valid
        n, left, right = a.average(both), a.values * both, b.values * both
        p, q, pp, qq = (a.average(v) for v in (left, right, left * left, right * right))
    vp, vq = n * pp - p * p, n * qq - q * q
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (n * a.average(a.values * b.values) - p * q) / np.sqrt(vp * vq)
    enough = (n >= _LEAST_SHARE) & (vp > FLAT) & (vq > FLAT)
    return np.where(enough, np.round(np.clip(value, -1, 1), 5), np.nan)


def _members(size: int, count: int) -> csr_array:
    """(count, size) share of each pixel in each of `count` even parts; rows sum to 1."""
    edge = np.arange(count + 1)[:, None] * (size / count)
    inside = np.clip(np.arange(1, size + 1) - edge, 0, 1)
    return csr_array(np.asarray((inside[:-1] - inside[1:]) * (count / size), np.float32))
