"""A dense matcher for tiles that differ by little more than a translation.

1. Where: the two tiles, band-passed and small, are correlated as a whole over all lags around the
   place the stage positions predict. The height of the peak is judged by the chance that unrelated
   tiles reach it anywhere in that area; if that is not remote, the matcher declines.
2. How: blocks of a grid are correlated, halved as often as the stage's canvas allows, in the broad
   band, then, around the model that they agree on, in the sharp one. Each block takes part that is
   unlikely to reach its peak by chance: so resin, which has no texture, takes none.
3. Exactly: large canvases are compared pixel by pixel under that model (`refinement`). Small ones
   are correlated by blocks once more, at whole pixels around the model's places.

What agrees in the end are the matches: the place in p at which a block measures, and where in q it
was found.

A tile's part of this (band-passed levels, transforms) is `BlockFeatures`, made once. Everything is
deterministic. Where the motion is beyond its reach it declines and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from scripts.lib import geometry
from scripts.lib.arrays import Array, Bool, Float32, Index
from scripts.lib.numerics import correlation
from scripts.lib.numerics.correlation import Field, Peaks
from scripts.lib.numerics.models import fit_affine, fit_rigid, fit_translation
from scripts.match import refinement
from scripts.match.levels import BlockFeatures, BlockParams

MIN_OVERLAP_PX = 8
SHARP_AREA_PX = 4.0  # px of the sharp band that count as one sample, of unrelated tissue
NOISE_AREA_PX = 1.5  # the same of its noise beside the gradients of membranes
MANY_BLOCKS = 6  # along a side, from which on they need not overlap


@dataclass(frozen=True, eq=False)
class BlockResult:
    """Matches, or why there are none."""

    reason: str | None = None
    p: Array | None = None  # (n, 2) full-scale px of each matching frame
    q: Array | None = None
    weights: Array | None = None  # (n,) 0..1
    rms_px: float = math.nan  # of the affine of the matches, full scale
    coverage_pct: float = math.nan  # agreeing share of the blocks in the overlap
    log10_chance: float = 0.0  # that unrelated tiles correlate as well


# ---------------------------------------------------------------------------------------------
# a pair
# ---------------------------------------------------------------------------------------------


def match_block(
    p: BlockFeatures,
    q: BlockFeatures,
    *,
    predicted: Array | None = None,
    linear: Array | None = None,
) -> BlockResult:
    """Match two tiles that the stage lays on each other but for a small motion.

    Parameters
    ----------
    p, q
        Features of the canvases, made with the same parameters.
    predicted
        (x, y): place in q minus place in p that the stage positions predict for the middle of p,
        full-scale px of the matching frames; None = 0.
    linear
        (2, 2) of what takes p to q by the stage: other pixel sizes; None = the identity.

    Returns
    -------
    BlockResult
        Matches in full-scale px of the matching frames, or why there are none.
    """
    params = p.params
    if p.empty or q.empty:
        return BlockResult("no_usable_pixels")
    expected = np.zeros(2) if predicted is None else np.asarray(predicted, float)
    expected = (expected + p.origin - q.origin) * p.scale  # canvas px
    shift, log_chance = _where(p, q, expected)
    if log_chance > math.log10(params.max_chance):
        return BlockResult(f"not_distinct(1e{log_chance:.0f})", log10_chance=log_chance)
    linear = np.eye(2) if linear is None else linear
    middle = np.array(p.shape[::-1]) / 2
    start = np.column_stack([linear, shift + (middle - linear @ middle)])
    found = _measured(p, q, start)
    if isinstance(found, str):
        return BlockResult(found, log10_chance=log_chance)
    return _result(p, q, found, log_chance)


def whole_shift(p: BlockFeatures, q: BlockFeatures) -> tuple[Array, float]:
    """Look for one tile anywhere in another, by their whole correlation at low scale.

    Parameters
    ----------
    p, q
        Features of the canvases, made with the same parameters; ``search_px`` None is any lag.

    Returns
    -------
    shift : ndarray
        (2,) x, y: place in q minus place in p, full-scale px of the matching frames.
    log10_chance : float
        That unrelated tiles correlate as well; 0 for a tile without data.
    """
    if p.empty or q.empty:
        return np.zeros(2), 0.0
    shift, log_chance = _where(p, q, (p.origin - q.origin) * p.scale)
    return shift / p.scale + q.origin - p.origin, log_chance


def whole_error(p: BlockFeatures, q: BlockFeatures, predicted: Array) -> tuple[Array, float]:
    """Tell how far from the predicted place the whole correlation is highest, and its chance.

    Parameters
    ----------
    p, q
        Features of the canvases, made with the same parameters.
    predicted
        (x, y) as in `match_block`.

    Returns
    -------
    error : ndarray
        (2,) x, y: what is to be added to `predicted`, full-scale px of the matching frames.
    log10_chance : float
        That unrelated tiles correlate as well; 0 for a tile without data.
    """
    if p.empty or q.empty:
        return np.zeros(2), 0.0
    expected = (predicted + p.origin - q.origin) * p.scale
    shift, log_chance = _where(p, q, expected)
    return (shift - expected) / p.scale, log_chance


def _measured(p: BlockFeatures, q: BlockFeatures, start: Array) -> _Round | str:
    """Go from a rough model to what the blocks of the finest level agree on, near the start."""
    params, affine = p.params, start
    rounds = [(p.broad, q.broad, p.broad_step, reach) for reach in params.broad_reach_px]
    if params.fine_px is None:
        rounds += [(p.sharp[0], q.sharp[0], 1, reach) for reach in params.sharp_reach_px]
    found: _Round | str = "no_blocks"
    for one, other, step, reach in rounds:
        tolerance = _tolerance(params, p.scale / step)
        found = _blocks(one, other, _at_level(affine, step), reach, params, tolerance)
        if isinstance(found, str):
            return found
        affine = _at_level(found.affine, 1 / step)
        if objection := _beyond(affine, start, params):
            return objection
    if params.fine_px is None:
        return found
    levels = [*reversed(range(len(p.sharp))), *([0] if len(p.sharp) == 1 else [])]
    before = None
    for level in levels:  # a lone one twice: each step leaves a tenth of what it corrects
        found = _refined(p, q, _at_level(affine, 1 << level), level, before)
        if isinstance(found, str):
            return found
        affine, before = _at_level(found.affine, 0.5**level), found.blocks
        if objection := _beyond(affine, start, params):
            return objection
    return found


def _tolerance(params: BlockParams, scale: float) -> float:
    """Px of a level of this scale; what a block tells there is not finer than a px."""
    return max(params.tolerance_px * scale, 1.0)


def _at_level(affine: Array, step: float) -> Array:
    """Return an affine of canvas px in px that are `step` of them, or back with 1 / step."""
    middle = (step - 1) / 2
    to_canvas = np.array([[step, 0, middle], [0, step, middle]])
    inside = geometry.compose(affine, to_canvas)
    return geometry.compose(geometry.invert(to_canvas), inside)


def _where(p: BlockFeatures, q: BlockFeatures, expected: Array) -> tuple[Array, float]:
    """Return the shift (canvas px) of the best whole correlation, and log10 of its chance."""
    params, step = p.params, p.small_step
    one, other = p.small, q.small
    x, y = np.rint(expected / step).astype(int)
    reach = _reach(params, p.scale / step, one, other)
    padded = correlation.padded_shape(one, other, (x, y), reach)
    f, g = p.spectra(padded), q.spectra(padded)
    least = params.min_overlap_pct / 100 * min(one.weights.sum(), other.weights.sum())
    surface = correlation.correlate(f, g, (x, y), reach, least)
    area = correlation.correlation_area(f.transforms[:1], g.transforms[:1], padded)
    significance = surface.rho * np.sqrt(surface.count / np.float32(area))
    y, x = np.unravel_index(int(significance.argmax()), significance.shape)
    places = np.count_nonzero(surface.count >= least) / area
    chance = special.log_ndtr(-float(significance[y, x])) / math.log(10) + math.log10(
        max(places, 1)
    )
    lag = np.array([surface.first[0] + x, surface.first[1] + y], float)
    if 0 < y < surface.rho.shape[0] - 1 and 0 < x < surface.rho.shape[1] - 1:
        around = np.ascontiguousarray(surface.rho[y - 1 : y + 2, x - 1 : x + 2])[None]
        lag += correlation.find_peaks(around, 9.0).lag[0]
    return lag * step, min(float(chance), 0.0)


def _reach(params: BlockParams, scale: float, p: Field, q: Field) -> tuple[int, int]:
    """Lags (x, y) to look at, small px."""
    (h, w), (other_h, other_w) = p.shape, q.shape
    farthest = max(w, other_w) - 1, max(h, other_h) - 1
    if params.search_px is None:
        return farthest
    reach = math.ceil(params.search_px * scale)
    return min(reach, farthest[0]), min(reach, farthest[1])


# ---------------------------------------------------------------------------------------------
# rounds of blocks
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Round:
    """Blocks that agree, canvas px."""

    affine: Array  # p to q
    p: Array
    q: Array
    weights: Array
    tried: int
    blocks: refinement.Blocks | None = None  # all that were compared, px of their level


def _blocks(
    p: Field, q: Field, affine: Array, reach: int, params: BlockParams, tolerance: float
) -> _Round | str:
    """Correlate blocks of p with q around `affine`; fit what they agree on, or say why not."""
    low, high = _overlap(p.shape, q.shape, affine)
    if (high - low < MIN_OVERLAP_PX).any():
        return "no_overlap"
    size = (
        min(int(high[1] - low[1]), params.block_px),
        min(int(high[0] - low[0]), params.block_px),
    )
    corners = _grid((high - low)[::-1], size) + low
    inside = correlation.centroids(p, corners, size)
    opposite = np.rint(geometry.apply(affine, corners + inside) - inside).astype(np.intp)
    rho, share, samples = correlation.block_surfaces(
        p, q, corners, opposite, size, reach, 0.8 * params.min_share
    )
    used = share >= params.min_share
    if not used.any():
        return "no_overlap"
    rho, samples = rho[used], samples[used]
    places = (corners + inside)[used]
    peaks = correlation.find_peaks(rho, apart_px=4.0)
    quality = _quality(peaks, _chance(peaks, samples, rho.shape[1:], size) < params.block_chance)
    moved = (opposite + inside)[used] + peaks.lag
    agree, model = _consensus(places, moved, affine, quality, tolerance, params.model)
    least = max(params.min_blocks, params.min_agreeing_pct / 100 * len(places))
    if agree.sum() < least:
        return f"few_blocks({agree.sum()}<{least:.0f} of {len(places)})"
    return _Round(model, places[agree], moved[agree], quality[agree], len(places))


def _refined(
    p: BlockFeatures,
    q: BlockFeatures,
    affine: Array,
    level: int,
    coarser: refinement.Blocks | None,
) -> _Round | str:
    """Compare the sharp fields pixel by pixel; keep the blocks that are alike and agree."""
    params, one, other = p.params, p.sharp[level], q.sharp[level]
    window = refinement.window(one, other, affine)
    if window is None:
        return "no_overlap"
    if coarser is not None:
        coarser = replace(coarser, places=2 * coarser.places + 0.5)
    side, most_px = params.fine_px or 1, 1e6 * params.fine_area_mpx
    groups = refinement.parts(window, side, most_px, coarser)
    blocks = refinement.compare(one, other, affine, groups)
    there = blocks.pixels >= params.min_share * max(blocks.pixels.max(), 1)
    samples = np.sqrt(blocks.pixels / SHARP_AREA_PX)
    used = there & (special.ndtr(-blocks.rho * samples) < params.block_chance)
    least = max(params.min_blocks, params.min_agreeing_pct / 100 * there.sum())
    tolerance = _tolerance(params, p.scale / (1 << level))
    if used.sum() >= least:
        steps = refinement.agree(blocks, used, NOISE_AREA_PX, params.model)
        used = used & (steps.error < tolerance)
    if used.sum() < least:
        return f"few_blocks({used.sum()}<{least:.0f} of {there.sum()})"
    model = geometry.compose(affine, steps.common + geometry.identity())
    places, weights = blocks.places[used], steps.weights[used]
    own = steps.own[used] - geometry.apply(steps.common, places)
    # points have one weight, blocks know one direction better: without this, whoever fits the
    # points would not find the model
    own -= geometry.apply(refinement.fit(places, own, weights, params.model), places)
    moved = geometry.apply(model, places) + own
    return _Round(model, places, moved, weights, int(there.sum()), blocks)


def _overlap(p: tuple[int, int], q: tuple[int, int], affine: Array) -> tuple[Index, Index]:
    """Return the first px (x, y) of p that q reaches, and the first beyond the last."""
    corners = geometry.apply(geometry.invert(affine), geometry.corners(q[1], q[0]))
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(np.intp)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, p[::-1]).astype(np.intp)
    return low, high


def _grid(shape: Index, size: tuple[int, int]) -> Index:
    """First pixels (n, 2) x, y of blocks that cover `shape`: side by side, or half a block apart.

    Side by side they use every pixel once, which is all there is to know; in a small picture the
    overlapping ones let more of it survive where some blocks fail.
    """
    rows, columns = (
        np.rint(np.linspace(0, n - b, _blocks_along(n, b))).astype(np.intp)
        for n, b in zip(shape, size, strict=True)
    )
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)


def _blocks_along(length: int, side: int) -> int:
    apart = side if length >= MANY_BLOCKS * side else side / 2
    return 1 + round((length - side) / apart)


def _chance(peaks: Peaks, samples: Float32, lags: tuple[int, ...], size: tuple[int, int]) -> Array:
    """Chance (n,) that unrelated blocks reach the peak anywhere on their surface."""
    area = size[0] * size[1] / np.maximum(samples, 1e-6)
    places = np.maximum(lags[0] * lags[1] / area, 1.0)
    return np.asarray(places * special.ndtr(-peaks.height * np.sqrt(samples)))


def _quality(peaks: Peaks, distinct: Bool) -> Array:
    """Weight 0..1 of a peak: high, sharp, and alone; 0 where it is not `distinct` from noise."""
    height = np.clip(peaks.height, 0, 0.999)
    alone = np.clip((height - np.maximum(peaks.second, 0)) / np.maximum(height, 1e-6), 0, 1)
    sharp = np.clip(peaks.curvature / 0.02, 0, 1)
    return np.where(peaks.inner & distinct, height**2 * alone * sharp, 0.0)


def _consensus(
    p: Array, q: Array, affine: Array, weights: Array, tolerance: float, richest: str
) -> tuple[Bool, Array]:
    """Mark the places that agree, and fit their model (p to q).

    Starts from the densest place of what `affine` leaves, and lets the model grow.
    """
    left = q - geometry.apply(affine, p)
    usable = weights > 0
    if not usable.any():
        return usable, affine
    near = np.hypot(*(left[:, None] - left[None]).transpose(2, 0, 1)) < tolerance
    support = (near * weights).sum(axis=1) * usable
    agree = near[int(support.argmax())] & usable
    model = affine
    for _ in range(10):
        model = _fit(p[agree], q[agree], affine, weights[agree], richest)
        error = np.hypot(*(geometry.apply(model, p) - q).T)
        now = usable & (error < tolerance)
        if (now == agree).all() or not now.any():
            break
        agree = now
    return agree, model


def _fit(p: Array, q: Array, affine: Array, weights: Array, richest: str) -> Array:
    """Correct `affine` by the richest model that the blocks determine."""
    before, spread = geometry.apply(affine, p), np.ptp(p, axis=0)
    if richest == "AFFINE" and len(p) >= 6 and spread.min() > 0.3 * spread.max():
        step = fit_affine(before, q, weights)
    elif richest != "TRANSLATION" and len(p) >= 4:
        step = fit_rigid(before, q, weights)
    else:
        step = fit_translation(before, q, weights)
    return geometry.compose(step, affine)


def _beyond(affine: Array, start: Array, params: BlockParams) -> str | None:
    """Object to a motion beyond the start that the blocks, which only shift, do not see well."""
    linear = affine[:, :2] @ np.linalg.inv(start[:, :2])
    rotation = math.degrees(math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))
    strain = float(np.abs((linear + linear.T) / 2 - np.eye(2)).max())
    if abs(rotation) > params.max_rotation_deg:
        return f"beyond_reach(rotation {rotation:.1f}>{params.max_rotation_deg:g} deg)"
    if strain > params.max_strain:
        return f"beyond_reach(strain {strain:.3f}>{params.max_strain:g})"
    return None


def _result(p: BlockFeatures, q: BlockFeatures, found: _Round, log_chance: float) -> BlockResult:
    left = geometry.apply(found.affine, found.p) - found.q
    weights = found.weights / max(found.weights.max(), 1e-9)
    rms = math.sqrt(weights @ (left**2).sum(axis=1) / weights.sum()) / p.scale
    coverage = 100 * len(found.p) / found.tried
    return BlockResult(
        None, p.to_full(found.p), q.to_full(found.q), weights, rms, coverage, log_chance
    )
