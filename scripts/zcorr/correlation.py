"""Correlation of layers: pictures on one grid, their texture mask, Pearson over common pixels.

Every layer is rendered over the same box at the same scale, so that pixel grids coincide and no
search for a shift is needed. Where there is no texture (empty resin) pixels say nothing about
distance and are left out, as in render's LayerDistancePlanner.

Pictures are of whole grey levels, as the layers are stored and as the reference renders them, and 0
where there is no data: so they are small, and their sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Bool, Bytes, Float32, Index
from scripts.lib.drawing import boxes
from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.numerics.reduction import shrunk
from scripts.lib.numerics.smoothing import gaussian
from scripts.zcorr import kernels

_TEXTURE_SCALE = 0.22  # texture is judged at about the reference's scale: pixel noise is none there
_FINE_SD = 4.0  # px
_LEAST_SHARE = 1e-6  # of pixels with data; beyond all of them means fade to 0
_SPANS = 20  # the neighbourhood of texture fits so often into a side: else tissue spills over
FLAT = 1e-6  # grey levels squared; less variance is rounding
LEAST_COMMON = 0.01  # of the picture; a correlation over fewer pixels is no value


@dataclass(frozen=True)
class ResinMask:
    """Options of the resin mask; lengths in full-resolution px."""

    enabled: bool = True
    sigma_px: float = 100.0
    threshold: float = 3.0  # grey levels


def picture_scale(box: Box, scale: float, min_picture_px: int) -> float:
    """Choose the scale of the pictures: the configured one, or a larger one for a small stack.

    Between 1/2 and 1 it is 1: every scale there reads full-resolution pixels all the same.

    Parameters
    ----------
    box
        Bounds of the stack, world px.
    scale
        As configured, picture px per world px.
    min_picture_px
        Least shorter side of a picture, px.

    Returns
    -------
    float
        At most 1.
    """
    wanted = max(scale, min_picture_px / min(box.width, box.height))
    return 1.0 if wanted > 0.5 else wanted


def textured(picture: Picture, scale: float, options: ResinMask) -> Bool:
    """Tell which pixels take part: those of tile data, not 0, with enough texture around.

    Texture is the mean excess over the local mean, both Gaussian and over valid pixels alone. It
    is measured on an area-averaged picture of about scale 0.22 when `scale` is larger.

    Parameters
    ----------
    picture
        Grey levels (h, w), 0 = no data.
    scale
        Picture px per world px.
    options
        Of the resin mask.

    Returns
    -------
    Bool
        (h, w).
    """
    data: Bool = picture.mask & (picture.pixels != 0)
    if not options.enabled or not data.any():
        return data
    # halves: they are quick
    size = max(1, 2 ** round(math.log2(scale / _TEXTURE_SCALE)))
    small, share = _block_means(picture.pixels, size)
    weight = None if data.all() else share
    sigma = min(options.sigma_px * scale / size, min(small.shape) / _SPANS)
    local_mean = _local_means(small.shape, weight, sigma, all_or_nothing=size == 1)
    excess = small  # the picture is large: each copy of it costs as much as a step
    excess -= local_mean(small)
    content = local_mean(np.maximum(excess, 0, out=excess))
    if content.min() >= options.threshold:
        return data
    h, w = data.shape
    if content.shape != (h, w):
        content = np.asarray(cv2.resize(content, (w, h), interpolation=cv2.INTER_LINEAR))
    return data & (content >= options.threshold)


def _block_means(pixels: Bytes, size: int) -> tuple[Float32, Float32]:
    """Average blocks over what has data, and tell which share of each that is."""
    if size == 1:  # five times as fast
        return pixels.astype(np.float32), (pixels != 0).astype(np.float32)
    mean, share = kernels.block_means(pixels, size)
    return mean, share


def _local_means(
    shape: tuple[int, ...], weight: Float32 | None, sigma: float, *, all_or_nothing: bool
) -> Callable[[Float32], Float32]:
    """Return what takes Gaussian means over pixels by weight; 0 where there is none.

    A wide one is taken of a smaller picture, in which it is still `_FINE_SD` pixels wide. Where
    weights are all or nothing, images must be 0 where there is none.
    """
    h, w = shape
    factor = min(1.0, _FINE_SD / sigma)

    def smooth(values: Float32) -> Float32:
        small = shrunk(values, factor) if factor < 1 else values
        blurred = gaussian(small, sigma * factor, border=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(blurred, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)

    if weight is None:
        return smooth
    share = smooth(weight)
    np.maximum(share, np.float32(_LEAST_SHARE), out=share)

    def mean(image: Float32) -> Float32:
        out = smooth(image if all_or_nothing else image * weight)
        out /= share
        return out

    return mean


@dataclass(frozen=True, eq=False)
class Field:
    """Pixels of a layer ready to be compared, in a row; 0 where not valid.

    Most pixels are valid, so those that are not are kept as a list: a pair then costs one product
    of all pixels and a look at the few.
    """

    values: Bytes  # (p,)
    invalid: Index  # where it is 0
    sum: int
    squares: int


def prepare(picture: Picture, mask: Bool) -> Field:
    """Lay a picture flat.

    Parameters
    ----------
    picture
        Grey levels (h, w).
    mask
        (h, w) which of its pixels take part.

    Returns
    -------
    Field
        Its h w pixels in a row, with their sums.
    """
    pixels = picture.pixels if mask.all() else picture.pixels * mask
    flat: Bytes = np.ascontiguousarray(pixels, np.uint8).ravel()
    some = cv2.countNonZero(flat) < flat.size
    invalid = np.flatnonzero(flat == 0) if some else np.zeros(0, np.intp)
    return Field(flat, invalid, round(cv2.sumElems(flat)[0]), kernels.products(flat, flat))


def pearson(a: Field, b: Field) -> tuple[float, float]:
    """Correlate two layers over the pixels that are valid in both.

    Parameters
    ----------
    a, b
        Layers on one grid.

    Returns
    -------
    value : float
        Pearson correlation, to 6 decimals; NaN when too few pixels are common or one is flat.
    share : float
        Of the pixels that are common, 0..1.
    """
    left, right = (one.values[two.invalid].astype(np.int64) for one, two in ((a, b), (b, a)))
    neither = len(b.invalid) - int(np.count_nonzero(left))
    count = a.values.size - len(a.invalid) - len(b.invalid) + neither
    share = count / a.values.size
    if share < LEAST_COMMON:
        return math.nan, share
    p, q = a.sum - int(left.sum()), b.sum - int(right.sum())
    va = count * (a.squares - int(left @ left)) - p * p
    vb = count * (b.squares - int(right @ right)) - q * q
    least = FLAT * count**2
    if va <= least or vb <= least:
        return math.nan, share
    top = count * kernels.products(a.values, b.values) - p * q
    return round(top / math.sqrt(va * vb), 6), share


def thumbnail(picture: Picture, longer_px: int) -> Bytes:
    """Shrink a picture to the one that is kept for reports.

    Parameters
    ----------
    picture
        Grey levels (h, w).
    longer_px
        Most of its longer side, px.

    Returns
    -------
    Bytes
        Area means, 0 = no data.
    """
    factor = min(1.0, longer_px / max(picture.pixels.shape))
    full = bool(picture.mask.all())
    small = shrunk(picture.pixels, factor)
    there = True if full else shrunk(picture.mask.astype(np.float32), factor) > 0
    return np.where(there, np.maximum(small, 1), 0).astype(np.uint8)


def thumbnail_shape(box: Box, scale: float, longer_px: int) -> tuple[int, int]:
    """Compute the shape of a thumbnail.

    Parameters
    ----------
    box
        What the picture shows, world px.
    scale
        Of the picture, px per world px.
    longer_px
        As of `thumbnail`.

    Returns
    -------
    tuple
        Rows and columns.
    """
    h, w = boxes.shape(box, scale)
    factor = min(1.0, longer_px / max(h, w))
    return max(1, round(h * factor)), max(1, round(w * factor))
