"""What one layer says about distance: its band-passed texture and its covariance in the plane.

Tissue looks alike in all directions at these scales, so the covariance of a layer with itself,
shifted by some pixels, is what the covariance of two layers as far apart would be (Sporring,
Khanmohammadi, Darkner, Nava, Nyengaard, Jensen 2014, estimating the thickness of ultra thin
sections from image statistics, doi:10.1109/ISBI.2014.6867833). Both are taken from one rendered
picture, after the same treatment:

* rows and columns lose their mean: curtains and row noise are no tissue;
* every place gets the same level and contrast: else the few strongest structures, which run along
  or across, decide alone;
* between layers a band of frequencies is compared (difference of two Gaussians): large, slowly
  varying structures carry shading, few samples and little information on small distances;
* within the layer only lags of two pixels and more are taken: noise, also after interpolation,
  reaches one pixel.

Pictures may be several windows of a layer, so that large layers cost no more. Facts of the picture
are plain sums, so nothing here depends on the thickness of a layer.

Each sum is also kept by parts of the layer (cells). How unlike they are says how far the layer's
value may be off (`sampling`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Float32, Int64
from scripts.lib.drawing.compose import Picture
from scripts.lib.numerics.reduction import halved
from scripts.lib.numerics.smoothing import gaussian, masked_mean
from scripts.zcorr import band_kernels, kernels
from scripts.zcorr.correlation import FLAT, LEAST_COMMON

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


def _lags() -> Int64:
    angle = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    x = np.rint(np.outer(_RADII_PX, np.cos(angle))).astype(int).ravel()
    y = np.rint(np.outer(_RADII_PX, np.sin(angle))).astype(int).ravel()
    return np.unique(np.column_stack([x, y]), axis=0)


LAGS_PX = _lags()  # (m, 2) x, y; one half plane, as covariance is even
_REACH = int(np.abs(LAGS_PX).max()) + 1
_BLOCK = 60  # rows; a multiple of every `each`
CELLS = 16  # of a layer at most; more windows share them in turn
# least side of a cell: then what lies in two of them is nearly independent, for the surroundings of
# most of its pixels lie in it too
CELL_PX = 3 * SURROUNDINGS_PX


@dataclass(frozen=True, eq=False)
class Band:
    """The band of one window, a pixel of it two of the picture."""

    values: Float32  # (h, w), 0 where not inside
    inside: Bool  # (h, w)
    rows: Int64  # edges of the cells, from 0 to h
    columns: Int64  # from 0 to w

    def products(self, other: Band) -> Array:
        """Sum products with another band of the same window by cells.

        Parameters
        ----------
        other
            The other band.

        Returns
        -------
        Array
            (4, cells) squares of both, products, and pixels, over the pixels inside both.
        """
        return np.asarray(
            band_kernels.cell_products(
                self.values, other.values, self.inside, other.inside, self.rows, self.columns
            )
        )


@dataclass(frozen=True, eq=False)
class CellParts:
    """What each of `CELLS` parts of a layer adds to its values, less its share of them.

    All cells together add nothing; cells that are not there add 0.
    """

    share: Array  # (B,) of the pixels inside
    inplane: Array  # (B, m) covariance, grey levels²
    variance: Array  # (B,) of the band, grey levels²


@dataclass(frozen=True, eq=False)
class BandTexture:
    """The band-passed texture of a layer: the bands of all its windows, ready to be compared."""

    bands: tuple[Band, ...]
    pixels: int
    count: int  # of pixels inside
    squares: float
    tensor: Array  # (2, 2) sum of the outer products of the bands' slopes
    inplane: Array  # (m,) covariance at `LAGS_PX`, grey levels²; NaN where too few pixels
    cells: CellParts

    @property
    def variance(self) -> float:
        """Return the variance of the band, noise included.

        Returns
        -------
        float
            Grey levels²; NaN where no pixel is inside.
        """
        return self.squares / self.count if self.count else math.nan


def band_texture(windows: Sequence[Picture]) -> BandTexture:
    """Filter the band-passed texture out of one or more pictures of a layer.

    Parameters
    ----------
    windows
        Grey levels (h, w) uint8 each, 0 = no data.

    Returns
    -------
    BandTexture
        Bands of half the size, and the covariance within the layer.
    """
    pixels = sum(picture.pixels.size for picture in windows)
    each = max(1, min(_ROWS, pixels // _PRODUCTS))
    step = _BLOCK if pixels < _ROWS * _PRODUCTS else 2 * _BLOCK
    parts = [_window(picture, each, step, len(windows)) for picture in windows]
    bands = tuple(part[0] for part in parts)
    lags = _folded(np.concatenate([part[1] for part in parts], axis=2))
    sums = lags.sum(axis=2)
    inplane = np.full(len(LAGS_PX), np.nan)
    enough = sums[1] > LEAST_COMMON * (pixels / 4)
    inplane[enough] = sums[0][enough] / sums[1][enough]
    xx, yy, xy = np.sum([band_kernels.tensor(one.values, one.inside) for one in bands], axis=0)
    squares, _, _, count = _folded(np.concatenate([one.products(one) for one in bands], axis=1))
    return BandTexture(
        bands,
        pixels=sum(one.inside.size for one in bands),
        count=int(count.sum()),
        squares=sum(float(np.vdot(one.values, one.values)) for one in bands),
        tensor=np.array([[xx, xy], [xy, yy]]),
        inplane=inplane,
        cells=_cell_parts(lags, squares, count),
    )


def _folded(values: Array) -> Array:
    """(…, `CELLS`) of (…, any number of) cells: those beyond are added to the first, in turn."""
    rest = -values.shape[-1] % CELLS
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, rest)])
    return np.asarray(padded.reshape(*values.shape[:-1], -1, CELLS).sum(axis=-2))


def _cell_parts(lags: Array, squares: Array, count: Array) -> CellParts:
    pairs = np.maximum(lags[1].sum(axis=1), 1)
    inplane = lags[0].sum(axis=1) / pairs
    inside = max(float(count.sum()), 1.0)
    return CellParts(
        share=count / inside,
        inplane=((lags[0] - inplane[:, None] * lags[1]) / pairs[:, None]).T,
        variance=(squares - squares.sum() / inside * count) / inside,
    )


def _edges(size: int, windows: int) -> Int64:
    """Edges of the cells along a side of one of so many windows, px; even numbers."""
    most = max(1, math.isqrt(CELLS // windows))
    parts = min(most, max(2, round(size / CELL_PX)))
    return 2 * (np.arange(parts + 1) * (size // 2) // parts)


def _window(picture: Picture, each: int, step: int, windows: int) -> tuple[Band, Array]:
    """Band, and (2, m, cells) sums of products and pixels at all lags."""
    pixels = picture.pixels
    if not picture.mask.all():
        pixels = pixels * picture.mask
    row, column = kernels.stripes(pixels)
    # the band has no detail finer than two pixels: half the size says the same
    small, share = kernels.halved(pixels, row, column)
    known = None if share.min() == 1 else share
    level, gain = _surroundings(small, share, whole=known is None)
    kernels.evened(small, share, level, gain)
    inner, outer = (_mean(small, known, math.sqrt(s**2 - _HALVING) / 2) for s in BAND_SD_PX)
    band, inside = inner - outer, np.ones(small.shape, bool)
    if known is not None:  # the mean at the edge of the data is one-sided
        reach = 2 * round(BAND_SD_PX[1]) + 1
        whole = (known > 1 - 1e-3).astype(np.uint8)
        inside = cv2.erode(whole, np.ones((reach, reach), np.uint8)) > 0
        band *= inside
    rows, columns = (_edges(size, windows) for size in pixels.shape)
    of = Band(band, inside, rows // 2, columns // 2)
    rows[-1], columns[-1] = pixels.shape  # the band leaves a last odd row or column out
    sums = kernels.lag_sums(
        pixels, row, column, level, gain, LAGS_PX, each, _BLOCK, step, rows, columns
    )
    return of, sums


def _surroundings(small: Float32, share: Float32, *, whole: bool) -> tuple[Float32, Float32]:
    """Local mean, and the factor to the contrast of the whole from the local one.

    `small` is of half size, 0 where there is no data; `whole`: there is data everywhere. Of a
    quarter the size: they change slowly.
    """
    part = None if whole else halved(share)
    sigma = SURROUNDINGS_PX / 4
    mean, square = (_mean(one, part, sigma) for one in kernels.moments(small, share))
    variance = np.maximum(square - mean * mean, 0)
    usual = variance.mean() if part is None else (variance * part).sum() / max(part.sum(), 1)
    return mean, np.sqrt(usual / np.maximum(variance + _LEAST_CONTRAST * usual, np.float32(1e-12)))


def _mean(values: Float32, weight: Float32 | None, sigma: float) -> Float32:
    """Gaussian mean over valid pixels, cut at three standard deviations."""
    smooth = functools.partial(
        gaussian, sigma_px=sigma, reach_px=math.ceil(3 * sigma), border=cv2.BORDER_REFLECT
    )
    return masked_mean(values, weight, smooth, least=1e-3)


@dataclass(frozen=True)
class Similarity:
    """How similar the bands of two layers are."""

    value: float  # correlation over pixels valid in both as the layers lie; NaN: too few
    share: float  # of the pixels
    shift: tuple[float, float]  # x, y at which it is greatest, px of the band
    curvature: tuple[float, float, float]  # second derivatives xx, yy, xy of it, made positive
    cells: Array  # (B,) what each cell adds to the value, less its share of it


def similarity(a: BandTexture, b: BandTexture) -> Similarity:
    """Compare the bands of two layers; a band has no mean, so none is taken off.

    The shift is one step of Newton's method; without any slope it is 0.

    Parameters
    ----------
    a, b
        Textures of the same windows.

    Returns
    -------
    Similarity
        Correlation, and the shift at which it is greatest.
    """
    complete = a.count == a.pixels and b.count == b.pixels
    one, other, products, x, y, count = np.sum(
        [
            band_kernels.similarity(p.values, q.values, p.inside, q.inside, complete)
            for p, q in zip(a.bands, b.bands, strict=True)
        ],
        axis=0,
    ).tolist()
    share, norm = count / a.pixels, one * other
    if share < LEAST_COMMON or norm <= 0:
        nothing = np.zeros(CELLS)
        return Similarity(math.nan, share, (math.nan, math.nan), (0.0, 0.0, 0.0), nothing)
    root = math.sqrt(norm)
    value = products / root
    xx, xy, _, yy = (max(value, 0.0) * (a.tensor + b.tensor) / (2 * root)).ravel().tolist()
    steep = xx * yy - xy * xy
    shift = (0.0, 0.0)
    if steep > FLAT**2:
        shift = ((yy * x - xy * y) / (2 * root * steep), (xx * y - xy * x) / (2 * root * steep))
    return Similarity(
        round(value, 6),
        share,
        (round(shift[0], 5), round(shift[1], 5)),
        (round(xx, 6), round(yy, 6), round(xy, 6)),
        _parts(a, b, value),
    )


def _parts(a: BandTexture, b: BandTexture, value: float) -> Array:
    """(B,) what each cell adds to the correlation of two layers, to first order."""
    each = [p.products(q) for p, q in zip(a.bands, b.bands, strict=True)]
    one, other, products, _ = _folded(np.concatenate(each, axis=1))
    own = value / 2 * (one / one.sum() + other / other.sum())
    return np.asarray(products / math.sqrt(one.sum() * other.sum()) - own)
