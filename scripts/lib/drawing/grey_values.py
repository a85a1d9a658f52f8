"""Grey values: what each filter of a tile does to its picture, in float32.

Mipmap level k is filtered as what it is, pixels 2**k as large: lengths are divided by 2**k,
frequencies multiplied, and polynomials and grids are evaluated at the full-scale place of each
level pixel, ``2**k v + (2**k - 1) / 2``. Grey values keep their meaning.

Other than render: the class of intensity maps for 16 bit, spectra of any tile size (the two
numbers of the data string only say how many bins a cycle per pixel has), float32 between filters
(nothing is rounded before the last), and the mean of a tile that streak and background filters
keep exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Array, Float32
from scripts.lib.numerics.smoothing import gaussian

DATA = "dataString"
# (power of x, power of y) of each coefficient of a shading model, in render's order
POWERS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 4), (2, 2), (4, 0))
COEFFICIENTS = {"QUADRATIC": 6, "FOURTH_ORDER": 9}


@dataclass(frozen=True)
class TileGrid:
    """Where the pixels of an image lie: full-scale size of the tile, mipmap level, first pixel."""

    width: int
    height: int
    level: int
    corner: tuple[int, int] = (0, 0)  # row, column of the image's first pixel in the level

    def centres(self, count: int, axis: int) -> Array:
        """Return the full-scale coordinates of level pixels along an axis.

        Parameters
        ----------
        count
            How many pixels, from the image's first.
        axis
            0 = rows, 1 = columns.

        Returns
        -------
        Array
            (count,) px.
        """
        step = float(1 << self.level)
        at = np.arange(self.corner[axis], self.corner[axis] + count)
        return np.asarray(at * step + (step - 1) / 2, np.float64)


def shading(image: Float32, parameters: Mapping[str, str], grid: TileGrid) -> Float32:
    """Subtract a polynomial of the place in the tile.

    Parameters
    ----------
    image
        (h, w) float32.
    parameters
        Of the filter, as on the tile spec.
    grid
        Where its pixels lie.

    Returns
    -------
    Float32
        (h, w), a new one where something changes.

    Raises
    ------
    ValueError
        For a number of coefficients that does not fit the method.
    """
    values = [float(v) for v in parameters["coefficients"].split(",")]
    if len(values) != COEFFICIENTS[parameters["correctionMethod"].upper()]:
        raise ValueError(f"shading: {parameters['correctionMethod']} with {len(values)} numbers")
    x = 2 * grid.centres(image.shape[1], 1) / grid.width - 1
    y = 2 * grid.centres(image.shape[0], 0) / grid.height - 1
    return image - polynomial(values, x, y)


def polynomial(coefficients: Sequence[float], x: Array, y: Array) -> Float32:
    """Evaluate a shading model.

    Parameters
    ----------
    coefficients
        6 or 9 grey values, of the powers `POWERS`.
    x, y
        (w,) and (h,): places over the tile, -1 to 1.

    Returns
    -------
    Float32
        (h, w) grey values.
    """
    table = np.zeros((5, 5))
    for value, (px, py) in zip(coefficients, POWERS, strict=False):
        table[py, px] = value
    powers = np.arange(5)
    down = (y[:, None] ** powers) @ table
    return down.astype(np.float32) @ (x[:, None] ** powers).T.astype(np.float32)


def intensity(top: float, image: Float32, parameters: Mapping[str, str], grid: TileGrid) -> Float32:
    """Multiply by a gain and add an offset, both interpolated between the centres of a grid.

    Parameters
    ----------
    top
        The brightest value of the bit depth: 255 or 65535.
    image
        (h, w) float32.
    parameters
        Of the filter, as on the tile spec.
    grid
        Where its pixels lie.

    Returns
    -------
    Float32
        (h, w), a new one where something changes.
    """
    a, b = _read_intensity(parameters)
    # exact for the common case, and an identity map changes no bit
    if a.size == 1:
        return image * np.float32(a[0, 0]) + np.float32(top * b[0, 0])
    across = _weights(grid.centres(image.shape[1], 1), grid.width, a.shape[1])
    down = _weights(grid.centres(image.shape[0], 0), grid.height, a.shape[0])
    offset = (down @ (top * b)).astype(np.float32) @ across.T.astype(np.float32)
    out = (down @ (a - 1)).astype(np.float32) @ across.T.astype(np.float32)
    return image + out * image + offset


def _read_intensity(
    parameters: Mapping[str, str],
) -> tuple[Array, Array]:
    """Read gains and offsets of an intensity map, each (rows, columns).

    Raises
    ------
    ValueError
        When the data string does not hold rows x columns pairs.
    """
    rows, columns, count, *rest = parameters[DATA].split(",")
    shape = (int(rows), int(columns), int(count))
    if shape[2] != 2 or len(rest) != shape[0] * shape[1] * 2:
        raise ValueError(f"intensity map: {shape} announced, {len(rest)} numbers found")
    values = np.array(rest, float).reshape(shape)
    return values[..., 0], values[..., 1]


def _weights(centres: Array, size: int, count: int) -> Array:
    """Weights (n, count) of linear interpolation between the centres of `count` equal parts."""
    at = np.clip((centres + 0.5) * count / size - 0.5, 0, count - 1)
    weights: Array = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
    return weights


def streaks(image: Float32, parameters: Mapping[str, str], grid: TileGrid) -> Float32:
    """Take a band out of the spectrum.

    Parameters
    ----------
    image
        (h, w) float32.
    parameters
        Of the filter, as on the tile spec.
    grid
        Where its pixels lie.

    Returns
    -------
    Float32
        (h, w), a new one where something changes.
    """
    return _without_streaks(image, _spectral(parameters, 5), grid)


def _spectral(parameters: Mapping[str, str], count: int) -> list[float]:
    values = [float(v) for v in parameters[DATA].split(",")]
    if len(values) != count:
        raise ValueError(f"streak filter: expected {count} numbers, found {parameters[DATA]!r}")
    return values


def _without_streaks(image: Float32, values: Sequence[float], grid: TileGrid) -> Float32:
    """Multiply the spectrum of the mirrored picture by `_band_mask`; the mean stays."""
    fft_width, fft_height, cutoff, band, angle = values[:5]
    if band <= 0:
        return image
    from scipy import fft  # 30 MB that most jobs need not have

    step = float(1 << grid.level)  # bins of full-scale pixels -> cycles per level pixel
    bins = (2 * (fft_width - 1) / step, fft_height / step)
    # the picture is mirrored as far as the filter reaches: three sigma of its answer to a point
    reach = 3 / (2 * np.pi) * max(bins) / max(min(cutoff, band), 1e-3)
    before = [min(n, int(np.ceil(reach))) for n in image.shape]
    sizes = list(zip(image.shape, before, strict=True))
    whole = [fft.next_fast_len(n + 2 * pad, real=True) for n, pad in sizes]
    pads = [(pad, end - n - pad) for (n, pad), end in zip(sizes, whole, strict=True)]
    spectrum = fft.rfft2(np.pad(image, pads, "symmetric"))
    spectrum *= _band_mask((whole[0], whole[1]), cutoff, band, angle, bins)
    wide = fft.irfft2(spectrum, s=whole)
    inner = wide[before[0] : before[0] + image.shape[0], before[1] : before[1] + image.shape[1]]
    shift = image.mean(dtype=np.float64) - inner.mean(dtype=np.float64)
    return np.asarray(inner + np.float32(shift), np.float32)


@functools.lru_cache(maxsize=4)
def _band_mask(
    shape: tuple[int, int], cutoff: float, band: float, angle_deg: float, bins: tuple[float, float]
) -> Float32:
    """Return the factor of each value of a real spectrum, (h, w // 2 + 1), of a (h, w) picture.

    ``1 - (1 - exp(-u**2 / 2 cutoff**2)) exp(-v**2 / 2 band**2)``, u and v the frequency turned by
    the angle, in bins; `bins` says how many a cycle per pixel has in x and y. Angle 0 removes
    vertical streaks, 90 horizontal ones.
    """
    from scipy import fft

    x = (fft.rfftfreq(shape[1]) * bins[0])[None, :]
    y = (fft.fftfreq(shape[0]) * bins[1])[:, None]
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    u, v = x * cos - y * sin, x * sin + y * cos
    passed = np.exp(-0.5 * (u / cutoff) ** 2) if cutoff > 0 else (u == 0).astype(float)
    return np.asarray(1 - (1 - passed) * np.exp(-0.5 * (v / band) ** 2), np.float32)


def local_streaks(image: Float32, parameters: Mapping[str, str], grid: TileGrid) -> Float32:
    """Take a band out of the spectrum, only around the places where that changes something.

    Parameters
    ----------
    image
        (h, w) float32.
    parameters
        Of the filter, as on the tile spec.
    grid
        Where its pixels lie.

    Returns
    -------
    Float32
        (h, w), a new one where something changes.
    """
    *spectral, radius, initial, final = _spectral(parameters, 8)
    fixed = _without_streaks(image, spectral, grid)
    sigma = radius / (1 << grid.level)
    found = (np.abs(image - fixed) > initial).astype(np.float32)
    near = (gaussian(found, sigma, border=cv2.BORDER_REFLECT) > final).astype(np.float32)
    weight = gaussian(near, sigma, border=cv2.BORDER_REFLECT)
    return np.asarray(image + weight * (fixed - image), np.float32)


def background(image: Float32, parameters: Mapping[str, str], grid: TileGrid) -> Float32:
    """Subtract the smoothed picture less its mean.

    Parameters
    ----------
    image
        (h, w) float32.
    parameters
        Of the filter, as on the tile spec.
    grid
        Where its pixels lie.

    Returns
    -------
    Float32
        (h, w), a new one where something changes.
    """
    radius = float(parameters["radius"]) / (1 << grid.level)
    if radius <= 0:
        return image
    shrink = min(1.0, float(parameters["downSamplingFactor"]) * (1 << grid.level))
    h, w = image.shape
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    if parameters.get("smoothMethod", "GAUSSIAN").upper() == "MEDIAN":
        from scipy import ndimage

        smooth = ndimage.median_filter(small, 2 * round(radius * shrink) + 1, mode="reflect")
    else:
        smooth = gaussian(small, radius * shrink, border=cv2.BORDER_REFLECT)
    wide = np.asarray(cv2.resize(smooth, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    return image - (wide - np.float32(wide.mean(dtype=np.float64)))
