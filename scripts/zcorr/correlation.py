"""Correlation of layers: pictures on one grid, their texture mask, Pearson over common pixels.

Every layer is rendered over the same box at the same scale, so that pixel grids coincide and no
search for a shift is needed. Where there is no texture (empty resin) pixels say nothing about
distance and are left out. Facts: spec solve-export 3.2 (render's LayerDistancePlanner).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib.compose import Picture
from scripts.lib.geometry import Box

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]

_TEXTURE_SCALE = 0.22  # texture is judged at about the reference's scale: pixel noise is none there
_FINE_SD = 4.0  # px
_SPANS = 20  # the neighbourhood of texture fits so often into a side: else tissue spills over
FLAT = 1e-6  # grey levels squared; less variance is rounding
LEAST_COMMON = 0.01  # of the picture; a correlation over fewer pixels is no value


@dataclass(frozen=True)
class Texture:
    """Options of the resin mask; lengths in full-resolution px."""

    enabled: bool = True
    sigma_px: float = 100.0
    threshold: float = 3.0  # grey levels


def picture_scale(box: Box, scale: float, min_picture_px: int) -> float:
    """Scale of the pictures: `scale`, or larger for a small stack, at most 1.

    Between 1/2 and 1 it is 1: every scale there reads full-resolution pixels all the same.
    """
    wanted = max(scale, min_picture_px / min(box.width, box.height))
    return 1.0 if wanted > 0.5 else wanted


def textured(picture: Picture, scale: float, options: Texture) -> Bool:
    """Tell which pixels take part: tile data, not 0, and enough texture around; (h, w).

    Texture is the mean excess over the local mean, both Gaussian and over valid pixels alone. It
    is measured on an area-averaged picture of about scale 0.22 when `scale` is larger.
    """
    data: Bool = picture.mask & (picture.pixels != 0)
    if not options.enabled or not data.any():
        return data
    # halves: they are quick
    shrink = 1 / max(1, 2 ** round(math.log2(scale / _TEXTURE_SCALE)))
    weight = None
    if data.all():
        small = _shrunk(picture.pixels.astype(np.float32, copy=False), shrink)
    else:
        weight = _shrunk(data.astype(np.float32), shrink)
        filled = _shrunk(np.where(data, picture.pixels, 0).astype(np.float32), shrink)
        with np.errstate(invalid="ignore", divide="ignore"):
            small = np.asarray(np.nan_to_num(filled / weight), np.float32)
    sigma = min(options.sigma_px * scale * shrink, min(small.shape) / _SPANS)
    excess = np.maximum(0, small - _local_mean(small, weight, sigma))
    content = _local_mean(excess.astype(np.float32), weight, sigma)
    if content.min() >= options.threshold:
        return data
    h, w = data.shape
    full = np.asarray(cv2.resize(content, (w, h), interpolation=cv2.INTER_LINEAR))
    return data & (full >= options.threshold)


def halved(image: Float32) -> Float32:
    """Mean of 2 x 2 pixels; of an odd side as nearly so as it divides."""
    h, w = (max(1, n // 2) for n in image.shape)
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.float32)


def _shrunk(image: Float32, factor: float) -> Float32:
    """Area means at a scale of `factor` < 1, by halves as far as they go: that is faster."""
    h, w = (max(1, round(n * factor)) for n in image.shape)
    while image.shape[0] >= 2 * h and image.shape[1] >= 2 * w:
        image = halved(image)
    if image.shape == (h, w):
        return image
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.float32)


def _local_mean(image: Float32, weight: Float32 | None, sigma: float) -> Float32:
    """Gaussian mean over pixels by weight; 0 where there is none.

    A wide one is taken of a smaller picture, in which it is still `_FINE_SD` pixels wide.
    """
    h, w = image.shape
    factor = min(1.0, _FINE_SD / sigma)

    def smooth(values: Float32) -> Float32:
        small = _shrunk(values, factor) if factor < 1 else values
        blurred = cv2.GaussianBlur(small, (0, 0), sigma * factor, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(blurred, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)

    if weight is None:
        return smooth(image)
    total, norm = smooth(image * weight), smooth(weight)
    return np.asarray(np.divide(total, norm, out=np.zeros_like(total), where=norm > 1e-6))


@dataclass(frozen=True, eq=False)
class Field:
    """Pixels of a layer ready to be compared, in a row; 0 where not valid.

    Most pixels are valid, so those that are not are kept as a list: a pair then costs one product
    of all pixels and a look at the few.
    """

    values: Float32  # (p,)
    valid: Bool  # (p,)
    invalid: NDArray[np.intp]  # where valid is False
    sum: float
    squares: float

    @staticmethod
    def of(values: Float32, valid: Bool) -> Field:
        """Lay pixels flat; `values` must be 0 where not valid."""
        flat, there = np.ascontiguousarray(values, np.float32).ravel(), valid.ravel()
        invalid = np.flatnonzero(~there)
        return Field(flat, there, invalid, float(flat.sum(dtype=np.float64)), float(flat @ flat))

    @property
    def count(self) -> int:
        """Number of valid pixels."""
        return self.values.size - len(self.invalid)


@dataclass(frozen=True)
class Sums:
    """Sums of two fields over the pixels valid in both."""

    count: float
    share: float  # of all pixels
    one: float
    other: float
    one_squares: float
    other_squares: float
    products: float

    @staticmethod
    def of(a: Field, b: Field) -> Sums:
        """Sum over the pixels valid in both."""
        left, right = a.values[b.invalid], b.values[a.invalid]
        neither = len(b.invalid) - int(np.count_nonzero(a.valid[b.invalid]))
        count = a.values.size - len(a.invalid) - len(b.invalid) + neither
        return Sums(
            count=float(count),
            share=count / a.values.size,
            one=a.sum - float(left.sum(dtype=np.float64)),
            other=b.sum - float(right.sum(dtype=np.float64)),
            one_squares=a.squares - float(left @ left),
            other_squares=b.squares - float(right @ right),
            products=float(a.values @ b.values),
        )


def about_zero(picture: Picture) -> Picture:
    """Give the pixels less their mean, for precision, 0 where there is no data; mask: has data."""
    data = picture.mask & (picture.pixels != 0)
    if data.all():
        return Picture(picture.pixels - np.float32(cv2.mean(picture.pixels)[0]), data)
    middle = cv2.mean(picture.pixels, data.view(np.uint8))[0]
    return Picture(np.where(data, picture.pixels - np.float32(middle), np.float32(0)), data)


def prepare(centred: Picture, mask: Bool) -> Field:
    """Lay a picture of `about_zero` flat; `mask` tells which of its pixels take part."""
    values = centred.pixels
    return Field.of(values if mask.all() else np.where(mask, values, np.float32(0)), mask)


def pearson(a: Field, b: Field) -> tuple[float, float]:
    """Correlation over the pixels valid in both (NaN when there are too few) and their share."""
    sums = Sums.of(a, b)
    if sums.share < LEAST_COMMON:
        return math.nan, sums.share
    va = sums.count * sums.one_squares - sums.one**2
    vb = sums.count * sums.other_squares - sums.other**2
    least = FLAT * sums.count**2
    if va <= least or vb <= least:
        return math.nan, sums.share
    # 6 decimals: the last bits of float32 sums depend on the machine
    top = sums.count * sums.products - sums.one * sums.other
    return round(top / math.sqrt(va * vb), 6), sums.share


def keepsake(picture: Picture, longer_px: int) -> NDArray[np.uint8]:
    """Give the 8-bit picture kept for reports: longer side at most `longer_px`, 0 = no data."""
    factor = min(1.0, longer_px / max(picture.pixels.shape))
    full = bool(picture.mask.all())
    data = picture.pixels if full else np.where(picture.mask, picture.pixels, 0)
    small = np.clip(_shrunk(data.astype(np.float32, copy=False), factor).round(), 0, 255)
    there = True if full else _shrunk(picture.mask.astype(np.float32), factor) > 0
    return np.where(there, np.maximum(small, 1), 0).astype(np.uint8)


def keepsake_shape(box: Box, scale: float, longer_px: int) -> tuple[int, int]:
    """Rows and columns of a kept picture."""
    h, w = math.trunc(scale * box.height), math.trunc(scale * box.width)
    factor = min(1.0, longer_px / max(h, w))
    return max(1, round(h * factor)), max(1, round(w * factor))
