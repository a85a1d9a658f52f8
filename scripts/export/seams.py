"""Seams in the exported voxels: what shift is left in overlaps, and how the grey levels correlate.

Two tiles of an overlap are not both in the exported voxels: a voxel is a mean of them, or shows the
one that lies on top. So the voxels are read back, what the *hidden* tile added to them by the blend
is taken off, and the rest, which is what the volume shows of the *shown* tile, is compared with
what the hidden tile would have shown there, mixed in z as the voxels are. Of the shown tile no
pixel is drawn, only its share of the blend. A volume whose voxels are not those that the alignment
was judged by (another stack, moved or wrong blocks) differs from the figures of the solve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.export import interpolation, slabs
from scripts.export.interpolation import Mixture
from scripts.export.slabs import Plan
from scripts.lib.arrays import Bool, Float32
from scripts.lib.drawing import compose, shares, shifts, windows
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.drawing.maps import Grid
from scripts.lib.drawing.shifts import Shift
from scripts.lib.drawing.windows import Draw, Settings
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Level

COLUMNS = (
    "z", "voxel_z", "p_id", "q_id", "p_cell", "q_cell", "x", "y",
    "dx_px", "dy_px", "px", "error_px", "used", "tried", "correlation",
)  # fmt: skip
# of the shown tile in a voxel. To divide by it multiplies the rounding of the voxels (sd 0.3 grey
# levels): by 3 over an overlap in which the shares go from this to 1, far below the shot noise
LEAST_SHARE = 0.1
FURTHER = shifts.FURTHER[:1]  # at full resolution; a coarser look would need coarser voxels

Row = dict[str, Any]
Layers = Mapping[int, Sequence[Placed]]
Tiles = Callable[[float, float], TileSet]


@dataclass(frozen=True)
class How:
    """How seams are compared, and how the voxels were made (``export`` of the config)."""

    layers: int  # of a slab
    window_px: int
    reach_px: int
    windows: int
    blend: str
    interpolation: str
    z_correction: bool
    fill_gaps: str

    @property
    def settings(self) -> Settings:
        """Return how pictures are compared.

        Returns
        -------
        Settings
            Of the windows.
        """
        return Settings(self.window_px, self.reach_px, self.windows)


def sampled(z_range: tuple[int, int], made_of: Sequence[Mixture | None], most: int) -> list[int]:
    """Choose the output layers of a slab whose seams are compared.

    Parameters
    ----------
    z_range
        Half open, voxels.
    made_of
        What each output layer is made of.
    most
        Layers.

    Returns
    -------
    list of int
        Voxel z, spread evenly over those that show anything.
    """
    known = [z for z, mixture in zip(range(*z_range), made_of, strict=True) if mixture is not None]
    if not known or not most:
        return []
    chosen = np.linspace(0, len(known) - 1, min(most, len(known)) + 2)[1:-1]
    return sorted({known[round(i)] for i in chosen})


def of_slab(
    plan: Plan, z_range: tuple[int, int], coordinates: str, tiles: Tiles, how: How
) -> list[Row]:
    """Compare the seams of some output layers of a slab.

    Parameters
    ----------
    plan
        The export.
    z_range
        Half open, voxels.
    coordinates
        Path of ``Zcoords.txt``.
    tiles
        Gives the tiles of the stack from a first to a last layer.
    how
        How it is done.

    Returns
    -------
    list of dict
        As of `measured`; none of a volume whose voxels are larger than pixels, or show grey values
        of 16 bit in 8 alone: they cannot be compared with what tiles show.
    """
    if plan.step_px > 1 or plan.drawn_as:
        return []
    wanted = slabs.output_z(plan, z_range)
    made_of = interpolation.of_slab(
        coordinates, wanted, z_correction=how.z_correction, fill_gaps=how.fill_gaps
    )
    level, out = multiscale.open_level(plan.targets[0], 0), list[Row]()
    for voxel_z in sampled(z_range, made_of, how.layers):
        mixture = made_of[voxel_z - z_range[0]]
        if mixture is not None:
            layers = compose.place_layers(tiles(mixture.a, mixture.b))
            out += measured(plan, level, voxel_z, mixture, layers, how)
    return out


def measured(
    plan: Plan, level: Level, voxel_z: int, mixture: Mixture, layers: Layers, how: How
) -> Iterator[Row]:
    """Compare the seams of an output layer.

    Parameters
    ----------
    plan
        The export, of one world pixel per voxel.
    level
        Level 0 of a target.
    voxel_z
        The output layer.
    mixture
        The layers that it is made of.
    layers
        Tiles of these as placed.
    how
        How it is done.

    Yields
    ------
    dict
        A row of `COLUMNS` for each overlap that a window fits into; shifts in full-resolution px.
    """
    near, far = (mixture.a, mixture.b)[:: 1 if mixture.share >= 0.5 else -1]
    own = sorted((one for one in layers.get(near, ())), key=lambda one: one.tile.tile_id)
    for i, hidden in enumerate(own):
        for shown in own[i + 1 :]:
            place = windows.shared(hidden, shown)
            cells = hidden.tile.cell, shown.tile.cell
            if place is None or min(place.width, place.height) < windows.LEAST_STRIP_PX:
                continue
            if all(shows(layers.get(z, ()), cells) for z in {near, far}):
                draw = _drawings(plan, level, voxel_z, mixture, layers, place, cells, how)
                yield _row(voxel_z, hidden, shown, place, draw, how.settings)


def shows(layer: Sequence[Placed], cells: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a layer shows its own image at all of the cells, and one alone.

    Parameters
    ----------
    layer
        Its tiles.
    cells
        Row and column of each.

    Returns
    -------
    bool
        False where a tile is missing or a patch.
    """
    own = [one.tile for one in layer if one.tile.cell in cells]
    return len(own) == len(cells) and not any(tile.is_copy for tile in own)


