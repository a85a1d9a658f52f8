"""Normalized cross-correlation of masked pictures, whole and block by block.

Pictures are band-passed first (`band_pass`), so that their local mean is 0 and the masked
correlation needs three transforms, not six (Padfield 2012, doi:10.1109/TIP.2011.2181402):

    rho(d) = sum f(x) g(x + d) / sqrt(sum f(x)^2 n(x + d) * sum m(x) g(x + d)^2)

with sums over the pixels valid in both (m, n: masks, 1 = valid). A lag d is (dx, dy) = place in g
minus place in f. All images (h, w) float32, 0 where invalid.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy import fft, ndimage

from scripts.lib.arrays import Array, Bool, Complex64, Float32, Index
from scripts.lib.numerics.peaks import paraboloid
from scripts.lib.numerics.smoothing import gaussian, masked_mean

Lag = tuple[int, int]  # dx, dy

_DEGREE = 5  # of the spline through the pixels of a surface
_TAPS = 4  # px to each side that a value up to 1 px away is made of
_STEPS = (1.0, 0.5, 0.2, 0.1)  # px, of the paraboloids that close in on a peak


@dataclass(frozen=True, eq=False)
class Field:
    """A band-passed picture: `values` (h, w), 0 where `valid` (h, w) is False; None = all valid."""

    values: Float32
    valid: Bool | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns.

        Returns
        -------
        tuple of int
            Rows, columns.
        """
        return self.values.shape[0], self.values.shape[1]

    @cached_property
    def weights(self) -> Float32:
        """Return 1 where valid, else 0.

        Returns
        -------
        ndarray
            (h, w) float32, 0 or 1.
        """
        if self.valid is None:
            return np.ones(self.shape, np.float32)
        return self.valid.astype(np.float32)


def band_pass(image: Float32, valid: Bool | None, fine_px: float, coarse_px: float) -> Float32:
    """Keep structures between two sizes: Gaussian of sd `fine_px` minus local mean.

    The local mean is a box applied twice, of the variance of a Gaussian of sd `coarse_px`: its cost
    does not grow with size. Invalid pixels do not take part, and are 0 in the result.

    Parameters
    ----------
    image
        (h, w) float32.
    valid
        (h, w), False = no data; None: all valid.
    fine_px, coarse_px
        Standard deviations, px.

    Returns
    -------
    ndarray
        (h, w) float32, 0 where invalid.
    """
    side = 2 * round(np.sqrt(6 * coarse_px**2 + 1) / 2 - 0.5) + 1
    weight = None if valid is None else valid.astype(np.float32)
    if valid is not None:
        level = np.float32(image[valid].mean()) if valid.any() else np.float32(0)
        image = np.where(valid, image - level, np.float32(0))
    fine = masked_mean(image, weight, functools.partial(gaussian, sigma_px=fine_px))
    coarse = masked_mean(image, weight, functools.partial(_boxed, side=side))
    band = fine - coarse
    return np.asarray(band if weight is None else band * weight, np.float32)


def _boxed(image: Float32, side: int) -> Float32:
    return np.asarray(cv2.blur(cv2.blur(image, (side, side)), (side, side)), np.float32)


# ---------------------------------------------------------------------------------------------
# whole pictures
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Spectra:
    """Transforms of a zero-padded field, of its square and of its mask."""

    padded: tuple[int, int]
    transforms: Complex64  # (3, H, W // 2 + 1) of values, energy, weights

    @property
    def nbytes(self) -> int:
        """Return the memory of the transforms.

        Returns
        -------
        int
            Bytes.
        """
        return self.transforms.nbytes


def padded_shape(p: Field, q: Field, center: Lag, reach: Lag) -> tuple[int, int]:
    """Return the size in which no lag within `reach` of `center` wraps around.

    Parameters
    ----------
    p, q
        The fields.
    center, reach
        Lags x, y, px.

    Returns
    -------
    tuple of int
        Rows, columns.
    """
    rows, columns = (
        int(fft.next_fast_len(min(a + b - 1, max(a, b) + abs(c) + r), real=True))
        for a, b, c, r in zip(p.shape, q.shape, center[::-1], reach[::-1], strict=True)
    )
    return rows, columns


def spectra(field: Field, padded: tuple[int, int]) -> Spectra:
    """Transform a field for `correlate`.

    Parameters
    ----------
    field
        What is transformed.
    padded
        Rows, columns of `padded_shape`.

    Returns
    -------
    Spectra
        Of the values, their squares and the weights.
    """
    stack = np.stack([field.values, field.values**2, field.weights])
    return Spectra(padded, fft.rfft2(stack, padded, overwrite_x=True))


