"""Coverage: which places of the specimen the layers of a stack show, and what all of them share.

Counted on a grid of cells: a layer shows a cell when the cell's centre lies in one of its tiles.
From the counts follows the largest rectangle of cells that a share of the layers shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Bytes, Int64
from scripts.lib.drawing.compose import Placed

MOST_CELLS = 512  # of a side
_SHIFT = 4  # bits of fractions of a cell
_BORDER_POINTS = 9  # of each side of a tile: non-linear chains bend it


@dataclass(frozen=True, eq=False)
class Coverage:
    """Number of layers that show each cell, (h, w); places in world px."""

    count: Int64
    layers: int
    x0: int
    y0: int
    cell_px: int

    def shared(self, share: float = 1.0) -> tuple[int, int, int, int] | None:
        """Return the largest rectangle of cells that so many layers show.

        Parameters
        ----------
        share
            Of the layers that have tiles, 0 to 1.

        Returns
        -------
        tuple of int or None
            x0, y0, x1, y1, world px, half open; None when there is no such cell.
        """
        found = largest_rectangle(self.count >= max(1, int(np.ceil(share * self.layers))))
        if found is None:
            return None
        rows, columns = found
        x, y = (
            (start + self.cell_px * part.start, start + self.cell_px * part.stop)
            for start, part in ((self.x0, columns), (self.y0, rows))
        )
        return x[0], y[0], x[1], y[1]


def measure(
    layers: Mapping[int, Sequence[Placed]],
    bounds: Sequence[float],
    *,
    most_cells: int = MOST_CELLS,
) -> Coverage:
    """Count the layers that show each cell.

    Parameters
    ----------
    layers
        Tiles by z.
    bounds
        x0, y0, x1, y1 of the stack, world px.
    most_cells
        Of the longer side.

    Returns
    -------
    Coverage
        Cells are squares of whole pixels.
    """
    x0, y0 = (int(np.floor(value)) for value in bounds[:2])
    wide, high = bounds[2] - x0, bounds[3] - y0
    cell = max(1, int(np.ceil(max(wide, high) / most_cells)))
    shape = max(1, int(np.ceil(high / cell))), max(1, int(np.ceil(wide / cell)))
    count = np.zeros(shape, np.int64)
    for tiles in layers.values():
        seen = np.zeros(shape, np.uint8)
        for tile in tiles:
            _fill(seen, (border(tile) - (x0, y0)) / cell)
        count += seen
    return Coverage(count, len(layers), x0, y0, cell)


def border(tile: Placed) -> Array:
    """Return points along the border of a tile.

    Parameters
    ----------
    tile
        With its chain.

    Returns
    -------
    Array
        (n, 2) x, y, world px, around the tile.
    """
    w, h = tile.tile.width - 1, tile.tile.height - 1
    along = np.linspace(0, 1, _BORDER_POINTS)[:-1]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    points = [
        a + (b - a) * along[:, None] for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)
    ]
    return np.asarray(tile.chain.apply(np.concatenate(points)))


def _fill(seen: Bytes, points: Array) -> None:
    """Mark the cells whose centre lies in a polygon, (n, 2) x, y in cells."""
    # OpenCV fills pixels by their centres at whole numbers; ours lie half a cell further
    corners = np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(seen, [corners], 1, shift=_SHIFT)


def largest_rectangle(free: Bool) -> tuple[slice, slice] | None:
    """Return the largest rectangle of true cells.

    Row by row the heights of runs upward, and of them the largest rectangle of a histogram, by a
    stack of rising heights.

    Parameters
    ----------
    free
        (h, w).

    Returns
    -------
    tuple of slice or None
        Rows and columns; None when no cell is true.
    """
    heights = np.zeros(free.shape[1] + 1, np.int64)  # the last stays 0 and ends all runs
    best, found = 0, None
    for row, cells in enumerate(free):
        heights[:-1] = np.where(cells, heights[:-1] + 1, 0)
        rising: list[int] = []
        for column, height in enumerate(heights.tolist()):
            while rising and heights[rising[-1]] >= height:
                tall = int(heights[rising.pop()])
                left = rising[-1] + 1 if rising else 0
                if tall * (column - left) > best:
                    best = tall * (column - left)
                    found = slice(row + 1 - tall, row + 1), slice(left, column)
            rising.append(column)
    return found
