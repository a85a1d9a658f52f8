"""Tiles at other stage positions than their specs say."""

from __future__ import annotations

from dataclasses import replace

from scripts.lib.arrays import Array
from scripts.lib.service.records import Leaf, TileSpec
from scripts.lib.transforms import AFFINE


def moved(tile: TileSpec, offset: Array) -> TileSpec:
    """Return a tile at a corrected stage position.

    Parameters
    ----------
    tile
        With bounds.
    offset
        x, y, px.

    Returns
    -------
    TileSpec
        Its last transform and its bounds are shifted.
    """
    x, y = offset.tolist()
    if (x, y) == (0, 0):
        return tile
    box = tile.box
    last = tile.transforms[-1]
    if not isinstance(last, Leaf):
        raise TypeError(f"tile {tile.tile_id}: the last transform is a reference, expected a leaf")
    *linear, m02, m12 = last.data.split()
    stage = Leaf(AFFINE, " ".join([*linear, str(float(m02) + x), str(float(m12) + y)]))
    return replace(
        tile,
        transforms=(*tile.transforms[:-1], stage),
        bounds=(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y),
    )