@dataclass(frozen=True, eq=False)
class Surface:
    """Correlations over a window of lags; `first` is the lag (dx, dy) of element [0, 0]."""

    rho: Float32  # -1..1; 0 where the overlap is too small
    count: Float32  # px of the overlap
    first: tuple[int, int]


def correlate(p: Spectra, q: Spectra, center: Lag, reach: Lag, min_count: float) -> Surface:
    """Correlate two pictures over the lags within `reach` (x, y) of `center`, px.

    Parameters
    ----------
    p, q
        Transforms of the same padded size.
    center, reach
        Lags x, y, px.
    min_count
        Least overlap, px; below it the correlation is 0.

    Returns
    -------
    Surface
        (2 * reach + 1) lags along each axis.
    """
    height, width = p.padded
    f, f2, m = p.transforms.conj()
    g, g2, n = q.transforms
    planes = fft.irfft2(np.stack([f * g, f2 * n, m * g2, m * n]), p.padded, overwrite_x=True)
    rows = center[1] + np.arange(-reach[1], reach[1] + 1)
    columns = center[0] + np.arange(-reach[0], reach[0] + 1)
    at = np.ix_(np.arange(4), rows % height, columns % width)
    shared, energy_p, energy_q, count = planes[at]
    count = np.maximum(count, 0)  # transforms leave rounding where nothing overlaps
    rho = _normalized(shared, energy_p, energy_q, count >= max(min_count, 0.5))
    return Surface(rho, count, (int(columns[0]), int(rows[0])))


def correlation_area(p: Complex64, q: Complex64, padded: tuple[int, ...]) -> float:
    """Return the pixels that count as one independent sample where p and q are unrelated.

    Bartlett's formula: the variance of a correlation of n pixels is ``sum(r_p r_q) / n``, r the
    autocorrelations; by Parseval the sum follows from the power spectra. Streaks or one strong
    feature make the area large, and a peak thereby less significant.

    Parameters
    ----------
    p, q
        (n, H, W // 2 + 1) transforms of n pieces each, whose power is pooled.
    padded
        H, W.

    Returns
    -------
    float
        px, 1 at least.
    """
    power_p, power_q = (np.einsum("nij,nij->ij", t.conj(), t).real.astype(float) for t in (p, q))
    twice = np.full(power_p.shape[1], 2.0)  # a column of a half spectrum stands for two
    twice[0] = 1.0
    total = (power_p @ twice).sum() * (power_q @ twice).sum()
    shared = ((power_p * power_q) @ twice).sum()
    return max(float(padded[0] * padded[1] * shared / max(total, 1e-30)), 1.0)


def _normalized(shared: Float32, energy_p: Float32, energy_q: Float32, enough: Bool) -> Float32:
    """Return the correlation coefficient; 0 where there is no energy or not `enough` overlap."""
    product = np.maximum(energy_p, 0) * np.maximum(energy_q, 0)
    # rounding of the transforms leaves some energy where there is none
    usable = enough & (product > 1e-8 * max(float(product.max(initial=0)), 1e-20))
    rho = np.zeros(shared.shape, np.float32)
    np.divide(shared, np.sqrt(product), out=rho, where=usable)
    return np.clip(rho, -1, 1, out=rho)


# ---------------------------------------------------------------------------------------------
# blocks
# ---------------------------------------------------------------------------------------------


def block_surfaces(
    p: Field,
    q: Field,
    corners_p: Index,
    corners_q: Index,
    size: tuple[int, int],
    reach: int,
    min_share: float,
) -> tuple[Float32, Float32, Float32]:
    """Correlate blocks of p with q over the lags -reach..reach around given places.

    Parameters
    ----------
    p, q
        The fields.
    corners_p, corners_q
        (n, 2) x, y of the first pixel of each block, at lag 0.
    size
        Height and width of a block, px.
    reach
        Largest lag, px.
    min_share
        Lags whose overlap is a smaller share of the block than this have correlation 0.

    Returns
    -------
    rho
        (n, 2 * reach + 1, 2 * reach + 1) over dy, dx.
    share
        (n,) valid share of the block at lag 0, in both.
    samples
        (n,) independent samples in that share; 1 / sqrt of it is the sd of rho for unrelated
        blocks.
    """
    search = (size[0] + 2 * reach, size[1] + 2 * reach)
    n, lags, first = len(corners_p), 2 * reach + 1, corners_q - reach
    rho = np.empty((n, lags, lags), np.float32)
    share, area = np.empty(n, np.float32), np.ones(n, np.float32)
    whole = _inside(p, corners_p, size) & _inside(q, first, search)
    for kind, correlate_blocks in ((whole, _whole_blocks), (~whole, _masked_blocks)):
        if kind.any():
            rho[kind], share[kind], area[kind] = correlate_blocks(
                p, q, corners_p[kind], first[kind], size, reach, min_share
            )
    return rho, share, share * np.float32(size[0] * size[1]) / area


