"""A tile beside its neighbors, and two tiles with their matches, as small JPEGs."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from scripts.lib.arrays import Bytes, Float32
from scripts.lib.pages import pictures
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review.patches import Place
from scripts.review.survey import Read

SIDE_PX = 150  # longer side of one picture of a strip
PAIR_PX = 320  # longer side of one tile of a pair
GAP_PX = 4


def strip(
    place: Place, at: Mapping[Place, TileSpec], read: Read, title: str, caption: str
) -> Shown | None:
    """Show the tile at `place` between those of the layers before and after and its neighbors.

    From left to right: layer before, the tile (framed), layer after; then the cells right and left
    of it, below and above it, as far as there are.

    Parameters
    ----------
    place
        z, row and column of the tile.
    at
        Tile specs by place.
    read
        Gives the image of a tile.
    title, caption
        Lines of the picture.

    Returns
    -------
    Shown or None
        A JPEG; None when there is nothing to show.
    """
    z, row, column = place
    around = [(z - 1, row, column), place, (z + 1, row, column)]
    beside = [
        (z, row, column + 1),
        (z, row, column - 1),
        (z, row + 1, column),
        (z, row - 1, column),
    ]
    beside = [one for one in beside if one in at][:2]
    known = [at[one] for one in around if one in at]
    if not known:
        return None
    shape = _size(known[0].width, known[0].height, SIDE_PX)
    pixels = {one: _small(at[one], read, shape) for one in (*around, *beside) if one in at}
    # one contrast for all: that of the layers before and after, which are not suspected
    sound = [pixels[one] for one in (around[0], around[2]) if one in pixels] or [*pixels.values()]
    low, high = pictures.limits(sound, 0.5, 99.5)
    parts = []
    for one in (*around, *beside):
        known_one = pixels.get(one)
        drawn = _absent(shape) if known_one is None else _colors(known_one, low, high)
        if one == place:
            cv2.rectangle(drawn, (0, 0), (drawn.shape[1] - 1, drawn.shape[0] - 1), pictures.INK, 2)
        parts.append(drawn)
    return pictures.shown(pictures.joined(parts, GAP_PX), title, caption, form="JPEG", wide=True)


def pair(
    matches: CanvasMatches, p: TileSpec, q: TileSpec, read: Read, title: str, caption: str
) -> Shown:
    """Show two tiles side by side with their matches.

    Parameters
    ----------
    matches
        Points in full-scale px.
    p, q
        The two tiles.
    read
        Gives the image of a tile.
    title, caption
        Lines of the picture.

    Returns
    -------
    Shown
        A JPEG.
    """
    drawn, points, left = [], [], 0
    for tile, at in ((p, matches.p), (q, matches.q)):
        shape = _size(tile.width, tile.height, PAIR_PX)
        picture = _small(tile, read, shape)
        drawn.append(_colors(picture, *pictures.limits([picture], 0.5, 99.5)))
        points.append(at * (shape[1] / tile.width) + [left, 0])
        left += shape[1] + GAP_PX
    canvas = pictures.joined(drawn, GAP_PX)
    pictures.draw_matches(canvas, *points)
    return pictures.shown(canvas, title, caption, form="JPEG")


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _small(tile: TileSpec, read: Read, shape: tuple[int, int]) -> Float32:
    image, _ = read(tile)
    size = (shape[1], shape[0])
    picture = cv2.resize(np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.float32)


def _colors(picture: Float32, low: float, high: float) -> Bytes:
    return pictures.colors(pictures.grey(picture, low, high))


def _absent(shape: tuple[int, int]) -> Bytes:
    out = np.full((*shape, 3), 235, np.uint8)
    cv2.line(out, (0, 0), (shape[1], shape[0]), (170, 170, 170), 1, cv2.LINE_AA)
    return out
