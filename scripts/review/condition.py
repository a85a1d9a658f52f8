"""Condition: what the pixels of one tile say of it, without any other tile.

Ways in which a tile goes bad that its own rows tell: values beyond the detector's or the
conversion's range (saturation, a file that ends early), lines without signal, noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Float32, Image

SIDE_PX = 256  # px the shorter side keeps at least at the level that is read
AREA_PX = 5  # a pixel counts as saturated when all around it, so wide, is: noise never does that
DEAD = 0.05  # of the median row's spread: a row below it carries no signal
LEAST_SPREAD = 1.0  # grey levels; below it rounding alone makes rows flat


@dataclass(frozen=True)
class Condition:
    """Figures of one tile, all of its unmasked area."""

    saturated: float  # share of the area at the darkest or brightest value
    dead: float  # share of rows or columns without signal
    noise: float  # sd of pixel noise, grey levels of the level read


def condition(image: Image, valid: Bool) -> Condition:
    """Measure saturation, lost lines and noise of a picture.

    Parameters
    ----------
    image
        (h, w) grey levels 0..255.
    valid
        (h, w) bool, where the picture has data.

    Returns
    -------
    Condition
        All 0 for a wholly masked picture.
    """
    pixels = np.asarray(image, np.float32)
    if not valid.any():
        return Condition(0.0, 0.0, 0.0)
    return Condition(saturated(pixels, valid), dead(pixels, valid), noise(pixels, valid))


def saturated(pixels: Float32, valid: Bool) -> float:
    """Measure the area in which all pixels of `AREA_PX` are at 0, or all at 255.

    Parameters
    ----------
    pixels
        (h, w) float32, grey levels 0..255.
    valid
        (h, w) bool, where the picture has data.

    Returns
    -------
    float
        Share of the valid area.
    """
    return int(flat(pixels, valid).sum()) / int(valid.sum())


def flat(pixels: Float32, valid: Bool) -> Bool:
    """Mark the areas of pure black or white.

    Parameters
    ----------
    pixels
        (h, w) float32, grey levels 0..255.
    valid
        (h, w) bool, where the picture has data.

    Returns
    -------
    ndarray
        (h, w) bool; areas narrower than `AREA_PX` are left out.
    """
    found = np.zeros(valid.shape, bool)
    for extreme in (0.0, 255.0):
        there = ((pixels == extreme) | ~valid).astype(np.uint8)
        # opened: areas narrower than the window vanish, others keep their size; scikit-image's
        # does the same in 35 times as long, four times a tile
        opened = cv2.morphologyEx(there, cv2.MORPH_OPEN, np.ones((AREA_PX, AREA_PX), np.uint8))
        found |= (opened > 0) & valid
    return found


def dead(pixels: Float32, valid: Bool) -> float:
    """Measure the rows, or columns if those are more, that have no signal.

    Parameters
    ----------
    pixels
        (h, w) float32, grey levels 0..255.
    valid
        (h, w) bool, where the picture has data.

    Returns
    -------
    float
        Share of the rows or columns.
    """
    return max(_dead(pixels, valid), _dead(pixels.T, valid.T))


def _dead(pixels: Array | Float32, valid: Bool) -> float:
    count = valid.sum(axis=1)
    use = count >= 8
    mean = np.where(valid, pixels, 0).sum(axis=1) / np.maximum(count, 1)
    away = np.where(valid, pixels - mean[:, None], 0)
    spread = np.sqrt((away**2).sum(axis=1) / np.maximum(count, 1))[use]
    usual = float(np.median(spread)) if spread.size else 0.0
    if usual < LEAST_SPREAD:
        return 0.0
    return float((spread < DEAD * usual).mean())


def noise(pixels: Float32, valid: Bool) -> float:
    """Measure the pixel noise by a kernel that is blind to constant and linear parts of a picture.

    Parameters
    ----------
    pixels
        (h, w) float32, grey levels 0..255.
    valid
        (h, w) bool, where the picture has data.

    Returns
    -------
    float
        Standard deviation, grey levels.

    References
    ----------
    Immerkaer (1996), Fast noise variance estimation, doi:10.1006/cviu.1996.0060; with the median
    instead of the mean.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    inside = cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside[[0, -1]] = inside[:, [0, -1]] = False
    if not inside.any():
        return 0.0
    found = np.abs(cv2.filter2D(pixels, -1, kernel)[inside])
    # median instead of mean: edges of structure are no noise
    return float(np.median(found)) / (0.6745 * 6)
