"""Windows of two pictures of one place, and the shift at which the one shows the other.

A window whose peak unrelated pixels would reach by chance has none.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from scripts.lib.arrays import Array, Float32
from scripts.lib.drawing import compose
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.geometry import Box
from scripts.lib.numerics import correlation

BAND_PX = (0.8, 4.0)  # sd of the two Gaussians: finer is noise, coarser is shading and charging
MAX_CHANCE = 1e-4  # that unrelated pixels reach a window's peak anywhere in its reach
LEAST_SIDE_PX = 24  # of a square window: a smaller one holds too little texture
LEAST_SHARE = 0.6  # of a window that has data in both pictures
LEAST_STRIP_PX = 10  # width of a window of the same area in a narrow overlap

Draw = Callable[[Box, float], Picture]


@dataclass(frozen=True)
class Settings:
    """How pictures are compared; section ``solve.misalignment`` of the config."""

    window_px: int = 96  # side of a window, px of the picture; smaller where tiles are small
    reach_px: int = 12  # largest shift looked for, px of the picture
    windows: int = 16  # most windows of a place
    order_windows: int = 6  # of them, those that are compared with the layer after the next too


def settings_of(section: Mapping[str, Any]) -> Settings:
    """Read the settings of the measurement from ``solve.misalignment``.

    Parameters
    ----------
    section
        The config's section, with all defaults filled in.

    Returns
    -------
    Settings
        How pictures are compared.
    """
    return Settings(*(section[name] for name in Settings.__annotations__))


def drawing(placed: Sequence[Placed]) -> Draw:
    """Return what draws `placed` inside a box at a scale.

    Parameters
    ----------
    placed
        Tiles of one layer.

    Returns
    -------
    Draw
        Function of (box in world px, scale) to a `Picture`, float32.
    """
    return lambda box, scale: compose.render(placed, box, scale=scale)


def remembered(draw: Draw) -> Draw:
    """Return what draws each window once: for windows that are compared with several layers.

    Parameters
    ----------
    draw
        Draws the windows.

    Returns
    -------
    Draw
        The same, with all pictures that it has drawn in memory.
    """
    return functools.cache(draw)


def shared(one: Placed, other: Placed) -> Box | None:
    """Return where the boxes of two tiles overlap.

    Parameters
    ----------
    one, other
        Tiles as placed.

    Returns
    -------
    Box or None
        World px.
    """
    a, b = one.tile.box, other.tile.box
    if not a.intersects(b):
        return None
    return Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))


def window_size(place: Box, scale: float, settings: Settings) -> tuple[int, int] | None:
    """Return width and height of the windows of a place.

    They are square, but in narrow overlaps as long as the least area asks for.

    Parameters
    ----------
    place
        World px.
    scale
        Of the pictures.
    settings
        How pictures are compared.

    Returns
    -------
    tuple of int or None
        Even numbers of px of the picture; None where none fits.
    """
    width, height = (math.floor(length * scale) // 2 * 2 for length in (place.width, place.height))
    short = min(settings.window_px // 2 * 2, width, height)
    if short < LEAST_STRIP_PX:
        return None
    long = max(short, math.ceil(LEAST_SIDE_PX**2 / short / 2) * 2)
    if long > max(width, height):
        return None
    return (short, long) if width < height else (long, short)


def window_centres(place: Box, size: tuple[float, float], most: int) -> Array:
    """Spread windows over a place.

    Parameters
    ----------
    place
        World px.
    size
        Width and height of a window, world px.
    most
        Windows.

    Returns
    -------
    Array
        (n, 2) centres x, y, whole px; n at most `most`.
    """
    lengths = (place.width, place.height)
    counts = [max(1, int(1.5 * a / b)) for a, b in zip(lengths, size, strict=True)]
    while counts[0] * counts[1] > most:
        counts[int(counts[1] > counts[0])] -= 1
    x, y = (
        np.linspace(low + side / 2, high - side / 2, n) if n > 1 else np.array([(low + high) / 2])
        for low, high, side, n in zip(
            (place.x0, place.y0), (place.x1, place.y1), size, counts, strict=True
        )
    )
    return np.stack(np.meshgrid(np.rint(x), np.rint(y)), axis=-1).reshape(-1, 2)


def window_peaks(
    first: Draw,
    second: Draw,
    place: Box,
    centres: Array,
    size: tuple[int, int],
    reach: int,
    scale: float = 1.0,
) -> Array:
    """Correlate windows of two drawings of a place.

    Parameters
    ----------
    first, second
        Draw the two pictures.
    place
        World px.
    centres
        (n, 2) centres x, y of the windows, world px.
    size
        Width and height of a window, px of the picture.
    reach
        Largest shift looked for, px of the picture.
    scale
        Of the pictures.

    Returns
    -------
    Array
        (n, 3) shift x, y at which the second shows the first, px of the picture, and their
        correlation there; NaN where there is no peak.
    """
    windows = len(centres) * (size[0] + 2 * reach) * (size[1] + 2 * reach)
    if (place.width * scale + 2 * reach) * (place.height * scale + 2 * reach) < 4 * windows:
        first, second = (_drawn_once(draw, place, scale, reach) for draw in (first, second))
    pairs = (_windows(first, second, at, size, scale, reach) for at in centres)
    return _peaks([_surface(one, other, reach) for one, other in pairs])


def likeness(first: Draw, second: Draw, place: Box, centres: Array, size: tuple[int, int]) -> Array:
    """Correlate windows of two drawings of a place as they lie, at full resolution.

    Parameters
    ----------
    first, second, place, centres, size
        As of `window_peaks`.

    Returns
    -------
    Array
        (n,) correlation of the band-passed grey levels at no shift, -1 to 1; NaN where less than
        0.6 of a window has data in both.
    """
    first, second = (_drawn_once(draw, place, 1.0, 0) for draw in (first, second))
    out = np.full(len(centres), np.nan)
    for i, at in enumerate(centres):
        one, other = _windows(first, second, at, size, 1.0, 0)
        corner, shape = np.zeros((1, 2), np.intp), (one.pixels.shape[0], one.pixels.shape[1])
        rho, share, _ = correlation.block_surfaces(
            _field(one), _field(other), corner, corner, shape, 0, 0.5
        )
        if share[0] >= LEAST_SHARE:
            out[i] = rho[0, 0, 0]
    return out


def _windows(
    first: Draw, second: Draw, at: Array, size: tuple[int, int], scale: float, reach: int
) -> tuple[Picture, Picture]:
    """Draw the window around a place (x, y), and the one wider by `reach` in the second."""
    x, y = at
    half_x, half_y, more = size[0] / scale / 2, size[1] / scale / 2, reach / scale
    one = Box(x - half_x, y - half_y, x + half_x, y + half_y)
    wide = Box(one.x0 - more, one.y0 - more, one.x1 + more, one.y1 + more)
    return first(one, scale), second(wide, scale)


def _drawn_once(draw: Draw, place: Box, scale: float, reach: int) -> Draw:
    """Draw a small place once, and cut the windows from it."""
    margin = math.ceil((reach + 2) / scale)
    x0, y0 = math.floor(place.x0) - margin, math.floor(place.y0) - margin
    whole = draw(Box(x0, y0, place.x1 + margin, place.y1 + margin), scale)
    rows, columns = whole.pixels.shape

    def cut(box: Box, _scale: float) -> Picture:
        h, w = round(box.height * scale), round(box.width * scale)
        i = min(max(round((box.y0 - y0) * scale), 0), max(rows - h, 0))
        j = min(max(round((box.x0 - x0) * scale), 0), max(columns - w, 0))
        at = slice(i, i + h), slice(j, j + w)
        return Picture(whole.pixels[at], whole.mask[at])

    return cut


@dataclass(frozen=True, eq=False)
class _Surface:
    """Correlations of a window by lag."""

    rho: Float32  # (2 * reach + 1, 2 * reach + 1) over dy, dx
    samples: float  # independent ones in the window
    places: float  # at which unrelated pixels could have a peak


def _surface(one: Picture, other: Picture, reach: int) -> _Surface | None:
    """Correlate a window with the wider one; None: too little of them has data."""
    if one.mask.mean() < LEAST_SHARE or other.mask.mean() < 0.3:
        return None
    size = one.pixels.shape[0], one.pixels.shape[1]
    at = np.zeros((1, 2), np.intp)
    rho, share, samples = correlation.block_surfaces(
        _field(one), _field(other), at, at + reach, size, reach, 0.5
    )
    if share[0] < LEAST_SHARE:
        return None
    places = max(rho[0].size * float(samples[0]) / (size[0] * size[1]), 1.0)
    return _Surface(rho[0], float(samples[0]), places)


def _peaks(surfaces: Sequence[_Surface | None]) -> Array:
    """Return (n, 3) shifts x, y at which the wider windows show the others, and correlations there.

    Px of the picture, and -1 to 1; all three are NaN where there is no peak.
    """
    found = np.full((len(surfaces), 3), np.nan)
    known = [i for i, one in enumerate(surfaces) if one is not None]
    some = [one for one in surfaces if one is not None]
    if not some:
        return found
    peaks = correlation.find_peaks(np.stack([one.rho for one in some]), 4.0)
    samples, places = np.array([(one.samples, one.places) for one in some]).T
    chance = places * special.ndtr(-peaks.height * np.sqrt(samples))
    tells = peaks.inner & (chance < MAX_CHANCE)
    found[known] = np.where(tells[:, None], np.column_stack([peaks.lag, peaks.height]), np.nan)
    return found


def _field(picture: Picture) -> correlation.Field:
    valid = None if picture.mask.all() else picture.mask
    values = correlation.band_pass(np.asarray(picture.pixels, np.float32), valid, *BAND_PX)
    return correlation.Field(values, valid)
