"""L4 · Points: a wrong point among the right ones of a pair loses its say.

The points of a pair are judged by the affine they agree on, where all of them are in memory: while
moments are gathered. Iteratively re-weighted least squares, Huber's weights first
(doi:10.1214/aoms/1177703732), then Cauchy's; the unit of residual is the median of the pair. A pair
whose points agree on something wrong is for the solve to find out (`scripts.solve.robust`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.lib.geometry import Array
from scripts.solve.robust import FLOOR_PX, FUNCTIONS

ENOUGH = 8  # points; of fewer an affine, which takes three, leaves no opinion on the others
CUTOFF = 3.0  # multiples of the median residual, as for pairs
ROUNDS = ("huber", "cauchy", "cauchy")
Owner = NDArray[np.int64]


def factors(p: Array, q: Array, w: Array, size: Owner) -> Array:
    """Give the (points,) factors 0..1 of the points of some pairs.

    Parameters
    ----------
    p, q
        (points, 2) matched points, pair after pair, px.
    w
        (points,) weights.
    size
        (pairs,) points of each pair, none zero.
    """
    if not len(size):
        return np.zeros(0)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    owner = np.repeat(np.arange(len(size)), size)
    enough = (size >= ENOUGH)[owner]
    # about the first point of each pair: sums of squares then keep their digits
    p, q = p - p[start][owner], q - q[start][owner]
    factor = np.ones(len(w))
    for kind in ROUNDS:
        residual = _residual(p, q, w * factor, start, owner)
        scale = np.maximum(_median(residual, start, size, owner), FLOOR_PX)
        factor = np.where(enough, FUNCTIONS[kind](residual / (CUTOFF * scale[owner])), 1.0)
    return factor


def _residual(p: Array, q: Array, w: Array, start: Owner, owner: Owner) -> Array:
    """Distance, px, of each point from the weighted affine fit of its pair."""
    x, y = p.T
    terms = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x), x * q[:, 0], y * q[:, 0], q[:, 0],
                      x * q[:, 1], y * q[:, 1], q[:, 1]])  # fmt: skip
    sums = np.add.reduceat(terms * w, start, axis=1)
    normal = sums[[[0, 1, 3], [1, 2, 4], [3, 4, 5]]].transpose(2, 0, 1)
    # collinear points leave one direction open: the least change answers
    normal[:, [0, 1, 2], [0, 1, 2]] += 1e-9 * sums[[0, 2, 5]].T + 1e-12
    fit = np.linalg.solve(normal, sums[6:].reshape(2, 3, -1).transpose(2, 1, 0))
    at = fit.transpose(1, 2, 0)[:, :, owner]
    away = x * at[0] + y * at[1] + at[2] - q.T
    return np.asarray(np.hypot(away[0], away[1]))


def _median(value: Array, start: Owner, size: Owner, owner: Owner) -> Array:
    """(pairs,) lower medians of the values of each pair."""
    if (size == size[0]).all():
        k = (int(size[0]) - 1) // 2
        return np.asarray(np.partition(value.reshape(-1, int(size[0])), k, axis=1)[:, k])
    ranked = value[np.lexsort((value, owner))]
    return np.asarray(ranked[start + (size - 1) // 2])
