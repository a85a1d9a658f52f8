"""Smoothing: Gaussian means of pictures, and means over their valid pixels alone."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from scripts.lib.arrays import Image

Smooth = Callable[[Image], Image]


def gaussian(
    image: Image, sigma_px: float, *, reach_px: int = 0, border: int = cv2.BORDER_REFLECT_101
) -> Image:
    """Smooth a picture by a Gaussian.

    Parameters
    ----------
    image
        (h, w) float32 or float64.
    sigma_px
        Standard deviation, px; 0 or less smooths nothing.
    reach_px
        Half the side of the kernel, px; 0: four standard deviations.
    border
        How the picture goes on beyond its border, one of OpenCV's; by default mirrored about the
        outermost pixels.

    Returns
    -------
    Image
        (h, w) of the same dtype; `image` itself where nothing is smoothed.
    """
    if sigma_px <= 0:
        return image
    side = 2 * reach_px + 1 if reach_px else 0
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma_px, borderType=border))


def masked_mean(
    image: Image, weight: Image | None, smooth: Smooth, *, least: float = 1e-6
) -> Image:
    """Return the local mean over valid pixels: normalised convolution.

    Parameters
    ----------
    image
        (h, w) float32 or float64, 0 where not valid: values times weights.
    weight
        (h, w) of the same dtype, 0..1: how far a pixel is valid; None: all are.
    smooth
        The local mean of a picture without gaps, such as `gaussian`; linear.
    least
        The smoothed weight counts as no less: far from all data the mean fades to 0.

    Returns
    -------
    Image
        (h, w) of the same dtype, 0 out of reach of all data.

    References
    ----------
    Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081.
    """
    total = smooth(image)
    if weight is None:
        return total
    return np.asarray(total / np.maximum(smooth(weight), total.dtype.type(least)))
