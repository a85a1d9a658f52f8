"""What one pair goes through, stage by stage, until one saves it.

`METHODS` holds the ways to find matches: a method takes a pair, a stage and the job's canvases and
gives an `Outcome`. A new way is one function and one entry; a table names it by ``method``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array
from scripts.lib.geometry import Box, TileId
from scripts.lib.service.records import CanvasMatches
from scripts.match import agreement, block, coverage, descriptors, ransac, screening, sift
from scripts.match.canvases import Canvas, Canvases
from scripts.match.levels import BlockFeatures
from scripts.match.outcomes import SIFT_WEIGHT, Outcome
from scripts.match.pairs import Pair
from scripts.match.presets import Descriptors, Stage
from scripts.match.thinning import thinned


@dataclass(frozen=True, eq=False)
class Attempt:
    """A pair after its stages: the stage that saved it, or the last one tried."""

    pair: Pair
    stage: str
    outcome: Outcome
    reason: str  # why each stage before failed, "stage:why; stage:why"
    asked: int = 0  # stages that had a say
    seconds: float = 0.0  # CPU, with the features that were made on the way

    @property
    def matches(self) -> CanvasMatches | None:
        """Return the record to store.

        Returns
        -------
        CanvasMatches or None
            Points in full-scale px of the matching frames, weights (n,); None when no stage saved
            the pair.
        """
        out = self.outcome
        if out.p is None or out.q is None or out.reason:
            return None
        pair = self.pair
        weights = np.broadcast_to(np.asarray(out.weight, float), len(out.p))
        return CanvasMatches(
            pair.p_group, TileId(pair.p_id), pair.q_group, TileId(pair.q_id), out.p, out.q, weights
        )


Method = Callable[[Pair, Stage, Canvases], Outcome]


def match_all(
    pairs: Iterable[Pair], stages: Sequence[Stage], canvases: Canvases
) -> Iterator[Attempt]:
    """Take every pair through the stages, in the order given.

    Parameters
    ----------
    pairs
        In the order in which they are to be tried.
    stages
        Those of their run.
    canvases
        What the tiles of the job are drawn with.

    Yields
    ------
    Attempt
        One for each pair, in order.
    """
    for pair in pairs:
        yield match_pair(pair, stages, canvases)


def match_pair(pair: Pair, stages: Sequence[Stage], canvases: Canvases) -> Attempt:
    """Try the stages in order until one saves, or is beyond its distance or its budget.

    Parameters
    ----------
    pair
        Two of the job's tiles.
    stages
        Those of its run.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    Attempt
        The stage that saved it or the last one tried, CPU time in s.
    """
    reasons: list[str] = []
    tried, outcome, asked = "", Outcome("not_tried"), 0
    start = time.process_time()
    for asked, stage in enumerate(stages, 1):  # noqa: B007 - the last is wanted
        limit = stage.max_neighbor_distance
        if limit is not None and pair.dz > limit:
            reasons.append(f"{stage.name}:beyond_distance({pair.dz}>{limit})")
            break
        if reasons and (objection := screening.objection(pair, stage, canvases)):
            reasons.append(f"{stage.name}:{objection}")
            break
        tried, outcome = stage.name, METHODS[stage.method](pair, stage, canvases)
        if not outcome.reason:
            outcome = thinned(outcome, stage.max_points)
            break
        reasons.append(f"{stage.name}:{outcome.reason}")
    return Attempt(pair, tried, outcome, "; ".join(reasons), asked, time.process_time() - start)


# ---------------------------------------------------------------------------------------------
# SIFT
# ---------------------------------------------------------------------------------------------


def sift_matches(pair: Pair, stage: Stage, canvases: Canvases) -> Outcome:
    """Match features by descriptor, keep what a model explains, judge number and coverage.

    Source: SIFT (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94) and RANSAC (Fischler and Bolles
    1981, doi:10.1145/358669.358692), with the limits of MultiStagePointMatchClient of render.

    Parameters
    ----------
    pair
        Two of the job's tiles.
    stage
        Its limits; lengths in full-scale px unless its field says otherwise.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    Outcome
        (n, 2) full-scale px of the matching frames, or the limit that was missed.
    """
    p = canvases.get(pair.p_id, stage, pair.p_position)
    q = canvases.get(pair.q_id, stage, pair.q_position)
    how = replace(stage.consensus, epsilon_px=stage.consensus.epsilon_px * stage.render.scale)
    points_p, points_q = _candidates(pair, stage, canvases, p, q)
    random = ransac.generator(pair.p_id, pair.q_id, stage.name)
    found = ransac.FILTERS[stage.filter](points_p, points_q, how, random)
    few = f"few_inliers({found.most}<{how.min_inliers} of {len(points_p)})"
    inliers = found.sets[0] if found.sets else np.zeros(0, np.intp)
    points_p, points_q = points_p[inliers], points_q[inliers]
    if stage.descriptors is not None:
        return _with_descriptors(pair, stage, canvases, (p, q), (points_p, points_q), few)
    if not found.sets:
        return Outcome(few)
    return _judged(stage, p, q, points_p, points_q)


def _candidates(
    pair: Pair, stage: Stage, canvases: Canvases, p: Canvas, q: Canvas
) -> tuple[Array, Array]:
    """Candidate matches in canvas px."""
    p_features, q_features = p.features, q.features
    margin = stage.clip.overlap_margin
    if margin is not None and pair.dz == 0:
        p_features = _facing(canvases, pair.p_id, pair.q_id, p, margin)
        q_features = _facing(canvases, pair.q_id, pair.p_id, q, margin)
    near = None
    if stage.search_radius_px is not None:
        place_p = _world(canvases, pair.p_id, p, p_features.xy)
        place_q = _world(canvases, pair.q_id, q, q_features.xy)
        step = place_p[:, None] - place_q
        near = (step**2).sum(axis=2) < stage.search_radius_px**2
    chosen = sift.candidates(p_features, q_features, stage.rod, near)
    return p_features.xy[chosen[:, 0]], q_features.xy[chosen[:, 1]]


def _world(canvases: Canvases, tile_id: str, canvas: Canvas, xy: Array) -> Array:
    """Return the places in the world, by the stage position, of points in canvas px."""
    last = canvases.tiles.chain(canvases.by_id[tile_id]).parts[-1]
    return last.apply(canvas.to_full(xy))


def _facing(
    canvases: Canvases, tile_id: str, other_id: str, canvas: Canvas, margin: float
) -> sift.Features:
    """Return the features that the stage positions put into the other's box, `margin` px more."""
    features, box = canvas.features, canvases.by_id[other_id].box
    world = _world(canvases, tile_id, canvas, features.xy)
    low, high = np.array([box.x0, box.y0]) - margin, np.array([box.x1, box.y1]) + margin
    inside = np.flatnonzero(((world >= low) & (world < high)).all(axis=1))
    return sift.Features(features.xy[inside], features.descriptors[inside])


