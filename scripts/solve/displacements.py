"""Displacements: what is left between neighbouring layers after the solve, place by place.

Tiles are drawn as the solved affines place them, and windows on a fixed lattice of each tile are
correlated with the same cell of the next layer, windows in the overlaps of tiles with each other.
What a window shows is the sum of what the two tiles are bent by, of what tissue has moved between
the layers, and of noise; `spectra` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from scripts.lib.arrays import Array, Index
from scripts.lib.drawing import windows
from scripts.lib.drawing.compose import Placed, matching_box
from scripts.lib.drawing.windows import Settings
from scripts.lib.geometry import Box
from scripts.lib.transforms import Affine, Chain
from scripts.solve.lattice import Lattice

NEXT = 3  # layers on in which a cell is looked for
SEAM = -1  # number of a window that is on no lattice
_PER_CELL = 2  # least windows along each side of a cell
_APART = 2 / 3  # most of a window's side between them, where cells are small


@dataclass(frozen=True, eq=False)
class Displacements:
    """m windows of n pairs; a place is in the matching frame of its tile, px."""

    p_id: Array  # (n,) text
    q_id: Array  # (n,) text
    z: Index  # (n,) of p
    other_z: Index  # (n,) of q, the same where the two overlap in a layer
    pair: Index  # (m,) which of the n
    window: Index  # (m,) number on the lattice of p, or SEAM
    p_xy: Array  # (m, 2)
    q_xy: Array  # (m, 2) where q shows what p shows at `p_xy`
    shift: Array  # (m, 2) world place in q less that in p, px

    def __len__(self) -> int:
        """Return the number of windows.

        Returns
        -------
        int
            m.
        """
        return len(self.pair)


def windows_of(lattice: Lattice, side: float) -> tuple[Array, tuple[int, int]]:
    """Spread windows over a tile.

    Parameters
    ----------
    lattice
        Of the tile.
    side
        Of a window, px; at most that of the tile.

    Returns
    -------
    xy : ndarray
        (rows * columns, 2) centres in the matching frame, row by row.
    shape : tuple of int
        Rows and columns.
    """
    box, step = lattice.box, np.minimum(lattice.cell_xy / _PER_CELL, _APART * side)
    x, y = (
        np.linspace(low + side / 2, high - side / 2, 1 + max(0, round((high - low - side) / each)))
        for low, high, each in zip((box.x0, box.y0), (box.x1, box.y1), step, strict=True)
    )
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), (len(y), len(x))


def side_of(lattice: Lattice, window_px: float) -> int:
    """Return the side of the windows of a tile.

    Parameters
    ----------
    lattice
        Of the tile.
    window_px
        Most, px.

    Returns
    -------
    int
        Even, px.
    """
    short = min(lattice.box.width, lattice.box.height)
    return int(min(window_px, short) // 2 * 2)


def windows_per_px(lattice: Lattice, side: int) -> float:
    """Return how many windows of a tile share a pixel.

    Parameters
    ----------
    lattice
        Of the tile.
    side
        Of its windows, px.

    Returns
    -------
    float
        At least one.
    """
    at, _ = windows_of(lattice, side)
    return max(1.0, len(at) * side**2 / (lattice.box.width * lattice.box.height))


def lattice_of(one: Placed, cell_px: float) -> Lattice:
    """Return the lattice of a tile.

    Parameters
    ----------
    one
        The tile; its last transform is its affine.
    cell_px
        Least side of a cell, px.

    Returns
    -------
    Lattice
        Over the tile's matching frame.
    """
    return Lattice.over(matching_box(one.tile, Chain(one.chain.parts[:-1])), cell_px)


def measured(
    layers: Mapping[int, Sequence[Placed]],
    first: int,
    last: int,
    settings: Settings,
    cell_px: float,
) -> Displacements:
    """Measure the layers `first` to `last`, each against the next one that has the cell.

    Parameters
    ----------
    layers
        Placed tiles by z.
    first, last
        Layers, both included.
    settings
        How pictures are compared.
    cell_px
        Least side of a cell of the fields, px.

    Returns
    -------
    Displacements
        Of the windows that tell. Copies of other layers' images say nothing and are left out.
    """
    pairs, parts = [], []
    for z in sorted(layers):
        if not first <= z <= last:
            continue
        for kind, p, q in _pairs(layers, z):
            found = (_step if kind == "step" else _seam)(p, q, settings, cell_px)
            if len(found):
                pairs.append((p.tile.tile_id, q.tile.tile_id, z, round(q.tile.z)))
                parts.append(np.column_stack([np.full(len(found), len(pairs) - 1.0), found]))
    return _gathered(pairs, np.concatenate(parts) if parts else np.empty((0, 8)))


def _pairs(layers: Mapping[int, Sequence[Placed]], z: int) -> Iterator[tuple[str, Placed, Placed]]:
    own = [one for one in layers[z] if not one.tile.is_copy]
    for i, one in enumerate(own):
        for k in range(z + 1, z + 1 + NEXT):
            same = [each for each in layers.get(k, ()) if each.tile.cell == one.tile.cell]
            if same and not same[0].tile.is_copy:
                yield "step", one, same[0]
                break
        for other in own[i + 1 :]:
            yield "seam", one, other


def _step(p: Placed, q: Placed, settings: Settings, cell_px: float) -> Array:
    """Return (m, 7) window, place in p, place in q and shift of the windows of p that q shows."""
    lattice = lattice_of(p, cell_px)
    side = side_of(lattice, settings.window_px)
    place = windows.shared(p, q)
    if place is None or side < windows.LEAST_STRIP_PX:
        return np.empty((0, 7))
    at, _ = windows_of(lattice, side)
    world = np.rint(_affine(p).apply(at))
    inside = (world >= [place.x0, place.y0]) & (world <= [place.x1, place.y1])
    seen = np.flatnonzero(inside.all(axis=1))
    return _compared(p, q, world[seen], (side, side), settings.reach_px, seen)


def _seam(p: Placed, q: Placed, settings: Settings, cell_px: float) -> Array:
    """Return the same of the windows of an overlap."""
    del cell_px
    place = windows.shared(p, q)
    size = None if place is None else windows.window_size(place, 1.0, settings)
    if place is None or size is None:
        return np.empty((0, 7))
    centres = windows.window_centres(place, size, settings.windows)
    numbers = np.full(len(centres), SEAM)
    return _compared(p, q, centres, size, settings.reach_px, numbers)


def _compared(
    p: Placed,
    q: Placed,
    world: Array,
    size: tuple[int, int],
    reach: int,
    numbers: Index,
) -> Array:
    if not len(world):
        return np.empty((0, 7))
    # all of every window, whose half may lie beyond what q covers
    low, high = world.min(axis=0) - np.divide(size, 2), world.max(axis=0) + np.divide(size, 2)
    place, draw = Box(*low, *high), windows.drawing
    peaks = windows.window_peaks(draw([p]), draw([q]), place, world, size, reach)
    used = np.isfinite(peaks[:, 0])
    world, shift = world[used], peaks[used, :2]
    p_xy, q_xy = _affine(p).invert(world), _affine(q).invert(world + shift)
    return np.column_stack([numbers[used], p_xy, q_xy, shift])


def _affine(one: Placed) -> Affine:
    last = one.chain.parts[-1]
    if not isinstance(last, Affine):
        raise TypeError(f"tile {one.tile.tile_id}: its last transform is no affine")
    return last


def _gathered(pairs: Sequence[tuple[str, str, int, int]], rows: Array) -> Displacements:
    p_id, q_id, z, other_z = zip(*pairs, strict=True) if pairs else ((),) * 4
    return Displacements(
        np.array(p_id, dtype=np.str_),
        np.array(q_id, dtype=np.str_),
        np.array(z, np.intp),
        np.array(other_z, np.intp),
        rows[:, 0].astype(np.intp),
        rows[:, 1].astype(np.intp),
        rows[:, 2:4],
        rows[:, 4:6],
        rows[:, 6:8],
    )


def joined(parts: Sequence[Displacements]) -> Displacements:
    """Join the displacements of several chunks.

    Parameters
    ----------
    parts
        In the order of z.

    Returns
    -------
    Displacements
        Of all of them.
    """
    starts = np.cumsum([0, *(len(part.p_id) for part in parts)])
    pair = [part.pair + start for part, start in zip(parts, starts, strict=False)]
    rest = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(Displacements)
        if f.name != "pair"
    }
    return Displacements(pair=np.concatenate(pair), **rest)
