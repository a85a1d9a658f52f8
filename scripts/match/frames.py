"""Where landmarks of two pictures (`scripts.lib.landmarks`) lie in the tiles.

BigWarp (Fiji) gives coordinates in the unit of the picture; the PNG that `by_hand` writes have
none, so they are px of the picture, pixel centres on whole numbers: pixel (0, 0) is the centre of
the upper left one. Pixel (u, v) of a picture drawn at `scale` shows ``origin + (u, v) / scale`` of
the tile's matching frame, where `origin` is the corner of the tile's box there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.drawing import compose
from scripts.lib.service.records import TileSet, TileSpec

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
