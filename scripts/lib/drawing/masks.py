"""Masks: which pixels of a tile count.

A mask URL is either a box, ``mask://outside-box?minX=&minY=&maxX=&maxY=&width=&height=``, or
``file://PATH``, a picture as large as the tile. As render has it, a pixel counts where the mask is
white (255 in 8 bits) and is hidden everywhere else: there are no shades between. A pixel of a
mipmap level counts where all pixels that it is made of do.
"""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import parse_qs

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Bytes, Float32
from scripts.lib.files import path_of_url
from scripts.lib.numerics.reduction import halved_mask

BOX = "mask://outside-box"
WHITE = 255
_KEPT_LEVELS = 16  # a volume has a few masks, each read at a few levels
_KEPT_DISTANCES = 4  # 47 MB each, of the largest tiles


def is_picture(url: str | None) -> bool:
    """Tell whether a mask is a picture.

    Parameters
    ----------
    url
        Of the mask; None: no mask.

    Returns
    -------
    bool
        False for boxes, and where there is none.
    """
    return url is not None and not url.startswith("mask:")


def read(url: str | None, shape: tuple[int, int], level: int = 0) -> Bytes | None:
    """Return the mask of a tile at a mipmap level.

    Parameters
    ----------
    url
        See the module; None: no mask.
    shape
        (h, w) of the tile, full-scale px.
    level
        Mipmap level.

    Returns
    -------
    Bytes or None
        ``(h >> level, w >> level)``: 255 where pixels count. Of a box 0 outside and the share of
        its area between at deeper levels, of a picture 0 elsewhere. None when there is no mask.

    Raises
    ------
    ValueError
        When the URL has another form, or the picture is of another size or cannot be read.
    """
    if url is None:
        return None
    if is_picture(url):
        return _level(url, shape, level)
    min_x, min_y, max_x, max_y = box(url, shape)
    across = _covered(min_x, max_x, shape[1], level)
    down = _covered(min_y, max_y, shape[0], level)
    return np.rint(WHITE * np.outer(down, across)).astype(np.uint8)


def box(url: str, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the unmasked box of a mask URL.

    Parameters
    ----------
    url
        Of a box.
    shape
        (h, w) of the tile, full-scale px: for sides that the URL does not name.

    Returns
    -------
    tuple of float
        min x, min y, max x, max y; half open, full-scale px.

    Raises
    ------
    ValueError
        When the URL is no ``mask://outside-box`` URL.
    """
    place, _, query = url.partition("?")
    if place != BOX:
        raise ValueError(f"mask URL {url!r}: expected {BOX}?minX=..&minY=..&maxX=..")
    fields = {key: float(values[0]) for key, values in parse_qs(query).items() if key != "level"}
    return (
        fields.get("minX", 0.0),
        fields.get("minY", 0.0),
        fields.get("maxX", float(shape[1])),
        fields.get("maxY", float(shape[0])),
    )


def _covered(low: float, high: float, size: int, level: int) -> Array:
    """Return the share of each level pixel that lies in [low, high), both in full-scale px."""
    edges = np.arange(size >> level, dtype=float) * (1 << level)
    inside = np.minimum(edges + (1 << level), high) - np.maximum(edges, low)
    share: Array = np.maximum(inside, 0.0) / (1 << level)
    return share


# ---------------------------------------------------------------------------------------------
# pictures
# ---------------------------------------------------------------------------------------------


def picture(path: str | Path) -> Bool:
    """Read a mask that is a picture: PNG or TIFF of one page, or what else Pillow reads.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Bool
        (h, w), True where it is white: 1 of 1 bit, 255 of 8, 65,535 of 16, all colours of three.

    Raises
    ------
    ValueError
        When it cannot be read, or has several pages or values without a white; names the file.
    """
    from PIL import Image as Pictures  # a tenth of a second, for the few volumes that have one

    Pictures.MAX_IMAGE_PIXELS = None  # tiles are larger than its limit
    try:
        with Pictures.open(path) as opened:
            pages = getattr(opened, "n_frames", 1)
            if pages > 1:
                raise ValueError(f"mask {path}: expected one picture, found {pages} pages")
            plain = opened.mode in ("1", "L", "I;16", "I;16B", "I;16L", "I")
            values = np.asarray(opened if plain else opened.convert("RGB"))
            mode = opened.mode
    except (OSError, SyntaxError, EOFError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ValueError(f"mask {path}: expected a PNG or TIFF, found: {found}") from error
    if mode == "F":
        raise ValueError(f"mask {path}: expected 1, 8 or 16 bits a pixel, found real numbers")
    white = True if mode == "1" else 65535 if mode.startswith("I") else WHITE
    shown = values == white
    return np.asarray(shown if shown.ndim == 2 else shown.all(axis=2))


@functools.lru_cache(_KEPT_LEVELS)
def _level(url: str, shape: tuple[int, int], level: int) -> Bytes:
    """Return a picture's level, kept: all tiles of a volume share a few."""
    path = path_of_url(url.removeprefix("file://").removeprefix("file:"))
    shown = picture(path)
    if shown.shape != shape:
        raise ValueError(
            f"mask {path}: expected {shape[1]} x {shape[0]} px, the size of the tile,"
            f" found {shown.shape[1]} x {shown.shape[0]}"
        )
    for _ in range(level):
        shown = halved_mask(shown)
    values = np.where(shown, np.uint8(WHITE), np.uint8(0))
    values.setflags(write=False)
    return values


@functools.lru_cache(_KEPT_DISTANCES)
def border_distance(url: str, shape: tuple[int, int], level: int) -> Float32:
    """Return how far the pixels of a picture that count lie from the nearest that does not.

    Parameters
    ----------
    url, shape, level
        As of `read`.

    Returns
    -------
    Float32
        ``(h >> level, w >> level)``, px of the level; 0 where a pixel is hidden. Beyond the
        border of the tile all pixels are.
    """
    field = distance_field(np.equal(_level(url, shape, level), WHITE))
    field.setflags(write=False)
    return field


def distance_field(unmasked: Bool) -> Float32:
    """Return the distance of each true pixel to the nearest other one.

    Parameters
    ----------
    unmasked
        (h, w), beyond whose border nothing is true.

    Returns
    -------
    Float32
        (h, w) px, 0 where false.
    """
    ring = cv2.copyMakeBorder(unmasked.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    field = cv2.distanceTransform(ring, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.ascontiguousarray(field[1:-1, 1:-1], np.float32)
