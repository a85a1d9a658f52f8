"""The built-in filter list of ``renderWithFilter``.

It works on source pixels at a mipmap level, before they are mapped to the canvas. The reference's
noise is not seeded; here it comes from the tile id and the level, so results repeat.
"""

from __future__ import annotations

import cv2
import numpy as np

from scripts.lib.arrays import Array, Float32, Image

BLOCK_RADIUS_PX = 500.0  # full scale
DEVIATIONS = 3.0
_NOISE = (64, 192)  # half-open range of what replaces pixels of 0 and of 255


def built_in(image: Image, level: int, rng: np.random.Generator) -> Float32:
    """Apply the list: noise for empty (0) and saturated (255) pixels, then local contrast.

    Parameters
    ----------
    image
        (h, w) source pixels, 0..255.
    level
        Level of the mipmap.
    rng
        Where the noise comes from.

    Returns
    -------
    ndarray
        (h, w) float32, 0..255.
    """
    out = image.astype(np.float32)
    dead = (out == 0) | (out == 255)
    out[dead] = rng.integers(*_NOISE, int(dead.sum()))
    return local_contrast(out, BLOCK_RADIUS_PX / (1 << level))


def local_contrast(image: Float32, radius_px: float, deviations: float = DEVIATIONS) -> Float32:
    """Center and stretch a 0..255 image by the mean and deviation of the block around each pixel.

    ``mean - deviations * sd`` becomes 0 and ``mean + deviations * sd`` 255 (mpicbg
    NormalizeLocalContrast); blocks are cut at the border of the image.

    Parameters
    ----------
    image
        (h, w) float32, 0..255.
    radius_px
        Half side of the block, px of the image.
    deviations
        Standard deviations to either side that fill the range.

    Returns
    -------
    ndarray
        (h, w) float32, 0..255.
    """
    h, w = image.shape
    size = tuple(2 * min(round(radius_px), n - 1) + 1 for n in (w, h))
    wide = image.astype(np.float64)
    count = _box_sum(np.ones_like(wide), size)
    mean = _box_sum(wide, size) / count
    variance = _box_sum(wide * wide, size) / count - mean * mean
    reach = deviations * np.sqrt(np.maximum(variance, 1e-6))
    return np.clip(255 * (wide - mean + reach) / (2 * reach), 0, 255).astype(np.float32)


def _box_sum(image: Array, size: tuple[int, ...]) -> Array:
    out = cv2.boxFilter(
        image, cv2.CV_64F, (size[0], size[1]), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(out, np.float64)
