"""Of many points of a pair a few that say the same.

A solve asks six numbers of a pair; hundreds of points more change them by nothing, and are written,
stored and read. The points are split in halves along the longer side of where they lie, again and
again, and of each of these groups the one in its middle is kept, with the weight of all. Weights
are then calibrated (Deville and Sarndal 1992, doi:10.1080/01621459.1992.10475217): sums, means and
second moments of the places are those of all points. Of the places in q the affine of all points is
kept, and the mean square of what is left of it. So whoever fits a model finds what all points
would have given (`scripts.solve.moments`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scripts.lib.arrays import Array, Index
from scripts.match.outcomes import Outcome

# errors of a pair's points go together: n of them are worth n / (1 + n / this)
# [solve.saturation_points]; as much as all are worth is what the kept ones weigh together
SATURATION_POINTS = 100.0
_PX_DIGITS, _WEIGHT_DIGITS = 4, 6
_LEAST_FACTOR = 0.1  # of a weight; calibration that asks for less is not made


def thinned(outcome: Outcome, most: int) -> Outcome:
    """Keep at most so many points of what a stage found, spread over the pair.

    Parameters
    ----------
    outcome
        Of a stage that saved a pair.
    most
        Number of points.

    Returns
    -------
    Outcome
        The same when it has no more points; its figures are those of all.
    """
    p, q = outcome.p, outcome.q
    if p is None or q is None or len(p) <= most:
        return outcome
    every = np.broadcast_to(np.asarray(outcome.weight, float), len(p))
    groups = _groups(p, most)
    kept = np.array([_middle(p, every, group) for group in groups])
    weight = np.array([every[group].sum() for group in groups])
    scale = np.abs(p - p.mean(axis=0)).max()
    at = (p - np.average(p, axis=0, weights=every)) / max(scale, 1e-9)
    weight = _calibrated(at, every, kept, weight)
    q = _as_all(at, q, every, kept, weight)
    worth = _worth(len(p)) / _worth(len(kept)) * len(kept) / len(p)
    # digits beyond these say nothing, and are half of what is stored
    weight = np.round(weight * worth, _WEIGHT_DIGITS)
    p, q = np.round(p[kept], _PX_DIGITS), np.round(q, _PX_DIGITS)
    return replace(outcome, p=p, q=q, weight=weight)


def _worth(count: int) -> float:
    return count / (1 + count / SATURATION_POINTS)


def _groups(p: Array, number: int) -> list[Index]:
    """Split points into groups of nearly equal size, each by its longer side."""
    groups, waiting = [], [(np.arange(len(p)), number)]
    while waiting:
        group, parts = waiting.pop()
        if parts == 1:
            groups.append(group)
            continue
        places = p[group]
        axis = int(np.ptp(places, axis=0).argmax())
        first = parts // 2
        order = np.argsort(places[:, axis], kind="stable")
        cut = len(group) * first // parts
        waiting += [(group[order[cut:]], parts - first), (group[order[:cut]], first)]
    return groups


def _middle(p: Array, weight: Array, group: Index) -> int:
    """Return the point of weight that is nearest to the middle of its group."""
    own = weight[group]
    if not own.any():
        return int(group[0])
    middle = own @ p[group] / own.sum()
    away = ((p[group] - middle) ** 2).sum(axis=1)
    return int(group[np.where(own > 0, away, np.inf).argmin()])


def _calibrated(at: Array, every: Array, kept: Index, weight: Array) -> Array:
    """Return weights whose moments of the places, up to the second, are those of all points.

    The change is the least one, in shares of the weights. Places on a line leave some moments open.
    """
    terms = _moments_of(at)
    own = terms[kept]
    missing = every @ terms - weight @ own
    step = np.linalg.lstsq((own * weight[:, None]).T @ own, missing, rcond=1e-10)[0]
    factor = 1 + own @ step
    return weight * factor if factor.min() > _LEAST_FACTOR else weight


def _moments_of(at: Array) -> Array:
    x, y = at.T
    return np.stack([np.ones(len(at)), x, y, x * x, x * y, y * y], axis=1)


def _as_all(at: Array, q: Array, every: Array, kept: Index, weight: Array) -> Array:
    """Return the kept places in q, moved so that affine and mean square error are those of all."""
    affine = _fit(at, q, every)
    left = q - _moments_of(at)[:, :3] @ affine
    mean_square = every @ (left**2).sum(axis=1) / every.sum()
    own, terms = left[kept], _moments_of(at[kept])[:, :3]
    own = own - terms @ _fit(at[kept], own, weight)
    now = weight @ (own**2).sum(axis=1) / weight.sum()
    # to be moved by more would be to make them up
    grown = np.sqrt(np.clip(mean_square / max(now, 1e-12), 0.25, 4.0))
    return np.asarray(terms @ affine + grown * own)


def _fit(at: Array, values: Array, weight: Array) -> Array:
    """Return the weighted affine (3, 2) of the values at the places."""
    terms = _moments_of(at)[:, :3]
    weighted = terms * weight[:, None]
    return np.asarray(np.linalg.lstsq(weighted.T @ terms, weighted.T @ values, rcond=1e-12)[0])
