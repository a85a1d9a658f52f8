"""A wrong point among the right ones of a pair is weighted down.

The points of a pair are judged by the affine they agree on, where all of them are in memory: while
moments are gathered. Iteratively re-weighted least squares, Huber's weights first
(doi:10.1214/aoms/1177703732), then Cauchy's; the unit of residual is the median of the pair. A pair
whose points agree on something wrong is for the solve to find out (`scripts.solve.robust`).
"""

from __future__ import annotations

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.lib.numerics.robust import cauchy, huber, reweighted
from scripts.solve.robust import FLOOR_PX

ENOUGH = 8  # points; of fewer an affine, which takes three, leaves no opinion on the others
CUTOFF = 8.0  # multiples of the median residual: noise, which reaches three, keeps its say
SUSPECT = 3.0  # a pair whose worst residual is below this, in medians, holds noise alone
# from weights that mistrust half of the points to those wanted: gross errors hide one another
ROUNDS = (*[(huber, 1.0)] * 3, (cauchy, 2.0), (cauchy, 4.0))


def factors(p: Array, q: Array, w: Array, size: Int64, cutoff: float = CUTOFF) -> Array:
    """Compute the robust factors of the points of some pairs.

    Parameters
    ----------
    p, q
        (points, 2) matched points, pair after pair, px.
    w
        (points,) weights.
    size
        (pairs,) points of each pair, none zero.
    cutoff
        Residual at which the weight function turns down, in multiples of the pair's median.

    Returns
    -------
    Array
        (points,) factors 0..1; 1 in pairs of fewer than `ENOUGH` points.
    """
    factor = np.ones(len(w))
    start = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)
    if not len(size):
        return factor
    # about the first point of each pair: sums of squares then keep their digits
    p, q = (xy - np.repeat(xy[start], size, axis=0) for xy in (p, q))
    at = np.ascontiguousarray(np.concatenate([p.T, q.T]))
    residual = _residual(at, _fit(at, w, start, size), size)
    worst = np.maximum.reduceat(residual, start)
    suspect = (size >= ENOUGH) & (worst > SUSPECT * _scale(residual, start, size))
    some = np.repeat(suspect, size)
    factor[some] = _judged(at[:, some], w[some], size[suspect], cutoff)
    return factor


def _judged(at: Array, w: Array, size: Int64, cutoff: float) -> Array:
    if not len(size):
        return np.ones(len(w))
    start = np.concatenate([[0], np.cumsum(size)[:-1]])

    def solve(factor: Array) -> tuple[Array, Array]:
        fit = _fit(at, w * factor, start, size)
        return fit, _residual(at, fit, size)

    def scale(residual: Array) -> Array:
        return np.repeat(_scale(residual, start, size), size)

    return reweighted(solve, scale, (*ROUNDS, (cauchy, cutoff)), np.ones(len(w))).weight


def _fit(at: Array, w: Array, start: Int64, size: Int64) -> Array:
    """(pairs, 3, 2) weighted affine of each pair, from (4, points) x, y of p and of q."""
    x, y, u, v = at
    wx, wy = w * x, w * y
    terms = np.stack([wx * x, wx * y, wy * y, wx, wy, w, wx * u, wy * u, w * u,
                      wx * v, wy * v, w * v])  # fmt: skip
    sums = np.add.reduceat(terms, start, axis=1)
    normal = sums[[[0, 1, 3], [1, 2, 4], [3, 4, 5]]].transpose(2, 0, 1)
    # collinear points leave one direction open: the least change answers
    normal[:, [0, 1, 2], [0, 1, 2]] += 1e-9 * sums[[0, 2, 5]].T + 1e-12
    return np.asarray(np.linalg.solve(normal, sums[6:].reshape(2, 3, -1).transpose(2, 1, 0)))


def _residual(at: Array, fit: Array, size: Int64) -> Array:
    """Distance, px, of each point from the affine of its pair."""
    x, y, u, v = at
    six = np.repeat(fit.transpose(2, 1, 0).reshape(6, -1), size, axis=1)
    left = six[0] * x + six[1] * y + six[2] - u
    right = six[3] * x + six[4] * y + six[5] - v
    return np.asarray(np.sqrt(left * left + right * right))


def _scale(value: Array, start: Int64, size: Int64) -> Array:
    """(pairs,) lower medians of the values of each pair, px, none below rounding."""
    if (size == size[0]).all():
        k = (int(size[0]) - 1) // 2
        median = np.partition(value.reshape(-1, int(size[0])), k, axis=1)[:, k]
    else:
        owner = np.repeat(np.arange(len(size)), size)
        median = value[np.lexsort((value, owner))][start + (size - 1) // 2]
    return np.maximum(median, FLOOR_PX)
