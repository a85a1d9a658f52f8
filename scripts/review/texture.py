"""Texture: how much structure a tile shows, from a small mipmap level: tissue or bare resin.

The score is the robust spread of a band of sizes (2 to 8 px of the small level): pixel noise is
averaged away by the level and the blur, shading and charging clouds are wider than the band.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from scripts.lib.arrays import Bool, Image
from scripts.lib.numerics.smoothing import gaussian, masked_mean

SHORT_SIDE = 48  # px the shorter side keeps at least at the level that is read
FINE, COARSE = 1.0, 4.0  # px of the small level; sigmas of the band


def level_of(width: int, height: int, least_px: int = SHORT_SIDE) -> int:
    """Return the deepest mipmap level whose shorter side is still long enough.

    Parameters
    ----------
    width, height
        px of level 0.
    least_px
        The shorter side at that level.

    Returns
    -------
    int
        0 is the whole picture.
    """
    return max(0, (min(width, height) // least_px).bit_length() - 1)


def score(image: Image, valid: Bool) -> float:
    """Return the texture of a picture.

    Parameters
    ----------
    image
        (h, w) pixels of a small level.
    valid
        (h, w) bool, where the picture has data. Saturated areas are flat and lower the score.

    Returns
    -------
    float
        Grey levels, as of a standard deviation; 0 for a flat or wholly masked picture.
    """
    pixels = np.asarray(image, float)
    weight = valid.astype(float)
    fine, coarse = (
        masked_mean(
            np.where(valid, pixels, 0.0),
            weight,
            functools.partial(gaussian, sigma_px=sigma, border=cv2.BORDER_REPLICATE),
        )
        for sigma in (FINE, COARSE)
    )
    band = fine - coarse
    inside = band[valid]
    if inside.size < 16:
        return 0.0
    low, high = np.quantile(inside, [0.1, 0.9])
    return float(high - low) / 2.563  # the spread of a normal distribution between these quantiles
