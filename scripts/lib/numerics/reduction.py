"""Reduction: pictures of half the size.

Integers of a volume are halved by the compiled `kernels.halve`, which rounds in place of a mean
with fractions.
"""

from __future__ import annotations

import cv2
import numpy as np

from scripts.lib.arrays import Bool, Float32, Image


def halved(image: Float32) -> Float32:
    """Return the means of 2 x 2 pixels.

    Parameters
    ----------
    image
        (h, w) float32; a last odd row or column is left out, but for a single one.

    Returns
    -------
    Float32
        (h // 2, w // 2), at least (1, 1).
    """
    h, w = (max(1, n // 2) for n in image.shape)
    even = image[: 2 * h, : 2 * w]
    return np.asarray(cv2.resize(even, (w, h), interpolation=cv2.INTER_AREA), np.float32)


def halved_mask(valid: Bool) -> Bool:
    """Tell which squares of 2 x 2 pixels are wholly valid.

    Parameters
    ----------
    valid
        (h, w); a last odd row or column is left out.

    Returns
    -------
    Bool
        (h // 2, w // 2).
    """
    h, w = (n // 2 for n in valid.shape)
    if valid.all():  # as most are, and ten times as fast
        return np.ones((h, w), bool)
    return np.asarray(valid[: 2 * h, : 2 * w].reshape(h, 2, w, 2).all(axis=(1, 3)))


def shrunk(image: Image, factor: float) -> Image:
    """Return area means at a smaller scale, by halves as far as they go: that is faster.

    Parameters
    ----------
    image
        (h, w) float32 or uint8 (rounded at every step).
    factor
        Scale, more than 0 and at most 1.

    Returns
    -------
    Image
        (round(h * factor), round(w * factor)), at least (1, 1), of the same dtype.
    """
    h, w = (max(1, round(n * factor)) for n in image.shape)
    while image.shape[0] >= 2 * h and image.shape[1] >= 2 * w:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA))
    if image.shape == (h, w):
        return image
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA))
