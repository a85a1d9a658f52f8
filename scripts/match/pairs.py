"""Which tiles to compare (TilePairDerivationParameters of render).

From each tile's center goes a circle; a tile of the same or a later layer is a neighbor when its
rectangle meets that circle. Where rows and columns are known, neighbors in a layer must also differ
by one row or one column: with long tiles the circle alone reaches two rows away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bool, Index, Int64
from scripts.lib.service.records import TileSpec

POSITIONS = ("TOP", "BOTTOM", "LEFT", "RIGHT")
OPPOSITE = {"TOP": "BOTTOM", "BOTTOM": "TOP", "LEFT": "RIGHT", "RIGHT": "LEFT"}


@dataclass(frozen=True)
class Rules:
    """Derivation parameters; names of the stage table in brackets."""

    xy_neighbor_factor: float = 0.9  # radius / longer side [xyNeighborFactor]
    explicit_radius_px: float | None = None  # full scale, instead of it [explicitRadius]
    z_distance: int = 2  # layers [zNeighborDistance]
    exclude_corners: bool = True  # [excludeCornerNeighbors]
    exclude_obscured: bool = True  # [excludeCompletelyObscuredTiles]
    exclude_same_layer: bool = False  # [excludeSameLayerNeighbors]
    exclude_same_section: bool = False  # [excludeSameSectionNeighbors]
    exclude_position: str | None = None  # [excludeSameLayerPairsWithPosition]


@dataclass(frozen=True, order=True)
class Pair:
    """Two tiles to compare; p before q in text order. Positions are empty for different layers."""

    p_group: str
    p_id: str
    q_group: str
    q_id: str
    dz: int
    p_position: str = ""
    q_position: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return the key that is unique in a collection.

        Returns
        -------
        tuple of str
            p group, p id, q group, q id.
        """
        return self.p_group, self.p_id, self.q_group, self.q_id


@dataclass(frozen=True, eq=False)
class _Table:
    """Columns of the tiles, sorted by z then id."""

    tiles: Sequence[TileSpec]
    z: Array
    low: Array  # (n, 2) min x, min y
    high: Array  # (n, 2) max x, max y
    radius: Array
    cell: Int64  # (n, 2) row, column
    gridded: Bool  # of a layer whose tiles all have cells of their own
    rank: Index  # place in text order of (section id, tile id)

    @property
    def center(self) -> Array:
        return (self.low + self.high) / 2


def derive(tiles: Sequence[TileSpec], rules: Rules, z_first: float, z_last: float) -> list[Pair]:
    """Return the pairs whose lower tile lies in ``z_first <= z <= z_last``, that tile's order.

    `tiles` must hold the layers up to ``z_last + rules.z_distance``; each has its bounds.

    Parameters
    ----------
    tiles
        Tiles with their bounds, in any order.
    rules
        Which neighbours count.
    z_first, z_last
        Layers of the lower tile, both included.

    Returns
    -------
    list of Pair
        Sorted by the lower tile, then the other.
    """
    if not tiles:
        return []
    table = _table(tiles, rules)
    seen = ~_obscured(table) if rules.exclude_obscured else np.ones(len(tiles), bool)
    first, second = _neighbors(
        table, rules, seen & (table.z >= z_first) & (table.z <= z_last), seen
    )
    pairs = [_pair(table, i, j) for i, j in zip(first, second, strict=True)]
    return [pair for pair in pairs if _wanted(pair, rules)]


def in_cache_order(pairs: Sequence[Pair], tiles: Mapping[str, TileSpec]) -> list[Pair]:
    """Sort pairs cell by cell and along z, so that a few tiles at a time are in use.

    Layer by layer those of all cells within the distance would be.

    Parameters
    ----------
    pairs
        In any order.
    tiles
        Tile specs by tile id.

    Returns
    -------
    list of Pair
        By the lower tile.
    """

    def place(  # numpydoc ignore=GL08
        pair: Pair,
    ) -> tuple[tuple[int, int], float, int, str, str]:
        one, other = tiles[pair.p_id], tiles[pair.q_id]
        low = min(one, other, key=lambda tile: (tile.z, tile.cell))
        return low.cell, low.z, pair.dz, pair.p_id, pair.q_id

    return sorted(pairs, key=place)


def _table(tiles: Sequence[TileSpec], rules: Rules) -> _Table:
    tiles = sorted(tiles, key=lambda tile: (tile.z, tile.tile_id))
    bounds = np.array([(b.x0, b.y0, b.x1, b.y1) for b in (tile.box for tile in tiles)], float)
    z = np.array([tile.z for tile in tiles], float)
    cell = np.array([tile.cell for tile in tiles], np.int64)
    side = (bounds[:, 2:] - bounds[:, :2]).max(axis=1)
    radius = rules.xy_neighbor_factor * side
    if rules.explicit_radius_px is not None:
        radius = np.full(len(tiles), rules.explicit_radius_px)
    text = sorted(range(len(tiles)), key=lambda i: (tiles[i].section_id, tiles[i].tile_id))
    rank = np.empty(len(tiles), np.intp)
    rank[text] = np.arange(len(tiles))
    return _Table(tiles, z, bounds[:, :2], bounds[:, 2:], radius, cell, _gridded(z, cell), rank)


