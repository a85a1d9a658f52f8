"""Where in a layer its band-passed texture is measured, and at what scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.lib.geometry import Box


def pixel_layers(version: Mapping[str, Any]) -> tuple[float, float]:
    """Compute the size of a full-resolution pixel.

    Parameters
    ----------
    version
        ``currentVersion`` of the stack's metadata.

    Returns
    -------
    tuple
        Size in x and y, nominal layers.

    Raises
    ------
    ValueError
        When a resolution is not positive.
    """
    x, y, z = (float(version[f"stackResolution{axis}"]) for axis in "XYZ")
    if min(x, y, z) <= 0:
        raise ValueError(f"stack resolution {x} x {y} x {z} nm is not positive")
    return x / z, y / z


def texture_scale(pixel: float) -> float:
    """Choose the scale at which a pixel is about a layer.

    Parameters
    ----------
    pixel
        Size of a full-resolution pixel, nominal layers.

    Returns
    -------
    float
        A power of two, since there is a mipmap of it, at most 1.
    """
    return 1.0 if pixel >= 1 else 2.0 ** math.ceil(math.log2(pixel) - 0.5)


def spread(box: Box, size: float, count: int) -> tuple[Box, ...]:
    """Spread squares evenly over a box.

    Rows and columns of squares are as near to the shape of the box as the count allows.

    Parameters
    ----------
    box
        World px.
    size
        Side of a square, world px.
    count
        Most squares.

    Returns
    -------
    tuple
        The squares, row after row; the box itself when it is no larger than all of them.
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
