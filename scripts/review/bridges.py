"""Bridges: matches for a gap of an edge, derived from the same edge in layers near it.

Tiles may be joined through z while the seam between two cells has no match for many layers: the
seam then drifts. The offset of the two tiles is interpolated from the layers around the gap that
do have matches, and stored as four matches of low weight, so that any real match wins; a
window of layers instead of all of them, so that the offset follows the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.job import UserError
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review.edges import Edge
from scripts.review.patches import Place

WEIGHT = 0.1  # any real match counts for more
INSET_PX = 50.0  # corners are moved inwards so much, and by a tenth of a small tile's side
COLUMNS = ("z", "row_a", "column_a", "row_b", "column_b", "p_id", "q_id", "layers_used",
           "shift_x_px", "shift_y_px", "spread_px", "reason")  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A range of layers of an edge that should be bridged, and why.

    ``like`` is another edge whose matches tell the offset; None: the edge itself.
    """

    edge: Edge
    z_first: float
    z_last: float
    reason: str
    like: Edge | None = None


@dataclass(frozen=True, eq=False)
class Offset:
    """Where b lies seen from a in one layer: ``shift`` (2,) x, y px, and how many matches say."""

    z: float
    shift: Array
    count: int


def requests(
    gaps: Iterable[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]], *, auto: bool, least: int
) -> list[Request]:
    """Return ranges to bridge: those a person asked for and, with `auto`, long gaps.

    Parameters
    ----------
    gaps
        Rows of `edges.COLUMNS`.
    asked
        Entries of ``review.bridge``.
    auto
        Setting ``review.auto``.
    least
        Layers from which on a gap is bridged.

    Returns
    -------
    list of Request
        Those of a person first.

    Raises
    ------
    UserError
        When an entry of ``review.bridge`` names no edge of neighboring cells.
    """
    out = [_asked(number, entry) for number, entry in enumerate(asked)]
    for gap in gaps if auto else ():
        if gap["layers"] >= least:
            edge = ((gap["row_a"], gap["column_a"]), (gap["row_b"], gap["column_b"]))
            reason = f"auto: {gap['layers']} layers without a match"
            out.append(Request(edge, gap["z_first"], gap["z_last"], reason))
    return out


def _asked(number: int, entry: Mapping[str, Any]) -> Request:
    edge, like = _edge(number, entry["cells"]), entry.get("like")
    other = None if like is None else _edge(number, like)
    if other is not None and _step(other) != _step(edge):
        raise UserError(
            f"review.bridge[{number}].like: expected two cells that lie as {entry['cells']} do,"
            f" side by side or one above the other, found {like}"
        )
    span = float(entry["z_first"]), float(entry["z_last"])
    return Request(edge, *span, str(entry["reason"]), other)


def _edge(number: int, stated: Sequence[str]) -> Edge:
    cells = sorted(tuple(int(n) for n in cell.split(",")) for cell in stated)
    if len(cells) != 2 or sum(abs(m - n) for m, n in zip(*cells, strict=True)) != 1:
        raise UserError(
            f'review.bridge[{number}]: expected two neighboring cells ["row,column",'
            f' "row,column"], found {stated}'
        )
    return (cells[0][0], cells[0][1]), (cells[1][0], cells[1][1])


def _step(edge: Edge) -> tuple[int, int]:
    (row_a, column_a), (row_b, column_b) = edge
    return row_b - row_a, column_b - column_a


Matches = Callable[[TileSpec, TileSpec], CanvasMatches | None]


def bridge(
    request: Request,
    at: Mapping[Place, TileSpec],
    matches: Matches,
    *,
    window: int,
    missing: set[float],
) -> Iterator[tuple[CanvasMatches, dict[str, Any]]]:
    """Derive a match record for each layer of a request that has none.

    Parameters
    ----------
    request
        The range.
    at
        Tiles by place.
    matches
        Gives the record of two tiles of a layer, or None.
    window
        Layers before and after the gap that are looked at.
    missing
        Layers in which the edge has no match.

    Yields
    ------
    record : CanvasMatches
        Four corners, weight `WEIGHT`; nothing when no layer of the window has matches.
    row : dict
        `COLUMNS`.
    """
    a, b = request.edge
    near = np.arange(request.z_first - window, request.z_last + window + 1)
    offsets = list(_offsets(request, near, at, matches, missing))
    for z in near:
        one, two = at.get((z, *a)), at.get((z, *b))
        if not request.z_first <= z <= request.z_last or z not in missing or not offsets:
            continue
        if one is not None and two is not None:
            yield _derived(request, z, one, two, offsets)


