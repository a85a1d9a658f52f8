"""What an alignment has left over, measured on pixels: no truth and no match takes part.

Neighbouring layers, and the tiles that overlap within a layer, are drawn as they were placed, and
windows of the two pictures are correlated. Where a window's correlation has its peak is the shift
that is left there. Three things add up to it: the misalignment, which all windows of a tile share
but for a slow change over the tile; what the tissue itself has moved between two layers, which
differs from window to window; and the noise of the peak. So an affine is fitted to the windows of a
tile: the fit is the misalignment, the scatter around it gives its standard error, and the expected
square of that error is taken off mean squares, for the fit to pure noise is not zero.

How alike a layer is to the next, and to the one after that, tells whether layers are in order: the
nearer one shows more of the same. (Hanslovsky, Bogovic, Saalfeld 2017,
doi:10.1093/bioinformatics/btw794, sort layers by it.)

A window whose peak unrelated pixels would reach by chance says nothing and is counted as such: an
alignment that cannot be measured is not thereby good. What lies beyond the reach of small windows
is looked for with larger ones, then at a quarter and at a sixteenth of the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.drawing import shifts, windows
from scripts.lib.drawing.compose import Placed
from scripts.lib.drawing.shifts import Shift
from scripts.lib.drawing.windows import Draw, Settings
from scripts.lib.geometry import Box

# change of dx and of dy over the width and the height of the place
ACROSS = ("dx_by_x_px", "dx_by_y_px", "dy_by_x_px", "dy_by_y_px")
COLUMNS = (
    "kind", "z", "other_z", "p_id", "q_id", "p_cell", "q_cell", "x", "y",
    "dx_px", "dy_px", "px", "error_px", "square_px2", "used", "tried", "scale", "rms_error_px",
    *ACROSS, "corner_error_px", "noise_px2",
    "alike", "alike_after", "alike_windows", "alike_gain", "alike_gain_error",
)  # fmt: skip
AFTER_REACH_PX = 4  # of the layer after the next: what two steps of an alignment may leave

Row = dict[str, Any]


# ---------------------------------------------------------------------------------------------
# a stack
# ---------------------------------------------------------------------------------------------


def steps(
    layer: Sequence[Placed], following: Sequence[Sequence[Placed]], settings: Settings
) -> Iterator[Row]:
    """Measure each tile of a layer against the next layer that has its cell.

    Parameters
    ----------
    layer
        Tiles as placed. A copy of another layer's image is measured too, as kind ``patch``: what
        it shows says little of the tissue, but its place can be wrong.
    following
        Tiles of the layers that follow, the nearest first. Copies among them say nothing of the
        tissue and are left out.
    settings
        How pictures are compared.

    Yields
    ------
    dict
        One row of `COLUMNS` for each tile of `layer`; shifts in full-resolution px.
    """
    own = [[one for one in each if not one.tile.is_copy] for each in following]
    own = [each for each in own if each]
    for one in layer:
        cells = [each for each in own if any(o.tile.cell == one.tile.cell for o in each)]
        row = _step(one, cells or own[:1], settings)
        if row is not None:
            yield row


def _step(one: Placed, targets: Sequence[Sequence[Placed]], settings: Settings) -> Row | None:
    """Measure a tile against the first of `targets`, and how alike the second is; None = none."""
    if not targets:
        return None

    def rank(other: Placed) -> tuple[bool, bool, str]:
        apart, elsewhere = windows.shared(one, other) is None, other.tile.cell != one.tile.cell
        return elsewhere, apart, other.tile.tile_id

    other = min(targets[0], key=rank)
    near = [each for each in targets[0] if windows.shared(one, each) is not None]
    if not near and rank(other)[0]:
        return None  # nothing of its cell, nothing around: a border of what was imaged
    first = windows.remembered(windows.drawing([one]))
    place, found = one.tile.box, shifts.nothing(1, 1.0)
    if near:
        found = shifts.compare(first, windows.drawing(targets[0]), place, settings)
    row = _row("patch" if one.tile.is_copy else "step", one, other, place, found)
    if found.measured and found.scale == 1.0 and len(targets) > 1 and not one.tile.is_copy:
        row |= _likeness(found, _after(first, windows.drawing(targets[1]), place, found, settings))
    return row


def _after(
    first: Draw, third: Draw, place: Box, found: Shift, settings: Settings
) -> tuple[Array, Array]:
    """Return how alike some windows are to the next layer and to the one after it, each (n,)."""
    known = found.alike[np.isfinite(found.alike[:, 2])]
    some = known[:: max(1, math.ceil(len(known) / settings.order_windows))]
    size = windows.window_size(place, 1.0, replace(settings, window_px=found.window_px))
    if size is None:
        return np.empty(0), np.empty(0)
    reach = AFTER_REACH_PX
    after = windows.window_peaks(first, third, place, some[:, :2], size, reach)[:, 2]
    # no peak: what is there is not alike at all
    return some[:, 2], np.nan_to_num(after)


def _likeness(found: Shift, both: tuple[Array, Array]) -> Row:
    """Return the columns of how alike the next two layers are."""
    near, far = both
    n, gain = len(near), far - near
    error = float(gain.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    values = {
        "alike": float(np.nanmean(found.alike[:, 2])),
        "alike_after": float(far.mean()) if n else math.nan,
        "alike_gain": float(gain.mean()) if n else math.nan,
        "alike_gain_error": error,
    }
    return {name: f"{value:.4f}" for name, value in values.items()} | {"alike_windows": n}


def seams(layer: Sequence[Placed], settings: Settings) -> Iterator[Row]:
    """Measure every two tiles of a layer where they overlap.

    Parameters
    ----------
    layer
        Tiles of a layer as placed.
    settings
        How pictures are compared.

    Yields
    ------
    dict
        One row of `COLUMNS` for each overlap that a window fits into, and one that was not
        measured for each two neighbours of the grid that do not overlap by so much.
    """
    own = sorted((one for one in layer if not one.tile.is_copy), key=lambda one: one.tile.tile_id)
    for i, one in enumerate(own):
        for other in own[i + 1 :]:
            place = windows.shared(one, other)
            if place is not None and min(place.width, place.height) >= windows.LEAST_STRIP_PX:
                found = shifts.compare(
                    windows.drawing([one]), windows.drawing([other]), place, settings
                )
                yield _row("seam", one, other, place, found)
            elif _beside(one, other):
                yield _row("seam", one, other, _between(one, other), shifts.nothing(1, 1.0))


def _beside(one: Placed, other: Placed) -> bool:
    """Tell whether two tiles are neighbours in a row or column of the grid."""
    (row, column), (other_row, other_column) = one.tile.cell, other.tile.cell
    return abs(row - other_row) + abs(column - other_column) == 1


def _between(one: Placed, other: Placed) -> Box:
    """Return a box around the middle of two tiles."""
    a, b = one.tile.box, other.tile.box
    x, y = (a.x0 + a.x1 + b.x0 + b.x1) / 4, (a.y0 + a.y1 + b.y0 + b.y1) / 4
    return Box(x - 1, y - 1, x + 1, y + 1)


def _row(kind: str, p: Placed, q: Placed, place: Box, found: Shift) -> Row:
    (dx, dy), middle = found.shift_xy, ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2)
    ends = {"p_id": p.tile.tile_id, "q_id": q.tile.tile_id}
    cells = {"p_cell": "-".join(map(str, p.tile.cell)), "q_cell": "-".join(map(str, q.tile.cell))}
    row = {"kind": kind, "z": round(p.tile.z), "other_z": round(q.tile.z)} | ends | cells
    row |= {"x": round(middle[0]), "y": round(middle[1])}
    sizes = {"dx_px": dx, "dy_px": dy, "px": found.px, "error_px": found.error_px}
    row |= {name: f"{value:.4f}" for name, value in sizes.items()}
    row["square_px2"] = f"{found.square_px2:.6f}"
    row["rms_error_px"] = f"{found.rms_error_px:.4f}"
    across = zip(ACROSS, found.across.ravel().tolist(), strict=True)
    row |= {name: f"{value:.4f}" for name, value in across}
    row["corner_error_px"] = f"{found.corner_error_px:.4f}"
    row["noise_px2"] = f"{found.noise_px2:.6f}"
    alike = found.alike[:, 2]
    row["alike"] = f"{np.nanmean(alike):.4f}" if np.isfinite(alike).any() else "nan"
    row |= dict.fromkeys(("alike_after", "alike_gain", "alike_gain_error"), "nan")
    row["alike_windows"] = 0
    return row | {"used": found.used, "tried": found.tried, "scale": found.scale}
