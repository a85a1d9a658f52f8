"""Where and at what scale the grain of a layer is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.lib.geometry import Box


def pixel_layers(version: Mapping[str, Any]) -> tuple[float, float]:
    """Size of a full-resolution pixel in x and y, in nominal layers, of a stack version.

    Raises
    ------
    ValueError
        When a resolution is not positive.
    """
    x, y, z = (float(version[f"stackResolution{axis}"]) for axis in "XYZ")
    if min(x, y, z) <= 0:
        raise ValueError(f"stack resolution {x} x {y} x {z} nm is not positive")
    return x / z, y / z


def grain_scale(pixel: float) -> float:
    """Return the scale at which a pixel is about a layer: a power of two, a mipmap, at most 1."""
    return 1.0 if pixel >= 1 else 2.0 ** math.ceil(math.log2(pixel) - 0.5)


def spread(box: Box, size: float, count: int) -> tuple[Box, ...]:
    """Return at most `count` squares of side `size` (world px), evenly over `box`, or all of it.

    Rows and columns are as near to the shape of the box as the count allows.
    """
    if box.width * box.height <= count * size * size:
        return (box,)
    columns = max(1, min(count, round(math.sqrt(count * box.width / box.height))))
    rows = max(1, count // columns)
    width, height = min(size, box.width), min(size, box.height)
    out = []
    for y in _starts(box.y0, box.y1, height, rows):
        out += [Box(x, y, x + width, y + height) for x in _starts(box.x0, box.x1, width, columns)]
    return tuple(out)


def _starts(low: float, high: float, size: float, count: int) -> list[float]:
    """Return starts of `count` intervals of `size`, each in the middle of its even part."""
    part = (high - low) / count
    return [float(v) for v in np.round(low + part * (np.arange(count) + 0.5) - size / 2)]
