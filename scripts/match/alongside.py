"""Narrow seams: where many layers together say how two neighboring cells lie to each other.

The strip in which two tiles of a layer overlap may be too narrow to tell the right place from
chance: each pair of the seam fails, and the cells fall apart although every strip fits. The stage
is off by much the same in all layers, chance is not: the peaks of the pairs lie at one place.

Peaks of one seam count as one piece of evidence over as many layers as are compared with each
other, since tissue, charge and dirt are much the same there. Their chances are averaged
geometrically, which is a chance under any dependence when it is multiplied by e (Vovk and Wang
2020, doi:10.1093/biomet/asaa027), and those of the pieces are combined as independent ones
(Fisher 1932). Where that is remote, pairs are matched once more around the common place.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.service.records import TileSet, TileSpec
from scripts.match import block
from scripts.match.canvases import Canvases
from scripts.match.levels import BlockParams
from scripts.match.moving import moved
from scripts.match.pairs import Pair
from scripts.match.presets import Stage
from scripts.match.stages import Attempt, match_pair, predicted_of

PEAKS = 96  # of one seam, at most: spread over its layers
# that a pair passes by chance where the seam's place is known; it errs by less than that search
PAIR_CHANCE = 1e-3
Draw = Callable[[TileSet], Canvases]
Seam = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Peak:
    """Where one pair of a seam correlates best."""

    z: float
    error: Array  # (2,) x, y against the stage positions, full-scale px
    log10_chance: float  # that unrelated strips reach it anywhere in the search


def agreed(peaks: Sequence[Peak], how: BlockParams, persistence: int) -> Array | None:
    """Return the place at which the peaks of a seam agree.

    Parameters
    ----------
    peaks
        Of the pairs of one seam, one a layer.
    how
        Its reach (full-scale px), tolerance and limit of chance.
    persistence
        Layers over which what the strips show is much the same.

    Returns
    -------
    ndarray or None
        (2,) x, y to be added to what the stage positions predict, full-scale px; None where
        chance would do as well.
    """
    if not peaks or how.search_px is None:
        return None
    from scipy import stats  # half a second to import, which every job of matching would take

    places = max(1.0, (2 * how.search_px + 1) ** 2 / (math.pi * how.tolerance_px**2))
    error = np.array([peak.error for peak in peaks])
    chance = np.array([peak.log10_chance for peak in peaks]) - math.log10(places)
    near = np.hypot(*(error[:, None] - error[None]).transpose(2, 0, 1)) < how.tolerance_px
    _, piece = np.unique([peak.z // max(persistence, 1) for peak in peaks], return_inverse=True)
    count = np.bincount(piece)
    summed = np.array([np.bincount(piece, row) for row in np.where(near, chance, 0.0)])
    pieces = np.minimum(summed / count + math.log10(math.e), 0.0)
    joint = stats.chi2.logsf(-2 * math.log(10) * pieces.sum(axis=1), 2 * len(count))
    best = int(joint.argmin())
    if joint[best] / math.log(10) + math.log10(places) > math.log10(how.max_chance):
        return None
    weights = np.where(near[best], -chance, 0.0)
    common: Array = weights @ error / weights.sum()
    return common


def seams(pairs: Iterable[Pair], tiles: dict[str, TileSpec]) -> dict[Seam, list[Pair]]:
    """Sort the pairs of layers by the cells that they join.

    Parameters
    ----------
    pairs
        In any order; those over layers are left out.
    tiles
        By id.

    Returns
    -------
    dict
        Cells of p and q -> their pairs by z.
    """
    found: dict[Seam, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: tiles[pair.p_id].z):
        if pair.dz == 0:
            found[tiles[pair.p_id].cell, tiles[pair.q_id].cell].append(pair)
    return dict(found)


def join(
    pairs: Sequence[Pair], stage: Stage, tiles: TileSet, draw: Draw, persistence: int, most: int
) -> tuple[list[Attempt], int]:
    """Match the pairs of one seam around the place on which its layers agree.

    Parameters
    ----------
    pairs
        Of one seam, by z.
    stage
        The first stage of their run.
    tiles
        All tiles, at their stage positions.
    draw
        Makes the canvases of some tiles.
    persistence
        As in `agreed`.
    most
        Correlations, at most.

    Returns
    -------
    attempts : list of Attempt
        Of all pairs, where the layers agree; else none.
    correlations : int
        That it took to find out.
    """
    if stage.method != "block" or stage.block.search_px is None or most < 1:
        return [], 0
    mine = {name for pair in pairs for name in (pair.p_id, pair.q_id)}
    shown = [tile for tile in tiles.tiles if tile.tile_id in mine]
    canvases = draw(TileSet(tuple(shown), tiles.shared))
    some = pairs[:: math.ceil(len(pairs) / min(PEAKS, most))]
    peaks = [_peak(pair, stage, canvases) for pair in some]
    common = agreed(peaks, stage.block, persistence)
    if common is None:
        return [], len(peaks)
    first = {pair.p_id for pair in pairs}
    placed = [moved(tile, common) if tile.tile_id in first else tile for tile in shown]
    near = replace(
        stage,
        block=replace(stage.block, search_px=2 * stage.block.tolerance_px, max_chance=PAIR_CHANCE),
    )
    again = draw(TileSet(tuple(placed), tiles.shared))
    return [match_pair(pair, [near], again) for pair in pairs], len(peaks)


def _peak(pair: Pair, stage: Stage, canvases: Canvases) -> Peak:
    p, q, predicted, _ = predicted_of(pair, stage, canvases)
    error, log_chance = block.whole_error(p, q, predicted)
    return Peak(canvases.by_id[pair.p_id].z, error, log_chance)
