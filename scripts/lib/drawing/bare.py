"""Where a picture shows nothing but noise: bare resin, the inside of a wide vessel.

The border of such a place is stronger than what tissue shows within it. Where it runs obliquely
through the layers it moves by some px from one to the next, in a disc of tissue that grows out of
resin outwards on all sides, and windows on it see that move and nothing of the alignment.

Pixel noise has no neighbours: that of pixels 3 px apart is unrelated, for noise reaches one pixel
after interpolation, and the band-pass makes their correlation slightly negative. So where pixels
correlate with those by less than one standard error of so many pixels, there is no texture.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Bytes, Float32
from scripts.lib.drawing.compose import Picture
from scripts.lib.drawing.windows import BAND_PX, Draw
from scripts.lib.geometry import Box
from scripts.lib.numerics.correlation import band_pass

LAGS = ((3, 0), (0, 3), (2, 2), (-2, 2))  # x, y, px: along lines, which curtains are, and across
FINEST_PX = 0.1  # sd: noise is left as it is
AROUND_PX = 25  # side of the square of pixels that correlate; smaller places are gaps in tissue
NO_TEXTURE = 1 / AROUND_PX  # standard error of the correlation of so many pixels
MARGIN_PX = AROUND_PX // 2 + round(2 * BAND_PX[1])  # half a square, and what the band-pass spreads


def tissue(draw: Draw) -> Draw:
    """Return what draws pictures without the places where they show nothing.

    Parameters
    ----------
    draw
        Draws pictures.

    Returns
    -------
    Draw
        The same pictures, whose masks lack bare places and the margins of these.
    """
    return functools.partial(_tissue, draw)


def _tissue(draw: Draw, at: Box, scale: float) -> Picture:
    picture = draw(at, scale)
    return Picture(picture.pixels, picture.mask & ~bare(picture))


def bare(picture: Picture) -> Bool:
    """Tell where a picture shows nothing, or lies within `MARGIN_PX` of such a place.

    Parameters
    ----------
    picture
        Full-resolution px.

    Returns
    -------
    Bool
        (h, w).
    """
    side = 2 * MARGIN_PX + 1
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(_nothing(picture), wide).astype(bool)


def shown(first: Draw, second: Draw, place: Box) -> tuple[Box, float] | None:
    """Return the part of a place in which both pictures show something.

    Parameters
    ----------
    first, second
        Draw the pictures.
    place
        World px.

    Returns
    -------
    tuple of Box and float, or None
        The bounds of all of it, and what share of the place is not bare in either, margins counted;
        None where there is none, and where nothing is bare.
    """
    x0, y0 = math.floor(place.x0), math.floor(place.y0)
    whole = Box(x0, y0, math.ceil(place.x1), math.ceil(place.y1))
    one, other = first(whole, 1.0), second(whole, 1.0)
    lacking = _nothing(one) | _nothing(other)
    both = one.mask & other.mask & ~bare(one) & ~bare(other)
    if not both.any() or not lacking.any():
        return None
    (x, right), (y, bottom) = (np.flatnonzero(both.any(axis=axis))[[0, -1]] for axis in (0, 1))
    return Box(x0 + x, y0 + y, x0 + right + 1, y0 + bottom + 1), 1 - float(lacking.mean())


def _nothing(picture: Picture) -> Bytes:
    """(h, w) 1 in places without texture as large as the square that tells of it."""
    if not picture.mask.any():
        return np.zeros(picture.mask.shape, np.uint8)
    pixels = np.asarray(picture.pixels, np.float32)
    valid = None if picture.mask.all() else picture.mask
    found = _texture(band_pass(pixels, valid, FINEST_PX, BAND_PX[1]))
    nothing = (picture.mask & (found < NO_TEXTURE)).astype(np.uint8)
    large = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (AROUND_PX, AROUND_PX))
    return np.asarray(cv2.morphologyEx(nothing, cv2.MORPH_OPEN, large), np.uint8)


def _texture(values: Float32) -> Array:
    """(h, w) correlation of pixels with those 3 px away, the less of along and across."""
    along_x, along_y, down, up = (_products(values, *lag) for lag in LAGS)
    less = np.minimum(along_x + along_y, down + up) / 2
    return np.asarray(less / np.maximum(_products(values, 0, 0), np.finfo(np.float32).tiny))


def _products(values: Float32, dx: int, dy: int) -> Float32:
    """(h, w) mean over a square of a pixel times the one at `dx`, `dy` from it."""
    h, w = values.shape
    move = np.array([[1, 0, -dx], [0, 1, -dy]], np.float32)
    other = cv2.warpAffine(values, move, (w, h), flags=cv2.INTER_NEAREST)
    return np.asarray(cv2.blur(values * other, (AROUND_PX, AROUND_PX)), np.float32)
