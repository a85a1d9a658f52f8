"""The candidate matches that one model, or several, explain.

The random search is OpenCV's RANSAC (Fischler and Bolles 1981, doi:10.1145/358669.358692), whose
own stream of random numbers starts anew at each call: results depend on the candidates alone. What
the parameters of the reference mean is kept around it: inliers are refitted while their number
grows, must reach a number and a share, and pass a filter of trust. Models are those of
`MODELS`, p to q, in canvas px.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array, Index
from scripts.lib.numerics.models import MODELS

LIBRARY_TRUST = 4.0  # of every consensus-set search, whatever the stage says (mpicbg default)
_EXACT_PX = 1e-6  # errors of rounding are no reason to distrust
# The reference refits every sample, OpenCV only the best. With 10 samples for each iteration that
# is asked for, sets of a tenth of the candidates are found at least as often, in a tenth of the
# time; the search ends earlier once a better model is this unlikely.
_SAMPLES_PER_ITERATION = 10
_CONFIDENCE = 0.9999
_SIMILARITIES = 3  # tried for a rigid model


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
    """Return the random stream of one pair and stage: the same in whatever job and order.

    Parameters
    ----------
    *names
        What the stream belongs to: tiles, stage, purpose.

    Returns
    -------
    numpy.random.Generator
        Independent of the streams of other names.
    """
    seed = hashlib.sha256("\x1f".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed[:16], "big"))


@dataclass(frozen=True, eq=False)
class Found:
    """Sets of candidate indices, largest first, and how many the best model explained at all."""

    sets: tuple[Index, ...]
    most: int


def single_set(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Find the largest set of (n, 2) points that one model explains.

    Parameters
    ----------
    p, q
        (n, 2) candidates, canvas px.
    how
        Model and limits.
    rng
        For the choice of `max_inliers`.

    Returns
    -------
    Found
        One set, or none.
    """
    found, most = _search(p, q, how, how.max_trust)
    return Found((_thinned(found, how, rng),) if len(found) else (), most)