def _judged(stage: Stage, p: Canvas, q: Canvas, points_p: Array, points_q: Array) -> Outcome:
    """Accept or decline the inliers (canvas px) by the limits of the stage."""
    radius = stage.coverage_radius_px * stage.render.scale
    percent = coverage.percentage(points_p, points_q, p.mask, q.mask, radius)
    model = ransac.fit(stage.consensus, points_p, points_q)
    residual = geometry.apply(model, points_p) - points_q
    rms = float(np.sqrt((residual**2).sum(axis=1).mean())) / stage.render.scale
    reason = _objection(stage, len(points_p), percent) or _unlike(stage, p, q, model)
    return Outcome(reason, p.to_full(points_p), q.to_full(points_q), SIFT_WEIGHT, rms, percent)


def _unlike(stage: Stage, p: Canvas, q: Canvas, model: Array) -> str:
    """Object when the pixels do not agree under the model."""
    limit = stage.min_correlation
    if limit is None or p.image is None or q.image is None:
        return ""
    found = agreement.correlation(p.image, q.image, p.mask, q.mask, model)
    return "" if found >= limit else f"low_correlation({found:.2f}<{limit:g})"


def _objection(stage: Stage, count: int, percent: float) -> str:
    limit, least = stage.min_coverage, 0
    if stage.descriptors is not None:
        limit = stage.descriptors.min_combined_coverage
        least = stage.descriptors.min_combined_inliers or 0
    if count < least:
        return f"few_inliers({count}<{least})"
    # a NaN, for an empty overlap, is not sufficient either
    if limit is not None and not percent >= limit:
        return f"low_coverage({percent:.0f}<{limit:g})"
    return ""


# ---------------------------------------------------------------------------------------------
# SIFT, and geometric descriptors where it is not enough
# ---------------------------------------------------------------------------------------------


def _with_descriptors(
    pair: Pair,
    stage: Stage,
    canvases: Canvases,
    both: tuple[Canvas, Canvas],
    points: tuple[Array, Array],
    few: str,
) -> Outcome:
    """Decide as the reference does: SIFT alone, SIFT and descriptors together, or nothing."""
    how, (p, q) = stage.descriptors, both
    assert how is not None  # noqa: S101 - the caller has looked
    limited, enough = how.min_combined_inliers is not None, len(points[0]) > 0
    if limited:
        enough = len(points[0]) >= (how.min_combined_inliers or 0)
        alone = _judged(stage, p, q, *points) if enough and len(points[0]) else Outcome(few)
        if not alone.reason:
            return alone
        if not enough and not how.regardless_of_sift:
            return Outcome(few)
    more = _described_matches(
        pair, stage, how, canvases, [c.to_full(x) for c, x in zip(both, points, strict=True)]
    )
    if len(more[0]) == 0 and (limited or len(points[0]) == 0):
        return Outcome(f"no_descriptors({len(points[0])} inliers of SIFT)")
    joined_p = np.concatenate([points[0], p.to_canvas(more[0])])
    joined_q = np.concatenate([points[1], q.to_canvas(more[1])])
    weights = np.repeat([SIFT_WEIGHT, how.weight], [len(points[0]), len(more[0])])
    if not limited:
        return replace(_judged(stage, p, q, joined_p, joined_q), weight=weights)
    model = replace(stage.consensus, epsilon_px=stage.consensus.epsilon_px * stage.render.scale)
    random = ransac.generator(pair.p_id, pair.q_id, stage.name, "combined")
    found = ransac.FILTERS["SINGLE_SET"](joined_p, joined_q, model, random)
    if not found.sets:
        return Outcome(f"few_inliers({found.most}<{model.min_inliers} of {len(weights)})")
    kept = found.sets[0]
    return replace(_judged(stage, p, q, joined_p[kept], joined_q[kept]), weight=weights[kept])


