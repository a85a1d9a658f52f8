"""Correlation of layers: pictures on one grid, their texture mask, Pearson over common pixels.

Every layer is rendered over the same box at the same scale, so that pixel grids coincide and no
search for a shift is needed. Where there is no texture (empty resin) pixels say nothing about
distance and are left out. Facts: spec solve-export 3.2 (render's LayerDistancePlanner).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib.compose import Picture
from scripts.lib.geometry import Box

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]

_TEXTURE_SCALE = 0.22  # texture is judged at the reference's scale: pixel noise is none there
_SPANS = 20  # the neighbourhood of texture fits so often into a side: else tissue spills over
_LEAST_COMMON = 0.01  # of the picture; a correlation over fewer pixels is no value


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
    is measured on an area-averaged picture of scale 0.22 when `scale` is larger.
    """
    data: Bool = picture.mask & (picture.pixels != 0)
    if not options.enabled or not data.any():
        return data
    shrink = min(1.0, _TEXTURE_SCALE / scale)
    weight = _shrunk(data.astype(np.float32), shrink)
    filled = _shrunk(np.where(data, picture.pixels, 0).astype(np.float32), shrink)
    with np.errstate(invalid="ignore", divide="ignore"):
        small = np.asarray(np.nan_to_num(filled / weight), np.float32)
    sigma = min(options.sigma_px * scale * shrink, min(small.shape) / _SPANS)
    excess = np.maximum(0, small - _local_mean(small, weight, sigma))
    content = _local_mean(excess.astype(np.float32), weight, sigma)
    h, w = data.shape
    full = np.asarray(cv2.resize(content, (w, h), interpolation=cv2.INTER_LINEAR))
    return data & (full >= options.threshold)


def _shrunk(image: Float32, factor: float) -> Float32:
    h, w = (max(1, round(n * factor)) for n in image.shape)
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.float32)


def _local_mean(image: Float32, weight: Float32, sigma: float) -> Float32:
    """Gaussian mean over pixels by weight; 0 where there is none."""
    size = (0, 0)
    border = cv2.BORDER_REFLECT
    total = cv2.GaussianBlur(image * weight, size, sigma, borderType=border)
    norm = cv2.GaussianBlur(weight, size, sigma, borderType=border)
    return np.asarray(np.divide(total, norm, out=np.zeros_like(total), where=norm > 1e-6))


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer ready to be compared: values 0 outside `mask`, both flat (h * w,)."""

    values: Float32
    squares: Float32
    mask: Float32  # 1 or 0


def prepare(picture: Picture, mask: Bool) -> Layer:
    """Centre the values, for precision, and lay the picture flat."""
    middle = float(picture.pixels[mask].mean()) if mask.any() else 0.0
    values = np.where(mask, picture.pixels - np.float32(middle), 0).astype(np.float32).ravel()
    return Layer(values, values * values, mask.astype(np.float32).ravel())


def pearson(a: Layer, b: Layer) -> tuple[float, float]:
    """Correlation over the pixels valid in both (NaN when there are too few) and their share."""
    n = float(a.mask @ b.mask)
    share = n / a.mask.size
    if share < _LEAST_COMMON:
        return math.nan, share
    sa, sb = float(a.values @ b.mask), float(b.values @ a.mask)
    va = n * float(a.squares @ b.mask) - sa * sa
    vb = n * float(b.squares @ a.mask) - sb * sb
    if va <= 0 or vb <= 0:
        return math.nan, share
    # 6 decimals: the last bits of float32 sums depend on the machine
    return round((n * float(a.values @ b.values) - sa * sb) / math.sqrt(va * vb), 6), share


def correlate(layers: Iterator[Layer | None], count: int, reach: int) -> tuple[Array, Array]:
    """Correlate each of the first `count` layers with the `reach` that follow it.

    `layers` gives one entry for each z, None where there is no layer; `count + reach` of them, or
    fewer at the end of the stack. At most ``reach + 1`` are held. Gives (count, reach) correlations
    (NaN = none) and the share of the picture each rests on.
    """
    corr, share = np.full((count, reach), np.nan), np.zeros((count, reach))
    held: list[Layer | None] = []
    for j, layer in enumerate(layers):
        for k, other in enumerate(reversed(held)):
            i = j - k - 1
            if i < count and layer is not None and other is not None:
                corr[i, k], share[i, k] = pearson(other, layer)
        held = [*held, layer][-reach:]
    return corr, np.round(share, 6)


def keepsake(picture: Picture, longer_px: int) -> NDArray[np.uint8]:
    """Give the 8-bit picture kept for reports: longer side at most `longer_px`, 0 = no data."""
    factor = min(1.0, longer_px / max(picture.pixels.shape))
    data = np.where(picture.mask, np.clip(np.rint(picture.pixels), 1, 255), 0)
    return _shrunk(data.astype(np.float32), factor).round().astype(np.uint8)


def keepsake_shape(box: Box, scale: float, longer_px: int) -> tuple[int, int]:
    """Rows and columns of a kept picture."""
    h, w = math.trunc(scale * box.height), math.trunc(scale * box.width)
    factor = min(1.0, longer_px / max(h, w))
    return max(1, round(h * factor)), max(1, round(w * factor))