def consensus_sets(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Find set after set, each among the candidates the others left.

    Parameters
    ----------
    p, q
        (n, 2) candidates, canvas px.
    how
        Model and limits.
    rng
        For the choice of `max_inliers`.

    Returns
    -------
    Found
        All sets, in the order found; `LIBRARY_TRUST` judges them.
    """
    left, most = np.arange(len(p)), 0
    sets: list[Index] = []
    while True:
        found, count = _search(p[left], q[left], how, LIBRARY_TRUST)
        most = max(most, count)
        if len(found) == 0:
            return Found(tuple(sets), most)
        sets.append(_thinned(left[found], how, rng))
        left = np.delete(left, found)


def aggregated_sets(p: Array, q: Array, how: Consensus, rng: np.random.Generator) -> Found:
    """Join all consensus sets into one: pieces of a seam that no one model explains.

    Parameters
    ----------
    p, q
        (n, 2) candidates, canvas px.
    how
        Model and limits.
    rng
        For the choice of `max_inliers`.

    Returns
    -------
    Found
        One set, or none.
    """
    found = consensus_sets(p, q, how, rng)
    return Found((np.concatenate(found.sets),) if found.sets else (), found.most)


def no_filter(p: Array, _q: Array, _how: Consensus, _rng: np.random.Generator) -> Found:
    """Take all candidates.

    Parameters
    ----------
    p
        (n, 2) candidates.
    _q, _how, _rng
        As of the other filters; not needed.

    Returns
    -------
    Found
        One set, or none.
    """
    return Found((np.arange(len(p)),) if len(p) else (), len(p))


FILTERS: dict[str, Callable[[Array, Array, Consensus, np.random.Generator], Found]] = {
    "SINGLE_SET": single_set,
    "CONSENSUS_SETS": consensus_sets,
    "AGGREGATED_CONSENSUS_SETS": aggregated_sets,
    "NONE": no_filter,
}


def fit(how: Consensus, p: Array, q: Array) -> Array:
    """Fit the model of `how`, p to q, as a (2, 3) affine; NaN where it is not determined.

    Parameters
    ----------
    how
        Model, and the stiffer one mixed in.
    p, q
        (n, 2) points.

    Returns
    -------
    ndarray
        (2, 3) float64, p to q.
    """
    try:
        model = MODELS[how.model].fit(p, q, None)
        if how.regularizer is None:
            return model
        other = MODELS[how.regularizer].fit(p, q, None)
    except ValueError:
        return np.full((2, 3), np.nan)
    return np.asarray((1 - how.regularizer_lambda) * model + how.regularizer_lambda * other)


# ---------------------------------------------------------------------------------------------
# one search
# ---------------------------------------------------------------------------------------------


def _search(p: Array, q: Array, how: Consensus, max_trust: float) -> tuple[Index, int]:
    """Return the inliers of the best model, none when too few, and their number all the same."""
    if len(p) < MODELS[how.model].minimum:
        return np.zeros(0, np.intp), 0
    # centred, so that OpenCV's single precision suffices
    p, q = p - p.mean(axis=0), q - q.mean(axis=0)
    best = _explained(p, q, how)
    if len(best) < how.min_inliers or len(best) <= how.min_inlier_ratio * len(p):
        return np.zeros(0, np.intp), len(best)
    return _trusted(p, q, how, best, max_trust), len(best)


def _explained(p: Array, q: Array, how: Consensus) -> Index:
    """Return the inliers of the best model of a random search.

    A rigid model is sought as a similarity. One that shrinks everything to a point explains what
    is crowded in q and is not rigid: its inliers leave, and the others are searched.
    """
    best, left, minimum = np.zeros(0, np.intp), np.arange(len(p)), MODELS[how.model].minimum
    for _ in range(_SIMILARITIES if how.model == "RIGID" else 1):
        sampled = left[_sampled(p[left], q[left], how)]
        grown = _grown(p, q, how, sampled)
        best = max(best, grown, key=len)
        left = np.setdiff1d(left, sampled)
        if 2 * len(grown) >= len(sampled) or len(left) < max(len(best) + 1, minimum):
            break
    return best


def _sampled(p: Array, q: Array, how: Consensus) -> Index:
    """Return the inliers of the sample that has most of them."""
    _, inliers = _ESTIMATE[how.model](
        p,
        q,
        method=cv2.RANSAC,
        ransacReprojThreshold=how.epsilon_px,
        maxIters=_SAMPLES_PER_ITERATION * how.iterations,
        confidence=_CONFIDENCE,
        refineIters=0,
    )
    return np.flatnonzero(inliers) if inliers is not None else np.zeros(0, np.intp)


_ESTIMATE: dict[str, Callable[..., tuple[Any, Any]]] = {
    "TRANSLATION": cv2.estimateTranslation2D,
    "RIGID": cv2.estimateAffinePartial2D,
    "SIMILARITY": cv2.estimateAffinePartial2D,
    "AFFINE": cv2.estimateAffine2D,
}


def _grown(p: Array, q: Array, how: Consensus, inliers: Index) -> Index:
    """Return the inliers of the model of a sample, refitted as long as their number grows."""
    # those of the sample's own model count, unless that is not of the kind asked for
    grown = inliers if how.model != "RIGID" and how.regularizer is None else inliers[:0]
    while len(inliers) >= MODELS[how.model].minimum:
        inliers = np.flatnonzero(_errors(p, q, fit(how, p[inliers], q[inliers])) < how.epsilon_px)
        if len(inliers) <= len(grown):
            break
        grown = inliers
    return grown


def _trusted(p: Array, q: Array, how: Consensus, inliers: Index, max_trust: float) -> Index:
    """Drop, again and again, what errs more than `max_trust` times the median error."""
    while True:
        error = _errors(p[inliers], q[inliers], fit(how, p[inliers], q[inliers]))
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


def _errors(p: Array, q: Array, model: Array) -> Array:
    """Transfer errors (n,) of a (2, 3) affine."""
    return np.asarray(np.hypot(*(geometry.apply(model, p) - q).T))
