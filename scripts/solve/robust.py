"""L4 · Robust: weights of pairs by their residual, so that a wrong match does not bend the volume.

Iteratively re-weighted least squares on the root-mean-square residual of each pair. The unit of
residual is the median of the pairs at the same distance in z: layers further apart match less
well, and a median does not see the wrong ones. Huber (doi:10.1214/aoms/1177703732) keeps a part of
every pair's pull, Cauchy less of it, Geman-McClure lets a wrong pair of any size go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scripts.lib.geometry import Array
from scripts.solve.system import Index

FLOOR_PX = 0.05  # below this a residual is rounding, not disagreement
SMALL_CLASS = 20  # pairs; fewer give no median of their own
WRONG = 0.1  # a pair whose factor is below this is wrong, not noisy: it leaves the solve
SPREAD = 4.0  # a class may differ from all pairs by this factor at most

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: np.ones_like(x),
    "huber": lambda x: 1 / np.maximum(x, 1),
    "cauchy": lambda x: 1 / (1 + x**2),
    "geman_mcclure": lambda x: 1 / (1 + x**2) ** 2,
}


def scales(residual: Array, dz: Array) -> Array:
    """Give the (m,) typical residual, px, of pairs at each pair's distance in z.

    Parameters
    ----------
    residual
        (m,) root-mean-square residual of each pair, px.
    dz
        (m,) distance in layers, 0 for pairs within a layer.
    """
    overall = max(float(np.median(residual)), FLOOR_PX) if len(residual) else FLOOR_PX
    out = np.full(len(residual), overall)
    for value in np.unique(dz):
        mine: NDArray[np.bool_] = dz == value
        if mine.sum() >= SMALL_CLASS:
            own = float(np.median(residual[mine]))
            out[mine] = min(max(own, overall / SPREAD, FLOOR_PX), overall * SPREAD)
    return out


def weights(kind: str, residual: Array, dz: Array, *, cutoff: float) -> Array:
    """Give the (m,) factors 0..1 of the pairs; `cutoff` is in multiples of the typical residual."""
    return FUNCTIONS[kind](residual / (cutoff * scales(residual, dz)))


def bridges(factor: Array, n: int, p: Index, q: Index) -> NDArray[np.bool_]:
    """Tell which of the m pairs alone join parts of the graph that good pairs do not join.

    Such pairs are not outvoted by others, only strained: to drop them would tear the volume.

    Parameters
    ----------
    factor
        (m,) of `weights`.
    n
        Number of tiles.
    p, q
        (m,) tiles of each pair.
    """
    good = factor >= WRONG
    link = coo_array((np.ones(int(good.sum())), (p[good], q[good])), shape=(n, n))
    label = connected_components(link, directed=False)[1]
    return np.asarray(label[p] != label[q])
