"""Landmarks of two pictures as BigWarp writes them: ``name, active, moving x, y, fixed x, y``.

BigWarp (Fiji) gives coordinates in the unit of the picture; the PNG that `by_hand` writes have
none, so they are px of the picture, pixel centres on whole numbers: pixel (0, 0) is the centre of
the upper left one. Pixel (u, v) of a picture drawn at `scale` shows ``origin + (u, v) / scale`` of
the tile's matching frame, where `origin` is the corner of the tile's box there.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.drawing import compose
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet, TileSpec

LEAST = 3  # landmarks: what an affine takes
_CELLS = 6
_OUTSIDE_PX = 2.0  # of the picture, beyond its border: a click next to it


@dataclass(frozen=True)
class Frame:
    """How a tile's picture lies in its matching frame.

    ``x``, ``y`` full-scale px of pixel (0, 0); ``width``, ``height`` of the tile's box there,
    full-scale px; ``scale`` picture px per full-scale px.
    """

    x: float
    y: float
    width: float
    height: float
    scale: float

    @staticmethod
    def of(tiles: TileSet, tile: TileSpec, scale: float) -> Frame:
        """Return the frame of a tile's picture.

        Parameters
        ----------
        tiles
            The transforms that the tile shares with others.
        tile
            The tile.
        scale
            Picture px per full-scale px.

        Returns
        -------
        Frame
            That of `scripts.lib.drawing.compose.canvas`.
        """
        box = compose.matching_box(tile, tiles.scan_chain(tile))
        return Frame(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0, scale)

    def to_full(self, xy: Array) -> Array:
        """Return places in the matching frame.

        Parameters
        ----------
        xy
            (n, 2) x, y in px of the picture.

        Returns
        -------
        ndarray
            (n, 2) x, y, full-scale px.
        """
        return np.asarray(xy / self.scale + (self.x, self.y))

    def to_picture(self, xy: Array) -> Array:
        """Return places in the picture.

        Parameters
        ----------
        xy
            (n, 2) x, y in the matching frame, full-scale px.

        Returns
        -------
        ndarray
            (n, 2) x, y, px of the picture.
        """
        return np.asarray((xy - (self.x, self.y)) * self.scale)

    def holds(self, xy: Array) -> bool:
        """Tell whether all places lie within the picture, or next to its border.

        Parameters
        ----------
        xy
            (n, 2) x, y in px of the picture.

        Returns
        -------
        bool
            False for a picture that was drawn at a larger scale.
        """
        most = np.array([self.width, self.height]) * self.scale + _OUTSIDE_PX
        return bool((xy >= -_OUTSIDE_PX).all() and (xy <= most).all())


def read(text: str, name: str) -> tuple[Array, Array]:
    """Read the active landmarks of a file that have a place in both pictures.

    Parameters
    ----------
    text
        Content of the file.
    name
        Of the file, for messages.

    Returns
    -------
    tuple of ndarray
        (n, 2) x, y in px of the moving and of the fixed picture; n is at least `LEAST`.

    Raises
    ------
    UserError
        When a line is none of BigWarp's in 2D, or too few landmarks are left.
    """
    found = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), 1):
        if cells and (place := _place(cells, f"{name}, line {number}")):
            found.append(place)
    if len(found) < LEAST:
        raise UserError(
            f"{name}: expected {LEAST} landmarks or more that are active and set in both pictures,"
            f" found {len(found)}"
        )
    both = np.array(found, float)
    return both[:, :2], both[:, 2:]


def _place(cells: list[str], where: str) -> list[float] | None:
    """Return moving x, y, fixed x, y; None for a landmark that is off, or set in one picture."""
    if len(cells) != _CELLS:
        raise UserError(
            f"{where}: expected {_CELLS} cells (name, active, moving x, y, fixed x, y),"
            f" found {len(cells)}: save the landmarks of two single pictures, no stacks"
        )
    active = cells[1].strip().lower()
    try:
        place = [float(cell) for cell in cells[2:]]
    except ValueError:
        place = []
    if active not in ("true", "false") or not place:
        raise UserError(
            f"{where}: expected true or false and four numbers after the name, found"
            f" {', '.join(cells[1:])}"
        )
    # BigWarp writes Infinity for a landmark that has no place in one of the pictures yet
    return place if active == "true" and all(map(math.isfinite, place)) else None


def text(moving: Array, fixed: Array) -> str:
    """Return landmarks as BigWarp reads them.

    Parameters
    ----------
    moving, fixed
        (n, 2) x, y in px of the pictures.

    Returns
    -------
    str
        A line for each, all active.
    """
    out = io.StringIO()
    lines = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for number, places in enumerate(np.hstack([moving, fixed]).round(3).tolist()):
        lines.writerow([f"Pt-{number}", "true", *places])
    return out.getvalue()


def spread(xy: Array, most: int) -> list[int]:
    """Choose places that lie far from each other.

    Parameters
    ----------
    xy
        (n, 2) x, y, px.
    most
        How many at most.

    Returns
    -------
    list of int
        Positions in `xy`, ascending; each is the farthest from those before it.
    """
    if len(xy) <= most:
        return list(range(len(xy)))
    chosen = [int(np.argmin(xy.sum(axis=1)))]
    away = np.full(len(xy), np.inf)
    while len(chosen) < most:
        away = np.minimum(away, np.hypot(*(xy - xy[chosen[-1]]).T))
        chosen.append(int(np.argmax(away)))
    return sorted(chosen)