def _gridded(z: Array, cell: Int64) -> Bool:
    """Mark the tiles of layers in which no two tiles share a cell."""
    _, layer, tiles = np.unique(z, return_inverse=True, return_counts=True)
    cells = np.unique(np.column_stack([layer, cell]), axis=0)
    own: Bool = np.bincount(cells[:, 0], minlength=len(tiles)) == tiles
    return own[layer]


def _neighbors(table: _Table, rules: Rules, source: Bool, target: Bool) -> tuple[Index, Index]:
    """Return the indices of all neighbors, the first in the lower layer; sorted."""
    found: list[tuple[Index, Index]] = []
    if not rules.exclude_same_layer:
        found.extend(
            _same_layer(table, rules, i, j) for i, j in _joined(table.z, 0, source, target)
        )
    for dz in range(1, rules.z_distance + 1):
        for i, j in _joined(table.z, dz, source, target):
            near = _near(table, rules, i, j)
            found.append((i[near], j[near]))
    if not found:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return first[order], second[order]


def _joined(z: Array, dz: int, source: Bool, target: Bool) -> Iterator[tuple[Index, Index]]:
    """All pairs (i, j) with ``z[j] - z[i] == dz``; z is sorted."""
    a, b = np.flatnonzero(source), np.flatnonzero(target)
    start = np.searchsorted(z[b], z[a] + dz, side="left")
    count = np.searchsorted(z[b], z[a] + dz, side="right") - start
    i = np.repeat(a, count)
    within = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    yield i, b[np.repeat(start, count) + within]


def _same_layer(table: _Table, rules: Rules, i: Index, j: Index) -> tuple[Index, Index]:
    once = i < j
    i, j = i[once], j[once]
    near = _near(table, rules, i, j) | _near(table, rules, j, i)
    step = np.abs(table.cell[i] - table.cell[j]).sum(axis=1)
    near &= ~table.gridded[i] | (step == 1)
    return i[near], j[near]


def _near(table: _Table, rules: Rules, i: Index, j: Index) -> Bool:
    """Where the rectangle of tile j meets the circle around tile i, and j is no corner of i."""
    center = table.center
    nearest = np.clip(center[i], table.low[j], table.high[j])
    near: Bool = np.hypot(*(nearest - center[i]).T) <= table.radius[i]
    if rules.exclude_corners:
        aligned = (center[j] >= table.low[i]) & (center[j] <= table.high[i])
        near &= aligned.any(axis=1)
    return near


def _pair(table: _Table, i: int, j: int) -> Pair:
    if table.rank[i] > table.rank[j]:
        i, j = j, i
    p, q = table.tiles[i], table.tiles[j]
    dz = round(abs(q.z - p.z))
    position = _position(table.low[i] - table.low[j]) if dz == 0 else ""
    return Pair(
        p.section_id, p.tile_id, q.section_id, q.tile_id, dz, position, OPPOSITE.get(position, "")
    )


def _position(step: Array) -> str:
    """Place of p relative to q from p's corner minus q's."""
    x, y = step
    if abs(x) > abs(y):
        return "RIGHT" if x > 0 else "LEFT"
    return "BOTTOM" if y > 0 else "TOP"


def _wanted(pair: Pair, rules: Rules) -> bool:
    if rules.exclude_same_section and pair.p_group == pair.q_group:
        return False
    position = rules.exclude_position
    return position is None or position not in (pair.p_position, pair.q_position)


# ---------------------------------------------------------------------------------------------
# tiles that others cover: the one with the greater id is drawn on top
# ---------------------------------------------------------------------------------------------


def _obscured(table: _Table) -> Bool:
    """Mark tiles whose rectangle the tiles of greater id cover entirely."""
    hidden = np.zeros(len(table.tiles), bool)
    everything = np.ones(len(table.tiles), bool)
    for i, j in _joined(table.z, 0, everything, everything):
        low = np.maximum(table.low[i], table.low[j])
        high = np.minimum(table.high[i], table.high[j])
        # within a layer the table is sorted by id
        above = (j > i) & (high > low).all(axis=1)
        shared = np.where(above, np.prod(high - low, axis=1), 0.0)
        total = np.bincount(i, shared, minlength=len(hidden))
        area = np.prod(table.high - table.low, axis=1)
        for k in np.flatnonzero(total >= area):  # only these can be covered at all
            mine = above & (i == k)
            hidden[k] = _covers(table.low[k], table.high[k], low[mine], high[mine])
    return hidden


def _covers(low: Array, high: Array, lows: Array, highs: Array) -> bool:
    """Tell whether rectangles inside [low, high] cover it: every cell of their grid is in one."""
    x = np.unique(np.concatenate([[low[0], high[0]], lows[:, 0], highs[:, 0]]))
    y = np.unique(np.concatenate([[low[1], high[1]], lows[:, 1], highs[:, 1]]))
    covered = np.zeros((len(y) - 1, len(x) - 1), bool)
    for (x0, y0), (x1, y1) in zip(lows, highs, strict=True):
        rows = slice(np.searchsorted(y, y0), np.searchsorted(y, y1))
        covered[rows, np.searchsorted(x, x0) : np.searchsorted(x, x1)] = True
    return bool(covered.all())
