"""Tiles that lie where another cell of the grid belongs, by the positions of the stage.

Matches and pixels alone say nothing of it: a tile that shows the image of another cell is put where
that image belongs, meets its neighbours there, and leaves a hole in its own place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scripts.lib.arrays import Array, Index
from scripts.lib.documents import MisplacedPair
from scripts.solve.graph import Tiles

# of a tile's side: nearer to the place of its neighbour than to its own
FARTHEST = 0.5
MOST = 1000  # rows: of stage positions that are wrong everywhere, these are enough to say so


def pairs(tiles: Tiles, placement: Array) -> list[MisplacedPair]:
    """List the neighbours in the grid that lie otherwise to each other than the stage says.

    Parameters
    ----------
    tiles
        Tiles in order of z, row and column.
    placement
        (n, 2, 3) placements by the solve, px.

    Returns
    -------
    list
        In order of z: ids and cells of the two, and by how far their distance is another, in
        world px; those beyond `FARTHEST` of a tile's side along either axis, at most `MOST`.
    """
    p, q = _neighbours(tiles)
    moved = placement[:, :, 2] - tiles.stage[:, :, 2]
    apart = moved[q] - moved[p]
    far = (np.abs(apart) > FARTHEST * np.minimum(tiles.extent[p], tiles.extent[q])).any(axis=1)
    return [_row(tiles, p[k], q[k], apart[k]) for k in np.flatnonzero(far)[:MOST]]


def _row(tiles: Tiles, p: int, q: int, apart: Array) -> MisplacedPair:
    p_cell, q_cell = (f"{tiles.row[k]}-{tiles.column[k]}" for k in (p, q))
    dx, dy = np.round(apart, 1).tolist()
    return {
        "p_id": str(tiles.ids[p]),
        "q_id": str(tiles.ids[q]),
        "z": int(tiles.z[p]),
        "p_cell": p_cell,
        "q_cell": q_cell,
        "dx_px": dx,
        "dy_px": dy,
    }


def _neighbours(tiles: Tiles) -> tuple[Index, Index]:
    """Return the tiles of a layer that lie beside or below each other in the grid."""
    found = list(_steps(tiles))
    p, q = (np.concatenate(side) for side in zip(*found, strict=True))
    order = np.argsort(p, kind="stable")
    return p[order], q[order]


def _steps(tiles: Tiles) -> Iterator[tuple[Index, Index]]:
    """Yield tiles and those in the next column, then in the next row; a cell counts once."""
    _, layer = np.unique(tiles.z, return_inverse=True)
    wide, high = int(tiles.column.max()) + 2, int(tiles.row.max()) + 2
    key = (layer * high + tiles.row) * wide + tiles.column
    for step in (1, wide):
        at = np.searchsorted(key, key + step).clip(max=len(key) - 1)
        there = np.flatnonzero(key[at] == key + step)
        yield there, at[there]
