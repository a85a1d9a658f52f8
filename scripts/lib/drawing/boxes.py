"""Boxes of pictures: made of whole output pixels, one at least, wherever in the world they lie.

`compose.render` gives ``trunc(scale * width)`` pixels. A width that comes as a difference of world
coordinates may fall short of the pixels it was meant to hold: ``(y + 1 / scale) - y``, times
``scale``, is below 1 for half of all y, and the picture has no row. These boxes hold half an output
pixel more than their pixels, which no rounding uses up and which adds none.
"""

from __future__ import annotations

import math

from scripts.lib.geometry import Box

_SPARE = 0.5  # output px


def shape(box: Box, scale: float) -> tuple[int, int]:
    """Compute the size of a picture of `box`.

    Parameters
    ----------
    box
        Part of the output frame, px.
    scale
        Output pixels per px of the frame.

    Returns
    -------
    tuple of int
        Rows and columns: those that `compose.render` gives, and 1 where it would give none.
    """
    rows, columns = math.trunc(scale * box.height), math.trunc(scale * box.width)
    return max(1, rows), max(1, columns)


def of_pixels(x: float, y: float, rows: int, columns: int, scale: float) -> Box:
    """Return the box of `rows` x `columns` output pixels.

    Parameters
    ----------
    x, y
        Where the first output pixel lies, px of the frame.
    rows, columns
        Output pixels.
    scale
        Output pixels per px of the frame.

    Returns
    -------
    Box
        Rendered at `scale` it gives exactly these pixels.
    """
    return Box(x, y, x + (columns + _SPARE) / scale, y + (rows + _SPARE) / scale)


def whole(box: Box, scale: float) -> Box:
    """Return `box` with whole output pixels.

    Parameters
    ----------
    box
        Part of the output frame, px.
    scale
        Output pixels per px of the frame.

    Returns
    -------
    Box
        The same corner, and the pixels of `shape`.
    """
    return of_pixels(box.x0, box.y0, *shape(box, scale), scale)


def fit_scale(box: Box, side_px: float) -> float:
    """Return the scale at which a box fits into a square.

    Parameters
    ----------
    box
        Part of the output frame, px.
    side_px
        Side of the square, output px.

    Returns
    -------
    float
        Output pixels per px of the frame, at most 1.
    """
    return min(1.0, side_px / max(box.width, box.height))
