"""Filters: corrections of a tile's grey values, kept as parameters on the tile spec.

A tile carries render's ``filterSpec``: a class name and parameters, several of them in a
``CompositeFilter`` (first to last). Whatever reads a tile's pixels to draw them calls
`apply_filters`, so a correction is stored once and applied in one place (facts: spec solve-export
4.2, 4.3, 4.6, 4.7).

Mipmap level k is filtered as what it is, pixels 2**k as large: lengths are divided by 2**k,
frequencies multiplied, and polynomials and grids are evaluated at the full-scale place of each
level pixel, ``2**k v + (2**k - 1) / 2``. Grey values keep their meaning.

Ours, not render's: the class of intensity maps for 16 bit, spectra of any tile size (the two
numbers of the data string only say how many bins a cycle per pixel has), float32 between filters
(nothing is rounded before the last), and the mean of a tile that streak and background filters
keep exactly.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from scripts.lib.arrays import Array, Float32, Image
from scripts.lib.numerics.smoothing import gaussian
from scripts.lib.service.records import TileSpec

_FILTER = "org.janelia.alignment.filter."
_DESTREAK = "org.janelia.alignment.destreak."
COMPOSITE = _FILTER + "CompositeFilter"
SHADING = _FILTER + "ShadingCorrectionFilter"
INTENSITY_8 = _FILTER + "LinearIntensityMap8BitFilter"
INTENSITY_16 = _FILTER + "LinearIntensityMap16BitFilter"  # ours: the same with 65535 for 255
BACKGROUND = _FILTER + "BackgroundCorrectionFilter"
STREAKS = _DESTREAK + "SmoothMaskStreakCorrector"
STREAKS_LOCAL = _DESTREAK + "LocalSmoothMaskStreakCorrector"

_POINTWISE = {SHADING, INTENSITY_8, INTENSITY_16}
BINS = 10_000  # spectrum bins for one cycle per pixel, in the data strings written here
_KEY = "filterSpec"
_DATA = "dataString"
# (power of x, power of y) of each coefficient of a shading model, in render's order
POWERS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 4), (2, 2), (4, 0))
COEFFICIENTS = {"QUADRATIC": 6, "FOURTH_ORDER": 9}


@dataclass(frozen=True)
class Filter:
    """One filter: class name and parameters, all texts."""

    class_name: str
    parameters: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"className": self.class_name, "parameters": dict(self.parameters)}


@dataclass(frozen=True)
class _Grid:
    """Where the pixels of an image lie: full-scale size of the tile, mipmap level, first pixel."""

    width: int
    height: int
    level: int
    corner: tuple[int, int] = (0, 0)  # row, column of the image's first pixel in the level

    def centres(self, count: int, axis: int) -> Array:
        """Full-scale coordinates of `count` level pixels along an axis (0 = rows)."""
        step = float(1 << self.level)
        at = np.arange(self.corner[axis], self.corner[axis] + count)
        return np.asarray(at * step + (step - 1) / 2, np.float64)


# ---------------------------------------------------------------------------------------------
# on the tile spec
# ---------------------------------------------------------------------------------------------


def filters_of(tile: TileSpec) -> tuple[Filter, ...]:
    """Return the filters of a tile, first to last.

    Raises
    ------
    ValueError
        For a filter class that is not known here; the message names tile and class.
    """
    spec = tile.extra.get(_KEY)
    found = tuple(_flat(spec)) if spec else ()
    for each in found:
        if each.class_name not in _APPLY:
            raise ValueError(
                f"tile {tile.tile_id}: filter class {each.class_name!r} is not known"
                f" (known: {', '.join(sorted(_APPLY))})"
            )
    return found


def _flat(spec: Mapping[str, Any]) -> list[Filter]:
    parameters = dict(spec.get("parameters") or {})
    if spec["className"] != COMPOSITE:
        return [Filter(spec["className"], parameters)]
    parts = [json.loads(parameters[f"filter{k}"]) for k in range(len(parameters))]
    return [each for part in parts for each in _flat(part)]


def with_filters(tile: TileSpec, filters: Sequence[Filter]) -> TileSpec:
    """Return the tile with exactly these filters; none removes the entry."""
    extra = {key: value for key, value in tile.extra.items() if key != _KEY}
    if len(filters) == 1:
        extra[_KEY] = filters[0].to_json()
    elif filters:
        texts = [json.dumps(each.to_json(), separators=(",", ":")) for each in filters]
        parameters = {f"filter{k}": text for k, text in enumerate(texts)}
        extra[_KEY] = Filter(COMPOSITE, parameters).to_json()
    return replace(tile, extra=extra)


def appended(tile: TileSpec, new: Filter) -> TileSpec:
    """Return the tile with one more filter, after those it has."""
    return with_filters(tile, (*filters_of(tile), new))


# ---------------------------------------------------------------------------------------------
# writing them
# ---------------------------------------------------------------------------------------------


def _numbers(values: Sequence[float]) -> str:
    return ",".join(repr(float(value)) for value in values)


def shading(coefficients: Sequence[float]) -> Filter:
    """Subtract a polynomial of x, y in [-1, 1] over the tile: 6 or 9 coefficients, grey values.

    Raises
    ------
    ValueError
        For another number of coefficients.
    """
    methods = {count: name for name, count in COEFFICIENTS.items()}
    if len(coefficients) not in methods:
        raise ValueError(f"a shading model has 6 or 9 coefficients, found {len(coefficients)}")
    return Filter(
        SHADING,
        {"correctionMethod": methods[len(coefficients)], "coefficients": _numbers(coefficients)},
    )


def intensity(gain_offset: Array, top: float) -> Filter:
    """Map I to ``a I + top b``; (rows, columns, 2) a, b at the centres of a grid over the tile.

    `top` is 255 or 65535, the brightest value of the tile's bit depth. Between centres a and b are
    interpolated linearly, outside of the outermost they stay as there.
    """
    rows, columns, count = gain_offset.shape
    data = f"{rows},{columns},{count},{_numbers(gain_offset.ravel().tolist())}"
    return Filter(INTENSITY_8 if top < 256 else INTENSITY_16, {_DATA: data})


def streaks(
    cutoff_per_px: float,
    band_per_px: float,
    angle_deg: float,
    local: tuple[float, float, float] | None = None,
) -> Filter:
    """Take out a band of the spectrum; frequencies are cycles per full-scale px.

    `local` is blur radius (px), initial threshold (grey values) and final threshold (share): only
    where the filter changes something is its result used.
    """
    data = [BINS // 2 + 1, BINS, cutoff_per_px * BINS, band_per_px * BINS, angle_deg]
    if local is None:
        return Filter(STREAKS, {_DATA: _numbers(data)})
    return Filter(STREAKS_LOCAL, {_DATA: _numbers([*data, *local])})


def background(radius_px: float, shrink: float, method: str) -> Filter:
    """Subtract the smoothed picture less its mean; radius in full-scale px, 0 does nothing."""
    parameters = {"radius": repr(float(radius_px)), "downSamplingFactor": repr(float(shrink))}
    return Filter(BACKGROUND, {**parameters, "smoothMethod": method.upper()})


# ---------------------------------------------------------------------------------------------
# applying them
# ---------------------------------------------------------------------------------------------


def pointwise(tile: TileSpec) -> bool:
    """Tell whether every filter of a tile needs no more of it than a pixel and its place."""
    return {each.class_name for each in filters_of(tile)} <= _POINTWISE


def apply_filters(
    pixels: Image, tile: TileSpec, level: int = 0, corner: tuple[int, int] = (0, 0)
) -> Image:
    """Return (h, w) `pixels` of `tile` at a mipmap level with its filters applied, in their order.

    The type stays: float32 is not rounded, integers are rounded and clipped once, at the end. The
    very array is given back when the tile has no filter. Of a tile whose filters are `pointwise`
    a part will do, whose first pixel is `corner` (row, column).
    """
    found = filters_of(tile)
    if not found:
        return pixels
    grid = _Grid(tile.width, tile.height, level, corner)
    values = pixels.astype(np.float32)
    for each in found:
        values = _APPLY[each.class_name](values, each.parameters, grid)
    if not np.issubdtype(pixels.dtype, np.integer):
        return values.astype(pixels.dtype, copy=False)
    limits = np.iinfo(pixels.dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(pixels.dtype)


def unrounded(
    pixels: Image, tile: TileSpec, level: int = 0, corner: tuple[int, int] = (0, 0)
) -> Image:
    """Return `apply_filters` in float32 when the tile has filters, else `pixels` as they are."""
    if _KEY not in tile.extra:
        return pixels
    return apply_filters(pixels.astype(np.float32, copy=False), tile, level, corner)


def _apply_shading(image: Float32, parameters: Mapping[str, str], grid: _Grid) -> Float32:
    values = [float(v) for v in parameters["coefficients"].split(",")]
    if len(values) != COEFFICIENTS[parameters["correctionMethod"].upper()]:
        raise ValueError(f"shading: {parameters['correctionMethod']} with {len(values)} numbers")
    x = 2 * grid.centres(image.shape[1], 1) / grid.width - 1
    y = 2 * grid.centres(image.shape[0], 0) / grid.height - 1
    return image - polynomial(values, x, y)


def polynomial(coefficients: Sequence[float], x: Array, y: Array) -> Float32:
    """Evaluate a shading model on the grid of x (w,) by y (h,): (h, w) float32."""
    table = np.zeros((5, 5))
    for value, (px, py) in zip(coefficients, POWERS, strict=False):
        table[py, px] = value
    powers = np.arange(5)
    down = (y[:, None] ** powers) @ table
    return down.astype(np.float32) @ (x[:, None] ** powers).T.astype(np.float32)


def _apply_intensity(
    top: float, image: Float32, parameters: Mapping[str, str], grid: _Grid
) -> Float32:
    a, b = read_intensity(parameters)
    # exact for the common case, and an identity map changes no bit
    if a.size == 1:
        return image * np.float32(a[0, 0]) + np.float32(top * b[0, 0])
    across = _weights(grid.centres(image.shape[1], 1), grid.width, a.shape[1])
    down = _weights(grid.centres(image.shape[0], 0), grid.height, a.shape[0])
    offset = (down @ (top * b)).astype(np.float32) @ across.T.astype(np.float32)
    out = (down @ (a - 1)).astype(np.float32) @ across.T.astype(np.float32)
    return image + out * image + offset


def read_intensity(
    parameters: Mapping[str, str],
) -> tuple[Array, Array]:
    """Read gains and offsets of an intensity map, each (rows, columns).

    Raises
    ------
    ValueError
        When the data string does not hold rows x columns pairs.
    """
    rows, columns, count, *rest = parameters[_DATA].split(",")
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


def _apply_streaks(image: Float32, parameters: Mapping[str, str], grid: _Grid) -> Float32:
    return _without_streaks(image, _spectral(parameters, 5), grid)


def _spectral(parameters: Mapping[str, str], count: int) -> list[float]:
    values = [float(v) for v in parameters[_DATA].split(",")]
    if len(values) != count:
        raise ValueError(f"streak filter: expected {count} numbers, found {parameters[_DATA]!r}")
    return values


def _without_streaks(image: Float32, values: Sequence[float], grid: _Grid) -> Float32:
    """Multiply the spectrum of the mirrored picture by `band_mask`; the mean stays."""
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
    spectrum *= band_mask((whole[0], whole[1]), cutoff, band, angle, bins)
    wide = fft.irfft2(spectrum, s=whole)
    inner = wide[before[0] : before[0] + image.shape[0], before[1] : before[1] + image.shape[1]]
    shift = image.mean(dtype=np.float64) - inner.mean(dtype=np.float64)
    return np.asarray(inner + np.float32(shift), np.float32)


@functools.lru_cache(maxsize=4)
def band_mask(
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


def _apply_local_streaks(image: Float32, parameters: Mapping[str, str], grid: _Grid) -> Float32:
    """Use the filtered picture only around the places where the filter changes something."""
    *spectral, radius, initial, final = _spectral(parameters, 8)
    fixed = _without_streaks(image, spectral, grid)
    sigma = radius / (1 << grid.level)
    found = (np.abs(image - fixed) > initial).astype(np.float32)
    near = (gaussian(found, sigma, border=cv2.BORDER_REFLECT) > final).astype(np.float32)
    weight = gaussian(near, sigma, border=cv2.BORDER_REFLECT)
    return np.asarray(image + weight * (fixed - image), np.float32)


def _apply_background(image: Float32, parameters: Mapping[str, str], grid: _Grid) -> Float32:
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


_APPLY: dict[str, Callable[[Float32, Mapping[str, str], _Grid], Float32]] = {
    SHADING: _apply_shading,
    INTENSITY_8: functools.partial(_apply_intensity, 255.0),
    INTENSITY_16: functools.partial(_apply_intensity, 65535.0),
    STREAKS: _apply_streaks,
    STREAKS_LOCAL: _apply_local_streaks,
    BACKGROUND: _apply_background,
}