def _described_matches(
    pair: Pair, stage: Stage, how: Descriptors, canvases: Canvases, inliers: Sequence[Array]
) -> tuple[Array, Array]:
    """Return matches of geometric descriptors, full-scale px, away from the inliers of SIFT."""
    one, other = (
        descriptors.away_from(canvases.peaks(tile, stage, how, position).xy, near, radius)
        for tile, position, near, radius in (
            (pair.p_id, pair.p_position, inliers[0], how.block_radius_px),
            (pair.q_id, pair.q_position, inliers[1], how.block_radius_px),
        )
    )
    chosen = descriptors.candidates(one, other, how.neighborhood)
    p, q = one[chosen[:, 0]], other[chosen[:, 1]]
    random = ransac.generator(pair.p_id, pair.q_id, stage.name, "descriptors")
    found = ransac.FILTERS[how.filter](p, q, how.consensus, random)
    kept = found.sets[0] if found.sets else np.zeros(0, np.intp)
    return p[kept], q[kept]


# ---------------------------------------------------------------------------------------------
# blocks
# ---------------------------------------------------------------------------------------------


def block_matches(pair: Pair, stage: Stage, canvases: Canvases) -> Outcome:
    """Correlate the tiles densely around the place that the stage positions predict.

    Parameters
    ----------
    pair
        Two of the job's tiles, whose stage positions overlap.
    stage
        Its block parameters.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    Outcome
        (n, 2) full-scale px of the matching frames with a weight each, or why there are none.
    """
    p, q, predicted, linear = predicted_of(pair, stage, canvases)
    found = block.match_block(p, q, predicted=predicted, linear=linear)
    if found.reason is not None or found.weights is None:
        return Outcome(found.reason or "no_matches")
    return Outcome("", found.p, found.q, found.weights, found.rms_px, found.coverage_pct)


def predicted_of(
    pair: Pair, stage: Stage, canvases: Canvases
) -> tuple[BlockFeatures, BlockFeatures, Array, Array]:
    """Give the features of a pair, and where the stage positions lay one on the other.

    Parameters
    ----------
    pair
        Two of the job's tiles.
    stage
        Its block parameters.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    p, q : BlockFeatures
        Of the two tiles.
    predicted : ndarray
        (2,) place in q minus place in p of the middle of p, full-scale px of the matching frames.
    linear : ndarray
        (2, 2) of what takes p to q.
    """
    p = canvases.blocks(pair.p_id, stage, pair.p_position)
    q = canvases.blocks(pair.q_id, stage, pair.q_position)
    tiles = canvases.tiles
    at_p, at_q = (tiles.chain(canvases.by_id[i]).parts[-1] for i in (pair.p_id, pair.q_id))
    ends = p.to_full(np.array(p.shape[::-1]) / 2) + np.array([[0, 0], [1, 0], [0, 1]])
    place = at_q.invert(at_p.apply(ends))  # of the middle, and 1 px further in x and y
    return p, q, place[0] - ends[0], (place[1:] - place[0]).T


# ---------------------------------------------------------------------------------------------
# stage positions as matches
# ---------------------------------------------------------------------------------------------


def start_position_matches(pair: Pair, stage: Stage, canvases: Canvases) -> Outcome:
    """Return four matches at the corners of the overlap of the two world boxes, at low weight.

    Parameters
    ----------
    pair
        Two of the job's tiles.
    stage
        Its ``start_position_weight``.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    Outcome
        (4, 2) full-scale px of the matching frames; reason ``no_overlap`` when the boxes do not
        meet or the stage has no weight.
    """
    one, other = canvases.by_id[pair.p_id], canvases.by_id[pair.q_id]
    shared = _overlap(one.box, other.box)
    if shared is None or stage.start_position_weight is None:
        return Outcome("no_overlap")
    corners = np.array([(x, y) for y in (shared.y0, shared.y1) for x in (shared.x0, shared.x1)])
    p, q = (canvases.tiles.chain(tile).parts[-1].invert(corners) for tile in (one, other))
    return Outcome("", p, q, stage.start_position_weight, 0.0, 100.0)


def _overlap(a: Box, b: Box) -> Box | None:
    if not a.intersects(b):
        return None
    return Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))


METHODS: dict[str, Method] = {
    "sift": sift_matches,
    "block": block_matches,
    "start_position": start_position_matches,
}
