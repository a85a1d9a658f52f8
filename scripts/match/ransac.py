"""Match · RANSAC: the candidates that one model, or several, explain (spec match-review 5.4, 5.5).

All trials run at once: a trial is a row of 0/1 weights over the candidates, and every model's least
squares solution follows from eleven weighted sums, so one matrix product fits a thousand trials.
Models are those of `MODELS`, p to q, in canvas px.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bool, Index
from scripts.lib.numerics.models import MODELS

LIBRARY_TRUST = 4.0  # of every consensus-set search, whatever the stage says (mpicbg default)
_EXACT_PX = 1e-6  # errors of rounding are no reason to distrust
_CELLS_AT_ONCE = 1_000_000  # trials x candidates: bounds the error matrix to 8 MB


@dataclass(frozen=True)
class Consensus:
    """How the agreeing candidates are found; names of the stage table in brackets."""

    model: str = "AFFINE"  # [matchModelType]
    epsilon_px: float = 5.0  # largest transfer error, canvas px [matchMaxEpsilonFullScale x scale]
    iterations: int = 1000  # [matchIterations]
    min_inliers: int = 4  # [matchMinNumInliers]
    min_inlier_ratio: float = 0.0  # must be exceeded [matchMinInlierRatio]
    max_inliers: int | None = None  # a random choice of so many is kept [matchMaxNumInliers]
    max_trust: float = 3.0  # error / median error that is kept [matchMaxTrust]
    regularizer: str | None = None  # [matchRegularizerModelType]
    regularizer_lambda: float = 0.0  # [matchInterpolatedModelLambda]


def generator(*names: str) -> np.random.Generator:
    """Return the random stream of one pair and stage: the same in whatever job and order."""
    seed = hashlib.sha256("\x1f".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed[:16], "big"))


@dataclass(frozen=True, eq=False)
class Found:
    """Sets of candidate indices, largest first, and how many the best model explained at all."""

    sets: tuple[Index, ...]
    most: int


def single_set(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Find the largest set of (n, 2) points that one model explains."""
    found, most = _search(p, q, how, rng, how.max_trust)
    return Found((_thinned(found, how, rng),) if len(found) else (), most)