def _offsets(
    request: Request,
    near: Array,
    at: Mapping[Place, TileSpec],
    matches: Matches,
    missing: set[float],
) -> Iterator[Offset]:
    """Return the offsets that matches tell, of the edge or, off its stage positions, of another."""
    a, b = request.like or request.edge
    for z in near:
        one, two = at.get((z, *a)), at.get((z, *b))
        if one is None or two is None or (request.like is None and z in missing):
            continue
        found = matches(one, two)
        if found is None or not len(found.w):
            continue
        told = _offset(z, one, found)
        yield told if request.like is None else _moved(told, request, (one, two), at)


def _moved(
    told: Offset, request: Request, others: tuple[TileSpec, TileSpec], at: Mapping[Place, TileSpec]
) -> Offset:
    """Move an offset by how much farther the stage put the one edge's tiles apart than the other's.

    The stage errs alike along a grid; where it says nothing, or a tile is absent, they are taken
    for as far apart.
    """
    own = [at.get((told.z, *cell)) for cell in request.edge]
    steps = [_stage_step(*pair) for pair in (own, others) if None not in pair]
    known = [step for step in steps if step is not None]
    shift = told.shift + known[0] - known[1] if len(known) == 2 else told.shift
    return Offset(told.z, shift, told.count)


def _stage_step(a: TileSpec | None, b: TileSpec | None) -> Array | None:
    """Return where b lies seen from a by the stage, as `_offset` has it."""
    at = [(t.stage_x, t.stage_y) for t in (a, b) if t is not None]
    if len(at) != 2 or any(v is None for place in at for v in place):
        return None
    return np.asarray(np.array(at[0], float) - np.array(at[1], float))


def _offset(z: float, a: TileSpec, found: CanvasMatches) -> Offset:
    step = np.average(found.q - found.p, axis=0, weights=found.w)
    return Offset(z, step if found.p_id == a.tile_id else -step, len(found.w))


def _interpolated(
    z: float, offsets: Sequence[Offset], *, most: int = 10
) -> tuple[Array, float, int]:
    """Return the offset at `z`, its spread (px, sd of a layer) and the number of layers used.

    A straight line through up to `most` layers on either side; their mean where all are on one.
    """
    before = sorted((o for o in offsets if o.z <= z), key=lambda o: z - o.z)[:most]
    after = sorted((o for o in offsets if o.z > z), key=lambda o: o.z - z)[:most]
    used = [*before, *after]
    shifts = np.array([o.shift for o in used])
    root = np.sqrt([min(o.count, 100) for o in used])[:, None]
    away = np.array([[o.z - z] for o in used])
    design = np.hstack([np.ones_like(away), away] if before and after else [np.ones_like(away)])
    fit = np.linalg.lstsq(design * root, shifts * root, rcond=None)[0]
    left = shifts - design @ fit
    return fit[0], float(np.sqrt((left**2).sum(axis=1).mean())), len(used)


def _derived(
    request: Request, z: float, a: TileSpec, b: TileSpec, offsets: Sequence[Offset]
) -> tuple[CanvasMatches, dict[str, Any]]:
    shift, spread, layers = _interpolated(z, offsets)
    inset = min(INSET_PX, a.width / 10, a.height / 10)
    x, y = (inset, a.width - 1 - inset), (inset, a.height - 1 - inset)
    corners = np.array([(u, v) for v in y for u in x])
    pair = CanvasMatches(
        a.section_id, a.tile_id, b.section_id, b.tile_id, corners, corners + shift,
        np.full(4, WEIGHT),
    ).ordered()  # fmt: skip
    (row_a, column_a), (row_b, column_b) = request.edge
    values = (
        f"{z:g}", row_a, column_a, row_b, column_b, pair.p_id, pair.q_id, layers,
        f"{shift[0]:.2f}", f"{shift[1]:.2f}", f"{spread:.2f}", request.reason,
    )  # fmt: skip
    return pair, dict(zip(COLUMNS, values, strict=True))