def centroids(field: Field, corners: Index, size: tuple[int, int]) -> Array:
    """Return the places (n, 2) x, y at which blocks measure, px from their first pixel.

    Where the motion varies inside a block, the correlation feels that of its strongest structures:
    the measured lag belongs to the centroid of the energy, not to the middle.

    Parameters
    ----------
    field
        What blocks are cut from.
    corners
        (n, 2) x, y of the first pixel of each block.
    size
        Height, width, px.

    Returns
    -------
    ndarray
        (n, 2) float64 x, y.
    """
    energy = _cut(field.values, corners, size).astype(np.float64) ** 2
    total = energy.sum(axis=(1, 2))
    x = energy.sum(axis=1) @ np.arange(size[1])
    y = energy.sum(axis=2) @ np.arange(size[0])
    middle = (np.array([x, y]) / np.maximum(total, 1e-9)).T
    return np.where(total[:, None] > 1e-9, middle, (np.array(size[::-1]) - 1) / 2)


def _inside(field: Field, corners: Index, size: tuple[int, int]) -> Bool:
    """Mark the blocks that have no invalid pixel."""
    last = corners + size[::-1]
    inside = (corners >= 0).all(axis=1) & (last <= field.shape[::-1]).all(axis=1)
    if field.valid is not None:
        low, high = np.maximum(corners, 0), np.clip(last, 0, field.shape[::-1])
        total = cv2.integral((~field.valid).astype(np.uint8))
        (x0, y0), (x1, y1) = np.minimum(low, high).T, high.T
        inside = inside & (total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0] == 0)
    return np.asarray(inside)


def _padded(size: tuple[int, int], reach: int) -> tuple[int, ...]:
    return tuple(int(fft.next_fast_len(n + 2 * reach, real=True)) for n in size)


def _whole_blocks(
    p: Field,
    q: Field,
    corners: Index,
    first: Index,
    size: tuple[int, int],
    reach: int,
    _min_share: float,
) -> tuple[Float32, Float32, float]:
    """Blocks without any invalid pixel: energies are sums over moving boxes."""
    lags, padded = 2 * reach + 1, _padded(size, reach)
    one = _cut(p.values, corners, size)
    other = _cut(q.values, first, (size[0] + 2 * reach, size[1] + 2 * reach))
    a, b = fft.rfft2(one, padded), fft.rfft2(other, padded)
    shared = fft.irfft2(a.conj() * b, padded, overwrite_x=True)[:, :lags, :lags]
    energy_p = np.einsum("nij,nij->n", one, one)[:, None, None]
    energy_q = _box_sums(q.values**2, first, size, lags)
    rho = _normalized(shared, energy_p, energy_q, np.ones(shared.shape, bool))
    return rho, np.ones(len(corners), np.float32), correlation_area(a, b, padded)


def _masked_blocks(
    p: Field,
    q: Field,
    corners: Index,
    first: Index,
    size: tuple[int, int],
    reach: int,
    min_share: float,
) -> tuple[Float32, Float32, float]:
    """Blocks with invalid pixels, or with a search area that leaves the picture."""
    lags, padded = 2 * reach + 1, _padded(size, reach)
    search = (size[0] + 2 * reach, size[1] + 2 * reach)
    f, m, at = _grown(p, corners, size)
    g, n, at_q = _grown(q, first, search)
    one, weight_p = _cut(f, at, size), _cut(m, at, size)
    mixed = not weight_p.all()
    ones = [one, one**2, weight_p][: 2 + mixed]
    others = [_cut(g, at_q, search), _cut(n, at_q, search), _cut(g**2, at_q, search)][: 2 + mixed]
    a, b = fft.rfft2(np.stack(ones), padded).conj(), fft.rfft2(np.stack(others), padded)
    product = a * b
    if mixed:
        product = np.concatenate([product, a[2:] * b[1:2]])
    planes = fft.irfft2(product, padded, overwrite_x=True)[:, :, :lags, :lags]
    energy_q = planes[2] if mixed else _box_sums(g**2, at_q, size, lags)
    share = (planes[3] if mixed else _box_sums(n, at_q, size, lags)) / (size[0] * size[1])
    rho = _normalized(planes[0], planes[1], energy_q, share >= min_share)
    here = np.asarray(share[:, reach, reach], np.float32)
    return rho, here, correlation_area(a[0], b[0], padded)


def _grown(field: Field, corners: Index, size: tuple[int, int]) -> tuple[Float32, Float32, Index]:
    """Values and weights, grown by invalid pixels to hold all blocks; and the corners in them."""
    low = np.maximum(-corners.min(axis=0), 0)
    high = np.maximum(corners.max(axis=0) + size[::-1] - np.array(field.shape[::-1]), 0)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    if not (left or top or right or bottom):
        return field.values, field.weights, corners
    values, weights = (
        cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
        for image in (field.values, field.weights)
    )
    return np.asarray(values), np.asarray(weights), corners + low