def consensus_sets(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Find set after set, each among the candidates the others left."""
    left, most = np.arange(len(p)), 0
    sets: list[Index] = []
    while True:
        found, count = _search(p[left], q[left], how, rng, LIBRARY_TRUST)
        most = max(most, count)
        if len(found) == 0:
            return Found(tuple(sets), most)
        sets.append(_thinned(left[found], how, rng))
        left = np.delete(left, found)


def aggregated_sets(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Join all consensus sets into one: pieces of a seam that no one model explains."""
    found = consensus_sets(p, q, how, rng)
    return Found((np.concatenate(found.sets),) if found.sets else (), found.most)


def no_filter(p: Array, _q: Array, _how: Consensus, _rng: np.random.Generator) -> Found:
    """Take all candidates."""
    return Found((np.arange(len(p)),) if len(p) else (), len(p))


FILTERS: dict[str, Callable[[Array, Array, Consensus, np.random.Generator], Found]] = {
    "SINGLE_SET": single_set,
    "CONSENSUS_SETS": consensus_sets,
    "AGGREGATED_CONSENSUS_SETS": aggregated_sets,
    "NONE": no_filter,
}


def fit(how: Consensus, p: Array, q: Array) -> Array:
    """Fit the model of `how`, p to q, as a (2, 3) affine; NaN where it is not determined."""
    centre_p, centre_q = p.mean(axis=0), q.mean(axis=0)
    sums = _features(p - centre_p, q - centre_q).sum(axis=0)
    (local,) = _solve(how, sums[None])
    shift = centre_q + local[:, 2] - local[:, :2] @ centre_p
    return np.column_stack([local[:, :2], shift])


# ---------------------------------------------------------------------------------------------
# one search
# ---------------------------------------------------------------------------------------------


def _search(
    p: Array, q: Array, how: Consensus, rng: np.random.Generator, max_trust: float
) -> tuple[Index, int]:
    """Return the inliers of the best model, none when too few, and their number all the same."""
    nothing = np.zeros(0, np.intp)
    minimum = MODELS[how.model].minimum
    if len(p) < minimum:
        return nothing, 0
    # centred, so that the sums keep their digits
    p, q = p - p.mean(axis=0), q - q.mean(axis=0)
    samples = _samples(len(p), minimum, how.iterations, rng)
    block = max(1, _CELLS_AT_ONCE // len(p))
    best = nothing
    for start in range(0, len(samples), block):
        inliers = _grown(p, q, how, samples[start : start + block])
        counts = inliers.sum(axis=1)
        top = int(counts.argmax())
        if counts[top] > len(best):
            best = np.flatnonzero(inliers[top])
    if len(best) < how.min_inliers or len(best) <= how.min_inlier_ratio * len(p):
        return nothing, len(best)
    return _trusted(p, q, how, best, max_trust), len(best)


def _samples(n: int, size: int, count: int, rng: np.random.Generator) -> Index:
    """Draw `count` rows of `size` distinct indices below n; all single ones when there are few."""
    if size == 1 and n <= count:
        return np.arange(n)[:, None]
    drawn = rng.random((count, size))
    rows = np.zeros((count, size), np.intp)
    for k in range(size):
        # the k-th draw is among the n - k that are left: skip the earlier ones in order
        value = (drawn[:, k] * (n - k)).astype(np.intp)
        for earlier in np.sort(rows[:, :k], axis=1).T:
            value += value >= earlier
        rows[:, k] = value
    return rows


def _grown(p: Array, q: Array, how: Consensus, samples: Index) -> Bool:
    """Inliers (trials, n) of each sample's model, refitted as long as their number grows.

    Only samples with at least half the inliers of the best are refitted: a quarter of the cost, and
    a sample that starts below that does not catch up.
    """
    features = _features(p, q)
    weights = np.zeros((len(samples), len(p)))
    np.put_along_axis(weights, samples, 1.0, axis=1)
    inliers = _within(p, q, _solve(how, weights @ features), how.epsilon_px)
    counts = inliers.sum(axis=1)
    active = np.flatnonzero((counts > samples.shape[1]) & (2 * counts >= counts.max(initial=0)))
    while len(active):
        before = inliers[active]
        after = _within(p, q, _solve(how, before.astype(float) @ features), how.epsilon_px)
        more = after.sum(axis=1) > before.sum(axis=1)
        active = active[more]
        inliers[active] = after[more]
    return inliers


def _trusted(p: Array, q: Array, how: Consensus, inliers: Index, max_trust: float) -> Index:
    """Drop, again and again, what errs more than `max_trust` times the median error."""
    while True:
        error = _errors(p[inliers], q[inliers], fit(how, p[inliers], q[inliers])[None])[0]
        keep = error <= max_trust * np.median(error) + _EXACT_PX
        if keep.sum() < how.min_inliers:
            return np.zeros(0, np.intp)
        if keep.all():
            return inliers
        inliers = inliers[keep]


def _thinned(found: Index, how: Consensus, rng: np.random.Generator) -> Index:
    if how.max_inliers is None or len(found) <= how.max_inliers:
        return found
    return np.sort(rng.choice(found, how.max_inliers, replace=False))


def _within(p: Array, q: Array, models: Array, epsilon_px: float) -> Bool:
    close: Bool = _errors(p, q, models) < epsilon_px
    return close


def _errors(p: Array, q: Array, models: Array) -> Array:
    """Transfer errors (trials, n) of (trials, 2, 3) affines."""
    x = models[:, 0, :2] @ p.T + models[:, 0, 2:] - q[:, 0]
    y = models[:, 1, :2] @ p.T + models[:, 1, 2:] - q[:, 1]
    return np.hypot(x, y)


# ---------------------------------------------------------------------------------------------
# models from sums
# ---------------------------------------------------------------------------------------------


def _features(p: Array, q: Array) -> Array:
    """(n, 12) terms whose weighted sums determine every model."""
    (px, py), (qx, qy) = p.T, q.T
    one = np.ones(len(p))
    second = [px * px, px * py, py * py, px * qx, px * qy, py * qx, py * qy]
    return np.column_stack([one, px, py, qx, qy, *second])


def _solve(how: Consensus, sums: Array) -> Array:
    """Models (trials, 2, 3) of (trials, 12) sums; NaN where they are not determined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = sums[:, 1:5] / sums[:, :1]
        px, py, qx, qy = centre.T
        product = np.column_stack([px * px, px * py, py * py, px * qx, px * qy, py * qx, py * qy])
        moments = sums[:, 5:] - sums[:, :1] * product
        linear = _LINEAR[how.model](moments)
        if how.regularizer is not None:
            other = _LINEAR[how.regularizer](moments)
            linear = (1 - how.regularizer_lambda) * linear + how.regularizer_lambda * other
        shift = centre[:, 2:] - np.einsum("tij,tj->ti", linear, centre[:, :2])
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def _no_rotation(moments: Array) -> Array:
    return np.broadcast_to(np.eye(2), (len(moments), 2, 2))


def _rotation(moments: Array) -> Array:
    c, s = _rotation_terms(moments)
    return _turn(c, s, np.hypot(c, s))


def _similarity(moments: Array) -> Array:
    c, s = _rotation_terms(moments)
    return _turn(c, s, moments[:, 0] + moments[:, 2])


def _rotation_terms(moments: Array) -> tuple[Array, Array]:
    _, _, _, pxqx, pxqy, pyqx, pyqy = moments.T
    return pxqx + pyqy, pxqy - pyqx


def _turn(c: Array, s: Array, norm: Array) -> Array:
    c, s = c / norm, s / norm
    return np.stack([np.stack([c, -s], axis=1), np.stack([s, c], axis=1)], axis=1)


def _affine(moments: Array) -> Array:
    xx, xy, yy, pxqx, pxqy, pyqx, pyqy = moments.T
    determinant = xx * yy - xy * xy
    # points on a line: the sums cancel and leave rounding
    determinant = np.where(determinant > 1e-9 * xx * yy, determinant, np.nan)
    first = np.stack([pxqx * yy - pyqx * xy, pyqx * xx - pxqx * xy], axis=1)
    second = np.stack([pxqy * yy - pyqy * xy, pyqy * xx - pxqy * xy], axis=1)
    return np.stack([first, second], axis=1) / determinant[:, None, None]


_LINEAR: dict[str, Callable[[Array], Array]] = {
    "TRANSLATION": _no_rotation,
    "RIGID": _rotation,
    "SIMILARITY": _similarity,
    "AFFINE": _affine,
}