def _row(
    voxel_z: int,
    hidden: Placed,
    shown: Placed,
    place: Box,
    draw: tuple[Draw, Draw],
    settings: Settings,
) -> Row:
    found = shifts.compare(*draw, place, settings, FURTHER)
    p, q = hidden.tile, shown.tile
    return {
        "z": round(p.z),
        "voxel_z": voxel_z,
        "p_id": p.tile_id,
        "q_id": q.tile_id,
        "p_cell": "-".join(map(str, p.cell)),
        "q_cell": "-".join(map(str, q.cell)),
        "x": round((place.x0 + place.x1) / 2),
        "y": round((place.y0 + place.y1) / 2),
        "dx_px": _rounded(found.shift_xy[0]),
        "dy_px": _rounded(found.shift_xy[1]),
        "px": _rounded(found.px),
        "error_px": _rounded(found.error_px),
        "used": found.used,
        "tried": found.tried,
        "correlation": _rounded(_as_they_lie(found, draw, place, settings)),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _as_they_lie(found: Shift, draw: tuple[Draw, Draw], place: Box, settings: Settings) -> float:
    """Return the mean correlation of the windows that have a peak, at no shift."""
    size = windows.window_size(place, 1.0, settings)
    centres = found.alike[np.isfinite(found.alike[:, 2]), :2]
    if not found.measured or size is None:
        return math.nan
    values = windows.likeness(*draw, place, centres, size)
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


# ---------------------------------------------------------------------------------------------
# the two pictures
# ---------------------------------------------------------------------------------------------


def _drawings(
    plan: Plan,
    level: Level,
    voxel_z: int,
    mixture: Mixture,
    layers: Layers,
    place: Box,
    cells: tuple[tuple[int, int], tuple[int, int]],
    how: How,
) -> tuple[Draw, Draw]:
    """Return what draws the hidden tile, and what the voxels show of the shown one."""
    parts = {mixture.a: mixture.share, mixture.b: 1 - mixture.share}
    if mixture.a == mixture.b:
        parts = {mixture.a: 1.0}

    around = _around(place, how.reach_px)
    blended = [(share, _blended(layers[z], around, cells, how)) for z, share in parts.items()]
    hidden, others, own = (
        np.sum([share * one.pictures[i] for share, one in blended], axis=0) for i in range(3)
    )
    known = np.logical_and.reduce([one.mask for _, one in blended])
    voxels, inside = _voxels(plan, level, voxel_z, around, known.shape)
    use = inside & (own >= LEAST_SHARE)
    rest = np.divide(voxels - others, own, out=np.zeros_like(voxels), where=use)
    pictures = Picture(hidden, known), Picture(rest, use)
    return _cut(pictures[0], around), _cut(pictures[1], around)


def _around(place: Box, reach: int) -> Box:
    """Return whole px around a place, with what windows look at beside it."""
    margin = max(reach, *(far for _, _, far in FURTHER)) + 4
    return Box(
        math.floor(place.x0) - margin,
        math.floor(place.y0) - margin,
        math.ceil(place.x1) + margin,
        math.ceil(place.y1) + margin,
    )


def _cut(whole: Picture, around: Box) -> Draw:
    """Return what gives parts of a picture at full resolution."""

    def cut(box: Box, _scale: float) -> Picture:
        h, w = Grid(box, 1.0).shape
        i, j = math.floor(box.y0) - int(around.y0), math.floor(box.x0) - int(around.x0)
        at = slice(i, i + h), slice(j, j + w)
        return Picture(whole.pixels[at], whole.mask[at])

    return cut


@dataclass(frozen=True, eq=False)
class _Blended:
    """Of one layer the hidden tile, all but the shown one by their shares, the share of that."""

    pictures: tuple[Float32, Float32, Float32]
    mask: Bool  # where the hidden tile has data


def _blended(
    layer: Sequence[Placed],
    box: Box,
    cells: tuple[tuple[int, int], tuple[int, int]],
    how: How,
) -> _Blended:
    near = sorted(
        (one for one in layer if one.tile.box.intersects(box)), key=lambda one: one.tile.tile_id
    )
    drawn = shares.shares(near, box, blend=how.blend, interpolation=how.interpolation)
    shape = Grid(box, 1.0).shape
    hidden, others, own = (np.zeros(shape, np.float32) for _ in range(3))
    mask = np.zeros(shape, bool)
    for one, (picture, share) in zip(near, drawn, strict=True):
        if one.tile.cell == cells[1]:
            own = share
            continue
        others += share * np.asarray(picture.pixels, np.float32)
        if one.tile.cell == cells[0]:
            hidden, mask = np.asarray(picture.pixels, np.float32), picture.mask
    return _Blended((hidden, others, own), mask)


def _voxels(
    plan: Plan, level: Level, voxel_z: int, box: Box, shape: tuple[int, ...]
) -> tuple[Float32, Bool]:
    """Read the voxels of a box of whole world px, and tell which of them lie in the volume."""
    values, inside = np.zeros(shape, np.float32), np.zeros(shape, bool)
    origin, size = plan.spec.origin_px_zyx[1:], plan.spec.shape_zyx[1:]
    into, out_of = [], []
    for first, start, n, most in zip((box.y0, box.x0), origin, shape, size, strict=True):
        corner = round(first) - start
        low, high = max(corner, 0), min(corner + n, most)
        if low >= high:
            return values, inside
        into.append(slice(low - corner, high - corner))
        out_of.append(slice(low, high))
    part, (rows, columns) = (into[0], into[1]), out_of
    values[part] = level.read((slice(voxel_z, voxel_z + 1), rows, columns))[0]
    inside[part] = True
    return values, inside
