"""Match · Correlation: normalized cross-correlation of masked pictures, whole and block by block.

Pictures are band-passed first (`band_pass`), so that their local mean is 0 and the masked
correlation needs three transforms, not six (Padfield 2012, doi:10.1109/TIP.2011.2181402):

    rho(d) = sum f(x) g(x + d) / sqrt(sum f(x)^2 n(x + d) * sum m(x) g(x + d)^2)

with sums over the pixels valid in both (m, n: masks, 1 = valid). A lag d is (dx, dy) = place in g
minus place in f. All images (h, w) float32, 0 where invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from scripts.lib.geometry import Array

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

_TINY = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class Field:
    """A band-passed picture: `values` (h, w), 0 where `valid` (h, w) is False; None = all valid."""

    values: Float32
    valid: Bool | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    @cached_property
    def weights(self) -> Float32:
        """1 where valid, else 0."""
        if self.valid is None:
            return np.ones(self.shape, np.float32)
        return self.valid.astype(np.float32)


def band_pass(image: Float32, valid: Bool | None, fine_px: float, coarse_px: float) -> Float32:
    """Keep structures between two sizes: Gaussian of sd `fine_px` minus local mean.

    The local mean is a box applied twice, of the variance of a Gaussian of sd `coarse_px`: its cost
    does not grow with size. Invalid pixels do not take part, and are 0 in the result.
    """
    side = 2 * round(np.sqrt(6 * coarse_px**2 + 1) / 2 - 0.5) + 1
    if valid is None:
        return _blurred(image, fine_px) - _boxed(image, side)
    weight = valid.astype(np.float32)
    level = np.float32(image[valid].mean()) if valid.any() else np.float32(0)
    image = np.where(valid, image - level, np.float32(0))
    fine = _blurred(image, fine_px) / np.maximum(_blurred(weight, fine_px), _TINY)
    coarse = _boxed(image, side) / np.maximum(_boxed(weight, side), _TINY)
    return np.asarray((fine - coarse) * weight, np.float32)


def _blurred(image: Float32, sigma_px: float) -> Float32:
    if sigma_px <= 0:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


def _boxed(image: Float32, side: int) -> Float32:
    return np.asarray(cv2.blur(cv2.blur(image, (side, side)), (side, side)), np.float32)


def white_gain(fine_px: float) -> float:
    """Variance that white noise of variance 1 keeps after a Gaussian of sd `fine_px`."""
    side = 2 * int(4 * fine_px + 1) + 1
    kernel = cv2.getGaussianKernel(side, fine_px) if fine_px > 0 else np.ones(1)
    return float((kernel**2).sum() ** 2)


# ---------------------------------------------------------------------------------------------
# whole pictures
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Spectra:
    """Transforms of a zero-padded field, of its square and of its mask; (H, W // 2 + 1)."""

    padded: tuple[int, int]
    values: Complex64
    energy: Complex64
    weights: Complex64

    @property
    def nbytes(self) -> int:
        """Memory of the transforms."""
        return self.values.nbytes + self.energy.nbytes + self.weights.nbytes


def padded_shape(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    """Size in which no lag of pictures of sizes `p` and `q` wraps around."""
    rows, columns = (int(fft.next_fast_len(a + b - 1, real=True)) for a, b in zip(p, q, strict=True))
    return rows, columns


def spectra(field: Field, padded: tuple[int, int]) -> Spectra:
    """Transform a field for `correlate`."""
    stack = np.stack([field.values, field.values**2, field.weights])
    values, energy, weights = fft.rfft2(stack, padded)
    return Spectra(padded, values, energy, weights)


@dataclass(frozen=True, eq=False)
class Surface:
    """Correlations over a window of lags; `first` is the lag (dx, dy) of element [0, 0]."""

    rho: Float32  # -1..1; 0 where the overlap is too small
    count: Float32  # px of the overlap
    first: tuple[int, int]


def correlate(
    p: Spectra, q: Spectra, center: tuple[int, int], reach: tuple[int, int], min_count: float
) -> Surface:
    """Correlate two pictures over the lags within `reach` (x, y) of `center`, px."""
    height, width = p.padded
    product = np.stack(
        [
            p.values.conj() * q.values,
            p.energy.conj() * q.weights,
            p.weights.conj() * q.energy,
            p.weights.conj() * q.weights,
        ]
    )
    planes = fft.irfft2(product, p.padded, overwrite_x=True)
    rows = center[1] + np.arange(-reach[1], reach[1] + 1)
    columns = center[0] + np.arange(-reach[0], reach[0] + 1)
    shared, energy_p, energy_q, count = (plane[np.ix_(rows % height, columns % width)] for plane in planes)
    count = np.rint(count)
    # beyond the padded size a lag would wrap around to another
    outside = (np.abs(rows) >= height)[:, None] | (np.abs(columns) >= width)
    count[outside] = 0
    rho = _normalized(shared, energy_p, energy_q, count >= max(min_count, 1))
    return Surface(rho, count, (int(columns[0]), int(rows[0])))


def correlation_area(p: Spectra, q: Spectra) -> float:
    """Pixels that count as one independent sample in the correlation of unrelated p and q.

    Bartlett's formula: the variance of a correlation of n pixels is ``sum(r_p r_q) / n``, r the
    autocorrelations; by Parseval the sum follows from the power spectra. Streaks or one strong
    feature make the area large, and a peak thereby less significant.
    """
    power_p, power_q = (np.abs(one.values).astype(np.float64) ** 2 for one in (p, q))
    for power in (power_p, power_q):  # columns of a half spectrum stand for two
        power[:, 1:] *= np.sqrt(2)
    half = np.sqrt(2)
    total_p = power_p[:, 0].sum() + half * power_p[:, 1:].sum()
    total_q = power_q[:, 0].sum() + half * power_q[:, 1:].sum()
    shared = (power_p * power_q).sum()
    area = p.padded[0] * p.padded[1] * shared / max(total_p * total_q, 1e-30)
    return float(max(area, 1.0))


def _normalized(shared: Array, energy_p: Array, energy_q: Array, enough: Bool) -> Float32:
    """Give the correlation coefficient; 0 where there is no energy or not `enough` overlap."""
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
    p: Field, q: Field, corners: Index, size: tuple[int, int], reach: int, min_share: float
) -> tuple[Float32, Float32]:
    """Correlate blocks of p with q over the lags -reach..reach around equal places.

    Parameters
    ----------
    p, q
        Fields of the same frame.
    corners
        (n, 2) x, y of the first pixel of each block.
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
    """
    whole = p.valid is None and _inside(q, corners, size, reach)
    search = (size[0] + 2 * reach, size[1] + 2 * reach)
    padded = tuple(int(fft.next_fast_len(n, real=True)) for n in search)
    if whole:
        return _whole_blocks(p, q, corners, size, reach, padded)
    return _masked_blocks(p, q, corners, size, reach, padded, min_share)


def _inside(q: Field, corners: Index, size: tuple[int, int], reach: int) -> bool:
    if q.valid is not None or len(corners) == 0:
        return False
    low, high = corners.min(axis=0) - reach, corners.max(axis=0) + size[::-1] + reach
    return bool((low >= 0).all() and high[0] <= q.shape[1] and high[1] <= q.shape[0])


def _whole_blocks(
    p: Field, q: Field, corners: Index, size: tuple[int, int], reach: int, padded: tuple[int, ...]
) -> tuple[Float32, Float32]:
    """Blocks without any invalid pixel: energies are sums over moving boxes."""
    n, lags = len(corners), 2 * reach + 1
    one = _cut(p.values, corners, size)
    other = _cut(q.values, corners - reach, (size[0] + 2 * reach, size[1] + 2 * reach))
    shared = fft.irfft2(
        fft.rfft2(one, padded).conj() * fft.rfft2(other, padded), padded, overwrite_x=True
    )[:, :lags, :lags]
    energy_p = np.einsum("nij,nij->n", one, one)[:, None, None]
    # sum of the box whose first pixel is [i, j], for every pixel
    square = cv2.boxFilter(
        q.values**2, -1, size[::-1], anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    energy_q = _cut(np.asarray(square), corners - reach, (lags, lags))
    return _normalized(shared, energy_p, energy_q, np.ones(shared.shape, bool)), np.ones(n, np.float32)


def _masked_blocks(
    p: Field,
    q: Field,
    corners: Index,
    size: tuple[int, int],
    reach: int,
    padded: tuple[int, ...],
    min_share: float,
) -> tuple[Float32, Float32]:
    lags = 2 * reach + 1
    one, weight_p = _with_weights(p, corners, size)
    search = (size[0] + 2 * reach, size[1] + 2 * reach)
    other, weight_q = _with_weights(q, corners - reach, search)
    ones = fft.rfft2(np.stack([one, one**2, weight_p, weight_p]), padded).conj()
    others = fft.rfft2(np.stack([other, weight_q, other**2, weight_q]), padded)
    planes = fft.irfft2(ones * others, padded, overwrite_x=True)[:, :, :lags, :lags]
    shared, energy_p, energy_q, count = planes
    share = count / (size[0] * size[1])
    rho = _normalized(shared, energy_p, energy_q, share >= min_share)
    return rho, np.asarray(share[:, reach, reach], np.float32)


def _with_weights(field: Field, corners: Index, size: tuple[int, int]) -> tuple[Float32, Float32]:
    """Blocks of values and of weights; what lies outside of the field is invalid."""
    low = np.maximum(-corners.min(axis=0), 0)
    high = np.maximum(corners.max(axis=0) + size[::-1] - np.array(field.shape[::-1]), 0)
    (left, top), (right, bottom) = low, high
    values, weights = (
        np.pad(image, ((top, bottom), (left, right))) for image in (field.values, field.weights)
    )
    return _cut(values, corners + low, size), _cut(weights, corners + low, size)


def _cut(image: Float32, corners: Index, size: tuple[int, int]) -> Float32:
    """Give (n, h, w) copies of the blocks of `size` that start at `corners` (x, y)."""
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
    """Find the highest peak of each surface (n, k, k) and fit a paraboloid to its 3 x 3 px.

    `second` is the highest correlation at least `apart_px` from it.
    """
    n, rows, columns = rho.shape
    best = rho.reshape(n, -1).argmax(axis=1)
    y, x = np.divmod(best, columns)
    inner = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)
    cy, cx = np.clip(y, 1, rows - 2), np.clip(x, 1, columns - 2)
    around = _cut3(rho, cy, cx)
    shift, height, curvature = _paraboloid(around)
    lag = np.column_stack([cx, cy]) + shift - np.array([columns // 2, rows // 2])
    far = (np.arange(rows)[:, None] - y[:, None, None]) ** 2 + (
        np.arange(columns) - x[:, None, None]
    ) ** 2 >= apart_px**2
    second = np.where(far, rho, np.float32(-1)).reshape(n, -1).max(axis=1)
    return Peaks(lag, height, second.astype(float), np.where(inner, curvature, 0.0), inner)


def _cut3(rho: Float32, y: Index, x: Index) -> Array:
    step = np.arange(-1, 2)
    at = np.arange(len(rho))[:, None, None]
    return rho[at, y[:, None, None] + step[:, None], x[:, None, None] + step].astype(np.float64)


def _paraboloid(c: Array) -> tuple[Array, Array, Array]:
    """Give shift (n, 2), height (n,) and smaller curvature (n,) of (n, 3, 3) values."""
    gx, gy = (c[:, 1, 2] - c[:, 1, 0]) / 2, (c[:, 2, 1] - c[:, 0, 1]) / 2
    xx = 2 * c[:, 1, 1] - c[:, 1, 2] - c[:, 1, 0]
    yy = 2 * c[:, 1, 1] - c[:, 2, 1] - c[:, 0, 1]
    xy = -(c[:, 2, 2] + c[:, 0, 0] - c[:, 0, 2] - c[:, 2, 0]) / 4
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    low = middle - spread
    determinant = np.where(low > 1e-9, xx * yy - xy * xy, 1.0)
    shift = np.stack([gx * yy - gy * xy, gy * xx - gx * xy], axis=1) / determinant[:, None]
    shift = np.where((low > 1e-9)[:, None], np.clip(shift, -1, 1), 0.0)
    height = c[:, 1, 1] + (shift * np.stack([gx, gy], axis=1)).sum(axis=1) / 2
    return shift, np.minimum(height, 1.0), low
