"""Peaks: where between its samples a surface or a curve is highest."""

from __future__ import annotations

import numpy as np

from scripts.lib.arrays import Array, Image

_FLAT = 1e-9  # curvature below which three values make no peak


def parabola(values: Image, at: int) -> float:
    """Return the offset of a peak from its highest sample, by the parabola through three.

    Parameters
    ----------
    values
        (n,) samples.
    at
        Index of the highest.

    Returns
    -------
    float
        Samples, -0.5..0.5; 0 at an end, and where the three make no peak.
    """
    if at in (0, len(values) - 1):
        return 0.0
    left, middle, right = (float(v) for v in values[at - 1 : at + 2])
    curvature = left - 2 * middle + right
    return 0.5 * (left - right) / curvature if curvature < 0 else 0.0


def paraboloid(values: Array, most: float = 1.0) -> tuple[Array, Array, Array]:
    """Return the peaks of the paraboloids through 3 x 3 samples each.

    Parameters
    ----------
    values
        (n, 3, 3) samples, y before x.
    most
        Largest shift along an axis, samples.

    Returns
    -------
    shift
        (n, 2) x, y of the peak from the middle sample; 0 where there is no peak.
    height
        (n,) value there.
    curvature
        (n,) smaller principal curvature; <= 0: a ridge or a saddle.
    """
    c = values
    gx, gy = (c[:, 1, 2] - c[:, 1, 0]) / 2, (c[:, 2, 1] - c[:, 0, 1]) / 2
    xx = 2 * c[:, 1, 1] - c[:, 1, 2] - c[:, 1, 0]
    yy = 2 * c[:, 1, 1] - c[:, 2, 1] - c[:, 0, 1]
    xy = -(c[:, 2, 2] + c[:, 0, 0] - c[:, 0, 2] - c[:, 2, 0]) / 4
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    low = middle - spread
    determinant = np.where(low > _FLAT, xx * yy - xy * xy, 1.0)
    shift = np.stack([gx * yy - gy * xy, gy * xx - gx * xy], axis=1) / determinant[:, None]
    shift = np.where((low > _FLAT)[:, None], np.clip(shift, -most, most), 0.0)
    height = c[:, 1, 1] + (shift * np.stack([gx, gy], axis=1)).sum(axis=1) / 2
    return shift, height, low
