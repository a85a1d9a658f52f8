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


def level_of(width: int, height: int) -> int:
    """Return the deepest mipmap level whose shorter side is still `SIDE_PX` px."""
    return max(0, (min(width, height) // SIDE_PX).bit_length() - 1)


def condition(image: Image, valid: Bool) -> Condition:
    """Measure an (h, w) image of grey levels 0..255 where `valid` (h, w) is true."""
    pixels = np.asarray(image, np.float32)
    if not valid.any():
        return Condition(0.0, 0.0, 0.0)
    return Condition(saturated(pixels, valid), dead(pixels, valid), noise(pixels, valid))


def saturated(pixels: Float32, valid: Bool) -> float:
    """Return the share of the area in which all pixels of `AREA_PX` are at 0, or all at 255."""
    return int(flat(pixels, valid).sum()) / int(valid.sum())


def flat(pixels: Float32, valid: Bool) -> Bool:
    """Mark (h, w) the areas of pure black or white."""
    found = np.zeros(valid.shape, bool)
    for extreme in (0.0, 255.0):
        there = ((pixels == extreme) | ~valid).astype(np.uint8)
        # opened: areas narrower than the window vanish, others keep their size
        opened = cv2.morphologyEx(there, cv2.MORPH_OPEN, np.ones((AREA_PX, AREA_PX), np.uint8))
        found |= (opened > 0) & valid
    return found


def dead(pixels: Float32, valid: Bool) -> float:
    """Return the share of rows, or of columns if that is more, that have no signal."""
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
    """Return the sd of the pixel noise (Immerkaer 1996, doi 10.1006/cviu.1996.0060).

    The kernel is blind to constant and linear parts of the picture.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    inside = cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside[[0, -1]] = inside[:, [0, -1]] = False
    if not inside.any():
        return 0.0
    found = np.abs(cv2.filter2D(pixels, -1, kernel)[inside])
    # median instead of mean: edges of structure are no noise
    return float(np.median(found)) / (0.6745 * 6)