def _box_sums(image: Float32, corners: Index, size: tuple[int, int], lags: int) -> Float32:
    """Return sums (n, lags, lags) over boxes whose first pixels start at `corners`."""
    border = cv2.BORDER_CONSTANT
    sums = cv2.boxFilter(image, -1, size[::-1], anchor=(0, 0), normalize=False, borderType=border)
    return _cut(np.asarray(sums), corners, (lags, lags))


def _cut(image: Float32, corners: Index, size: tuple[int, int]) -> Float32:
    """Return (n, h, w) pixels of the blocks of `size` that start at `corners` (x, y)."""
    if len(corners) == 1:  # a view, ten times as fast
        x, y = corners[0].tolist()
        return image[None, y : y + size[0], x : x + size[1]]
    windows = np.lib.stride_tricks.sliding_window_view(image, size)
    return windows[corners[:, 1], corners[:, 0]]


# ---------------------------------------------------------------------------------------------
# peaks
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of n surfaces; lags in px relative to the middle of a surface."""

    lag: Array  # (n, 2) dx, dy with fractions
    height: Array  # (n,) correlation at the peak
    second: Array  # (n,) highest correlation away from the peak
    curvature: Array  # (n,) smaller principal curvature, 1/px^2; <= 0: a ridge, or a border
    inner: Bool  # (n,) False where the peak lies on the border of its surface


def find_peaks(rho: Float32, apart_px: float) -> Peaks:
    """Find the highest peak of each surface (n, k, k), between its px too.

    A surface is band-limited, so that its values between the pixels follow from those around: a
    quintic spline gives them without the pull towards whole px that a paraboloid through 3 x 3 px
    has (0.02 px where structures are 2 px wide). `second` is the highest correlation at least
    `apart_px` from the peak.

    Parameters
    ----------
    rho
        (n, k, k) float32 correlations over dy, dx.
    apart_px
        Distance from the peak from which on `second` is sought, px.

    Returns
    -------
    Peaks
        Lags dx, dy from the middle of each surface, px.
    """
    n, rows, columns = rho.shape
    best = rho.reshape(n, -1).argmax(axis=1)
    y, x = np.divmod(best, columns)
    inner = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)
    around = _around(rho, y, x)
    shift = np.zeros((n, 2))
    for step in _STEPS:
        move, height, curvature = paraboloid(_between(around, shift, step))
        shift = np.clip(shift + step * move, -1, 1)
    lag = np.column_stack([x, y]) + shift - np.array([columns // 2, rows // 2])
    far = (np.arange(rows)[:, None] - y[:, None, None]) ** 2 + (
        np.arange(columns) - x[:, None, None]
    ) ** 2 >= apart_px**2
    second = np.where(far, rho, np.float32(-1)).reshape(n, -1).max(axis=1)
    sharpness = np.where(inner, curvature / _STEPS[-1] ** 2, 0.0)
    return Peaks(lag, np.minimum(height, 1.0), second.astype(float), sharpness, inner)


def _around(rho: Float32, y: Index, x: Index) -> Array:
    """Return the spline coefficients (n, 9, 9) around the given pixels."""
    smooth = ndimage.spline_filter1d(rho, _DEGREE, axis=1, mode="mirror", output=np.float64)
    smooth = ndimage.spline_filter1d(smooth, _DEGREE, axis=2, mode="mirror")
    padded = np.pad(smooth, ((0, 0), (_TAPS, _TAPS), (_TAPS, _TAPS)), mode="reflect")
    step = np.arange(2 * _TAPS + 1)
    at = np.arange(len(rho))[:, None, None]
    around = padded[at, y[:, None, None] + step[:, None], x[:, None, None] + step]
    return np.asarray(around, np.float64)


def _between(around: Array, shift: Array, step: float) -> Array:
    """Interpolate (n, 3, 3) values at ``shift`` (n, 2) and one `step` to each side of it."""
    places = shift[:, :, None] + step * np.arange(-1, 2)  # (n, xy, 3)
    taps = np.arange(-_TAPS, _TAPS + 1)
    kernel = _spline(places[..., None] - taps)
    return np.asarray(kernel[:, 1] @ around @ kernel[:, 0].transpose(0, 2, 1))


def _spline(x: Array) -> Array:
    """Quintic B-spline: truncated powers, weighted by binomials with alternating sign."""
    half = (_DEGREE + 1) / 2
    total = np.zeros(x.shape)
    for k in range(_DEGREE + 2):
        total += (-1) ** k * math.comb(_DEGREE + 1, k) * np.maximum(x + half - k, 0) ** _DEGREE
    return total / math.factorial(_DEGREE)
