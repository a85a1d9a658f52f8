"""Overlaps: what two tiles of a layer show of the same place, region by region.

Both tiles are drawn small and alone over their common box; each pixel belongs to a region of
either tile. Pixels whose difference stands out (dirt, an edge that is a little off) are left out,
the others are summed up: enough for `balance.tile_maps`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Int64
from scripts.lib.drawing import compose, maps
from scripts.lib.drawing.compose import Placed
from scripts.lib.geometry import Box
from scripts.lib.numerics import robust

COLUMNS = {
    "z": np.int64,
    "p_row": np.int64,
    "p_column": np.int64,
    "q_row": np.int64,
    "q_column": np.int64,
    "p_region": np.int64,
    "q_region": np.int64,
    "n": np.float64,
    "p_sum": np.float64,
    "q_sum": np.float64,
    "p_squares": np.float64,
    "q_squares": np.float64,
}
Table = dict[str, NDArray[Any]]
_LEAST_SPREAD = 1e-3  # of the range of grey levels; a smaller sd of the differences is none
_OUTLIER = 4.0  # sd of the differences, from their median
_LEAST_SIDE = 16  # px of an overlap's drawing, where its tiles have them


def measure(
    layers: Mapping[int, Sequence[Placed]], grid: tuple[int, int], scale: float, top: float
) -> Table:
    """Sum up all overlaps within layers.

    Parameters
    ----------
    layers
        Placed tiles by z.
    grid
        Rows and columns of regions of a tile.
    scale
        Px of a drawing per world px.
    top
        Brightest value: grey values are shares of it.

    Returns
    -------
    Table
        One row for each pair of regions, columns of `COLUMNS`.
    """
    parts = [
        _pair(p, q, grid, scale, top)
        for z in sorted(layers)
        for p, q in itertools.combinations(layers[z], 2)
        if p.tile.box.intersects(q.tile.box)
    ]
    return joined(parts)


def joined(parts: Iterable[Table]) -> Table:
    """Put tables below each other.

    Parameters
    ----------
    parts
        Tables of `measure`.

    Returns
    -------
    Table
        In the order given.
    """
    found = list(parts)
    return {
        name: np.concatenate([part[name] for part in found] or [np.empty(0)]).astype(kind)
        for name, kind in COLUMNS.items()
    }


def _pair(p: Placed, q: Placed, grid: tuple[int, int], scale: float, top: float) -> Table:
    a, b = p.tile.box, q.tile.box
    box = Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))
    scale = min(1.0, max(scale, _LEAST_SIDE / max(1.0, min(box.width, box.height))))
    pictures = [compose.render([one], box, scale=scale, blend="last") for one in (p, q)]
    both = pictures[0].mask & pictures[1].mask
    rows, columns = np.nonzero(both)
    v = [picture.pixels[rows, columns].astype(float) / top for picture in pictures]
    if any(not len(one) or np.ptp(one) == 0 for one in v):
        # of one value throughout, as of a detector that is off: no grey values to compare with
        return joined([])
    keep = robust.usual(v[0] - v[1], _OUTLIER, _LEAST_SPREAD)
    regions = [_regions(one, box, scale, both.shape, grid)[rows, columns][keep] for one in (p, q)]
    return _summed(p, q, regions, v[0][keep], v[1][keep], grid[0] * grid[1])


def _regions(
    one: Placed, box: Box, scale: float, shape: tuple[int, ...], grid: tuple[int, int]
) -> Int64:
    """Flat number of the tile's region that each pixel of the drawing shows, (h, w)."""
    x = box.x0 + np.arange(shape[1]) / scale
    y = box.y0 + np.arange(shape[0]) / scale
    width, height = one.tile.width, one.tile.height
    at_x, at_y = maps.inverse_maps(one.chain, x, y, width, height)
    column = np.clip((at_x + 0.5) * grid[1] / width, 0, grid[1] - 1).astype(np.int64)
    row = np.clip((at_y + 0.5) * grid[0] / height, 0, grid[0] - 1).astype(np.int64)
    return np.asarray(row * grid[1] + column)


def _summed(
    p: Placed,
    q: Placed,
    regions: Sequence[Int64],
    v_p: Array,
    v_q: Array,
    size: int,
) -> Table:
    keys, at = np.unique(regions[0] * size + regions[1], return_inverse=True)
    k = len(keys)
    known = {
        "z": round(p.tile.z),
        "p_row": p.tile.row,
        "p_column": p.tile.column,
        "q_row": q.tile.row,
        "q_column": q.tile.column,
    }
    out: Table = {name: np.full(k, value) for name, value in known.items()}
    out |= {"p_region": keys // size, "q_region": keys % size, "n": np.bincount(at, minlength=k)}
    for name, value in (("p_sum", v_p), ("q_sum", v_q)):
        # 9 decimals: the last bits of sums depend on the machine
        out[name] = np.round(np.bincount(at, value, k), 9)
        out[name.replace("sum", "squares")] = np.round(np.bincount(at, value**2, k), 9)
    return out
