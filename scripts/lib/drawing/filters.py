"""Filters: corrections of a tile's grey values, kept as parameters on the tile spec.

A tile carries render's ``filterSpec``: a class name and parameters, several of them in a
``CompositeFilter`` (first to last). Whatever reads a tile's pixels to draw them calls
`apply_filters`, so a correction is stored once and applied in one place; what each does stands in
`grey_values`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Float32, Image
from scripts.lib.drawing import grey_values
from scripts.lib.drawing.grey_values import COEFFICIENTS, DATA, TileGrid
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


@dataclass(frozen=True)
class Filter:
    """One filter: class name and parameters, all texts."""

    class_name: str
    parameters: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the wire form.

        Returns
        -------
        dict
            ``className`` and ``parameters``.
        """
        return {"className": self.class_name, "parameters": dict(self.parameters)}


# ---------------------------------------------------------------------------------------------
# on the tile spec
# ---------------------------------------------------------------------------------------------


def filters_of(tile: TileSpec) -> tuple[Filter, ...]:
    """Return the filters of a tile.

    Parameters
    ----------
    tile
        The tile.

    Returns
    -------
    tuple of Filter
        First to last, composites taken apart.

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
    """Return the tile with exactly these filters.

    Parameters
    ----------
    tile
        The tile.
    filters
        First to last; none removes the entry.

    Returns
    -------
    TileSpec
        A new one.
    """
    extra = {key: value for key, value in tile.extra.items() if key != _KEY}
    if len(filters) == 1:
        extra[_KEY] = filters[0].to_json()
    elif filters:
        texts = [json.dumps(each.to_json(), separators=(",", ":")) for each in filters]
        parameters = {f"filter{k}": text for k, text in enumerate(texts)}
        extra[_KEY] = Filter(COMPOSITE, parameters).to_json()
    return replace(tile, extra=extra)


def appended(tile: TileSpec, new: Filter) -> TileSpec:
    """Return the tile with one more filter, after those it has.

    Parameters
    ----------
    tile
        The tile.
    new
        The filter.

    Returns
    -------
    TileSpec
        A new one.
    """
    return with_filters(tile, (*filters_of(tile), new))


# ---------------------------------------------------------------------------------------------
# writing them
# ---------------------------------------------------------------------------------------------


def _numbers(values: Sequence[float]) -> str:
    return ",".join(repr(float(value)) for value in values)


def shading(coefficients: Sequence[float]) -> Filter:
    """Return the filter that subtracts a polynomial of x, y in [-1, 1] over the tile.

    Parameters
    ----------
    coefficients
        6 or 9 grey values, of the powers `grey_values.POWERS`.

    Returns
    -------
    Filter
        render's ShadingCorrectionFilter.

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
    """Return the filter that maps I to ``a I + top b``.

    Between centres a and b are interpolated linearly, outside of the outermost they stay as there.

    Parameters
    ----------
    gain_offset
        (rows, columns, 2): a, b at the centres of a grid over the tile.
    top
        255 or 65535, the brightest value of the tile's bit depth.

    Returns
    -------
    Filter
        render's LinearIntensityMap8BitFilter, or ours for 16 bit.
    """
    rows, columns, count = gain_offset.shape
    data = f"{rows},{columns},{count},{_numbers(gain_offset.ravel().tolist())}"
    return Filter(INTENSITY_8 if top < 256 else INTENSITY_16, {DATA: data})


def streaks(
    cutoff_per_px: float,
    band_per_px: float,
    angle_deg: float,
    local: tuple[float, float, float] | None = None,
) -> Filter:
    """Return the filter that takes a band out of the spectrum.

    Parameters
    ----------
    cutoff_per_px, band_per_px
        Frequencies along and across the streaks' normal, cycles per full-scale px.
    angle_deg
        0 removes vertical streaks, 90 horizontal ones.
    local
        Blur radius (px), initial threshold (grey values) and final threshold (share): the result is
        used only where the filter changes something. None: everywhere.

    Returns
    -------
    Filter
        render's SmoothMaskStreakCorrector or LocalSmoothMaskStreakCorrector.
    """
    data = [BINS // 2 + 1, BINS, cutoff_per_px * BINS, band_per_px * BINS, angle_deg]
    if local is None:
        return Filter(STREAKS, {DATA: _numbers(data)})
    return Filter(STREAKS_LOCAL, {DATA: _numbers([*data, *local])})


def background(radius_px: float, shrink: float, method: str) -> Filter:
    """Return the filter that subtracts the smoothed picture less its mean.

    Parameters
    ----------
    radius_px
        Of the smoothing, full-scale px; 0 does nothing.
    shrink
        The picture is smoothed at this scale, at most 1.
    method
        ``"gaussian"`` or ``"median"``.

    Returns
    -------
    Filter
        render's BackgroundCorrectionFilter.
    """
    parameters = {"radius": repr(float(radius_px)), "downSamplingFactor": repr(float(shrink))}
    return Filter(BACKGROUND, {**parameters, "smoothMethod": method.upper()})


# ---------------------------------------------------------------------------------------------
# applying them
# ---------------------------------------------------------------------------------------------


def pointwise(tile: TileSpec) -> bool:
    """Tell whether every filter of a tile needs no more of it than a pixel and its place.

    Parameters
    ----------
    tile
        The tile.

    Returns
    -------
    bool
        True also without filters.
    """
    return {each.class_name for each in filters_of(tile)} <= _POINTWISE


def apply_filters(
    pixels: Image, tile: TileSpec, level: int = 0, corner: tuple[int, int] = (0, 0)
) -> Image:
    """Return pixels of a tile with its filters applied, in their order.

    Parameters
    ----------
    pixels
        (h, w) of a mipmap level; a part will do when the filters are `pointwise`.
    tile
        The tile.
    level
        Mipmap level.
    corner
        (row, column) of the first of `pixels` in the level.

    Returns
    -------
    Image
        (h, w) of the same dtype: float32 is not rounded, integers are rounded and clipped once, at
        the end. The very array when the tile has no filter.
    """
    found = filters_of(tile)
    if not found:
        return pixels
    grid = TileGrid(tile.width, tile.height, level, corner)
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
    """Return `apply_filters` in float32 when the tile has filters, else the pixels as they are.

    Parameters
    ----------
    pixels, tile, level, corner
        As of `apply_filters`.

    Returns
    -------
    Image
        (h, w).
    """
    if _KEY not in tile.extra:
        return pixels
    return apply_filters(pixels.astype(np.float32, copy=False), tile, level, corner)


_APPLY: dict[str, Callable[[Float32, Mapping[str, str], TileGrid], Float32]] = {
    SHADING: grey_values.shading,
    INTENSITY_8: functools.partial(grey_values.intensity, 255.0),
    INTENSITY_16: functools.partial(grey_values.intensity, 65535.0),
    STREAKS: grey_values.streaks,
    STREAKS_LOCAL: grey_values.local_streaks,
    BACKGROUND: grey_values.background,
}
