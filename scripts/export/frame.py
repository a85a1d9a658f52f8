"""The frame of an export while its volume grows: what new layers need must not move the blocks.

Blocks count from the frame's corner, so a tile that reaches one pixel further would make all of
them anew. While layers still come the frame stays as it is as long as it holds all tiles; one that
has become too small gets room on every side. Once imaging has ended it is that of the tiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ROOM_BLOCKS = 1  # on every side of a frame that was outgrown
MOST_BLOCKS = 8  # of room that an old frame may have on a side, after layers were taken out

Bounds = tuple[float, float, float, float]


def steady(
    bounds: Sequence[float], block_xy: tuple[int, int], before: Sequence[float] | None
) -> Bounds:
    """Return the frame of before if it will do, and else one that will for longer.

    Parameters
    ----------
    bounds
        x0, y0, x1, y1 of all tiles, world px.
    block_xy
        Sides of a block, px.
    before
        The frame of before, if there is one.

    Returns
    -------
    tuple of float
        x0, y0, x1, y1, world px: the first time those of the tiles, rounded outward.
    """
    if before is not None and _fits(bounds, block_xy, before):
        x0, y0, x1, y1 = before
        return x0, y0, x1, y1
    room = (0, 0) if before is None else (ROOM_BLOCKS * block_xy[0], ROOM_BLOCKS * block_xy[1])
    x0, y0 = (math.floor(edge) - more for edge, more in zip(bounds[:2], room, strict=True))
    x1, y1 = (math.ceil(edge) + more for edge, more in zip(bounds[2:], room, strict=True))
    return float(x0), float(y0), float(x1), float(y1)


def _fits(bounds: Sequence[float], block_xy: tuple[int, int], before: Sequence[float]) -> bool:
    """Tell whether a frame holds all tiles, without room that nobody needs."""
    room = [edge - old for old, edge in zip(before[:2], bounds[:2], strict=True)]
    room += [old - edge for edge, old in zip(bounds[2:], before[2:], strict=True)]
    sides = (*block_xy, *block_xy)
    return all(0 <= more <= MOST_BLOCKS * side for more, side in zip(room, sides, strict=True))
