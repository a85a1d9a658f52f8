"""What one layer says about distance: its grain, and how it decorrelates within the plane.

Tissue looks alike in all directions at these scales, so the covariance of a layer with itself,
shifted by some pixels, is what the covariance of two layers as far apart would be (Sporring,
Khanmohammadi, Darkner, Nava, Nyengaard, Jensen 2014, estimating the thickness of ultra thin
sections from image statistics, doi:10.1109/ISBI.2014.6867833). Both are taken from one rendered
picture, after the same treatment:

* rows and columns lose their mean: curtains and row noise are no tissue;
* every place gets the same level and contrast: else the few strongest structures, which run along
  or across, decide alone;
* between layers a band of grain sizes is compared (difference of two Gaussians): large, slowly
  varying structures carry shading, few samples and little information on small distances;
* within the layer only lags of two pixels and more are taken: noise, also after interpolation,
  reaches one pixel.

Pictures may be several windows of a layer, so that large layers cost no more. Facts of the picture
are plain sums, so nothing here knows what a layer is thick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib.compose import Picture
from scripts.zcorr.correlation import FLAT, LEAST_COMMON, Array, Bool, Field, Float32, Sums, halved

# sd of the two Gaussians of the band: there tissue is well above noise (nine tenths, FIB-25)
BAND_SD_PX = (1.5, 2.4)
SURROUNDINGS_PX = 5 * BAND_SD_PX[1]  # sd of the neighbourhood of one level and contrast
_LEAST_CONTRAST = 0.1  # of the layer's variance; bare resin would else have as much say as tissue
_HALVING = 0.25  # px²: variance of the mean of two pixels
_RADII_PX = (2.0, 2.8, 4.0, 5.7, 8.0, 11.3)
_DIRECTIONS = 8
# products of a lag are taken in each k-th row, k at most 4, for tissue changes little over so few
# rows, then in every second block of rows: more products than this add next to nothing
_ROWS = 4
_PRODUCTS = 250_000


def _lags() -> NDArray[np.int64]:
    angle = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    x = np.rint(np.outer(_RADII_PX, np.cos(angle))).astype(int).ravel()
    y = np.rint(np.outer(_RADII_PX, np.sin(angle))).astype(int).ravel()
    return np.unique(np.column_stack([x, y]), axis=0)


LAGS_PX = _lags()  # (m, 2) x, y; one half plane, as covariance is even
_REACH = int(np.abs(LAGS_PX).max()) + 1
_BLOCK = 60  # rows; a multiple of every `each`
Stripes = tuple[Float32, Float32]


@dataclass(frozen=True, eq=False)
class Grain:
    """A layer ready to be compared: the values of all its windows in a row."""

    band: Field  # 0 where not valid
    slopes: Float32  # (2, p) change of the band per pixel along x and y; 0 where not known
    tensor: Array  # (2, 2) sum of their outer products
    inplane: Array  # (m,) covariance at `LAGS_PX`, grey levels²; NaN where too few pixels

    @property
    def variance(self) -> float:
        """Variance of the band, noise included, grey levels²."""
        return self.band.squares / self.band.count if self.band.count else float("nan")


def grain(windows: Sequence[Picture]) -> Grain:
    """Take the grain of a layer from one or more pictures of it; pixels in grey levels."""
    pixels = sum(picture.pixels.size for picture in windows)
    each = max(1, min(_ROWS, pixels // _PRODUCTS))
    step = _BLOCK if pixels < _ROWS * _PRODUCTS else 2 * _BLOCK
    parts = [_window(picture, each, step) for picture in windows]
    values = np.concatenate([part[0].ravel() for part in parts])
    valid = np.concatenate([part[1].ravel() for part in parts])
    slopes = np.concatenate([_slopes(*part[:2]) for part in parts], axis=1)
    sums = np.sum([part[2] for part in parts], axis=0)
    inplane = np.full(len(LAGS_PX), np.nan)
    enough = sums[1] > LEAST_COMMON * values.size
    inplane[enough] = sums[0][enough] / sums[1][enough]
    tensor = np.asarray(slopes @ slopes.T, float)
    return Grain(Field.of(values, valid), slopes, tensor, inplane)


def _slopes(band: Float32, inside: Bool) -> Float32:
    """(2, p) central differences of a band along x and y, where all of it is data."""
    out = np.zeros((2, *band.shape), np.float32)
    out[0, :, 1:-1] = (band[:, 2:] - band[:, :-2]) / 2
    out[1, 1:-1] = (band[2:] - band[:-2]) / 2
    if not inside.all():
        out *= cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
    return out.reshape(2, -1)


def _window(picture: Picture, each: int, step: int) -> tuple[Float32, Bool, Array]:
    """Band and its mask, and (2, m) sums of products and pixels at all lags."""
    valid = picture.mask & (picture.pixels != 0)
    weight = None if valid.all() else valid.astype(np.float32)
    values = picture.pixels.astype(np.float32, copy=False)
    row, column = _stripes(values, weight)
    # the band has no finer grain than two pixels: half the size says the same
    if weight is None:
        small, share = halved(values) - halved(row) - halved(column), None
    else:
        small, share = halved((values - row - column) * weight), halved(weight)
    level, gain = _surroundings(small, share)
    even = _grown(level, small)
    if share is not None:
        even *= share
    np.subtract(small, even, out=even)
    even *= _grown(gain, small)
    inner, outer = (_mean(even, share, math.sqrt(s**2 - _HALVING) / 2) for s in BAND_SD_PX)
    band, inside = inner - outer, np.ones(small.shape, bool)
    if share is not None:  # the mean at the edge of the data leans to one side
        reach = 2 * round(BAND_SD_PX[1]) + 1
        whole = (share > 1 - 1e-3).astype(np.uint8)
        inside = cv2.erode(whole, np.ones((reach, reach), np.uint8)) > 0
        band *= inside
    return band, inside, _lag_sums(values, weight, (row, column), (level, gain), (each, step))


def _surroundings(small: Float32, share: Float32 | None) -> tuple[Float32, Float32]:
    """Local mean, and the factor to the contrast of the whole from the local one.

    `small` is of half size, 0 where there is no data. Of a quarter the size: they change slowly.
    """
    sigma = SURROUNDINGS_PX / 4
    squares = small * small
    if share is None:
        mean, square = (_mean(halved(one), None, sigma) for one in (small, squares))
    else:
        squares = np.divide(squares, share, out=np.zeros_like(small), where=share > 0)
        part = halved(share)
        mean, square = (_mean(halved(one), part, sigma) for one in (small, squares))
    variance = np.maximum(square - mean * mean, 0)
    whole = variance.mean() if share is None else (variance * part).sum() / max(part.sum(), 1)
    return mean, np.sqrt(whole / np.maximum(variance + _LEAST_CONTRAST * whole, np.float32(1e-12)))


def _grown(small: Float32, like: Float32) -> Float32:
    h, w = like.shape
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def _stripes(values: Float32, weight: Float32 | None) -> tuple[Float32, Float32]:
    """Mean of rows (h, 1), then of columns (1, w): row noise and curtains."""
    if weight is None:
        row = np.asarray(cv2.reduce(values, 1, cv2.REDUCE_AVG), np.float32)
        return row, np.asarray(cv2.reduce(values, 0, cv2.REDUCE_AVG) - row.mean(), np.float32)
    across, down = (
        np.maximum(cv2.reduce(weight, axis, cv2.REDUCE_SUM), np.float32(1)) for axis in (1, 0)
    )
    row = np.asarray(cv2.reduce(values * weight, 1, cv2.REDUCE_SUM) / across, np.float32)
    column = cv2.reduce((values - row) * weight, 0, cv2.REDUCE_SUM) / down
    return row, np.asarray(column, np.float32)


def _mean(values: Float32, weight: Float32 | None, sigma: float) -> Float32:
    """Gaussian mean over valid pixels, cut at three standard deviations."""
    size = 2 * math.ceil(3 * sigma) + 1
    total = cv2.GaussianBlur(values, (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    if weight is None:
        return np.asarray(total)
    norm = cv2.GaussianBlur(weight, (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.divide(total, norm, out=np.zeros_like(total), where=norm > 1e-3))


def _lag_sums(
    values: Float32,
    weight: Float32 | None,
    stripes: Stripes,
    around: Stripes,
    rows_used: tuple[int, int],
) -> Array:
    """Sum products and pixels of pairs a lag apart; (2, m).

    The upper one lies in each ``rows_used[0]``-th row of a block; blocks begin ``rows_used[1]``
    rows apart.
    Of the values less their `stripes` and the level, times the gain (`around`, smaller pictures).
    A few rows at a time, which stay in the processor's cache.
    """
    h, w = values.shape
    each, step = rows_used
    level, gain = (_grown(one, values) for one in around)
    sums = np.zeros((2, len(LAGS_PX)))
    for start in range(0, h, step):
        rows = slice(start, min(start + _BLOCK + _REACH, h))
        even = values[rows] - level[rows]
        even -= stripes[0][rows]
        even -= stripes[1]
        even *= gain[rows]
        count = min(_BLOCK, h - start)
        if weight is None:
            sums[0] += _lag_products(even, count, each)
            sums[1] += _lag_pixels(len(even), w, count, each)
        else:
            even *= weight[rows]
            sums += [_lag_products(one, count, each) for one in (even, weight[rows])]
    return sums


def _lag_pixels(h: int, w: int, count: int, each: int) -> Array:
    """(m,) pairs of pixels that `_lag_products` sums of (h, w) values."""
    x, y = np.abs(LAGS_PX).T
    rows = np.maximum(-(-np.minimum(h - y, count) // each), 0)
    return np.asarray(rows * np.maximum(w - x, 0), float)


def _lag_products(values: Float32, count: int, each: int) -> Array:
    """(m,) sums of products at all lags, upper rows 0, `each`, ... below `count`.

    Rows k, k + each, ... lie one after the other, zeros between them: a lag is one offset.
    """
    h, w = values.shape
    upper, wide = -(-count // each), w + _REACH
    parts = np.zeros((each, _REACH + (upper + _REACH // each + 1) * wide), np.float32)
    for k in range(each):
        lines = values[k::each][: upper + _REACH // each]
        parts[k, _REACH : _REACH + len(lines) * wide].reshape(-1, wide)[:, :w] = lines
    size = upper * wide
    one = parts[0, _REACH : _REACH + size]
    out = np.zeros(len(LAGS_PX))
    for n, (x, y) in enumerate(LAGS_PX.tolist()):
        if abs(x) < w and y < h:
            start = _REACH + (y // each) * wide + x
            out[n] = float(one @ parts[y % each, start : start + size])
    return out


@dataclass(frozen=True)
class Alike:
    """How alike the bands of two layers are."""

    value: float  # correlation over pixels valid in both as the layers lie; NaN: too few
    share: float  # of the pixels
    shift: tuple[float, float]  # x, y at which it is greatest, px of the band
    bend: tuple[float, float, float]  # second derivatives xx, yy, xy of it, made positive


def alike(a: Grain, b: Grain) -> Alike:
    """Compare the bands of two layers; a band has no mean, so none is taken off.

    The shift is one step of Newton's method; without any slope it is 0.
    """
    sums = Sums.of(a.band, b.band)
    norm = sums.one_squares * sums.other_squares
    if sums.share < LEAST_COMMON or norm <= 0:
        return Alike(math.nan, sums.share, (math.nan, math.nan), (0.0, 0.0, 0.0))
    root = math.sqrt(norm)
    value = sums.products / root
    uphill = np.asarray(b.slopes @ a.band.values - a.slopes @ b.band.values, float) / (2 * root)
    bend = max(value, 0.0) * (a.tensor + b.tensor) / (2 * root)
    steep = bool(np.linalg.det(bend) > FLAT**2)
    x, y = np.linalg.solve(bend, uphill) if steep else (0.0, 0.0)
    bends = (bend[0, 0], bend[1, 1], bend[0, 1])
    return Alike(
        round(value, 6),
        sums.share,
        (round(float(x), 5), round(float(y), 5)),
        (round(float(bends[0]), 6), round(float(bends[1]), 6), round(float(bends[2]), 6)),
    )
